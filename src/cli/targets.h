/* What a verb is about, as people name it: "pods", "pods,svc", "pod web", "pod/web svc/web", "all".
 */
#ifndef CONTINUO_CLI_TARGETS_H
#define CONTINUO_CLI_TARGETS_H

#include "cli/client.h"

struct target {
	const struct kind *kind;
	const char *name; /* null: all of them */
};

struct targets {
	VEC(struct target) items;
	VEC(char *) texts; /* that names point into */
};
void targets_done(struct targets *t); /* for CLEANUP */

/* -ERR_USAGE. names_required: whole collections are refused. */
int targets_parse(struct client *c, const cli_words *words, bool names_required,
	struct targets *ret_targets, struct err *e) MUST_CHECK;

/* The pod that a word means: "web-1", "pod/web-1", or one of those that "deployment/web",
 * "rs/web-5" or "svc/web" selects, running ones first. -ERR_USAGE, -ERR_NOT_FOUND. */
int targets_pod(struct client *c, const char *word, char ret_pod[static 256],
	struct err *e) MUST_CHECK;

#endif

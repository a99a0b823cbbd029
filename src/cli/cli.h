/*
 * The command line: one verb per file (verb_NAME.c), each a function from arguments to an exit
 * status. Verbs speak the Kubernetes API over net/http; the kubeconfig is their configuration.
 * Everything here runs in a process of its own that ends with the verb: it may block, print and
 * read files, and does so through the loop only where several things happen at once.
 */
#ifndef CONTINUO_CLI_CLI_H
#define CONTINUO_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"

struct cli_verb {
	const char *name;
	const char *summary;               /* for the overview */
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
};

/* Runs the verb that argv[1] names: one of the command line's own, or one of more (ends with a null
 * name; may be null). Returns the exit status. */
int cli_main(int argc, char **argv, const struct cli_verb *more);

/* Prints "error: ..." and gives the exit status that belongs to it. */
int cli_fail(const struct err *e);

/* ---- options ---- */

enum cli_option_type {
	CLI_FLAG,   /* bool */
	CLI_TEXT,   /* const char * */
	CLI_NUMBER, /* int64_t */
	CLI_LIST    /* cli_words: may be given several times */
};

typedef VEC(const char *) cli_words;

struct cli_option {
	char letter; /* 0: none */
	const char *name;
	enum cli_option_type type;
	void *value;
	const char *argument; /* "NAME", in the help */
	const char *help;
};

/* How a verb is used: what --help prints and the options that are taken. */
struct cli_usage {
	const char *synopsis; /* "get KIND[/NAME]... [options]" */
	const char *text;     /* what it does, examples; may have several lines */
	const struct cli_option *options;
	size_t option_count;
	struct cli_common *common; /* null: the verb does not talk to a server */
};

/* Options of all verbs that talk to a server. */
struct cli_common {
	const char *kubeconfig, *context, *namespace;
};

struct cli_args {
	cli_words words; /* what is not an option */
	cli_words rest;  /* behind "--" */
	bool has_rest;
};
void cli_args_done(struct cli_args *a); /* for CLEANUP */

/* Fills the options' values. 1: --help was asked for and printed; -ERR_USAGE. */
int cli_parse(const struct cli_usage *usage, int argc, char **argv, struct cli_args *ret_args,
	struct err *e) MUST_CHECK;
void cli_words_done(cli_words *w); /* for CLEANUP */

/* The verbs. */
int verb_adopt(int argc, char **argv);
int verb_apply(int argc, char **argv);
int verb_delete(int argc, char **argv);
int verb_describe(int argc, char **argv);
int verb_exec(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_get(int argc, char **argv);
int verb_image(int argc, char **argv);
int verb_leave(int argc, char **argv);
int verb_logs(int argc, char **argv);
int verb_node(int argc, char **argv);
int verb_plan(int argc, char **argv);
int verb_token(int argc, char **argv);
int verb_version(int argc, char **argv);
int verb_watch(int argc, char **argv);

#endif

/* Manifests from files, folders and the standard input, document by document. */
#ifndef CONTINUO_CLI_MANIFESTS_H
#define CONTINUO_CLI_MANIFESTS_H

#include "cli/cli.h"
#include "codec/json.h"

/* Called for each document (a List's items one by one); it may change the tree. A negative result
 * is counted as a failure by manifests_each and printed; the others go on. where: "web.yaml:12". */
typedef int manifest_cb(void *arg, json_t *document, const char *where, struct err *e);

/* Returns how many documents and files failed; each was reported on stderr. Folders: their *.yaml,
 * *.yml and *.json by name, with recursive those of the folders in them too. -ERR_USAGE: no path.
 */
int manifests_each(const cli_words *paths, bool recursive, manifest_cb *cb, void *arg,
	struct err *e) MUST_CHECK;

#endif

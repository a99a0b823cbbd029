/* Columns of text, as wide as their widest cell. */
#ifndef CONTINUO_CLI_TABLE_H
#define CONTINUO_CLI_TABLE_H

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/vec.h"
#include "codec/json.h"

struct table {
	VEC(const char *) cells; /* row by row, the header first */
	size_t columns;
	VEC(size_t) widths; /* kept from one printing to the next */
	struct arena arena;
};
void table_done(struct table *t); /* for CLEANUP */

/* What a container, a node or a registry said, for a terminal: what would steer it is shown instead
 * (ESC as ^[, of two bytes as U+FFFD), line ends and tabs are blanks. */
void table_plain(const char *text, struct buf *ret_plain);

void table_add(struct table *t, const char *cell); /* copied, plain; null: "<none>" */
/* Prints what was added (with or without the first row) and forgets it; the widths stay. */
void table_print(struct table *t, bool with_header, FILE *out);

/* Adds a meta.k8s.io/v1 Table: its header when the table is empty, and its rows. prefix: put before
 * names ("pod/"); namespaces: a first column with them; wide: columns of priority 1 too. */
void table_add_server(struct table *t, const json_t *server_table, const char *prefix,
	bool namespaces, bool wide, bool header);

#endif

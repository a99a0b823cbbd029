/* Cells of tables that take more than a path: what "@name" in api/ stands for. Private to this
 * room. They show what kubectl 1.30's server side shows (pkg/printers/internalversion). */
#ifndef CONTINUO_MODEL_CELLS_H
#define CONTINUO_MODEL_CELLS_H

#include "codec/json.h"

struct cell {
	const char *name;
	json_t *(*make)(const json_t *tree, int64_t wall_ms); /* a new reference */
};

extern const struct cell cell_functions[]; /* sorted by name */
extern const size_t cell_count;

/* The age of an RFC 3339 time, "<unknown>" without one; ret_text is returned. */
const char *cells_age(const char *time, int64_t wall_ms, char ret_text[static 32]);

/* The first three of a list and how many more there are; count: those that were added. */
void cells_append_some(struct buf *b, size_t *count, const char *text);
json_t *cells_some(struct buf *b, size_t count, const char *empty);

json_t *cell_pod_ready(const json_t *tree, int64_t wall_ms);
json_t *cell_pod_status(const json_t *tree, int64_t wall_ms);
json_t *cell_pod_restarts(const json_t *tree, int64_t wall_ms);
json_t *cell_site_paths(const json_t *tree, int64_t wall_ms);
json_t *cell_site_destinations(const json_t *tree, int64_t wall_ms);
json_t *cell_application_ready(const json_t *tree, int64_t wall_ms);
json_t *cell_application_status(const json_t *tree, int64_t wall_ms);
json_t *cell_application_components(const json_t *tree, int64_t wall_ms);

#endif

/* Get, list and watch, as JSON objects or as Tables. */
#ifndef CONTINUO_SERVER_READ_H
#define CONTINUO_SERVER_READ_H

#include "server/request.h"

void read_get(struct request *r);
void read_list(struct request *r); /* goes on as read_watch when the query says watch=true */

/* The selectors of a request; null members match everything. */
struct read_selectors {
	struct selector *labels;
	struct field_selector *fields;
};
int read_selectors_parse(const struct request *r, struct read_selectors *ret_selectors,
	struct err *e) MUST_CHECK;
bool read_selectors_match(const struct read_selectors *s, const struct object *o);
void read_selectors_done(struct read_selectors *s);

/* A stream of events from a revision (watch.c). Takes r. */
void read_watch(struct request *r);
void read_watches_drop(struct server *s); /* server_free: ends all */

#endif

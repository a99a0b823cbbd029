/*
 * Sites in the placement engine's tables: what Sites say of themselves and of the paths between
 * them. Runs in the placement job. Private to src/control.
 *
 * A path holds in the direction in which it is stated, and in the other one too unless the other
 * site states it differently. What a path leaves out is no limit. The tables cannot forget a path:
 * one that nobody states any more has 0 bit/s, which stands for no path (place/assign/assign.h).
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_SITES_H
#define CONTINUO_CONTROL_SCHEDULE_SITES_H

#include "base/map.h"
#include "control/control.h"
#include "place/place.h"

#define SITES_UNLIMITED 1e18 /* bit/s */

void sites_free_row(void *row); /* of the map */
/* object null: the Site is gone; nodes may still name it. *ret_moved: its country is another one
 * than before. */
int sites_change(struct map *sites, struct place *p, const char *name, const struct object *object,
	bool *ret_moved, struct err *e) MUST_CHECK;
/* Of a Site; null: not known. Valid until the Site changes. */
const char *sites_country(const struct map *sites, const char *name);

#endif

/*
 * Sites in the placement engine's tables: what Sites say of themselves and of the paths between
 * them. Runs in the placement job. Private to src/control.
 *
 * A path holds in the direction in which it is stated, and in the other one too unless the other
 * site states it differently. What a path leaves out is no limit.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_SITES_H
#define CONTINUO_CONTROL_SCHEDULE_SITES_H

#include "base/map.h"
#include "control/control.h"
#include "place/place.h"

#define SITES_UNLIMITED 1e18  /* bit/s */
#define SITES_CARBON_HOURS 24 /* a pod is taken to run for so long */

void sites_free_row(void *row); /* of the map */
/* object null: the Site is gone; nodes may still name it. *ret_moved: its country is another one
 * than before. */
int sites_change(struct map *sites, struct place *p, const char *name, const struct object *object,
	bool *ret_moved, struct err *e) MUST_CHECK;
/* Of a Site; null: not known. Valid until the Site changes. */
/* Carbon is the mean of the forecast for the next SITES_CARBON_HOURS, beginning with the hour of
 * wall_ms; hours of which it says nothing have what the Site says of now. Call it before each job:
 * it sets what changed with the hour. */
int sites_turn_hour(struct map *sites, struct place *p, int64_t wall_ms, struct err *e) MUST_CHECK;
const char *sites_country(const struct map *sites, const char *name);

#endif

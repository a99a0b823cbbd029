/*
 * From objects to the tables of the placement engine. Pure; runs in the placement job. All arrays
 * and strings of results live in the arena or in the tree. Private to src/control.
 */
#ifndef CONTINUO_CONTROL_SCHEDULE_PODSPEC_H
#define CONTINUO_CONTROL_SCHEDULE_PODSPEC_H

#include "base/map.h"
#include "control/control.h"
#include "place/place.h"

/* namespaces: name -> struct object of kind Namespace, for terms with a namespaceSelector. */
int podspec_read(const json_t *pod, const struct object *object, const struct map *namespaces,
	struct arena *arena, struct place_spec *ret_spec, struct err *e) MUST_CHECK;
int podspec_priority(const json_t *pod);

/* For nodespec.c. */
struct place_label *podspec_read_labels(const json_t *map, struct arena *a, uint32_t *ret_count);
enum place_effect podspec_read_effect(const char *text);

#endif

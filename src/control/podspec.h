/*
 * From objects to the tables of the placement engine. Pure; runs in the placement job. All arrays
 * and strings of results live in the arena or in the tree. Private to src/control.
 */
#ifndef CONTINUO_CONTROL_PODSPEC_H
#define CONTINUO_CONTROL_PODSPEC_H

#include "base/map.h"
#include "control/control.h"
#include "place/place.h"

/* namespaces: name -> struct object of kind Namespace, for terms with a namespaceSelector. */
int podspec_read(const json_t *pod, const struct object *object, const struct map *namespaces,
	struct arena *arena, struct place_spec *ret_spec, struct err *e) MUST_CHECK;
int podspec_priority(const json_t *pod);

/* connected: whether a session of the node is open; a node that is not Ready or not connected is
 * PLACE_NODE_NOT_READY. */
int podspec_read_node(const json_t *node, const struct object *object, bool connected,
	struct arena *arena, struct place_node *ret_node, struct err *e) MUST_CHECK;

#endif

/* From a Node to a node of the placement engine; as podspec.h. Private to src/control. */
#ifndef CONTINUO_CONTROL_NODESPEC_H
#define CONTINUO_CONTROL_NODESPEC_H

#include "control/control.h"
#include "place/place.h"

/* connected: whether a session of the node is open; a node that is not Ready or not connected is
 * PLACE_NODE_NOT_READY. */
int nodespec_read(const json_t *node, const struct object *object, bool connected,
	struct arena *arena, struct place_node *ret_node, struct err *e) MUST_CHECK;

#endif

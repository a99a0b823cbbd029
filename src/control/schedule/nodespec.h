/* From a Node to a node of the placement engine; as podspec.h. Private to src/control. */
#ifndef CONTINUO_CONTROL_SCHEDULE_NODESPEC_H
#define CONTINUO_CONTROL_SCHEDULE_NODESPEC_H

#include "control/control.h"
#include "place/place.h"

/* As if it were a label of the node: the country of its site, else its region when that is one. */
#define NODESPEC_COUNTRY_LABEL "continuo.dev/country"

/* connected: whether a session of the node is open; a node that is not Ready or not connected is
 * PLACE_NODE_NOT_READY. country: of its Site; null: not known. What the engine cannot take is left
 * out or cut down to what it can, and told of in problems: sentences, "; " between them. */
void nodespec_read(const json_t *node, const struct object *object, bool connected,
	const char *country, struct arena *arena, struct place_node *ret_node,
	struct buf *problems);
const char *nodespec_site(const struct object *node); /* null: none */

#endif

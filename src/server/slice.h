/*
 * The part of the world that one node must run and know: its pods, the ConfigMaps and Secrets that
 * they name, their namespaces, and the Services and EndpointSlices there. Nothing else: a stolen
 * node learns little. A slice remembers what its agent holds and gives the difference.
 */
#ifndef CONTINUO_SERVER_SLICE_H
#define CONTINUO_SERVER_SLICE_H

#include "server/state.h"

struct slice {
	struct server *server;
	struct map held;       /* key -> struct slice_item */
	struct map namespaces; /* of the node's pods, as of the last update; values unused */
};

void slice_init(struct slice *s, struct server *server);
void slice_done(struct slice *s);

/* What the agent says it has (hello). */
int64_t slice_held_revision(const void *held); /* of a value of slice.held */
void slice_add_held(struct slice *s, const char *key, const char *uid, int64_t revision);

/* Appends deletes and puts as lines; pod_keys: of the node's pods. */
void slice_update(struct slice *s, const struct map *pod_keys, struct buf *out);

/* Whether a change may matter to this slice (beyond the node's own pods). */
bool slice_concerns(const struct slice *s, const struct store_event *event);

/* Whether the node may read this object (GET /agent/v1/objects/KEY): it is in the slice. */
bool slice_has(const struct slice *s, const char *key);

#endif

/*
 * What nodes must know of each other to send packets: addresses and the ranges of their pods. A new
 * session is told all of it, the others what changed, so that a thousand nodes that come at once
 * cost a thousand lines each and not a thousand lists.
 */
#ifndef CONTINUO_SERVER_PEERS_H
#define CONTINUO_SERVER_PEERS_H

#include "base/buf.h"
#include "base/map.h"
#include "model/object.h"

struct peers {
	struct map all;  /* node -> what others must know of it, as JSON */
	struct map news; /* node -> "": not told yet */
};

void peers_init(struct peers *p);
void peers_done(struct peers *p);
/* The Node as it is now; null: it is gone. True: others must be told. */
bool peers_note(struct peers *p, const char *name, const struct object *node);
void peers_write_all(const struct peers *p, struct buf *b); /* the message "peers" */
/* The message "peer_news" with what peers_note found since the last time. */
void peers_write_news(struct peers *p, struct buf *b);

#endif

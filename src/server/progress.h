/* Pull progress of images, as agents report it, streamed to whoever watches. Never stored. */
#ifndef CONTINUO_SERVER_PROGRESS_H
#define CONTINUO_SERVER_PROGRESS_H

#include "server/request.h"

/* From a report: {"pod":UID,"image":R,"done":N,"total":N}; goes out with the node's name added. */
void progress_publish(struct server *s, const char *node, json_t *message);

/* GET /continuo/v1/progress: JSON lines as they come. Takes r. */
void progress_watch(struct request *r);
void progress_drop(struct server *s); /* server_free: ends all */

#endif

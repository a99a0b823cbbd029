/*
 * Reverse calls: the server asks over the feed for a pod's logs or for a command in it, and the
 * agent answers on a stream of its own (wire/wire.h has the frames). They end with the session.
 */
#ifndef CONTINUO_AGENT_CALLS_H
#define CONTINUO_AGENT_CALLS_H

#include "agent/slice.h"
#include "base/list.h"
#include "base/log.h"
#include "codec/json.h"
#include "driver/driver.h"
#include "net/http.h"

struct agent_calls {
	struct loop *loop;
	struct log *log;
	struct driver *driver;
	const struct agent_slice *slice;
	struct list open; /* of struct call */
	size_t count;
	int64_t served;
};

#define AGENT_CALLS_MAX 32 /* at once; more are refused */
/* Bytes that wait for a reader, or for a command, before its other side is paused. */
#define AGENT_CALL_QUEUE ((size_t)256 << 10)

void agent_calls_init(struct agent_calls *c, struct loop *loop, struct log *log,
	struct driver *driver, const struct agent_slice *slice);
/* A "call" message of the feed. */
void agent_calls_begin(struct agent_calls *c, struct http_client *client, const json_t *message);
void agent_calls_cancel(struct agent_calls *c, int64_t id);
void agent_calls_cancel_all(struct agent_calls *c);

#endif

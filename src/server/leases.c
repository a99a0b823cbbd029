#include "server/leases.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/feed.h"

struct leases {
	struct server *server;
	int64_t lease_ms, wait_ms, began_ms;
	bool other_epoch;
	struct map until; /* node -> int64_t *: when its lease is surely over */
	struct map ended; /* uid of a pod -> its node's name */
};

static int64_t with_drift(int64_t ms)
{
	return ms + (ms * LEASE_DRIFT_PERMILLE + 999) / 1000;
}

struct leases *leases_new(struct server *s, int64_t lease_ms, int64_t wait_ms)
{
	struct leases *x = mem_new(struct leases);
	x->server = s;
	x->lease_ms = lease_ms ? lease_ms : LEASE_MS;
	x->wait_ms = wait_ms ? wait_ms : with_drift(x->lease_ms);
	x->began_ms = loop_now_ms(s->loop);
	map_init(&x->until, free);
	map_init(&x->ended, free);
	return x;
}

void leases_free(struct leases *x)
{
	if (!x)
		return;
	map_done(&x->until);
	map_done(&x->ended);
	free(x);
}

static bool is_ending(const struct leases *x, const char *node)
{
	MAP_EACH (&x->ended, entry)
		if (str_equal(entry->value, node))
			return true;
	return false;
}

size_t leases_ending(const struct leases *x)
{
	return x->ended.count;
}

static bool all_are_known(const struct leases *x)
{
	return loop_now_ms(x->server->loop) > x->began_ms + x->wait_ms;
}

void leases_other_epoch(struct leases *x)
{
	x->other_epoch = true;
}

int64_t leases_begin_wait_ms(const struct leases *x)
{
	int64_t left_ms = x->began_ms + x->wait_ms - loop_now_ms(x->server->loop);
	return store_has_past(x->server->store) && left_ms > 0 ? left_ms : 0;
}

static void let_one_go(struct leases *x, int64_t now_ms)
{
	MAP_EACH (&x->until, entry) {
		const int64_t *until_ms = entry->value;
		if (now_ms <= *until_ms)
			continue;
		CLEANUP(mem_free_ptr) char *node = mem_dup_string(entry->key);
		(void)map_remove(&x->until, node);
		return;
	}
}

/* One that is over is as good as none. With every node that comes one of those that are over goes,
 * so that there are never more than have been there at one time. A deleted node's stays until then:
 * what it runs goes on for so long. */
static int64_t *until_of(struct leases *x, const char *node)
{
	int64_t *until_ms = map_get(&x->until, node);
	if (until_ms)
		return until_ms;
	let_one_go(x, loop_now_ms(x->server->loop));
	map_put(&x->until, node, until_ms = mem_new(int64_t));
	return until_ms;
}

size_t leases_held(const struct leases *x)
{
	return x->until.count;
}

void leases_beat(struct leases *x, const char *node, int64_t id)
{
	struct err e = ERR_INIT;
	if (is_ending(x, node) || (x->other_epoch && !all_are_known(x)))
		return;
	*until_of(x, node) = loop_now_ms(x->server->loop) + x->wait_ms;
	CLEANUP(json_done)
	json_t *grant = json_pack("{s:s, s:I, s:I}", "type", "lease", "beat", (json_int_t)id, "ms",
		(json_int_t)x->lease_ms);
	if (feed_send(x->server->feed, node, grant, &e) < 0)
		log_debug(x->server->log, "lease_not_sent", "node=%s", node);
}

static bool is_over(const struct leases *x, const char *node)
{
	int64_t now_ms = loop_now_ms(x->server->loop);
	const int64_t *until_ms = map_get(&x->until, node);
	return all_are_known(x) && (!until_ms || now_ms > *until_ms);
}

bool leases_over(struct leases *x, const char *node, const char *pod_uid, bool end)
{
	if (map_has(&x->ended, pod_uid))
		return true;
	if (!end || !is_over(x, node))
		return false;
	map_put(&x->ended, pod_uid, mem_dup_string(node));
	log_info(x->server->log, "lease_ended", "node=%s pod=%s", node, pod_uid);
	return true;
}

void leases_pod_gone(struct leases *x, const char *pod_uid)
{
	map_remove(&x->ended, pod_uid);
}

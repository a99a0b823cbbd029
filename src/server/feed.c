#include "server/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/calls.h"
#include "server/leases.h"
#include "server/nodes.h"
#include "server/peers.h"
#include "server/request.h"
#include "server/slice.h"
#include "wire/wire.h"

#define CHALLENGE_MS 500
#define BOOKMARK_MS 5000
#define BOOKMARK_TICK_MS 1000
#define BOOKMARK_HEARTBEATS 6 /* between bookmarks, where those are rare */
#define PEERS_DELAY_MS 50
#define QUEUE_MAX                                                                                  \
	((size_t)32 << 20) /* bytes an agent may be behind before its session is dropped */

enum session_state { SESSION_CHALLENGING, SESSION_REGISTERING, SESSION_OPEN };

struct session {
	struct list link;
	struct feed *feed;
	struct http_request *http; /* null: the connection is gone */
	enum session_state state;
	char node[128];
	int64_t id;                  /* of the open session: its reports name it */
	int64_t issued_ms, since_ms; /* its certificate; what its Node asks of certificates */
	json_t *hello;               /* until the session is open */
	struct slice slice;
	struct loop_timer *timer; /* challenge, then silence */
	int64_t silence_ms, heartbeat_ms, bookmark_at_ms;
	int64_t heard_ms;
	int64_t asked_ms;  /* for a sign of life that has not come; else 0 */
	int64_t challenge; /* id of the ping that the old session must answer */
	bool dirty;        /* the slice may have changed */
	bool was_lost;     /* the node's pods were marked: the agent says all again */
	bool revoked;      /* before it was open */
};

/* A token bucket, in thousandths. */
struct bucket {
	int64_t milli, at_ms;
};

/* When a node's last session ended, and whether and when the next one began; now_ms. */
struct loss {
	int64_t lost_ms, back_ms;
	bool back;
};

struct feed {
	struct server *server;
	struct list sessions; /* in any state */
	struct map open;      /* node -> open session */
	struct map losses;    /* node -> struct loss * */
	int64_t began_ms;
	struct peers peers;
	struct loop_timer *tell_peers;
	struct map pods;   /* node -> struct map * of the keys of its pods */
	struct map events; /* node -> struct bucket *; outlives sessions */
	struct store_watch *watch;
	struct loop_timer *bookmarks;
	int64_t next_ping, next_session;
};

/* ---- pods by node ---- */

static void pods_free(void *value)
{
	map_done(value);
	free(value);
}

static void note_pod(struct feed *f, const char *node, const char *key, bool there)
{
	if (!*node)
		return;
	struct map *keys = map_get(&f->pods, node);
	if (there) {
		if (!keys)
			map_put(&f->pods, node, keys = mem_new(struct map));
		map_put(keys, key, "");
	} else if (keys) {
		map_remove(keys, key);
		if (!keys->count)
			map_remove(&f->pods, node);
	}
}

/* ---- the end of a session ---- */

static void session_free(struct session *x)
{
	struct feed *f = x->feed;
	if (map_get(&f->open, x->node) == x)
		map_take(&f->open, x->node);
	list_remove(&x->link);
	loop_timer_free(x->timer);
	if (x->http)
		http_request_free(x->http);
	json_decref(x->hello);
	slice_done(&x->slice);
	free(x);
}

static void note_lost(struct feed *f, const char *node)
{
	struct loss *loss = mem_new(struct loss);
	loss->lost_ms = loop_now_ms(f->server->loop);
	map_put(&f->losses, node, loss);
}

static void note_back(struct feed *f, const char *node)
{
	struct loss *loss = map_get(&f->losses, node);
	if (!loss || loss->back)
		return;
	loss->back = true;
	loss->back_ms = loop_now_ms(f->server->loop);
}

bool feed_registering(const struct feed *f, const char *node)
{
	LIST_EACH (&f->sessions, link) {
		const struct session *x = LIST_ITEM(link, struct session, link);
		if (x->state == SESSION_REGISTERING && str_equal(x->node, node))
			return true;
	}
	return false;
}

/* Ends an open session: the node is lost until it comes again. */
static void session_lose(struct session *x, const char *why)
{
	struct feed *f = x->feed;
	struct server *s = f->server;
	char node[128];
	snprintf(node, sizeof(node), "%s", x->node);
	log_info(s->log, "session_ended", "node=%s why=\"%s\"", node, why);
	s->counters.sessions_lost++;
	note_lost(f, node);
	session_free(x);
	calls_lose_node(s, node);
	nodes_lost(s, node, why);
	control_node_changed(s->control, node);
}

/* A connection that ended says nothing about the node: its agent may have started anew or renewed
 * its certificate. Only silence does. */
static void session_detach(struct session *x)
{
	log_info(x->feed->server->log, "session_detached", "node=%s", x->node);
	http_request_free(take_ptr(x->http));
	calls_lose_node(x->feed->server, x->node);
}

static void on_http_closed(void *arg)
{
	struct session *x = arg;
	if (x->state == SESSION_OPEN) {
		session_detach(x);
	} else if (x->state == SESSION_REGISTERING) {
		http_request_free(x->http); /* the commit under way still refers to x */
		x->http = NULL;
	} else {
		session_free(x);
	}
}

static void refuse(struct session *x, enum err_code code, const char *why)
{
	struct err e = ERR_INIT;
	struct http_request *http = x->http;
	(void)err_set(&e, code, "%s", why);
	x->http = NULL;
	if (http)
		respond_err(x->feed->server, http, &e);
	session_free(x);
}

/* That it is Ready may have been written. */
static void registration_fail(struct session *x, const struct err *e)
{
	struct feed *f = x->feed;
	char node[128];
	snprintf(node, sizeof(node), "%s", x->node);
	refuse(x, e->code, e->text);
	nodes_lost(f->server, node, e->text);
}

/* ---- sending ---- */

static void session_write(struct session *x, const struct buf *b)
{
	if (b->size && x->http)
		http_respond_write(x->http, b->data, b->size);
}

static bool session_is_slow(const struct session *x)
{
	return http_respond_queued(x->http) > QUEUE_MAX;
}

static void write_message(struct buf *b, json_t *message)
{
	wire_write(b, message);
	json_decref(message);
}

static void write_session(struct session *x, struct buf *b)
{
	struct server *s = x->feed->server;
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_node, "", x->node, key, NULL) < 0)
		return;
	CLEANUP(object_done) struct object *node = store_get(s->store, key);
	CLEANUP(json_done) json_t *tree = node ? object_tree(node) : json_object();
	write_message(b,
		json_pack("{s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:b}",
			"type", "session", "session", (json_int_t)x->id, "epoch",
			store_epoch(s->store), "domain", s->domain, "server", s->name,
			"heartbeat_ms", (json_int_t)x->heartbeat_ms, "silence_ms",
			(json_int_t)x->silence_ms, "now_ms", (json_int_t)steady_ms(s->clock),
			"begin_wait_ms", (json_int_t)leases_begin_wait_ms(s->leases), "pod_cidr",
			json_text(tree, "", "spec", "podCIDR"), "domain_cidr", s->pod_cidr,
			"service_cidr", s->service_cidr, "cluster_domain", s->cluster_domain,
			"report_all", (int)x->was_lost));
}

static void write_bookmark(struct feed *f, struct buf *b)
{
	write_message(b, json_pack("{s:s, s:I}", "type", "bookmark", "revision",
				 (json_int_t)store_revision(f->server->store)));
}

/* A little later than it happened: of nodes that come together all are told at once. */
static void on_tell_peers(void *arg)
{
	struct feed *f = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT((size_t)1 << 30);
	peers_write_news(&f->peers, &b);
	LIST_EACH (&f->sessions, link) {
		struct session *x = LIST_ITEM(link, struct session, link);
		if (x->state != SESSION_OPEN || !x->http)
			continue;
		session_write(x, &b);
		if (session_is_slow(x))
			session_lose(x, "the agent reads too slowly");
	}
}

static int64_t bookmark_due_ms(const struct session *x)
{
	int64_t every_ms = BOOKMARK_HEARTBEATS * x->heartbeat_ms;
	return loop_now_ms(x->feed->server->loop) +
	       (every_ms > BOOKMARK_MS ? every_ms : BOOKMARK_MS);
}

static void update_slice(struct session *x, struct buf *b)
{
	x->dirty = false;
	slice_update(&x->slice, map_get(&x->feed->pods, x->node), b);
}

/* ---- opening ---- */

static void note_heard(struct session *x)
{
	x->heard_ms = loop_now_ms(x->feed->server->loop);
	x->asked_ms = 0;
	loop_timer_start(x->timer, x->silence_ms);
}

/* One fell silent: whether others share its fate has to be known before its pods are replaced, and
 * those that speak rarely would be missed much later. */
static void ask_the_quiet(struct feed *f)
{
	const struct server *s = f->server;
	int64_t now_ms = loop_now_ms(s->loop);
	MAP_EACH (&f->open, entry) {
		struct session *x = entry->value;
		struct err e;
		if (x->asked_ms || now_ms - x->heard_ms < s->silence_ms - s->heartbeat_ms)
			continue;
		x->asked_ms = now_ms;
		CLEANUP(json_done)
		json_t *ping =
			json_pack("{s:s, s:I}", "type", "ping", "id", (json_int_t)++f->next_ping);
		if (feed_send(f, x->node, ping, &e) < 0)
			log_debug(s->log, "not_asked", "node=%s why=\"%s\"", x->node, e.text);
	}
}

static void on_silence(void *arg)
{
	struct feed *f = ((struct session *)arg)->feed;
	session_lose(arg, "silence");
	ask_the_quiet(f);
}

/* Whether the node holds something of a future that this store no longer has. */
static bool holds_undone(const struct session *x)
{
	MAP_EACH (&x->slice.held, entry)
		if (!store_was_at(x->feed->server->store, slice_held_revision(entry->value)))
			return true;
	return false;
}

/* The store may have been put back to an older copy since the node's last session. What the node
 * holds of the time after that has a revision that no object has, so that it is told anew; what it
 * told has to be told again. (Revisions of what is not logged are lost at every start.) */
static void look_for_undone(struct session *x)
{
	const struct server *s = x->feed->server;
	bool holds = holds_undone(x);
	if (holds)
		log_warn(s->log, "store_went_back", "node=%s action=%s", x->node,
			"the_node_tells_all_again");
	if (holds || !store_was_at(s->store, json_int(x->hello, 0, "revision")))
		x->was_lost = true;
}

static void read_held(struct session *x)
{
	size_t i;
	json_t *held;
	json_array_foreach (json_object_get(x->hello, "held"), i, held) {
		const char *key = json_text_or(json_array_get(held, 0), NULL);
		if (key && strlen(key) < OBJECT_KEY_MAX)
			slice_add_held(&x->slice, key, json_text_or(json_array_get(held, 1), ""),
				json_int_or(json_array_get(held, 2), 0));
	}
	const char *epoch = json_text(x->hello, "", "epoch");
	if (str_equal(epoch, store_epoch(x->feed->server->store))) {
		look_for_undone(x);
		return;
	}
	if (*epoch)
		leases_other_epoch(x->feed->server->leases);
	/* Revisions of another epoch mean nothing here; the agent compares by uid and spec. */
	MAP_EACH (&x->slice.held, e)
		slice_add_held(&x->slice, e->key, "", 0);
}

/* A server that died may have taken the node back and never told it: its marks are still there. */
static bool has_marks(struct feed *f, const char *node)
{
	struct map *keys = map_get(&f->pods, node);
	if (!keys)
		return false;
	MAP_EACH (keys, entry) {
		CLEANUP(object_done) struct object *pod = store_get(f->server->store, entry->key);
		if (pod && !pod->ready && strstr(pod->blob, "\"" CONTROL_NODE_NOT_READY "\""))
			return true;
	}
	return false;
}

/* In the store, or on its way there. */
static bool is_lost(struct feed *f, const char *node)
{
	char key[OBJECT_KEY_MAX];
	const struct loss *loss = map_get(&f->losses, node);
	if ((loss && !loss->back) || object_key_of(&kind_node, "", node, key, NULL) < 0)
		return true;
	CLEANUP(object_done) struct object *o = store_get(f->server->store, key);
	return !o || !o->ready || has_marks(f, node);
}

static void session_open(struct session *x)
{
	struct feed *f = x->feed;
	struct session *old = map_get(&f->open, x->node);
	if (old) {
		session_free(old);
		calls_lose_node(f->server, x->node);
	}
	x->was_lost = x->was_lost || is_lost(f, x->node); /* the one before ended meanwhile */
	note_back(f, x->node);
	read_held(x);
	json_decref(x->hello);
	x->hello = NULL;
	x->state = SESSION_OPEN;
	x->id = ++f->next_session;
	x->since_ms = nodes_since_ms(f->server, x->node);
	map_put(&f->open, x->node, x);
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT((size_t)1 << 30);
	write_session(x, &b);
	update_slice(x, &b);
	peers_write_all(&f->peers, &b);
	write_bookmark(f, &b);
	x->bookmark_at_ms = bookmark_due_ms(x);
	http_respond_start(x->http, 200, NULL, 0, "application/x-ndjson");
	session_write(x, &b);
	loop_timer_free(x->timer);
	x->timer = loop_timer_new(f->server->loop, on_silence, x);
	note_heard(x);
	log_info(f->server->log, "session_opened", "node=%s slice=%zu", x->node,
		x->slice.held.count);
	control_node_changed(f->server->control, x->node);
}

static void on_registered(void *arg, const struct err *e)
{
	struct session *x = arg;
	struct err why = ERR_INIT;
	if (e)
		why = *e;
	else if (!x->http)
		(void)err_set(&why, ERR_UNAVAILABLE, "it went while it registered");
	else if (x->revoked)
		(void)err_set(&why, ERR_UNAUTHORIZED, "the node was revoked");
	if (why.code)
		registration_fail(x, &why);
	else
		session_open(x);
}

static void session_register(struct session *x)
{
	struct server *s = x->feed->server;
	const json_t *node = json_object_get(x->hello, "node");
	bool rare = nodes_labels_heard_rarely(json_at(node, "metadata", "labels"));
	x->heartbeat_ms = rare ? s->iot_heartbeat_ms : s->heartbeat_ms;
	x->silence_ms = rare ? s->iot_silence_ms : s->silence_ms;
	x->was_lost = is_lost(x->feed, x->node);
	x->state = SESSION_REGISTERING;
	nodes_register(s, x->node, node, x->issued_ms, x->was_lost, on_registered, x);
}

/* ---- clones: the session that exists is asked first, if it can be ---- */

static void on_challenge_over(void *arg)
{
	struct session *x = arg; /* the old one did not answer: it is gone */
	session_register(x);
}

static void challenge(struct session *x)
{
	struct feed *f = x->feed;
	struct err e;
	x->challenge = ++f->next_ping;
	CLEANUP(json_done)
	json_t *ping = json_pack("{s:s, s:I}", "type", "ping", "id", (json_int_t)x->challenge);
	if (feed_send(f, x->node, ping, &e) < 0) {
		session_register(x);
		return;
	}
	x->timer = loop_timer_new(f->server->loop, on_challenge_over, x);
	loop_timer_start(x->timer, CHALLENGE_MS);
}

void feed_pong(struct feed *f, const char *node, int64_t id)
{
	LIST_EACH (&f->sessions, link) {
		struct session *x = LIST_ITEM(link, struct session, link);
		if (x->state != SESSION_CHALLENGING || x->challenge != id ||
			strcmp(x->node, node) != 0)
			continue;
		log_error(f->server->log, "clone_refused", "node=%s address=%s", node,
			http_request_peer(x->http)->address);
		char text[200];
		snprintf(text, sizeof(text),
			"a machine at %.80s has this node's key and was refused: it is a clone",
			http_request_peer(x->http)->address);
		nodes_warn(f->server, node, "CloneRefused", text);
		refuse(x, ERR_CONFLICT,
			"another machine holds a session with this node's certificate and answers: "
			"this one is a clone; "
			"give it a name and a token of its own");
		return;
	}
}

static int find_hello(void *arg, const char *type, json_t *message, struct err *e)
{
	json_t **hello = arg;
	if (strcmp(type, "hello") != 0 || *hello)
		return err_set(e, ERR_DECODE, "the feed begins with exactly one hello");
	*hello = json_incref(message);
	return 0;
}

static void on_hello(void *arg, struct http_request *http, const char *data, size_t size,
	const struct err *e)
{
	static const struct http_request_events events = {.on_closed = on_http_closed};
	struct session *x = arg;
	struct err why = ERR_INIT;
	struct wire_reader reader = {0};
	int r = e ? -(int)e->code : wire_read(&reader, data, size, find_hello, &x->hello, &why);
	wire_reader_done(&reader);
	if (e)
		why = *e;
	else if (r == 0 && !x->hello)
		(void)err_set(&why, ERR_DECODE, "the feed begins with a hello line");
	if (why.code) {
		refuse(x, why.code, why.text);
		return;
	}
	http_request_set_events(http, &events, x);
	/* Whoever this is, it has the node's key: the node is not silent while it is challenged. */
	if (feed_heard(x->feed, x->node, 0))
		challenge(x);
	else
		session_register(x);
}

void feed_serve(struct feed *f, struct http_request *http, const struct user *u)
{
	struct session *x = mem_new(struct session);
	x->feed = f;
	x->http = http;
	x->state = SESSION_CHALLENGING;
	snprintf(x->node, sizeof(x->node), "%s", u->node);
	x->issued_ms = u->issued_ms;
	slice_init(&x->slice, f->server);
	list_init(&x->link);
	list_append(&f->sessions, &x->link);
	http_request_collect(http, WIRE_LINE_MAX, on_hello, x);
}

/* ---- changes of the world ---- */

/* Its pods are gone and its addresses are free: an agent that is there comes anew, as a new node.
 */
static void end_deleted(struct feed *f, const char *node)
{
	struct session *x = map_get(&f->open, node);
	if (!x)
		return;
	log_info(f->server->log, "session_ended", "node=%s why=\"the node was deleted\"", node);
	session_free(x);
	calls_lose_node(f->server, node);
}

static void mark_dirty(struct feed *f, const struct store_event *event)
{
	const struct object *o = event->object;
	if (o->kind == &kind_pod) {
		if (event->type == STORE_DELETE)
			leases_pod_gone(f->server->leases, o->uid);
		const char *nodes[2] = {o->node, event->previous ? event->previous->node : ""};
		note_pod(f, o->node, event->key, event->type == STORE_PUT);
		for (int i = 0; i < 2; i++) {
			struct session *x = *nodes[i] ? map_get(&f->open, nodes[i]) : NULL;
			if (x)
				x->dirty = true;
		}
		return;
	}
	if (o->kind == &kind_node && event->type == STORE_DELETE) {
		map_remove(&f->losses, o->name);
		map_remove(&f->events, o->name);
		end_deleted(f, o->name);
	}
	if (o->kind == &kind_node &&
		peers_note(&f->peers, o->name, event->type == STORE_PUT ? o : NULL) &&
		!loop_timer_active(f->tell_peers))
		loop_timer_start(f->tell_peers, PEERS_DELAY_MS);
	MAP_EACH (&f->open, e) {
		struct session *x = e->value;
		x->dirty |= slice_concerns(&x->slice, event);
	}
}

/* Sends what changed; a session too far behind is dropped and comes again with what it holds. */
static void send_changes(struct feed *f)
{
	LIST_EACH (&f->sessions, link) {
		struct session *x = LIST_ITEM(link, struct session, link);
		if (x->state != SESSION_OPEN || !x->http || !x->dirty)
			continue;
		CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT((size_t)1 << 30);
		update_slice(x, &b);
		session_write(x, &b);
		if (session_is_slow(x))
			session_lose(x, "the agent reads too slowly");
	}
}

static void on_events(void *arg, const struct store_event *events, size_t count)
{
	struct feed *f = arg;
	for (size_t i = 0; i < count; i++)
		if (events[i].object->kind != &kind_event)
			mark_dirty(f, &events[i]);
	send_changes(f);
}

static void on_ended(void *arg, const struct err *why)
{
	struct feed *f = arg;
	log_err(f->server->log, LOG_ERROR, "watch_ended", why, "part=feed");
	abort();
}

static void on_bookmark_timer(void *arg)
{
	struct feed *f = arg;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	write_bookmark(f, &b);
	MAP_EACH (&f->open, e) {
		struct session *x = e->value;
		if (!x->http || loop_now_ms(f->server->loop) < x->bookmark_at_ms)
			continue;
		session_write(x, &b);
		x->bookmark_at_ms = bookmark_due_ms(x);
	}
	loop_timer_start(f->bookmarks, BOOKMARK_TICK_MS);
}

/* ---- the feed as a whole ---- */

static void index_kind(struct feed *f, const struct kind *kind)
{
	char prefix[OBJECT_KEY_MAX], key[OBJECT_KEY_MAX];
	object_prefix(kind, "", prefix);
	struct store_list list;
	struct err e;
	if (store_list(f->server->store, prefix, NULL, 0, 0, &list, &e) < 0)
		abort();
	for (size_t i = 0; i < list.count; i++) {
		object_key(list.objects[i], key);
		if (kind == &kind_pod)
			note_pod(f, list.objects[i]->node, key, true);
		else
			(void)peers_note(&f->peers, list.objects[i]->name, list.objects[i]);
	}
	store_list_done(&list);
}

struct feed *feed_new(struct server *s)
{
	static const struct store_watch_events events = {
		.on_events = on_events, .on_ended = on_ended};
	struct feed *f = mem_new(struct feed);
	struct err e;
	f->server = s;
	list_init(&f->sessions);
	map_init(&f->pods, pods_free);
	map_init(&f->events, free);
	map_init(&f->losses, free);
	peers_init(&f->peers);
	f->tell_peers = loop_timer_new(s->loop, on_tell_peers, f);
	f->began_ms = loop_now_ms(s->loop);
	f->next_session = loop_wall_ms(s->loop); /* not those of the server before */
	index_kind(f, &kind_pod);
	index_kind(f, &kind_node);
	if (store_watch(s->store, "", store_revision(s->store), &events, f, &f->watch, &e) < 0)
		abort();
	f->bookmarks = loop_timer_new(s->loop, on_bookmark_timer, f);
	loop_timer_start(f->bookmarks, BOOKMARK_TICK_MS);
	return f;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	LIST_EACH (&f->sessions, link)
		session_free(LIST_ITEM(link, struct session, link));
	store_watch_free(f->watch);
	loop_timer_free(f->bookmarks);
	map_done(&f->open);
	map_done(&f->pods);
	map_done(&f->events);
	map_done(&f->losses);
	peers_done(&f->peers);
	loop_timer_free(f->tell_peers);
	free(f);
}

bool feed_heard(struct feed *f, const char *node, int64_t session)
{
	struct session *x = map_get(&f->open, node);
	if (!x || (session && session != x->id))
		return false;
	note_heard(x);
	return true;
}

int64_t feed_since_ms(const struct feed *f, const char *node)
{
	const struct session *x = map_get(&f->open, node);
	return x ? x->since_ms : nodes_since_ms(f->server, node);
}

bool feed_connected(const struct feed *f, const char *node)
{
	return map_has(&f->open, node);
}

int64_t feed_lost_ms(const struct feed *f, const char *node)
{
	if (map_has(&f->open, node))
		return 0;
	const struct loss *loss = map_get(&f->losses, node);
	return loop_now_ms(f->server->loop) - (loss ? loss->lost_ms : f->began_ms);
}

bool feed_back_lately(const struct feed *f, const char *node, int64_t within_ms)
{
	const struct loss *loss = map_get(&f->losses, node);
	return loss && loss->back && loop_now_ms(f->server->loop) - loss->back_ms < within_ms;
}

bool feed_silent(const struct feed *f, const char *node, int64_t for_ms)
{
	const struct session *x = map_get(&f->open, node);
	return x && x->asked_ms && loop_now_ms(f->server->loop) - x->asked_ms >= for_ms;
}

bool feed_slice_has(const struct feed *f, const char *node, const char *key)
{
	const struct session *x = map_get(&f->open, node);
	return x && slice_has(&x->slice, key);
}

bool feed_take_event(struct feed *f, const char *node)
{
	int64_t now_ms = loop_now_ms(f->server->loop);
	struct bucket *b = map_get(&f->events, node);
	if (!b) {
		map_put(&f->events, node, b = mem_new(struct bucket));
		*b = (struct bucket){WIRE_EVENTS_BURST * 1000, now_ms};
	}
	int64_t gain = (now_ms - b->at_ms) * WIRE_EVENTS_PER_S;
	b->milli = gain > WIRE_EVENTS_BURST * 1000 - b->milli ? WIRE_EVENTS_BURST * 1000
							      : b->milli + gain;
	b->at_ms = now_ms;
	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

size_t feed_event_nodes(const struct feed *f)
{
	return f->events.count;
}

size_t feed_count(const struct feed *f)
{
	return f->open.count;
}

int feed_send(struct feed *f, const char *node, const json_t *message, struct err *e)
{
	struct session *x = map_get(&f->open, node);
	if (!x || !x->http)
		return err_set(e, ERR_UNAVAILABLE, "node \"%s\" is not connected", node);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	wire_write(&b, message);
	session_write(x, &b);
	return 0;
}

void feed_drop_node(struct feed *f, const char *node, const char *why)
{
	struct session *x = map_get(&f->open, node);
	if (x)
		session_lose(x, why);
}

void feed_revoke(struct feed *f, const char *node)
{
	feed_drop_node(f, node, "revoked");
	LIST_EACH (&f->sessions, link) {
		struct session *x = LIST_ITEM(link, struct session, link);
		x->revoked = x->revoked || str_equal(x->node, node);
	}
}

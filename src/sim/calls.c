/*
 * Logs and exec while faults strike. Each call is made over a connection of its own, as the command
 * line does it, and has to end in time: with an answer, or with an error that says something. Only
 * when the client itself lost the server meanwhile may it end otherwise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"
#include "wire/wire.h"

/* What the server waits for an answer and for a silent iot node, and some more. */
#define BOUND_MS 60000
#define UNDER_WAY_MAX 32

struct call {
	struct list link;
	struct sim_calls *calls;
	struct http_client *client;
	struct http_call *http;
	struct loop_timer *timer; /* the bound; of a follower: when it has seen enough */
	uint64_t number;
	uint64_t troubles; /* of the cluster when it began */
	bool exec, follow;
	bool over;     /* to be freed on a later turn */
	bool finished; /* the last frame came */
	int status;
	struct buf refusal, output;
	struct wire_reader reader;
	struct err e; /* from the last frame */
};

struct sim_calls {
	struct sim_cluster *cluster;
	struct sim_loop *loop;
	struct loop_timer *timer;
	struct rand rand;
	bool paused;
	struct list open;
	size_t count;
	uint64_t begun, ended, answered;
};

/* ---- the end of a call ---- */

static void call_free(void *arg)
{
	struct call *c = arg;
	list_remove(&c->link);
	c->calls->count--;
	http_call_free(c->http);
	http_client_free(c->client);
	loop_timer_free(c->timer);
	buf_done(&c->refusal);
	buf_done(&c->output);
	wire_reader_done(&c->reader);
	free(c);
}

/* how: null when it is well. */
static void call_over(struct call *c, const char *how)
{
	struct sim_calls *k = c->calls;
	struct sim_world *w = k->cluster->world;
	if (c->over)
		return;
	c->over = true;
	k->ended++;
	sim_trace_line(&w->trace, w->now_us, "call %llu ends %d %s %s",
		(unsigned long long)c->number, c->status, err_name(c->e.code), how ? how : "");
	if (how && c->troubles == k->cluster->troubles)
		sim_violation(k->cluster, "call %llu for %s %s (status %d)",
			(unsigned long long)c->number, c->exec ? "exec" : "logs", how, c->status);
	loop_defer(&k->loop->loop, call_free, c);
}

static const char *check_answer(struct call *c)
{
	if (c->status >= 400)
		return c->refusal.size > 20 ? NULL : "was refused without a word";
	if (c->status != 200)
		return "had no proper status";
	if (!c->finished)
		return "ended without its last frame";
	if (c->e.code)
		return *c->e.text ? NULL : "failed without a word";
	c->calls->answered++;
	if (!str_equal(buf_text(&c->output), c->exec ? "hello\n" : "here\n"))
		return "gave something else";
	return NULL;
}

static void on_done(void *arg, const struct err *e)
{
	struct call *c = arg;
	call_over(c, e ? "broke off" : check_answer(c));
}

static void on_timer(void *arg)
{
	struct call *c = arg;
	call_over(c, c->follow ? NULL : "hangs");
}

/* ---- what comes ---- */

static void on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers, (void)header_count;
	((struct call *)arg)->status = status;
}

static int on_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	struct call *c = arg;
	int exit_code;
	(void)e;
	if (channel != WIRE_END) {
		buf_append(&c->output, data, size);
		return 0;
	}
	c->finished = true;
	(void)!wire_parse_end(data, size, &exit_code, &c->e);
	return 0;
}

static void on_body(void *arg, const uint8_t *data, size_t size)
{
	struct call *c = arg;
	struct err e = ERR_INIT;
	if (c->status >= 400)
		buf_append(&c->refusal, data, size);
	else if (wire_read_frames(&c->reader, data, size, on_frame, c, &e) < 0)
		call_over(c, "sent what is no frame");
}

/* ---- the beginning ---- */

static struct stream *connect_server(void *context)
{
	struct sim_calls *k = context;
	return loop_connect(&k->loop->loop, SIM_SERVER_ADDRESS);
}

/* Some pod of the store, or one that is not there. */
static void choose_pod(struct sim_calls *k, char ret_name[static 128])
{
	char prefix[OBJECT_KEY_MAX];
	struct store_list pods;
	object_prefix(&kind_pod, NULL, prefix);
	if (store_list(k->cluster->server.store, prefix, NULL, 0, 0, &pods, NULL) < 0)
		abort();
	size_t at = (size_t)rand_below(&k->rand, pods.count + 1);
	snprintf(ret_name, 128, "%.120s", at < pods.count ? pods.objects[at]->name : "nobody");
	store_list_done(&pods);
}

static void begin(struct sim_calls *k)
{
	static const struct http_call_events events = {
		.on_response = on_response, .on_body = on_body, .on_done = on_done};
	static const struct http_header accept = {"accept", WIRE_FRAMES_TYPE};
	struct sim_world *w = k->cluster->world;
	struct call *c = mem_new(struct call);
	char pod[128], path[300];
	choose_pod(k, pod);
	*c = (struct call){.calls = k, .number = ++k->begun, .troubles = k->cluster->troubles};
	list_append(&k->open, &c->link);
	k->count++;
	c->exec = rand_below(&k->rand, 2) == 0;
	c->follow = !c->exec && rand_below(&k->rand, 2) == 0;
	if (c->exec)
		snprintf(path, sizeof(path),
			"/api/v1/namespaces/default/pods/%s/exec?command=sh&command=-c&"
			"command=sleep%%20%d%%3B%%20echo%%20hello",
			pod, (int)rand_below(&k->rand, 20));
	else
		snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s/log?follow=%s",
			pod, c->follow ? "true" : "false");
	sim_trace_line(&w->trace, w->now_us, "call %llu %s", (unsigned long long)c->number, path);
	struct http_connector connector = {
		.connect = connect_server, .context = k, .authority = SIM_SERVER_ADDRESS};
	struct http_call_spec spec = {.method = c->exec ? "POST" : "GET",
		.path = path,
		.headers = &accept,
		.header_count = 1};
	c->client = http_client_new(&k->loop->loop, &connector, 1);
	c->timer = loop_timer_new(&k->loop->loop, on_timer, c);
	loop_timer_start(c->timer, c->follow ? rand_between(&k->rand, 1000, 30000) : BOUND_MS);
	c->http = http_call_start(c->client, &spec, &events, c);
}

static void on_turn(void *arg)
{
	struct sim_calls *k = arg;
	struct sim_cluster *c = k->cluster;
	bool reachable = c->server.store && sim_link_up(c->world, c->client, c->server.machine);
	if (!k->paused && reachable && k->count < UNDER_WAY_MAX)
		begin(k);
	loop_timer_start(k->timer, rand_between(&k->rand, 200, 3000));
}

/* ---- life ---- */

struct sim_calls *sim_calls_new(struct sim_cluster *c)
{
	struct sim_calls *k = mem_new(struct sim_calls);
	k->cluster = c;
	k->loop = sim_loop_new(c->client, "calls");
	list_init(&k->open);
	rand_init(&k->rand, c->config->seed ^ UINT64_C(0x63616c6c));
	k->timer = loop_timer_new(&k->loop->loop, on_turn, k);
	loop_timer_start(k->timer, 10000);
	return k;
}

void sim_calls_pause(struct sim_calls *k, bool paused)
{
	k->paused = paused;
}

bool sim_calls_idle(const struct sim_calls *k)
{
	return k->count == 0;
}

void sim_calls_count(const struct sim_calls *k, struct sim_result *r)
{
	r->calls = k->ended;
	r->calls_answered = k->answered;
}

void sim_calls_free(struct sim_calls *k)
{
	sim_loop_kill(k->loop, false);
	LIST_EACH (&k->open, link) {
		struct call *c = LIST_ITEM(link, struct call, link);
		if (!c->over)
			call_free(c);
	}
	loop_timer_free(k->timer);
	sim_loop_free(k->loop);
	free(k);
}

/*
 * How ends are seen: by the engine's events, and by comparing what counts as running with what the
 * engine has after each connection, so that nothing is missed while the engine or the agent was
 * away. The events are asked for first: what happens during the comparison is an event.
 *
 *           answer of events             list
 *   AWAY ───────────────────▶ COMPARING ──────▶ CONNECTED
 *     ▲                            │                │
 *     └────────────────────────────┴────────────────┘ the connection ended
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "driver/docker.h"

#define RETRY_MS 250
#define SWEEP_MS 600000 /* between two looks for what is of no more use */
#define LINE_MAX_BYTES 65536

/* ---- ends ---- */

void docker_exit_tell(struct docker_container *c, const json_t *state)
{
	struct docker *d = c->docker;
	char id[CONTAINER_ID_SIZE], *uid CLEANUP(mem_free_ptr) = mem_dup_string(c->uid);
	memcpy(id, c->id, sizeof(id));
	struct container_status status = {.id = id,
		.pod_uid = uid,
		.exit_code = (int)json_int(state, 128 + SIGKILL, "ExitCode"),
		.lost = !state};
	if (time_parse(json_text(state, "", "FinishedAt"), &status.finished_ms, NULL) < 0 ||
		status.finished_ms <= 0)
		status.finished_ms = loop_wall_ms(d->loop);
	status.oom_killed = status.exit_code != 0 && json_bool(state, false, "OOMKilled");
	c->running = false;
	docker_container_pid(c, 0);
	oci_logs_wake(d->oci, c->uid, c->name, c->attempt);
	d->events.on_exit(d->events.arg, &status);
}

struct docker_checking {
	struct docker *docker;
	char id[CONTAINER_ID_SIZE];
};

/* The engine is there, as its events are, and gave no answer: all is compared, soon. */
static void look_again(struct docker *d, const struct err *e)
{
	if (d->closed || !e || e->code == ERR_NOT_FOUND || d->link != DOCKER_CONNECTED)
		return;
	d->link = DOCKER_COMPARING;
	loop_timer_start(d->retry, RETRY_MS);
}

/* Of one whose start the engine did not survive the next one says that it never ran. */
static void check_ended(struct docker_container *c, const json_t *answer, const json_t *state)
{
	(void)docker_orphans_kill(c->docker, c->uid, json_text(answer, "", "Id"));
	docker_exit_tell(c, state);
}

static void check_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_checking *x = arg;
	struct docker *d = x->docker;
	struct docker_container *c = d->closed ? NULL : map_get(&d->containers, x->id);
	const json_t *state = json_at(answer, "State");
	bool again = c && c->check_again;
	(void)status;
	if (c)
		c->checking = c->check_again = false;
	if (c && c->running)
		look_again(d, e);
	if (c && c->running && e && e->code == ERR_NOT_FOUND)
		docker_exit_tell(c, NULL); /* somebody removed it */
	else if (c && c->running && !e && state && !docker_api_runs(state))
		check_ended(c, answer, state);
	else if (c && c->running && !e && c->pid != json_int(state, 0, "Pid"))
		docker_container_pid(c, (int)json_int(state, 0, "Pid"));
	c = again && !d->closed ? map_get(&d->containers, x->id) : NULL;
	if (c)
		docker_check(c);
	docker_unref(d);
	free(x);
}

void docker_check(struct docker_container *c)
{
	char name[DOCKER_NAME_SIZE];
	c->check_again = c->checking;
	if (!c->running || c->checking)
		return;
	struct docker_checking *x = mem_new(struct docker_checking);
	x->docker = docker_ref(c->docker);
	memcpy(x->id, c->id, sizeof(x->id));
	c->checking = true;
	docker_container_name(c->uid, c->name, c->attempt, name);
	docker_request(c->docker, "GET", NULL, check_on_inspected, x, "/containers/%s/json", name);
}

/* ---- pause containers ---- */

struct docker_pause_check {
	struct docker *docker;
	char *uid;
};

/* One that was replaced ended too: what has the name now decides. */
static void pause_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_pause_check *x = arg;
	struct docker *d = x->docker;
	const json_t *state = json_at(answer, "State");
	bool gone = e ? e->code == ERR_NOT_FOUND : state && !docker_api_runs(state);
	(void)status;
	if (!d->closed && gone && map_take(&d->sandboxes, x->uid)) {
		log_warn(d->log, "sandbox_lost", "pod=%s", x->uid);
		d->events.on_sandbox_lost(d->events.arg, x->uid);
	}
	look_again(d, e);
	docker_unref(d);
	free(x->uid);
	free(x);
}

static void pause_check(struct docker *d, const char *uid)
{
	char name[DOCKER_NAME_SIZE];
	if (!map_has(&d->sandboxes, uid))
		return;
	struct docker_pause_check *x = mem_new(struct docker_pause_check);
	*x = (struct docker_pause_check){.docker = docker_ref(d), .uid = mem_dup_string(uid)};
	docker_pause_name(uid, name);
	docker_request(d, "GET", NULL, pause_on_inspected, x, "/containers/%s/json", name);
}

/* ---- comparing ---- */

struct docker_compare {
	struct docker *docker;
	struct map running; /* ids of containers and uids of pause containers */
	bool sweep;         /* what ended and belongs to no pod goes too */
};

struct docker_leftover {
	struct docker *docker;
	char *uid;
};

/* Podman keeps a container as long as others name it. */
static void leftover_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_leftover *l = arg;
	(void)status, (void)answer;
	if (e && strstr(e->text, "dependent containers") && !docker_pod_is_known(l->docker, l->uid))
		docker_remove_all(l->docker, l->uid, NULL, NULL);
	docker_unref(l->docker);
	free(l->uid);
	free(l);
}

/* What nobody knows goes at once when it runs or never did; what ended may be the log of a pod that
 * comes back after a boot. */
static void compare_leftover(const struct docker_compare *x, const json_t *item, bool pause)
{
	struct docker *d = x->docker;
	const char *uid = json_text(item, "", "Labels", DOCKER_LABEL_UID);
	const char *id = json_text(item, "", "Labels", DOCKER_LABEL_ID);
	bool known = docker_pod_is_known(d, uid);
	bool ours = pause ? known : map_has(&d->containers, id);
	bool log = !pause && str_equal(json_text(item, "", "State"), "exited");
	if (ours || (log && (known || !x->sweep)))
		return;
	struct docker_leftover *l = mem_new(struct docker_leftover);
	*l = (struct docker_leftover){.docker = docker_ref(d), .uid = mem_dup_string(uid)};
	docker_delete(d, uid, json_text(item, "", "Id"), leftover_on_removed, l);
}

static void compare_item(struct docker_compare *x, const json_t *item)
{
	struct docker *d = x->docker;
	const json_t *labels = json_object_get(item, "Labels");
	const char *uid = json_text(labels, "", DOCKER_LABEL_UID);
	bool pause = str_equal(json_text(labels, "", DOCKER_LABEL_ROLE), "pause");
	bool running = str_equal(json_text(item, "", "State"), "running");
	if (running)
		map_put(&x->running, pause ? uid : json_text(labels, "", DOCKER_LABEL_ID), d);
	if (!pause)
		docker_attempt_seen(d, uid, json_text(labels, "", DOCKER_LABEL_CONTAINER),
			atoi(json_text(labels, "0", DOCKER_LABEL_ATTEMPT)));
	compare_leftover(x, item, pause);
}

/* Namespaces first: what was in lost ones is not run again in them. */
static void compare_known(struct docker_compare *x)
{
	struct docker *d = x->docker;
	MAP_EACH (&d->sandboxes, entry)
		if (!map_has(&x->running, entry->key))
			pause_check(d, entry->key);
	MAP_EACH (&d->containers, entry) {
		struct docker_container *c = entry->value;
		if (c->running && (!map_has(&x->running, c->id) || c->pid <= 0))
			docker_check(c);
	}
}

static void compare_on_list(void *arg, int status, const json_t *list, const struct err *e)
{
	struct docker_compare *x = arg;
	struct docker *d = x->docker;
	size_t i;
	json_t *item;
	(void)status;
	if (e && !d->closed)
		log_err(d->log, LOG_WARN, "containers_not_compared", e, "retry_ms=%d", RETRY_MS);
	if (e && d->retry && d->link == DOCKER_COMPARING)
		loop_timer_start(d->retry, RETRY_MS);
	if (!e && !d->closed) {
		json_array_foreach (list, i, item)
			compare_item(x, item);
		compare_known(x);
		if (d->link == DOCKER_COMPARING)
			d->link = DOCKER_CONNECTED;
	}
	map_done(&x->running);
	docker_unref(d);
	free(x);
}

static void compare(struct docker *d, bool sweep)
{
	struct docker_compare *x = mem_new(struct docker_compare);
	*x = (struct docker_compare){.docker = docker_ref(d), .sweep = sweep};
	char *label CLEANUP(mem_free_ptr) = mem_format(DOCKER_LABEL_NODE "=%s", d->oci->node_name);
	const char *const labels[] = {label, NULL};
	char *query CLEANUP(mem_free_ptr) = docker_label_query("&all=1", labels);
	docker_request(d, "GET", NULL, compare_on_list, x, "/containers/json%s", query);
}

/* ---- events ---- */

static void watch_event(struct docker *d, const json_t *event)
{
	const char *action = json_text(event, "", "Action");
	const json_t *labels = json_at(event, "Actor", "Attributes");
	if (!str_equal(action, "die") && !str_equal(action, "died"))
		return;
	if (str_equal(json_text(labels, "", DOCKER_LABEL_ROLE), "pause")) {
		pause_check(d, json_text(labels, "", DOCKER_LABEL_UID));
		return;
	}
	struct docker_container *c =
		map_get(&d->containers, json_text(labels, "", DOCKER_LABEL_ID));
	if (c)
		docker_check(c);
}

static void watch_line(struct docker *d, const char *line, size_t size)
{
	json_t *event CLEANUP(json_done) = NULL;
	if (size > 1 && json_decode(line, size, &event, NULL) == 0)
		watch_event(d, event);
}

static void watch_on_body(void *arg, const uint8_t *data, size_t size)
{
	struct docker *d = arg;
	buf_append(&d->lines, data, size);
	size_t taken = 0;
	const char *end;
	while ((end = memchr(d->lines.data + taken, '\n', d->lines.size - taken))) {
		const char *line = d->lines.data + taken;
		watch_line(d, line, (size_t)(end - line));
		taken = (size_t)(end + 1 - d->lines.data);
	}
	buf_consume(&d->lines, taken);
	if (d->lines.size > LINE_MAX_BYTES)
		buf_clear(&d->lines); /* no event of ours is so long */
}

static void watch_on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	struct docker *d = arg;
	(void)headers, (void)header_count;
	if (status != 200)
		return; /* on_done follows */
	d->link = DOCKER_COMPARING;
	log_info(d->log, "engine_connected", "driver=docker");
	compare(d, false);
}

static void watch_on_done(void *arg, const struct err *e)
{
	struct docker *d = arg;
	if (d->link != DOCKER_AWAY)
		log_warn(d->log, "engine_lost", "driver=docker why=\"%s\"",
			e ? e->text : "the events ended");
	d->lost = d->lost || d->link != DOCKER_AWAY;
	d->link = DOCKER_AWAY;
	d->probed = false; /* another one may come back */
	http_call_free(take_ptr(d->watch));
	buf_clear(&d->lines);
	loop_timer_start(d->retry, RETRY_MS);
}

static const struct http_call_events watch_events = {
	.on_response = watch_on_response, .on_body = watch_on_body, .on_done = watch_on_done};

static void watch_open(struct docker *d)
{
	json_t *filters CLEANUP(json_done) =
		json_pack("{s:[s],s:[s,s],s:[s++]}", "type", "container", "event", "die", "died",
			"label", DOCKER_LABEL_NODE, "=", d->oci->node_name);
	char *text CLEANUP(mem_free_ptr) = json_encode_string(filters);
	struct buf path CLEANUP(buf_done) = BUF_INIT;
	buf_append_string(&path, "/events?filters=");
	docker_query_append(&path, text);
	const struct docker_stream stream = {.method = "GET", .path = buf_text(&path)};
	d->watch = docker_api_stream(d->api, &stream, &watch_events, d);
}

static void watch_on_retry(void *arg)
{
	struct docker *d = arg;
	if (!d->watch)
		watch_open(d);
	else if (d->link == DOCKER_COMPARING)
		compare(d, false);
}

static void watch_on_sweep(void *arg)
{
	struct docker *d = arg;
	if (d->link == DOCKER_CONNECTED) {
		compare(d, true);
		docker_image_sweep(d);
	}
	loop_timer_start(d->sweep, SWEEP_MS);
}

void docker_watch_start(struct docker *d)
{
	d->retry = loop_timer_new(d->loop, watch_on_retry, d);
	d->sweep = loop_timer_new(d->loop, watch_on_sweep, d);
	loop_timer_start(d->sweep, SWEEP_MS);
	watch_open(d);
}

void docker_watch_stop(struct docker *d)
{
	http_call_free(take_ptr(d->watch));
	loop_timer_free(take_ptr(d->retry));
	loop_timer_free(take_ptr(d->sweep));
}

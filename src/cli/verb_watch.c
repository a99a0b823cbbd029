#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/live.h"
#include "cli/table.h"
#include "sys/loop_uv.h"
#include "wire/wire.h"

#define RETRY_MS 1000
#define REDRAW_MS 100

/*
 *   LIST ──▶ WATCH ──ended or lost──▶ (1 s) ──▶ LIST
 * The pull progress is a stream of its own beside it, begun again with each WATCH.
 */
struct watch {
	struct client *client;
	struct live view;
	bool all_namespaces, terminal;
	int64_t began_ms;
	struct http_call *pods, *progress;
	bool listing, connected_once, failed;
	int status;
	struct buf body; /* of the list, or of a refusal */
	struct wire_reader pod_reader, progress_reader;
	struct loop_timer *retry, *redraw;
	struct err e;
};

/* ---- showing ---- */

static void draw(void *arg)
{
	struct watch *w = arg;
	CLEANUP(table_done) struct table table = {.columns = 6};
	static const char *const header[] = {"POD", "NODE", "STATE", "READY", "RESTARTS", "WHY"};
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	MAP_EACH (&w->view.pods, entry) {
		const struct live_pod *pod = entry->value;
		char text[400];
		snprintf(text, sizeof(text), "%s%s%s", w->all_namespaces ? pod->namespace : "",
			w->all_namespaces ? "/" : "", pod->name);
		table_add(&table, text);
		table_add(&table, *pod->node ? pod->node : "-");
		table_add(&table, pod->state);
		table_add(&table, pod->ready);
		snprintf(text, sizeof(text), "%d", pod->restarts);
		table_add(&table, text);
		snprintf(text, sizeof(text), "%.90s", *pod->progress ? pod->progress : pod->why);
		table_add(&table, text);
	}
	fputs("\033[H\033[2J", stdout); /* home, clear */
	table_print(&table, true, stdout);
}

static void on_line(void *arg, const struct live_pod *pod, const char *what)
{
	struct watch *w = arg;
	if (w->terminal) {
		if (!loop_timer_active(w->redraw))
			loop_timer_start(w->redraw, REDRAW_MS);
		return;
	}
	CLEANUP(buf_done) struct buf plain = BUF_INIT;
	table_plain(what, &plain);
	double since_s = (double)(loop_now_ms(client_loop(w->client)) - w->began_ms) / 1000;
	printf("%7.1f s  %s/%s  %s  %s %s%s%s\n", since_s, pod->namespace, pod->name,
		*pod->node ? pod->node : "-", pod->state, pod->ready, *what ? "  " : "",
		buf_text(&plain));
	fflush(stdout);
}

/* ---- the pods ---- */

static void begin_list(void *arg);
static void begin_progress(struct watch *w);

static void fail(struct watch *w, const struct err *e)
{
	w->e = *e;
	w->failed = true;
	loop_uv_stop(client_loop(w->client));
}

/* A server that was there once will come back; one that never was is a mistake. */
static void again(struct watch *w, const struct err *e)
{
	if (!w->connected_once) {
		fail(w, e);
		return;
	}
	if (e)
		fprintf(stderr, "connection lost, trying again: %s\n", e->text);
	loop_timer_start(w->retry, e ? RETRY_MS : 0);
}

static int on_pod_event(void *arg, const char *type, json_t *message, struct err *e)
{
	struct watch *w = arg;
	json_t *object = json_object_get(message, "object");
	if (strcmp(type, "ERROR") == 0)
		return err_set(e, ERR_GONE, "the watch ended");
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		live_put(&w->view, object);
	else if (strcmp(type, "DELETED") == 0)
		live_remove(&w->view, object);
	return 0;
}

static void on_pods_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers, (void)header_count;
	((struct watch *)arg)->status = status;
}

static void on_pods_body(void *arg, const uint8_t *data, size_t size)
{
	struct watch *w = arg;
	struct err e = ERR_INIT;
	if (w->listing || w->status >= 400) {
		buf_append(&w->body, data, size);
		return;
	}
	if (wire_read(&w->pod_reader, data, size, on_pod_event, w, &e) < 0) {
		http_call_free(take_ptr(w->pods));
		loop_timer_start(w->retry, 0); /* from a new list */
	}
}

static void on_pods_done(void *arg, const struct err *e);

static const struct http_call_events pod_events = {
	.on_response = on_pods_response, .on_body = on_pods_body, .on_done = on_pods_done};

static void path_of_pods(const struct watch *w, struct buf *path)
{
	client_path(&kind_pod, w->all_namespaces ? NULL : client_namespace(w->client), NULL, path);
}

static void begin_watch(struct watch *w, const char *revision)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	path_of_pods(w, &path);
	buf_printf(&path, "?watch=true&resourceVersion=%s", revision);
	struct http_header headers[CLIENT_HEADERS];
	struct http_call_spec spec = {.method = "GET",
		.path = path.data,
		.headers = headers,
		.header_count = client_headers(w->client, NULL, headers)};
	w->listing = false;
	wire_reader_done(&w->pod_reader);
	w->pod_reader = (struct wire_reader){0};
	w->pods = http_call_start(client_http(w->client), &spec, &pod_events, w);
}

static void take_list(struct watch *w)
{
	struct err e = ERR_INIT;
	json_error_t why;
	CLEANUP(json_done) json_t *list = json_loadb(buf_text(&w->body), w->body.size, 0, &why);
	if (!list) {
		err_set(&e, ERR_PROTOCOL, "the list of pods is not JSON");
		again(w, &e);
		return;
	}
	struct map seen = {0};
	size_t at;
	json_t *pod;
	json_array_foreach (json_object_get(list, "items"), at, pod) {
		map_put(&seen, json_text(pod, "", "metadata", "uid"), "");
		live_put(&w->view, pod);
	}
	live_keep(&w->view, &seen);
	map_done(&seen);
	w->connected_once = true;
	begin_watch(w, json_text(list, "0", "metadata", "resourceVersion"));
	if (!w->progress)
		begin_progress(w);
}

static void on_pods_done(void *arg, const struct err *e)
{
	struct watch *w = arg;
	struct err why = ERR_INIT;
	http_call_free(take_ptr(w->pods));
	if (e) {
		why = *e;
		client_explain(w->client, &why);
		again(w, &why);
	} else if (w->status >= 400) {
		client_status_error(w->status, buf_text(&w->body), w->body.size, &why);
		if (why.code == ERR_GONE)
			loop_timer_start(w->retry, 0);
		else
			again(w, &why);
	} else if (w->listing) {
		take_list(w);
	} else {
		loop_timer_start(w->retry, 0); /* servers end watches now and then */
	}
}

static void begin_list(void *arg)
{
	struct watch *w = arg;
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	path_of_pods(w, &path);
	struct http_header headers[CLIENT_HEADERS];
	struct http_call_spec spec = {.method = "GET",
		.path = path.data,
		.headers = headers,
		.header_count = client_headers(w->client, NULL, headers)};
	w->listing = true;
	w->status = 0;
	buf_clear(&w->body);
	w->pods = http_call_start(client_http(w->client), &spec, &pod_events, w);
}

/* ---- pull progress ---- */

static int on_progress_line(void *arg, const char *type, json_t *message, struct err *e)
{
	(void)type, (void)e;
	live_progress(&((struct watch *)arg)->view, message);
	return 0;
}

static void on_progress_body(void *arg, const uint8_t *data, size_t size)
{
	struct watch *w = arg;
	if (wire_read(&w->progress_reader, data, size, on_progress_line, w, NULL) < 0)
		http_call_free(take_ptr(w->progress));
}

static void on_progress_done(void *arg, const struct err *e)
{
	struct watch *w = arg;
	(void)e; /* the next list begins it again */
	http_call_free(take_ptr(w->progress));
}

static const struct http_call_events progress_events = {
	.on_body = on_progress_body, .on_done = on_progress_done};

static void begin_progress(struct watch *w)
{
	struct http_header headers[CLIENT_HEADERS];
	struct http_call_spec spec = {.method = "GET",
		.path = "/continuo/v1/progress",
		.headers = headers,
		.header_count = client_headers(w->client, NULL, headers)};
	wire_reader_done(&w->progress_reader);
	w->progress_reader = (struct wire_reader){0};
	w->progress = http_call_start(client_http(w->client), &spec, &progress_events, w);
}

/* ---- the verb ---- */

static int run(struct watch *w, struct err *e)
{
	struct loop *l = client_loop(w->client);
	w->body.limit = (size_t)256 << 20;
	w->began_ms = loop_now_ms(l);
	w->retry = loop_timer_new(l, begin_list, w);
	w->redraw = loop_timer_new(l, draw, w);
	live_init(&w->view, on_line, w);
	begin_list(w);
	while (!w->failed)
		loop_uv_run(l);
	http_call_free(w->pods);
	http_call_free(w->progress);
	loop_timer_free(w->retry);
	loop_timer_free(w->redraw);
	wire_reader_done(&w->pod_reader);
	wire_reader_done(&w->progress_reader);
	live_done(&w->view);
	buf_done(&w->body);
	*e = w->e;
	return -(int)w->e.code;
}

int verb_watch(int argc, char **argv)
{
	struct watch w = {0};
	struct cli_common common = {0};
	const struct cli_option options[] = {
		{'A', "all-namespaces", CLI_FLAG, &w.all_namespaces, NULL,
			"pods of all namespaces"},
	};
	const struct cli_usage usage = {.synopsis = "watch [options]",
		.text = "Follows pods until Ctrl-C: where each is, its state, how far its images "
			"are pulled, and "
			"why it is\n"
			"there. A table on a terminal, else one line for each change.\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	w.terminal = isatty(STDOUT_FILENO);
	if (r == 0)
		r = client_new(&common, &w.client, &e);
	if (r == 0)
		r = run(&w, &e);
	client_free(w.client);
	return r < 0 ? cli_fail(&e) : 0;
}

#include "agent/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/path.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "wire/wire.h"

#define SLOW_MS 500           /* an answer to a heartbeat takes so long: is the path still there? */
#define ANSWER_MS 4000        /* for a heartbeat: then the connection is given up */
#define REPORT_MS 30000       /* for a report, which waits for the server's disk */
#define CONNECT_FIRST_MS 3000 /* from the hello to the session message; doubles */
#define CONNECT_MAX_MS 24000
#define HEARTBEAT_MS 1000
#define BACKOFF_FIRST_MS 200
#define BACKOFF_PATH_MAX_MS 800 /* where nothing listens: to ask again costs nobody much */
#define BACKOFF_MAX_MS 5000     /* where the server answers, but not with a session */
#define SEARCH_MS 3000          /* for a path to one server address, then to the next */
#define REFUSED_MS 60000
#define NEWS_DELAY_MS 3

struct agent_session {
	struct agent_session_config config;
	enum agent_session_state state;
	size_t server; /* index of the address in use */
	struct agent_link *link;
	struct http_client *client;
	struct http_call *feed, *report, *beat;
	struct wire_reader reader;
	struct loop_timer *retry; /* WAITING: the next try; else: the connection takes too long */
	struct agent_path *path;  /* WAITING: to the server; LIVE: whether it is still there */
	struct loop_timer *heartbeat; /* the next heartbeat, and whether answers still come */
	struct loop_timer *news;
	struct rand rand;
	int failures;
	int deferrals;   /* reports in a row that the server could not take */
	int refusals;    /* sessions in a row that ended since it wanted no report of this node */
	int feed_status; /* of the feed's response */
	int report_status, beat_status;
	char report_path[48]; /* names the session */
	int64_t heartbeat_ms, heard_ms, beat_sent_ms, round_trip_ms, clock_ms;
	int64_t sessions, reports_sent, heartbeats_sent, losses;
};

static void lose(struct agent_session *s, const struct err *why);

static const char *server_address(const struct agent_session *s)
{
	return s->config.servers[s->server];
}

/* ---- closing ---- */

static void close_all(struct agent_session *s)
{
	http_call_free(take_ptr(s->feed));
	http_call_free(take_ptr(s->report));
	http_call_free(take_ptr(s->beat));
	wire_reader_done(&s->reader);
	http_client_free(take_ptr(s->client));
	struct agent_link *link = take_ptr(s->link);
	if (link)
		s->config.transport->ops->close(link);
	loop_timer_stop(s->heartbeat);
	loop_timer_stop(s->news);
	agent_reports_nack(s->config.reports);
}

static int64_t next_delay_ms(struct agent_session *s, int failures, int64_t max_ms)
{
	int shift = failures < 8 ? failures : 8;
	int64_t delay = (int64_t)BACKOFF_FIRST_MS << shift;
	if (delay > max_ms)
		delay = max_ms;
	return rand_between(&s->rand, delay / 2, delay);
}

static void on_refused(struct agent_session *s, const struct err *why)
{
	log_err(s->config.log, LOG_ERROR, "node_refused", why, "server=%s retry_ms=%d",
		server_address(s), REFUSED_MS);
	s->state = SESSION_WAITING;
	loop_timer_stop(s->heartbeat);
	agent_path_stop(s->path);
	loop_timer_start(s->retry, REFUSED_MS);
	s->config.on_lost(s->config.arg);
	s->config.on_refused(s->config.arg, why);
}

static void log_loss(struct agent_session *s, const char *what, const struct err *why, int failures,
	int64_t delay_ms)
{
	if (failures < 3 || failures % 30 == 0)
		log_err(s->config.log, LOG_WARN, what, why, "server=%s retry_ms=%lld",
			server_address(s), (long long)delay_ms);
}

/* What is under way may be a callback of the client that goes here: it is closed on a later turn,
 * by the retry timer. */
static void lose(struct agent_session *s, const struct err *why)
{
	if (s->state == SESSION_WAITING)
		return;
	bool was_live = s->state >= SESSION_SYNCING;
	int64_t delay_ms = !was_live     ? next_delay_ms(s, s->failures, BACKOFF_MAX_MS)
			   : s->refusals ? next_delay_ms(s, s->refusals, REFUSED_MS)
					 : rand_between(&s->rand, 0, 50);
	log_loss(s, was_live ? "session_lost" : "connect_failed", why, s->failures, delay_ms);
	s->losses += was_live;
	s->failures++;
	s->state = SESSION_WAITING;
	loop_timer_stop(s->heartbeat);
	agent_path_stop(s->path);
	loop_timer_start(s->retry, delay_ms);
	s->config.on_lost(s->config.arg);
}

static bool is_refusal(int status)
{
	return status == 401 || status == 403;
}

/* ---- reports ---- */

static void on_report_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers;
	(void)header_count;
	((struct agent_session *)arg)->report_status = status;
}

static void ignore_body(void *arg, const uint8_t *data, size_t size)
{
	(void)arg;
	(void)data;
	(void)size;
}

/* Servers leave out lines that they cannot take. One that refuses a whole report for its content is
 * older: it would for ever. */
static bool is_hopeless(int status)
{
	return status == 400 || status == 413 || status == 422;
}

/* Of the node, not of what it says: a session that opens all the same must not end at once again
 * and again. 409: another session is open by now. */
static bool is_of_the_node(int status)
{
	return status < 500 && status != 409;
}

/* The server is well enough to say that it cannot take them now: a new session would not help. */
static void defer_reports(struct agent_session *s, const struct err *why)
{
	int64_t delay_ms = next_delay_ms(s, s->deferrals, BACKOFF_MAX_MS);
	log_loss(s, "report_deferred", why, s->deferrals, delay_ms);
	s->heard_ms = loop_now_ms(s->config.loop);
	loop_timer_start(s->news, delay_ms);
	if (s->deferrals++ == 0)
		s->config.on_reports(s->config.arg, false);
}

static void on_report_taken(struct agent_session *s)
{
	bool again = s->deferrals > 0;
	s->heard_ms = loop_now_ms(s->config.loop);
	s->deferrals = s->refusals = 0;
	agent_reports_ack(s->config.reports);
	if (again)
		s->config.on_reports(s->config.arg, true);
	if (agent_reports_waiting(s->config.reports))
		agent_session_news(s);
}

static void on_report_done(void *arg, const struct err *e)
{
	struct agent_session *s = arg;
	http_call_free(take_ptr(s->report));
	struct err why = ERR_INIT;
	if (e)
		why = *e;
	else if (s->report_status != 200)
		(void)err_set(&why, err_from_http(s->report_status),
			"the server answered a report with %d", s->report_status);
	if (why.code && (e || !is_hopeless(s->report_status))) {
		agent_reports_nack(s->config.reports);
		if (!e && s->report_status >= 500) {
			defer_reports(s, &why);
			return;
		}
		s->refusals += !e && is_of_the_node(s->report_status);
		lose(s, &why);
		return;
	}
	if (why.code)
		log_err(s->config.log, LOG_ERROR, "report_refused", &why, "action=dropped");
	on_report_taken(s);
}

static void send_report(struct agent_session *s, const struct buf *b)
{
	static const struct http_call_events events = {.on_response = on_report_response,
		.on_body = ignore_body,
		.on_done = on_report_done};
	struct http_call_spec spec = {.method = "POST",
		.path = s->report_path,
		.content_type = "application/x-ndjson",
		.body = buf_text(b),
		.body_size = b->size,
		.timeout_ms = REPORT_MS};
	s->report_status = 0;
	s->report = http_call_start(s->client, &spec, &events, s);
}

/* One report at a time: what comes meanwhile goes with the next, so a slow server gets few large
 * ones. */
static void on_news(void *arg)
{
	struct agent_session *s = arg;
	if (s->report || s->state < SESSION_SYNCING)
		return;
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	agent_reports_collect(s->config.reports, &b);
	if (b.size == 0)
		return;
	s->reports_sent++;
	send_report(s, &b);
}

void agent_session_news(struct agent_session *s)
{
	if (!s->report && s->state >= SESSION_SYNCING && !loop_timer_active(s->news))
		loop_timer_start(s->news, NEWS_DELAY_MS);
}

static void ignore_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	(void)arg;
	(void)status;
	(void)body;
	(void)size;
	(void)e;
}

void agent_session_pong(struct agent_session *s, int64_t id)
{
	char line[64];
	int size = snprintf(line, sizeof(line), "{\"type\":\"pong\",\"id\":%lld}\n", (long long)id);
	struct http_call_spec spec = {.method = "POST",
		.path = s->report_path,
		.content_type = "application/x-ndjson",
		.body = line,
		.body_size = (size_t)size,
		.timeout_ms = ANSWER_MS};
	if (s->client)
		http_fetch(s->client, &spec, ignore_answer, NULL);
}

/* ---- heartbeats ---- */

static void on_beat_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers;
	(void)header_count;
	((struct agent_session *)arg)->beat_status = status;
}

static void on_beat_answered(struct agent_session *s)
{
	s->heard_ms = loop_now_ms(s->config.loop);
	int64_t took_ms = s->heard_ms - s->beat_sent_ms;
	s->round_trip_ms += (took_ms - s->round_trip_ms) / 4;
	agent_path_stop(s->path);
	if (agent_reports_empty(s->config.reports))
		s->refusals = 0;
	loop_timer_start(s->heartbeat, took_ms < s->heartbeat_ms ? s->heartbeat_ms - took_ms : 0);
}

static void on_beat_done(void *arg, const struct err *e)
{
	struct agent_session *s = arg;
	http_call_free(take_ptr(s->beat));
	struct err why = ERR_INIT;
	if (!e && s->beat_status == 200) {
		on_beat_answered(s);
		return;
	}
	if (e)
		why = *e;
	else
		(void)err_set(&why, err_from_http(s->beat_status),
			"the server answered a heartbeat with %d", s->beat_status);
	s->refusals += !e && is_of_the_node(s->beat_status);
	lose(s, &why);
}

static void send_beat(struct agent_session *s, int64_t now_ms)
{
	static const struct http_call_events events = {
		.on_response = on_beat_response, .on_body = ignore_body, .on_done = on_beat_done};
	struct http_call_spec spec = {.method = "POST",
		.path = s->report_path,
		.content_type = "application/x-ndjson",
		.body = ""};
	s->beat_status = 0;
	s->beat_sent_ms = now_ms;
	s->heartbeats_sent++;
	s->beat = http_call_start(s->client, &spec, &events, s);
}

static int64_t slow_ms(const struct agent_session *s)
{
	int64_t usual_ms = 2 * s->round_trip_ms;
	return usual_ms > SLOW_MS ? usual_ms : SLOW_MS;
}

/* Runs at each heartbeat, and until the answer to one is there. */
static void on_heartbeat(void *arg)
{
	struct agent_session *s = arg;
	int64_t now_ms = loop_now_ms(s->config.loop);
	if (!s->beat) {
		send_beat(s, now_ms);
		loop_timer_start(s->heartbeat, slow_ms(s));
		return;
	}
	int64_t heard_ms = s->heard_ms > s->beat_sent_ms ? s->heard_ms : s->beat_sent_ms;
	int64_t waited_ms = now_ms - heard_ms;
	if (waited_ms >= ANSWER_MS) {
		struct err why = ERR_INIT;
		(void)err_set(&why, ERR_TIMEOUT, "no answer from %s for %lld ms", server_address(s),
			(long long)(now_ms - s->heard_ms));
		lose(s, &why);
		return;
	}
	if (waited_ms >= slow_ms(s))
		agent_path_try(s->path, server_address(s));
	int64_t left_ms = ANSWER_MS - waited_ms;
	loop_timer_start(s->heartbeat, left_ms < slow_ms(s) ? left_ms : slow_ms(s));
}

/* ---- the feed ---- */

static void on_session_message(struct agent_session *s, const json_t *message)
{
	s->state = SESSION_SYNCING;
	s->sessions++;
	s->failures = s->deferrals = 0;
	s->heartbeat_ms = json_int(message, HEARTBEAT_MS, "heartbeat_ms");
	if (s->heartbeat_ms < 50)
		s->heartbeat_ms = 50;
	if (s->heartbeat_ms > 3600000)
		s->heartbeat_ms = 3600000;
	s->heard_ms = loop_now_ms(s->config.loop);
	snprintf(s->report_path, sizeof(s->report_path), "/agent/v1/report?session=%lld",
		(long long)json_int(message, 0, "session"));
	int64_t server_ms = json_int(message, 0, "now_ms");
	s->clock_ms = server_ms ? server_ms - loop_wall_ms(s->config.loop) : 0;
	loop_timer_stop(s->retry);
	loop_timer_start(s->heartbeat, s->heartbeat_ms);
	log_info(s->config.log, "session_open", "server=%s epoch=%s heartbeat_ms=%lld",
		server_address(s), json_text(message, "-", "epoch"), (long long)s->heartbeat_ms);
	agent_session_news(s);
}

static int on_line(void *arg, const char *type, json_t *message, struct err *e)
{
	struct agent_session *s = arg;
	if (s->state == SESSION_WAITING)
		return 0; /* lost by an earlier line of the same bytes */
	if (s->state == SESSION_CONNECTING) {
		if (!str_equal(type, "session"))
			return err_set(e, ERR_PROTOCOL,
				"the feed of %s begins with \"%.40s\", not with a session",
				server_address(s), type);
		on_session_message(s, message);
	}
	if (s->state == SESSION_SYNCING && str_equal(type, "bookmark"))
		s->state = SESSION_LIVE;
	return s->config.on_message(s->config.arg, type, message, e);
}

static void on_feed_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	(void)headers;
	(void)header_count;
	((struct agent_session *)arg)->feed_status = status;
}

static void on_feed_body(void *arg, const uint8_t *data, size_t size)
{
	struct agent_session *s = arg;
	struct err e = ERR_INIT;
	if (s->state == SESSION_WAITING)
		return;
	if (s->feed_status != 200) { /* a Status object: kept for its message */
		s->reader.buffer.limit = 4096;
		buf_append(&s->reader.buffer, data, size);
		return;
	}
	s->heard_ms = loop_now_ms(s->config.loop);
	if (wire_read(&s->reader, data, size, on_line, s, &e) < 0)
		lose(s, &e);
}

/* The sentence of a Status object, if that is what the server sent. */
static void refusal(const struct agent_session *s, struct err *ret_why)
{
	CLEANUP(json_done) json_t *body = NULL;
	const struct buf *b = &s->reader.buffer;
	const char *message = "no reason given";
	if (b->size > 0 && json_decode(b->data, b->size, &body, NULL) == 0)
		message = json_text(body, message, "message");
	(void)err_set(ret_why, err_from_http(s->feed_status), "%s answered %d: %.250s",
		server_address(s), s->feed_status, message);
}

static void on_feed_done(void *arg, const struct err *e)
{
	struct agent_session *s = arg;
	struct err why = ERR_INIT;
	if (e)
		why = *e;
	else if (s->feed_status != 200)
		refusal(s, &why);
	else
		(void)err_set(&why, ERR_CLOSED, "%s ended the feed", server_address(s));
	if (!e && is_refusal(s->feed_status) && s->state != SESSION_WAITING)
		on_refused(s, &why);
	else
		lose(s, &why);
}

static void start_feed(struct agent_session *s)
{
	static const struct http_call_events events = {
		.on_response = on_feed_response, .on_body = on_feed_body, .on_done = on_feed_done};
	CLEANUP(buf_done) struct buf hello = BUF_INIT_LIMIT(WIRE_LINE_MAX);
	s->config.write_hello(s->config.arg, &hello);
	struct http_call_spec spec = {.method = "POST",
		.path = "/agent/v1/feed",
		.content_type = "application/x-ndjson",
		.body = buf_text(&hello),
		.body_size = hello.size};
	s->feed_status = 0;
	s->feed = http_call_start(s->client, &spec, &events, s);
}

/* ---- connecting ---- */

static int64_t connect_limit_ms(const struct agent_session *s)
{
	int shift = s->failures < 3 ? s->failures : 3;
	return CONNECT_FIRST_MS << shift < CONNECT_MAX_MS ? CONNECT_FIRST_MS << shift
							  : CONNECT_MAX_MS;
}

static void try_connect(struct agent_session *s)
{
	close_all(s);
	struct err e = ERR_INIT;
	s->state = SESSION_CONNECTING;
	int r = s->config.transport->ops->open(s->config.transport->context, server_address(s),
		s->config.identity, NULL, &s->link, &e);
	if (r < 0) {
		lose(s, &e);
		return;
	}
	struct http_connector connector = s->config.transport->ops->connector(s->link);
	s->client = http_client_new(s->config.loop, &connector, 8);
	loop_timer_start(s->retry, connect_limit_ms(s));
	start_feed(s);
}

/* ---- the path ---- */

static void search(struct agent_session *s)
{
	if (s->failures > 1 && !s->config.servers[++s->server])
		s->server = 0;
	close_all(s);
	agent_path_stop(s->path);
	agent_path_try(s->path, server_address(s));
	loop_timer_start(s->retry, SEARCH_MS);
}

static void on_path_open(void *arg, int tries)
{
	struct agent_session *s = arg;
	if (s->state == SESSION_WAITING) {
		try_connect(s);
		return;
	}
	if (tries == 1 || !s->beat)
		return; /* it was never away: the server takes its time */
	/* The connection itself would take long to find out that the path is back. */
	struct err why = ERR_INIT;
	(void)err_set(&why, ERR_TIMEOUT, "there was no path to %s", server_address(s));
	lose(s, &why);
}

static void on_path_refused(void *arg, const struct err *why)
{
	struct agent_session *s = arg;
	if (s->state != SESSION_WAITING) {
		lose(s, why);
		return;
	}
	int64_t delay_ms = next_delay_ms(s, s->failures, BACKOFF_PATH_MAX_MS);
	log_loss(s, "connect_failed", why, s->failures, delay_ms);
	s->failures++;
	loop_timer_start(s->retry, delay_ms);
}

static void on_retry(void *arg)
{
	struct agent_session *s = arg;
	struct err why = ERR_INIT;
	if (s->state == SESSION_CONNECTING) {
		(void)err_set(&why, ERR_TIMEOUT, "%s did not answer within %lld ms",
			server_address(s), (long long)connect_limit_ms(s));
		lose(s, &why);
		return;
	}
	if (agent_path_trying(s->path)) {
		(void)err_set(&why, ERR_TIMEOUT, "there is no path to %s", server_address(s));
		log_loss(s, "connect_failed", &why, s->failures, 0);
		s->failures++;
	}
	search(s);
}

struct agent_session *agent_session_new(const struct agent_session_config *config)
{
	struct agent_session *s = mem_new(struct agent_session);
	s->config = *config;
	s->heartbeat_ms = HEARTBEAT_MS;
	uint64_t seed;
	loop_random_bytes(config->loop, &seed, sizeof(seed));
	rand_init(&s->rand, seed);
	static const struct agent_path_events path_events = {on_path_open, on_path_refused};
	s->path = agent_path_new(config->loop, config->transport, &path_events, s);
	s->retry = loop_timer_new(config->loop, on_retry, s);
	s->heartbeat = loop_timer_new(config->loop, on_heartbeat, s);
	s->news = loop_timer_new(config->loop, on_news, s);
	loop_timer_start(s->retry, 0);
	return s;
}

void agent_session_free(struct agent_session *s)
{
	if (!s)
		return;
	close_all(s);
	agent_path_free(s->path);
	loop_timer_free(s->retry);
	loop_timer_free(s->heartbeat);
	loop_timer_free(s->news);
	free(s);
}

void agent_session_renewed(struct agent_session *s)
{
	bool waiting = s->state == SESSION_WAITING;
	s->state = SESSION_WAITING;
	loop_timer_stop(s->heartbeat);
	agent_path_stop(s->path);
	loop_timer_start(s->retry, 0);
	if (!waiting)
		s->config.on_lost(s->config.arg);
}

struct http_client *agent_session_last_client(const struct agent_session *s)
{
	return s->client;
}

int agent_session_check_time(const struct agent_session *s, int64_t wall_ms, struct err *e)
{
	const struct agent_transport_ops *ops = s->config.transport->ops;
	return s->link && ops->check_time ? ops->check_time(s->link, wall_ms, e) : 0;
}

enum agent_session_state agent_session_state(const struct agent_session *s)
{
	return s->state;
}

struct http_client *agent_session_client(const struct agent_session *s)
{
	return s->state >= SESSION_SYNCING ? s->client : NULL;
}

void agent_session_metrics(const struct agent_session *s, struct buf *b)
{
	buf_printf(b,
		"# TYPE continuo_agent_connected gauge\ncontinuo_agent_connected %d\n"
		"# TYPE continuo_agent_sessions_total counter\ncontinuo_agent_sessions_total %lld\n"
		"# TYPE continuo_agent_sessions_lost_total counter\n"
		"continuo_agent_sessions_lost_total %lld\n"
		"# TYPE continuo_agent_reports_total counter\ncontinuo_agent_reports_total %lld\n"
		"# TYPE continuo_agent_heartbeats_total counter\n"
		"continuo_agent_heartbeats_total %lld\n"
		"# TYPE continuo_agent_server_clock_offset_ms gauge\n"
		"continuo_agent_server_clock_offset_ms %lld\n",
		s->state == SESSION_LIVE, (long long)s->sessions, (long long)s->losses,
		(long long)s->reports_sent, (long long)s->heartbeats_sent, (long long)s->clock_ms);
}

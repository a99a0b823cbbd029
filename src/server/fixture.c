#include "server/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

#define PATIENCE_MS 10000

struct fixture_endpoint {
	struct fixture *fixture;
	struct http_peer peer;
	char address[64];
};

static int64_t wall_ms(void *context)
{
	return loop_wall_ms(context);
}

static void write_log(void *context, const char *line)
{
	(void)context;
	if (getenv("CONTINUO_TEST_LOG"))
		fputs(line, stderr);
}

static const struct http_peer peers[] = {
	[FIXTURE_ADMIN] = {.address = "test",
		.common_name = "admin",
		.organization = "system:masters",
		.spiffe_id = "",
		.serial = "1",
		.not_after_ms = INT64_MAX},
	[FIXTURE_NODE] = {.address = "test",
		.common_name = "system:node:node-a",
		.organization = "system:nodes",
		.spiffe_id = "spiffe://example/node/node-a",
		.serial = "2"},
	[FIXTURE_OTHER] = {.address = "test",
		.common_name = "system:node:node-b",
		.organization = "system:nodes",
		.spiffe_id = "spiffe://example/node/node-b",
		.serial = "3"},
	[FIXTURE_NOBODY] = {.address = "test",
		.common_name = "",
		.organization = "",
		.spiffe_id = "",
		.serial = ""},
};

static void on_accept(void *arg, struct stream *s)
{
	struct fixture_endpoint *endpoint = arg;
	http_server_take(server_http(endpoint->fixture->server), s, &endpoint->peer, false);
}

static struct stream *connect_endpoint(void *context)
{
	struct fixture_endpoint *endpoint = context;
	return loop_connect(endpoint->fixture->loop, endpoint->address);
}

static void open_endpoint(struct fixture *f, enum fixture_user user)
{
	struct fixture_endpoint *endpoint = mem_new(struct fixture_endpoint);
	struct err e = ERR_INIT;
	*endpoint = (struct fixture_endpoint){.fixture = f, .peer = peers[user]};
	if (user == FIXTURE_NODE || user == FIXTURE_OTHER)
		endpoint->peer.not_before_ms = loop_wall_ms(f->loop) - PKI_SKEW_MS - 1000;
	f->endpoints[user] = endpoint;
	assert_int_equal(loop_listen(f->loop, "127.0.0.1:0", on_accept, endpoint,
				 &f->listeners[user], &e),
		0);
	snprintf(endpoint->address, sizeof(endpoint->address), "%s",
		listener_address(f->listeners[user]));
	struct http_connector connector = {
		.connect = connect_endpoint, .context = endpoint, .authority = "test"};
	f->clients[user] = http_client_new(f->loop, &connector, 16);
}

void fixture_set_spiffe(struct fixture *f, enum fixture_user user, const char *spiffe_id)
{
	f->endpoints[user]->peer.spiffe_id = spiffe_id;
}

void fixture_set_certificate(struct fixture *f, enum fixture_user user, int64_t not_before_ms,
	int64_t not_after_ms)
{
	f->endpoints[user]->peer.not_before_ms = not_before_ms;
	f->endpoints[user]->peer.not_after_ms = not_after_ms;
}

static bool is_ready(void *arg)
{
	const struct fixture *f = arg;
	return server_ready(f->server);
}

static void open_store(struct fixture *f, bool on_disk)
{
	struct err e;
	if (!on_disk) {
		f->store = store_memory_new(f->loop, f->kinds);
		return;
	}
	snprintf(f->folder, sizeof(f->folder), "/tmp/continuo-server-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(store_sqlite_open(f->loop, f->kinds, f->folder, NULL, NULL, &f->store, &e),
		0);
}

static int set_up(void **state, bool on_disk)
{
	struct fixture *f = mem_new(struct fixture);
	struct err e = ERR_INIT;
	f->loop = loop_uv_new(FIXTURE_THREADS);
	f->log = (struct log){.level = LOG_DEBUG,
		.role = "test",
		.wall_ms = wall_ms,
		.write = write_log,
		.context = f->loop};
	f->kinds = kind_registry_new();
	open_store(f, on_disk);
	assert_int_equal(pki_ca_new("example", loop_wall_ms(f->loop), &f->ca, &e), 0);
	struct server_config config = {.loop = f->loop,
		.log = &f->log,
		.store = f->store,
		.kinds = f->kinds,
		.name = "test",
		.domain = "example",
		.pod_cidr = "10.42.0.0/16",
		.service_cidr = "10.43.0.0/24",
		.cluster_domain = "cluster.local",
		.ca = &f->ca,
		.heartbeat_ms = 200,
		.silence_ms = 3000,
		.rejoin_age_ms = (int64_t)7 * 86400 * 1000,
		.seed = 1};
	assert_int_equal(server_new(&config, &f->server, &e), 0);
	for (int user = 0; user < FIXTURE_USERS; user++)
		open_endpoint(f, (enum fixture_user)user);
	assert_true(loop_uv_run_until(f->loop, is_ready, f, PATIENCE_MS));
	*state = f;
	return 0;
}

int fixture_set_up(void **state)
{
	return set_up(state, false);
}

int fixture_set_up_on_disk(void **state)
{
	return set_up(state, true);
}

static void remove_folder(const char *folder)
{
	static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm"};
	char path[128];
	for (size_t i = 0; *folder && i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		(void)unlink(path);
	}
	if (*folder)
		assert_int_equal(rmdir(folder), 0);
}

int fixture_tear_down(void **state)
{
	struct fixture *f = *state;
	for (int user = 0; user < FIXTURE_USERS; user++) {
		http_client_free(f->clients[user]);
		listener_free(f->listeners[user]);
	}
	store_free(f->store);
	server_free(f->server);
	kind_registry_free(f->kinds);
	loop_uv_free(f->loop);
	remove_folder(f->folder);
	pki_pair_done(&f->ca);
	for (int user = 0; user < FIXTURE_USERS; user++)
		free(f->endpoints[user]);
	free(f);
	return 0;
}

/* ---- calls ---- */

struct exchange {
	struct fixture_answer answer;
	struct buf text;
	bool done;
};

static void on_response(void *arg, int status, const struct http_header *headers, size_t count)
{
	struct exchange *x = arg;
	x->answer.status = status;
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(x->answer.warnings);
		if (strcmp(headers[i].name, "warning") == 0)
			snprintf(x->answer.warnings + used, sizeof(x->answer.warnings) - used,
				"%s\n", headers[i].value);
	}
}

static void on_body(void *arg, const uint8_t *data, size_t size)
{
	struct exchange *x = arg;
	buf_append(&x->text, data, size);
}

static void on_done(void *arg, const struct err *e)
{
	struct exchange *x = arg;
	if (e)
		x->answer.status = -(int)e->code;
	x->done = true;
}

static bool is_done(void *arg)
{
	return ((struct exchange *)arg)->done;
}

/* Tests write JSON with single quotes. */
static char *unquote(const char *body)
{
	char *text = mem_dup_string(body);
	for (char *c = text; c && *c; c++)
		if (*c == '\'')
			*c = '"';
	return text;
}

struct fixture_answer fixture_call(struct fixture *f, enum fixture_user user, const char *method,
	const char *path, const char *content_type, const char *body)
{
	static const struct http_call_events events = {
		.on_response = on_response, .on_body = on_body, .on_done = on_done};
	struct exchange x = {0};
	CLEANUP(mem_free_ptr) char *text = unquote(body);
	struct http_call_spec spec = {.method = method,
		.path = path,
		.content_type = body ? (content_type ? content_type : "application/json") : NULL,
		.body = text,
		.body_size = text ? strlen(text) : 0};
	struct http_call *call = http_call_start(f->clients[user], &spec, &events, &x);
	if (!loop_uv_run_until(f->loop, is_done, &x, PATIENCE_MS))
		fail_msg("%s %s was not answered", method, path);
	http_call_free(call);
	if (x.text.size && json_decode(x.text.data, x.text.size, &x.answer.body, NULL) < 0)
		x.answer.body = NULL;
	buf_done(&x.text);
	return x.answer;
}

void fixture_answer_done(struct fixture_answer *a)
{
	json_decref(a->body);
	a->body = NULL;
}

json_t *fixture_expect(struct fixture *f, int status, const char *method, const char *path,
	const char *body)
{
	const char *type = strcmp(method, "PATCH") == 0 ? "application/merge-patch+json" : NULL;
	struct fixture_answer a = fixture_call(f, FIXTURE_ADMIN, method, path, type, body);
	if (a.status != status) {
		CLEANUP(mem_free_ptr)
		char *text = a.body ? json_encode_string(a.body) : mem_dup_string("");
		fail_msg("%s %s: %d instead of %d: %s", method, path, a.status, status, text);
	}
	return a.body;
}

/* ---- streams ---- */

static void stream_response(void *arg, int status, const struct http_header *headers, size_t count)
{
	(void)headers;
	(void)count;
	((struct fixture_stream *)arg)->status = status;
}

static void stream_body(void *arg, const uint8_t *data, size_t size)
{
	buf_append(&((struct fixture_stream *)arg)->text, data, size);
}

static void stream_done(void *arg, const struct err *e)
{
	(void)e;
	((struct fixture_stream *)arg)->ended = true;
}

struct fixture_stream *fixture_stream_open(struct fixture *f, enum fixture_user user,
	const char *method, const char *path, const char *body)
{
	static const struct http_call_events events = {
		.on_response = stream_response, .on_body = stream_body, .on_done = stream_done};
	struct fixture_stream *s = mem_new(struct fixture_stream);
	CLEANUP(mem_free_ptr) char *text = unquote(body);
	struct http_call_spec spec = {.method = method,
		.path = path,
		.content_type = body ? "application/x-ndjson" : NULL,
		.body = text,
		.body_size = text ? strlen(text) : 0};
	s->call = http_call_start(f->clients[user], &spec, &events, s);
	return s;
}

struct awaited {
	const struct fixture_stream *stream;
	const char *words;
};

static bool has_words(void *arg)
{
	const struct awaited *a = arg;
	return strstr(buf_text(&a->stream->text), a->words) ||
	       (a->stream->ended && strcmp(a->words, "") == 0);
}

void fixture_stream_await(struct fixture *f, struct fixture_stream *s, const char *words)
{
	CLEANUP(mem_free_ptr) char *text = unquote(words);
	struct awaited a = {s, text};
	if (!loop_uv_run_until(f->loop, has_words, &a, PATIENCE_MS))
		fail_msg("no %s in (%d): %s", text, s->status, buf_text(&s->text));
}

void fixture_stream_free(struct fixture_stream *s)
{
	http_call_free(s->call);
	buf_done(&s->text);
	free(s);
}

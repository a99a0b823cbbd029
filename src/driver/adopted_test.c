/* What becomes of an adopted container when its pod ends, over an engine that only answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "driver/adopted.h"
#include "net/http.h"
#include "net/test_loop.h"

#define SOCKET "/docker.sock"
#define CONTAINER "c0ffee"
#define PID 4242

struct world {
	struct loop *l;
	struct log log;
	struct driver_config config;
	struct driver *driver;
	struct listener *listener;
	struct http_server *engine;
	struct http_request *events;
	struct buf said;  /* by the driver */
	struct buf asked; /* of the engine, but for questions */
	bool runs, of_a_node, ready, stopped;
	int refusals; /* before it says what is with the container */
};

/* ---- the engine: one container ---- */

static void engine_inspect(struct world *w, struct http_request *r)
{
	if (w->refusals > 0) {
		w->refusals--;
		http_respond(r, 500, NULL, 0, "application/json", "{}", 2);
		http_request_free(r);
		return;
	}
	char *body CLEANUP(mem_free_ptr) =
		mem_format("{\"Id\":\"" CONTAINER "\",\"State\":{\"Running\":%s,\"Pid\":%d},"
			   "\"Config\":{\"Labels\":{%s}}}",
			w->runs ? "true" : "false", w->runs ? PID : 0,
			w->of_a_node ? "\"dev.continuo.node\":\"node1\"" : "");
	http_respond(r, 200, NULL, 0, "application/json", body, strlen(body));
	http_request_free(r);
}

static void engine_handle(void *arg, struct http_request *r)
{
	struct world *w = arg;
	const char *method = http_request_method(r), *path = http_request_path(r);
	if (str_ends(path, "/events")) {
		if (w->events)
			http_request_free(w->events);
		http_respond_start(r, 200, NULL, 0, "application/json");
		w->events = r;
		return;
	}
	if (str_equal(method, "GET")) {
		engine_inspect(w, r);
		return;
	}
	buf_printf(&w->asked, "%s %s\n", method, path + strlen("/v1.41/containers/"));
	if (str_ends(path, "/stop") || str_equal(method, "DELETE"))
		w->runs = false;
	http_respond(r, 204, NULL, 0, NULL, NULL, 0);
	http_request_free(r);
}

static void engine_accept(void *arg, struct stream *stream)
{
	struct world *w = arg;
	const struct http_peer peer = {.address = "unix"};
	http_server_take(w->engine, stream, &peer, false);
}

/* ---- the driver over it ---- */

static int64_t log_clock(void *context)
{
	return loop_wall_ms(((struct world *)context)->l);
}

static void log_write(void *context, const char *line)
{
	buf_append_string(&((struct world *)context)->said, line);
}

static void on_changed(void *context, const struct driver_state *state)
{
	struct world *w = context;
	w->ready = state->containers_ready;
	w->stopped = state->stopped;
}

static void open_driver(struct world *w)
{
	const struct driver_fake_config fake = {.seed = 1};
	struct err e = ERR_INIT;
	int r = driver_adopted_new(&w->config, driver_fake_new(&w->config, &fake), &w->driver, &e);
	assert_int_equal(r, 0);
}

static void close_driver(struct world *w)
{
	w->driver->ops->free(w->driver);
	w->driver = NULL;
}

static int set_up(void **state)
{
	static char folder[64];
	struct world *w = mem_new(struct world);
	struct err e = ERR_INIT;
	str_copy(folder, sizeof(folder), "/tmp/continuo-adopted-XXXXXX");
	assert_non_null(mkdtemp(folder));
	w->l = test_loop_new();
	w->runs = true;
	w->log = (struct log){.level = LOG_INFO,
		.role = "agent",
		.wall_ms = log_clock,
		.write = log_write,
		.context = w};
	w->config = (struct driver_config){.loop = w->l,
		.log = &w->log,
		.host = {.changed = on_changed, .context = w},
		.run_folder = folder,
		.docker_socket = SOCKET};
	w->engine = http_server_new(w->l, engine_handle, w);
	assert_int_equal(loop_listen(w->l, "unix:" SOCKET, engine_accept, w, &w->listener, &e), 0);
	open_driver(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	close_driver(w);
	test_loop_run(w->l, 1000);
	if (w->events)
		http_request_free(w->events);
	listener_free(w->listener);
	http_server_free(w->engine);
	test_loop_run(w->l, 1000);
	test_loop_free(w->l);
	char command[100];
	snprintf(command, sizeof(command), "rm -r %s", w->config.run_folder);
	assert_int_equal(system(command), 0);
	buf_done(&w->said);
	buf_done(&w->asked);
	free(w);
	return 0;
}

/* ---- what is told to it ---- */

static struct object *make_pod(bool deleted, bool marked)
{
	char *text CLEANUP(mem_free_ptr) = mem_format(
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\","
		"\"namespace\":\"shop\",\"uid\":\"u-p\",%s\"annotations\":{"
		"\"" ADOPTED_ANNOTATION "\":\"docker\",\"" ADOPTED_CONTAINER "\":\"" CONTAINER
		"\"%s}},\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"box\"}]}}",
		deleted ? "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"," : "",
		marked ? ",\"" ADOPTED_HAND_BACK "\":\"true\"" : "");
	json_t *tree CLEANUP(json_done) = NULL;
	struct object *o = NULL;
	struct err e = ERR_INIT;
	assert_int_equal(json_decode(text, strlen(text), &tree, &e), 0);
	assert_int_equal(object_from_json(&kind_pod, tree, &o, &e), 0);
	return o;
}

static void on_answer(void *arg, const struct err *e)
{
	(void)arg;
	assert_null(e);
}

/* The agent dies before it comes. */
static void on_no_answer(void *arg, const struct err *e)
{
	(void)arg;
	assert_non_null(e);
}

static void give(struct world *w, bool deleted, bool marked)
{
	static const char *const none[] = {NULL};
	struct object *o = make_pod(deleted, marked);
	const struct driver_pod pod = {.pod = o,
		.cluster_dns = "",
		.dns_search = none,
		.service_env = none,
		.privilege = "privileged"};
	if (deleted || marked)
		w->driver->ops->update(w->driver, &pod, on_answer, NULL);
	else
		w->driver->ops->start(w->driver, &pod, on_answer, NULL);
	object_unref(o);
}

static bool is_ready(void *arg)
{
	return ((struct world *)arg)->ready;
}

static bool is_stopped(void *arg)
{
	return ((struct world *)arg)->stopped;
}

static void take(struct world *w)
{
	give(w, false, false);
	assert_true(test_loop_until(w->l, is_ready, w, 10000));
	assert_int_equal(w->asked.size, 0);
}

static void stop(struct world *w)
{
	w->driver->ops->stop(w->driver, "u-p", -1, on_answer, NULL);
	assert_true(test_loop_until(w->l, is_stopped, w, 10000));
}

static void count_pod(void *arg, const struct driver_state *state)
{
	(void)state;
	++*(size_t *)arg;
}

static size_t listed(struct world *w)
{
	size_t count = 0;
	w->driver->ops->list(w->driver, count_pod, on_answer, &count);
	test_loop_run(w->l, 1);
	return count;
}

static void restart(struct world *w)
{
	close_driver(w);
	test_loop_run(w->l, 1000);
	open_driver(w);
}

static bool is_started_again(void *arg)
{
	const struct world *w = arg;
	return strstr(buf_text(&w->asked), "POST " CONTAINER "/start\n");
}

/* Nothing of it is remembered, and nothing was done to it. */
static void is_left_alone(struct world *w)
{
	test_loop_run(w->l, 20000);
	assert_string_equal(buf_text(&w->asked), "");
	restart(w);
	assert_int_equal(listed(w), 0);
	test_loop_run(w->l, 20000);
	assert_string_equal(buf_text(&w->asked), "");
}

/* ---- */

static void what_the_server_deletes_is_removed(void **state)
{
	struct world *w = *state;
	take(w);
	give(w, true, false);
	stop(w);
	assert_string_equal(buf_text(&w->asked), "POST " CONTAINER "/stop\nDELETE " CONTAINER "\n");
	restart(w);
	assert_int_equal(listed(w), 0);
}

static void what_is_marked_is_handed_back(void **state)
{
	struct world *w = *state;
	take(w);
	give(w, true, true);
	stop(w);
	assert_non_null(strstr(buf_text(&w->said), "event=adopted_handed_back"));
	is_left_alone(w);
}

/* A mark that was withdrawn does not count. */
static void a_mark_that_is_gone_does_not_count(void **state)
{
	struct world *w = *state;
	take(w);
	give(w, false, true);
	test_loop_run(w->l, 100);
	give(w, true, false);
	stop(w);
	assert_string_equal(buf_text(&w->asked), "POST " CONTAINER "/stop\nDELETE " CONTAINER "\n");
}

static void what_the_server_does_not_know_is_let_go(void **state)
{
	struct world *w = *state;
	take(w);
	stop(w);
	assert_non_null(strstr(buf_text(&w->said), "event=adopted_let_go"));
	is_left_alone(w);
}

static void also_what_an_earlier_agent_took(void **state)
{
	struct world *w = *state;
	take(w);
	restart(w);
	assert_int_equal(listed(w), 1);
	stop(w);
	assert_non_null(strstr(buf_text(&w->said), "event=adopted_let_go"));
	is_left_alone(w);
}

/* The engine tells of the end, and is too busy to say more. */
static void an_end_that_could_not_be_looked_at_is_looked_at_again(void **state)
{
	static const char die[] = "{\"Action\":\"die\",\"Actor\":{\"ID\":\"" CONTAINER "\"}}\n";
	struct world *w = *state;
	take(w);
	w->runs = false;
	w->refusals = 2;
	http_respond_write(w->events, die, strlen(die));
	assert_true(test_loop_until(w->l, is_started_again, w, 20000));
}

/* The agent is killed before the driver did anything of it. */
static void a_restart_finishes_what_was_decided(void **state)
{
	struct world *w = *state;
	take(w);
	give(w, true, true);
	w->driver->ops->stop(w->driver, "u-p", -1, on_no_answer, NULL);
	char *kept CLEANUP(mem_free_ptr) = mem_format("%s/adopted/u-p.run", w->config.run_folder);
	assert_int_equal(access(kept, F_OK), 0);
	restart(w);
	assert_int_equal(listed(w), 0);
	assert_int_not_equal(access(kept, F_OK), 0);
	assert_non_null(strstr(buf_text(&w->said), "event=adopted_let_go"));
	is_left_alone(w);
}

/* The agent is killed when it had begun to remove it: the server still wants that. */
static void a_restart_goes_on_to_remove(void **state)
{
	struct world *w = *state;
	take(w);
	give(w, true, false);
	w->driver->ops->stop(w->driver, "u-p", -1, on_no_answer, NULL);
	restart(w);
	assert_int_equal(listed(w), 1);
	give(w, true, false);
	stop(w);
	assert_non_null(strstr(buf_text(&w->asked), "DELETE " CONTAINER "\n"));
}

static void what_was_refused_is_not_removed(void **state)
{
	struct world *w = *state;
	w->of_a_node = true;
	give(w, false, false);
	test_loop_run(w->l, 5000);
	assert_false(w->ready);
	give(w, true, false);
	stop(w);
	is_left_alone(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_server_deletes_is_removed, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_is_marked_is_handed_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mark_that_is_gone_does_not_count, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_the_server_does_not_know_is_let_go, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			an_end_that_could_not_be_looked_at_is_looked_at_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(also_what_an_earlier_agent_took, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_restart_finishes_what_was_decided, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_restart_goes_on_to_remove, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_refused_is_not_removed, set_up, tear_down),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

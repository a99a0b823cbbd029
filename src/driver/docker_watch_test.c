/* What the engine's events lead to when a look at the container has no answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"
#include "net/http.h"
#include "net/test_loop.h"

#define SOCKET "/docker.sock"
#define ID "0123456789abcdef0123456789abcdef"
#define UID "u1"
#define DIE(attributes)                                                                            \
	"{\"Action\":\"die\",\"Actor\":{\"Attributes\":{\"dev.continuo.node\":\"n\"," attributes   \
	"}}}\n"

struct world {
	struct loop *l;
	struct log log;
	struct oci oci;
	struct docker docker;
	struct listener *listener;
	struct http_server *engine;
	struct http_request *events;
	struct http_request *held; /* a look at a container */
	bool runs, holds;
	int refusals; /* before it says what is with the container */
	int exits, sandboxes_lost;
};

/* ---- the engine: one container and its pause container ---- */

static void inspect(struct world *w, struct http_request *r)
{
	const char *body = w->runs ? "{\"State\":{\"Running\":true,\"Pid\":42}}"
				   : "{\"State\":{\"Running\":false,\"ExitCode\":3}}";
	int status = w->refusals > 0 ? 500 : 200;
	w->refusals -= w->refusals > 0;
	http_respond(r, status, NULL, 0, "application/json", body, strlen(body));
	http_request_free(r);
}

static void list_all(const struct world *w, struct http_request *r)
{
	char *body CLEANUP(mem_free_ptr) =
		mem_format("[{\"State\":\"%s\",\"Labels\":{\"dev.continuo.pod-uid\":\"" UID
			   "\",\"dev.continuo.id\":\"" ID "\"}}]",
			w->runs ? "running" : "exited");
	http_respond(r, 200, NULL, 0, "application/json", body, strlen(body));
	http_request_free(r);
}

static void engine_handle(void *arg, struct http_request *r)
{
	struct world *w = arg;
	const char *path = http_request_path(r);
	if (str_ends(path, "/events")) {
		http_respond_start(r, 200, NULL, 0, "application/json");
		w->events = r;
	} else if (str_ends(path, "/containers/json")) {
		list_all(w, r);
	} else if (w->holds) {
		w->holds = false;
		w->held = r;
	} else {
		inspect(w, r);
	}
}

static void engine_accept(void *arg, struct stream *stream)
{
	const struct http_peer peer = {.address = "unix"};
	http_server_take(((struct world *)arg)->engine, stream, &peer, false);
}

/* ---- the driver's side ---- */

static void on_exit_told(void *arg, const struct container_status *status)
{
	struct world *w = arg;
	assert_string_equal(status->id, ID);
	assert_int_equal(status->exit_code, 3);
	w->exits++;
}

static void on_sandbox_lost(void *arg, const char *uid)
{
	assert_string_equal(uid, UID);
	((struct world *)arg)->sandboxes_lost++;
}

static int64_t log_clock(void *context)
{
	return loop_wall_ms(((struct world *)context)->l);
}

static void log_write(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static int set_up(void **state)
{
	static char node[] = "n", folder[] = "/nowhere";
	struct world *w = mem_new(struct world);
	struct docker *d = &w->docker;
	struct err e = ERR_INIT;
	w->l = test_loop_new();
	w->runs = true;
	w->log = (struct log){
		.level = LOG_ERROR, .wall_ms = log_clock, .write = log_write, .context = w};
	w->oci.node_name = node;
	w->oci.run_folder = folder;
	list_init(&w->oci.followers);
	*d = (struct docker){.oci = &w->oci,
		.loop = w->l,
		.log = &w->log,
		.events = {on_exit_told, on_sandbox_lost, w},
		.references = 1};
	map_init(&d->containers, docker_container_free);
	map_init(&d->sandboxes, NULL);
	map_init(&d->attempts, docker_attempts_free);
	struct docker_container *c = docker_container_new(d, ID, UID, "main", 0);
	c->running = true;
	c->pid = 42;
	map_put(&d->containers, ID, c);
	w->engine = http_server_new(w->l, engine_handle, w);
	assert_int_equal(loop_listen(w->l, "unix:" SOCKET, engine_accept, w, &w->listener, &e), 0);
	d->api = docker_api_new(w->l, SOCKET);
	docker_watch_start(d);
	test_loop_run(w->l, 1000);
	assert_int_equal(d->link, DOCKER_CONNECTED);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	w->docker.closed = true;
	docker_watch_stop(&w->docker);
	docker_api_free(w->docker.api);
	test_loop_run(w->l, 1000);
	assert_int_equal(w->docker.references, 1);
	http_request_free(w->events);
	listener_free(w->listener);
	http_server_free(w->engine);
	test_loop_run(w->l, 1000);
	map_done(&w->docker.containers);
	map_done(&w->docker.sandboxes);
	map_done(&w->docker.attempts);
	buf_done(&w->docker.lines);
	test_loop_free(w->l);
	free(w);
	return 0;
}

static void tell(struct world *w, const char *event)
{
	http_respond_write(w->events, event, strlen(event));
	test_loop_run(w->l, 5000);
}

/* ---- */

static void ends_without_an_answer_are_looked_at_again(void **state)
{
	struct world *w = *state;
	w->runs = false;
	w->refusals = 2;
	tell(w, DIE("\"dev.continuo.id\":\"" ID "\""));
	assert_int_equal(w->exits, 1);
}

static void so_are_lost_namespaces(void **state)
{
	struct world *w = *state;
	map_put(&w->docker.sandboxes, UID, w);
	w->runs = false;
	w->refusals = 1;
	tell(w, DIE("\"dev.continuo.role\":\"pause\",\"dev.continuo.pod-uid\":\"" UID "\""));
	assert_int_equal(w->sandboxes_lost, 1);
}

/* Somebody restarted it: it ends again before the first look has its answer. */
static void an_end_during_a_look_is_not_missed(void **state)
{
	struct world *w = *state;
	w->holds = true;
	tell(w, DIE("\"dev.continuo.id\":\"" ID "\""));
	tell(w, DIE("\"dev.continuo.id\":\"" ID "\""));
	inspect(w, w->held);
	w->runs = false;
	test_loop_run(w->l, 5000);
	assert_int_equal(w->exits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_without_an_answer_are_looked_at_again, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(so_are_lost_namespaces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_end_during_a_look_is_not_missed, set_up,
			tear_down),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("docker watch", tests, NULL, NULL);
}

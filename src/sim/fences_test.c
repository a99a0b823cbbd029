/* When handover pods may start, in simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fences.h"
#include "base/mem.h"
#include "sim/loop_sim.h"

#define LEASE_MS 10000

/* One machine: the agent's side, one fence, and a server that takes beats and answers nothing. */
struct fixture {
	struct sim_world *world;
	struct sim_loop *loop;
	struct listener *server, *fence;
	struct stream *beats, *agent;
	struct http_client *client;
	struct log log;
	struct agent_fences *fences;
	char said[65536];
	size_t said_size;
	int64_t stands_until_ms;
	bool fired; /* what the fence says of itself */
	bool holds; /* raising it takes its time */
	void (*raised)(void *arg, int status, const char *why);
	void *raising;
	const char *run_folder;
	int changes, raises;
};

static void ignore(void *arg)
{
	(void)arg;
}

static void ignore_data(void *arg, const uint8_t *data, size_t size)
{
	(void)arg;
	(void)data;
	(void)size;
}

static void ignore_close(void *arg, const struct err *why)
{
	(void)arg;
	(void)why;
}

static void on_beat(void *arg, const uint8_t *data, size_t size)
{
	struct fixture *f = arg;
	assert_true(f->said_size + size < sizeof(f->said));
	memcpy(f->said + f->said_size, data, size);
	f->said_size += size;
}

static void on_client(void *arg, struct stream *s)
{
	static const struct stream_events events = {ignore, on_beat, ignore, ignore, ignore_close};
	struct fixture *f = arg;
	stream_free(f->beats);
	f->beats = s;
	stream_set_events(s, &events, f);
}

static void on_agent(void *arg, struct stream *s)
{
	static const struct stream_events events = {
		ignore, ignore_data, ignore, ignore, ignore_close};
	struct fixture *f = arg;
	char line[40];
	stream_free(f->agent);
	f->agent = s;
	stream_set_events(s, &events, f);
	int size = snprintf(line, sizeof(line), "until %lld\n", (long long)f->stands_until_ms);
	if (f->fired)
		stream_write(s, "fired\n", 6);
	else
		stream_write(s, line, (size_t)size);
}

static void raise_it(void *context, const char *path, const char *pod_uid, int64_t until_ms,
	void (*done)(void *arg, int status, const char *why), void *arg)
{
	struct fixture *f = context;
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *address = mem_format("unix:%s", path);
	(void)pod_uid;
	f->stands_until_ms = until_ms;
	f->raises++;
	listener_free(f->fence);
	assert_int_equal(loop_listen(&f->loop->loop, address, on_agent, f, &f->fence, &e), 0);
	f->raised = done;
	f->raising = arg;
	if (!f->holds)
		done(arg, 0, "");
}

static struct stream *to_server(void *context)
{
	struct fixture *f = context;
	return loop_connect(&f->loop->loop, "10.0.0.1:80");
}

static struct http_client *client_of(void *arg)
{
	return ((struct fixture *)arg)->client;
}

static void on_change(void *arg)
{
	((struct fixture *)arg)->changes++;
}

static void on_expired(void *arg, const char *uid)
{
	(void)arg;
	fail_msg("%s has expired", uid);
}

static void run_ms(struct fixture *f, int64_t ms)
{
	int64_t until_us = f->world->now_us + ms * 1000;
	while (sim_world_step(f->world, until_us))
		;
}

static int64_t last_beat(const struct fixture *f)
{
	int64_t id = 0;
	for (size_t i = 0; i + 5 < f->said_size; i++)
		if (memcmp(f->said + i, "\"id\":", 5) == 0)
			id = atoll(f->said + i + 5);
	return id;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	static char folder[40];
	char inside[PATH_MAX];
	const struct http_connector connector = {
		.connect = to_server, .context = f, .authority = "server"};
	*state = f;
	(void)snprintf(folder, sizeof(folder), "/tmp/continuo-fences-XXXXXX");
	f->run_folder = mkdtemp(folder);
	(void)snprintf(inside, sizeof(inside), "%s/fence", folder);
	if (!f->run_folder || mkdir(inside, 0700) < 0)
		return -1;
	f->world = sim_world_new(3);
	f->loop = sim_loop_new(sim_machine_new(f->world, "a", "10.0.0.1", 1000, 500), "agent");
	if (loop_listen(&f->loop->loop, "10.0.0.1:80", on_client, f, &f->server, NULL))
		return -1;
	f->client = http_client_new(&f->loop->loop, &connector, 1);
	const struct agent_fences_config config = {.loop = &f->loop->loop,
		.log = &f->log,
		.fs = fs_real(),
		.run_folder = f->run_folder,
		.cgroup_parent = "/nowhere",
		.maker = {raise_it, f},
		.client = client_of,
		.on_change = on_change,
		.on_expired = on_expired,
		.arg = f};
	f->fences = agent_fences_new(&config);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	agent_fences_free(f->fences);
	http_client_free(f->client);
	stream_free(f->beats);
	stream_free(f->agent);
	listener_free(f->server);
	listener_free(f->fence);
	sim_loop_kill(f->loop, false);
	sim_loop_free(f->loop);
	sim_world_free(f->world);
	(void)snprintf(path, sizeof(path), "%s/fence/uid", f->run_folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/fence", f->run_folder);
	(void)rmdir(path);
	(void)rmdir(f->run_folder);
	free(f);
	return 0;
}

/* The pod waits for a lease, then for its fence. */
static void a_pod_starts_when_its_fence_stands(void **state)
{
	struct fixture *f = *state;
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	assert_int_equal(f->changes, 0);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	assert_true(f->changes > 0);
	assert_true(agent_fences_may_start(f->fences, "uid"));
}

/* Too little is left of the lease to start anything, so the pod waits for the next one, and is told
 * of it though the old one has not ended. */
static void a_pod_that_came_late_in_a_lease_starts_with_the_next(void **state)
{
	struct fixture *f = *state;
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	run_ms(f, 8400);
	assert_false(agent_fences_may_start(f->fences, "uid"));
	f->changes = 0;
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	assert_true(f->changes > 0);
	assert_true(agent_fences_may_start(f->fences, "uid"));
}

/* The server has just begun: a lease is not enough before its wait is over. */
static void nothing_starts_while_the_server_waits(void **state)
{
	struct fixture *f = *state;
	agent_fences_wait(f->fences, 5000);
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	run_ms(f, 4800);
	assert_false(agent_fences_may_start(f->fences, "uid"));
	f->changes = 0;
	run_ms(f, 200);
	assert_true(f->changes > 0);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	run_ms(f, 100);
	assert_true(agent_fences_may_start(f->fences, "uid"));
}

/* Raising it took as long as the lease: such a fence kills whatever comes to its group. */
static void a_fence_that_fired_before_its_pod_ran_is_raised_anew(void **state)
{
	struct fixture *f = *state;
	f->holds = true;
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	run_ms(f, LEASE_MS - 400);
	f->raised(f->raising, 0, "");
	f->holds = false;
	run_ms(f, 100);
	stream_write(f->agent, "fired\n", 6);
	run_ms(f, 1000);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	assert_false(agent_fences_may_start(f->fences, "uid"));
	assert_int_equal(f->raises, 2);
	run_ms(f, 100);
	assert_true(agent_fences_may_start(f->fences, "uid"));
}

static void a_fence_that_fired_before_it_was_heard_is_raised_anew(void **state)
{
	struct fixture *f = *state;
	f->fired = true;
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	run_ms(f, 3000);
	f->fired = false;
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	run_ms(f, 100);
	assert_true(agent_fences_may_start(f->fences, "uid"));
}

/* The pod goes while its fence is raised: that has no socket to be left. */
static void a_fence_that_nobody_wants_any_more_leaves_no_socket(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	f->holds = true;
	assert_false(agent_fences_may_start(f->fences, "uid"));
	run_ms(f, 100);
	agent_fences_granted(f->fences, last_beat(f), LEASE_MS);
	assert_non_null(f->raised);
	agent_fences_drop(f->fences, "uid");
	snprintf(path, sizeof(path), "%s/fence/uid", f->run_folder);
	FILE *socket = fopen(path, "we");
	assert_non_null(socket);
	fclose(socket);
	f->raised(f->raising, 0, "");
	run_ms(f, 100);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pod_starts_when_its_fence_stands, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_pod_that_came_late_in_a_lease_starts_with_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_starts_while_the_server_waits, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_fence_that_fired_before_its_pod_ran_is_raised_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_fence_that_fired_before_it_was_heard_is_raised_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(a_fence_that_nobody_wants_any_more_leaves_no_socket,
			setup, teardown),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

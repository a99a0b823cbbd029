/*
 * Removing a container. An engine that died between a container's start and its note of it takes
 * the container for one that never ran, and would remove it from under its processes. So those are
 * ended first, and the engine is given the time to hear of that: it then ends their monitor too.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"

#define RETRY_MS 100
#define TRIES 50

struct docker_deletion {
	struct docker *docker;
	char *uid, *name;
	bool killed;
	int tries;
	struct loop_timer *timer;
	docker_answer *done;
	void *arg;
};

bool docker_orphans_kill(const struct docker *d, const char *uid, const char *docker_id)
{
	static const char *const names[] = {"", "libpod-"}; /* Docker's and Podman's */
	char *pod CLEANUP(mem_free_ptr) = docker_cgroup(d, uid);
	bool any = false;
	for (size_t i = 0; i < ARRAY_SIZE(names) && *docker_id; i++) {
		char *group CLEANUP(mem_free_ptr) = mem_format("%s/%s%s", pod, names[i], docker_id);
		if (!oci_cgroup_has_processes(group))
			continue;
		oci_cgroup_kill(group);
		any = true;
	}
	return any;
}

static void deletion_end(struct docker_deletion *x, int status, const struct err *e)
{
	x->done(x->arg, status, NULL, e);
	loop_timer_free(x->timer);
	docker_unref(x->docker);
	free(x->uid);
	free(x->name);
	free(x);
}

static void deletion_on_removed(void *arg, int status, const json_t *answer, const struct err *e)
{
	(void)answer;
	deletion_end(arg, status, e);
}

static void deletion_look(void *arg);

static void deletion_on_inspected(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct docker_deletion *x = arg;
	struct docker *d = x->docker;
	const json_t *state = json_at(answer, "State");
	if (e) {
		deletion_end(x, status, e);
		return;
	}
	bool wait = false;
	if (!docker_api_runs(state)) {
		bool runs = docker_orphans_kill(d, x->uid, json_text(answer, "", "Id"));
		x->killed = x->killed || runs;
		wait = runs || (x->killed && str_equal(json_text(state, "", "Status"), "created"));
	}
	if (wait && x->tries++ < TRIES && !d->closed) {
		if (!x->timer)
			x->timer = loop_timer_new(d->loop, deletion_look, x);
		loop_timer_start(x->timer, RETRY_MS);
		return;
	}
	docker_request(d, "DELETE", NULL, deletion_on_removed, x, "/containers/%s?force=1&v=1",
		x->name);
}

static void deletion_look(void *arg)
{
	struct docker_deletion *x = arg;
	docker_request(x->docker, "GET", NULL, deletion_on_inspected, x, "/containers/%s/json",
		x->name);
}

void docker_delete(struct docker *d, const char *uid, const char *name, docker_answer *done,
	void *arg)
{
	struct docker_deletion *x = mem_new(struct docker_deletion);
	*x = (struct docker_deletion){.docker = docker_ref(d),
		.uid = mem_dup_string(uid),
		.name = mem_dup_string(name),
		.done = done,
		.arg = arg};
	deletion_look(x);
}

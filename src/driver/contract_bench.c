#include "driver/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct bench bench;

/* Slow machines (an emulator) say in the environment how many times longer things may take. */
static int64_t patience(int64_t timeout_ms)
{
	const char *factor = getenv("CONTRACT_PATIENCE");
	return timeout_ms * (factor && atoi(factor) > 0 ? atoi(factor) : 1);
}

/* ---- the host ---- */

struct pull {
	void (*done)(void *arg, const struct image_ready *image, const struct err *e);
	void *arg;
	bool missing;
};

static void pull_run(void *arg)
{
	struct pull *p = arg;
	char config[200];
	snprintf(config, sizeof(config),
		"{\"config\":{\"Env\":[\"PATH=/bin\",\"FROM=image\"],\"Cmd\":[\"/bin/sh\",\"-c\","
		"\"echo from image; sleep 100\"],\"WorkingDir\":\"/tmp\",\"User\":\"%s\"}}",
		bench.user ? bench.user : "");
	const char *const layers[] = {bench.rootfs, NULL};
	struct image_ready image = {.id = "sha256:1111",
		.digest = "sha256:2222",
		.layers = layers,
		.config_json = config};
	struct err e = ERR_INIT;
	if (p->missing)
		(void)err_set(&e, ERR_NOT_FOUND, "no such image");
	p->done(p->arg, p->missing ? NULL : &image, p->missing ? &e : NULL);
	free(p);
}

static void host_image_pull(void *context, const char *ref, const char *policy,
	const char *docker_config_json, const char *pod_uid,
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes),
	void (*done)(void *arg, const struct image_ready *image, const struct err *e), void *arg)
{
	(void)context, (void)policy, (void)docker_config_json, (void)pod_uid, (void)progress;
	struct pull *p = mem_new(struct pull);
	*p = (struct pull){.done = done, .arg = arg, .missing = strstr(ref, "missing") != NULL};
	loop_defer(bench.loop, pull_run, p);
}

struct attach {
	void (*attached)(void *arg, const char *ip, const struct err *e);
	void (*detached)(void *arg, const struct err *e);
	void *arg;
};

static void attach_run(void *arg)
{
	struct attach *a = arg;
	if (a->attached)
		a->attached(a->arg, "127.0.0.1", NULL);
	else
		a->detached(a->arg, NULL);
	free(a);
}

static void host_attach(void *context, const char *pod_uid, const char *netns_path,
	const char *host_ports_json, void (*done)(void *arg, const char *ip, const struct err *e),
	void *arg)
{
	(void)context, (void)pod_uid, (void)netns_path, (void)host_ports_json;
	struct attach *a = mem_new(struct attach);
	*a = (struct attach){.attached = done, .arg = arg};
	loop_defer(bench.loop, attach_run, a);
}

static void host_detach(void *context, const char *pod_uid,
	void (*done)(void *arg, const struct err *e), void *arg)
{
	(void)context, (void)pod_uid;
	struct attach *a = mem_new(struct attach);
	*a = (struct attach){.detached = done, .arg = arg};
	loop_defer(bench.loop, attach_run, a);
}

static void host_event(void *context, const char *pod_uid, bool warning, const char *reason,
	const char *message)
{
	(void)context;
	buf_printf(&bench.events, "%s %s %s\n", pod_uid, reason, message);
	if (getenv("CONTRACT_VERBOSE"))
		fprintf(stderr, "# event %s %s%s: %s\n", pod_uid, warning ? "!" : "", reason,
			message);
}

static void see_container(struct seen_container *to, const struct driver_container *c)
{
	snprintf(to->name, sizeof(to->name), "%s", c->name);
	snprintf(to->reason, sizeof(to->reason), "%s", c->reason);
	snprintf(to->message, sizeof(to->message), "%s", c->message);
	snprintf(to->last_reason, sizeof(to->last_reason), "%s",
		c->last_reason ? c->last_reason : "");
	to->state = c->state;
	to->exit_code = c->exit_code;
	to->restarts = c->restarts;
	to->pid = c->pid;
	to->last_exit_code = c->last_exit_code;
	to->init = c->init;
	to->started = c->started;
	to->ready = c->ready;
	to->has_last = c->has_last;
	to->started_ms = c->started_ms;
	to->finished_ms = c->finished_ms;
}

static void host_changed(void *context, const struct driver_state *state)
{
	(void)context;
	struct seen *s = map_get(&bench.seen, state->uid);
	if (!s) {
		s = mem_new(struct seen);
		map_put(&bench.seen, state->uid, s);
	}
	snprintf(s->phase, sizeof(s->phase), "%s", state->phase);
	snprintf(s->reason, sizeof(s->reason), "%s", state->reason);
	snprintf(s->ip, sizeof(s->ip), "%s", state->ip);
	s->stopped = state->stopped;
	s->initialized = state->initialized;
	s->containers_ready = state->containers_ready;
	s->count = state->container_count;
	s->changes++;
	for (size_t i = 0; i < state->container_count && i < ARRAY_SIZE(s->containers); i++)
		see_container(&s->containers[i], &state->containers[i]);
	if (getenv("CONTRACT_VERBOSE"))
		for (size_t i = 0; i < s->count; i++)
			fprintf(stderr,
				"# %s %s%s: %s state=%d reason=%s code=%d restarts=%d: %s\n",
				state->uid, s->phase, s->stopped ? " stopped" : "",
				s->containers[i].name, s->containers[i].state,
				s->containers[i].reason, s->containers[i].exit_code,
				s->containers[i].restarts, s->containers[i].message);
}

static int64_t host_time_ms(void *context)
{
	(void)context;
	return bench.time_ms;
}

/* ---- the bench ---- */

static void log_write(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "# %s", line);
}

static int64_t log_clock(void *context)
{
	(void)context;
	return loop_wall_ms(bench.loop);
}

void bench_open(void)
{
	map_done(&bench.seen);
	map_init(&bench.seen, free);
	struct err e = ERR_INIT;
	if (!bench.real) {
		const struct driver_fake_config fake = {.seed = 1,
			.start_ms_min = 1,
			.start_ms_max = 20,
			.stop_ms_max = 20,
			.pull_images = true};
		bench.driver = driver_fake_new(&bench.config, &fake);
	} else if (bench.docker ? driver_docker_new(&bench.config, &bench.driver, &e)
				: driver_oci_new(&bench.config, &bench.driver, &e)) {
		fprintf(stderr, "# %s (%s:%d)\n", e.text, e.file, e.line);
		exit(1);
	}
}

int bench_setup(int argc, char **argv)
{
	bench.loop = loop_uv_new(2);
	bench.log = (struct log){
		.level = LOG_INFO, .role = "test", .wall_ms = log_clock, .write = log_write};
	bool docker = argc > 1 && str_equal(argv[1], "docker");
	bench.real = docker || (argc > 1 && str_equal(argv[1], "oci"));
	if (bench.real && argc < 7)
		return -1;
	bench.docker = docker ? argv[6] : NULL;
	bench.config = (struct driver_config){.loop = bench.loop,
		.log = &bench.log,
		.host = {.image_pull = host_image_pull,
			.network_attach = host_attach,
			.network_detach = host_detach,
			.event = host_event,
			.changed = host_changed,
			.time_ms = host_time_ms},
		.state_folder = bench.real ? argv[2] : "",
		.run_folder = bench.real ? argv[3] : "",
		.node_name = "node-1",
		.host_ip = "192.0.2.9",
		.cpu_milli = 3500,
		.memory_bytes = (int64_t)1 << 30,
		.cgroup_parent = bench.real ? argv[4] : "",
		.runtime = bench.real && !docker ? argv[6] : "",
		.docker_socket = bench.docker,
		.pull_program = getenv("PULL_PROGRAM"),
		.runtime_wrapper = getenv("RUNTIME_WRAPPER"),
		.pause_program = getenv("PAUSE_PROGRAM"),
		.backoff_ms = 200,
		.log_bytes = 40000};
	bench.rootfs = bench.real ? argv[5] : "";
	bench.privilege = "baseline";
	bench.time_ms = -1;
	bench_open();
	return 0;
}

void bench_done(void)
{
	bench.driver->ops->free(bench.driver);
	bench_objects_clear();
	bench_sleep(20);
	loop_uv_free(bench.loop);
	map_done(&bench.seen);
	buf_done(&bench.events);
}

/* ---- objects ---- */

static struct object *make_object(const struct kind *kind, const char *text)
{
	char *json CLEANUP(mem_free_ptr) = mem_dup_string(text);
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	json_t *tree CLEANUP(json_done) = NULL;
	struct object *o = NULL;
	struct err e = ERR_INIT;
	if (json_decode(json, strlen(json), &tree, &e) || object_from_json(kind, tree, &o, &e)) {
		fprintf(stderr, "# %s in %s\n", e.text, json);
		abort();
	}
	bench.revision++;
	object_stamp(o, bench.revision, bench.revision);
	return o;
}

void bench_object(const char *kind, const char *name, const char *data)
{
	char *text CLEANUP(mem_free_ptr) =
		mem_format("{'apiVersion':'v1','kind':'%s','metadata':{"
			   "'name':'%s','namespace':'default','uid':'u-%s'},"
			   "'data':%s}",
			kind, name, name, data);
	for (size_t i = 0; i < bench.objects.count; i++) {
		if (!str_equal(bench.objects.items[i]->name, name))
			continue;
		object_unref(bench.objects.items[i]);
		vec_remove(&bench.objects, i);
	}
	struct object *o =
		make_object(str_equal(kind, "Secret") ? &kind_secret : &kind_configmap, text);
	vec_push(&bench.objects, o);
}

void bench_objects_clear(void)
{
	VEC_EACH (&bench.objects, struct object *, o)
		object_unref(*o);
	vec_done(&bench.objects);
}

/* ---- operations ---- */

struct answer {
	bool done;
	struct err e;
};

static void on_done(void *arg, const struct err *e)
{
	struct answer *a = arg;
	a->done = true;
	if (e)
		a->e = *e;
}

static bool answered(void *arg)
{
	return ((struct answer *)arg)->done;
}

typedef void pod_operation(struct driver *d, const struct driver_pod *pod, driver_done *done,
	void *arg);

static void run_operation(pod_operation *operation, const char *name, const char *spec)
{
	static const char *const search[] = {"default.svc.cluster.local", "cluster.local", NULL};
	static const char *const services[] = {"WEB_SERVICE_HOST=10.0.0.1", NULL};
	char *text CLEANUP(mem_free_ptr) =
		mem_format("{'apiVersion':'v1','kind':'Pod','metadata':{"
			   "'name':'%s','namespace':'default','uid':'%s',"
			   "'labels':{'app':'web'}},'spec':%s}",
			name, name, spec);
	struct object *o CLEANUP(object_done) = make_object(&kind_pod, text);
	static const struct driver_device devices[] = {
		{"main", "continuo.dev/null", "/dev/null", "/dev/camera", "rw"},
		{"main", "continuo.dev/null", "/dev/kmsg", "/dev/camera1", "w"}};
	struct driver_pod pod = {.pod = o,
		.devices = devices,
		.device_count = strstr(spec, "continuo.dev/null") ? ARRAY_SIZE(devices) : 0,
		.objects = (const struct object *const *)bench.objects.items,
		.object_count = bench.objects.count,
		.cluster_dns = "10.96.0.10",
		.dns_search = search,
		.service_env = services,
		.privilege = bench.privilege};
	struct answer a = {0};
	operation(bench.driver, &pod, on_done, &a);
	(void)loop_uv_run_until(bench.loop, answered, &a, patience(5000));
	if (!a.done || a.e.code)
		fprintf(stderr, "# operation on %s: %s\n", name, a.done ? a.e.text : "no answer");
}

void bench_start(const char *name, const char *spec)
{
	run_operation(bench.driver->ops->start, name, spec);
}

void bench_update(const char *name, const char *spec)
{
	run_operation(bench.driver->ops->update, name, spec);
}

void bench_stop_only(const char *name, int64_t grace_s)
{
	static struct answer ignored;
	bench.driver->ops->stop(bench.driver, name, grace_s, on_done, &ignored);
}

void bench_stop(const char *name, int64_t grace_s)
{
	struct answer a = {0};
	bench.driver->ops->stop(bench.driver, name, grace_s, on_done, &a);
	if (!loop_uv_run_until(bench.loop, answered, &a, patience(20000)))
		fprintf(stderr, "# %s does not stop\n", name);
}

/* ---- what is seen ---- */

const struct seen *bench_seen(const char *name)
{
	static const struct seen nothing;
	const struct seen *s = map_get(&bench.seen, name);
	return s ? s : &nothing;
}

const struct seen_container *bench_container(const char *name, size_t index)
{
	return &bench_seen(name)->containers[index];
}

struct waiting {
	bool (*condition)(const char *name);
	const char *name;
};

static bool waited(void *arg)
{
	struct waiting *w = arg;
	return w->condition(w->name);
}

bool bench_wait(bool (*condition)(const char *name), const char *name, int64_t timeout_ms)
{
	struct waiting w = {condition, name};
	return loop_uv_run_until(bench.loop, waited, &w, patience(timeout_ms));
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void bench_sleep(int64_t ms)
{
	(void)loop_uv_run_until(bench.loop, never, NULL, ms);
}

bool bench_event(const char *name, const char *reason)
{
	char *text CLEANUP(mem_free_ptr) = mem_format("%s %s ", name, reason);
	return strstr(buf_text(&bench.events), text) != NULL;
}

bool is_running(const char *name)
{
	return str_equal(bench_seen(name)->phase, "Running");
}

bool is_ready(const char *name)
{
	return bench_seen(name)->containers_ready;
}

bool is_succeeded(const char *name)
{
	return str_equal(bench_seen(name)->phase, "Succeeded");
}

bool is_failed(const char *name)
{
	return str_equal(bench_seen(name)->phase, "Failed");
}

bool is_waiting_with_reason(const char *name)
{
	const struct seen_container *c = bench_container(name, 0);
	return c->state == CONTAINER_WAITING && c->reason[0] &&
	       !str_equal(c->reason, "ContainerCreating");
}

/* ---- what is left ---- */

bool bench_process_is_gone(int pid)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("/proc/%d/stat", pid);
	char state = 'Z'; /* what is gone, or waits to be reaped */
	FILE *file = fopen(path, "re");
	if (file && fscanf(file, "%*d %*s %c", &state) != 1)
		state = 'Z';
	if (file)
		fclose(file);
	return state == 'Z';
}

bool bench_is_clean(const char *name)
{
	(void)name;
	CLEANUP(mem_free_ptr) char *exits = mem_format("%s/exits/*", bench.config.run_folder);
	CLEANUP(mem_free_ptr)
	char *command = mem_format(
		"! ls %s 2>/dev/null && ! grep -q '%s/' /proc/self/mounts && ! find /sys/fs/cgroup "
		"-path '*%s/pod-*' -type d 2>/dev/null | grep .",
		exits, bench.config.run_folder, bench.config.cgroup_parent);
	return system(command) == 0;
}

/* ---- exec and logs ---- */

struct output {
	struct buf text;
	bool done;
	int code;
	const char *until;
};

static void on_output(void *arg, const char *data, size_t size)
{
	struct output *o = arg;
	buf_append(&o->text, data, size);
}

static void on_exit_code(void *arg, int exit_code, const struct err *e)
{
	struct output *o = arg;
	if (e)
		buf_append_string(&o->text, e->text);
	o->code = exit_code;
	o->done = true;
}

static void on_end(void *arg, const struct err *e)
{
	struct output *o = arg;
	if (e)
		buf_append_string(&o->text, e->text);
	o->done = true;
}

static bool output_done(void *arg)
{
	struct output *o = arg;
	return o->done || (o->until && strstr(buf_text(&o->text), o->until));
}

char *bench_exec(const char *name, const char *script, int *ret_code)
{
	const char *const command[] = {"/bin/sh", "-c", script, NULL};
	struct output o = {.code = -1};
	struct driver_exec_call *call;
	const struct driver_exec spec = {.command = command,
		.on_stdout = on_output,
		.on_stderr = on_output,
		.on_exit = on_exit_code,
		.arg = &o};
	bench.driver->ops->exec(bench.driver, name, &spec, &call);
	(void)loop_uv_run_until(bench.loop, output_done, &o, patience(10000));
	if (ret_code)
		*ret_code = o.code;
	return buf_take(&o.text, NULL);
}

char *bench_logs(const char *name, const struct driver_logs *from)
{
	struct output o = {0};
	struct driver_logs spec = *from;
	spec.on_data = on_output;
	spec.on_end = on_end;
	spec.arg = &o;
	(void)!bench.driver->ops->logs(bench.driver, name, &spec);
	(void)loop_uv_run_until(bench.loop, output_done, &o, patience(10000));
	return buf_take(&o.text, NULL);
}

char *bench_follow(const char *name, const char *until, bool *ret_ended)
{
	struct output o = {.until = until};
	const struct driver_logs spec = {.follow = true,
		.tail_lines = -1,
		.on_data = on_output,
		.on_end = on_end,
		.arg = &o};
	struct driver_logs_call *call = bench.driver->ops->logs(bench.driver, name, &spec);
	(void)loop_uv_run_until(bench.loop, output_done, &o, patience(10000));
	if (!o.done)
		bench.driver->ops->logs_cancel(call);
	*ret_ended = o.done;
	return buf_take(&o.text, NULL);
}

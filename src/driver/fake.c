/*
 * An engine whose containers exist in memory only: every delay and every crash comes from the seed,
 * over loop.h. The life cycle above it is the real one (pod.c).
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "base/time.h"
#include "driver/container.h"
#include "driver/fake_script.h"
#include "driver/pod.h"

#define LOG_MAX ((size_t)4096) /* bytes kept of a run's output */

struct fake {
	struct container_engine base;
	struct driver_config config;
	struct driver_fake_config fake;
	struct container_events events;
	struct rand rand;
	struct map containers; /* id → struct fake_container */
	struct map logs;       /* "UID/NAME/ATTEMPT" → struct fake_log */
	int pids;
	int references; /* the driver's, and one of each call under way */
	bool closed;
};

struct fake_log {
	struct buf text; /* lines "TIME TEXT" */
	bool ended;
};

struct fake_container {
	struct fake *fake;
	char id[CONTAINER_ID_SIZE];
	char *uid, *log_key;
	struct fake_script script;
	struct loop_timer *timer;       /* the script's next step */
	struct loop_timer *crash_timer; /* also the end after a signal */
	bool running;
	int pid, exit_code;
};

static struct fake *fake_of(struct container_engine *x)
{
	return CONTAINER_OF(x, struct fake, base);
}

static void fake_unref(struct fake *f)
{
	if (--f->references > 0)
		return;
	map_done(&f->containers);
	map_done(&f->logs);
	free(f);
}

static void fake_log_free(void *value)
{
	struct fake_log *l = value;
	buf_done(&l->text);
	free(l);
}

static void fake_tell(struct fake_container *c, bool began)
{
	const struct fake *f = c->fake;
	if (f->fake.ran)
		f->fake.ran(f->config.host.context, c->uid, began);
}

static void fake_container_free(void *value)
{
	struct fake_container *c = value;
	if (c->running && !c->fake->closed)
		fake_tell(c, false);
	loop_timer_free(c->timer);
	loop_timer_free(c->crash_timer);
	fake_script_done(&c->script);
	free(c->uid);
	free(c->log_key);
	free(c);
}

/* ---- calls that answer later ---- */

struct fake_call {
	struct fake *fake;
	struct loop_timer *timer;
	container_done *done;
	void (*sandbox)(void *arg, const char *netns_path, const struct err *e);
	void (*run)(void *arg, int pid, const struct err *e);
	struct fake_container *container;
	void *arg;
};

static void fake_begin(struct fake_container *c);

static void fake_answer(void *arg)
{
	struct fake_call *call = arg;
	struct fake *f = call->fake;
	if (call->sandbox)
		call->sandbox(call->arg, "", NULL);
	else if (call->done)
		call->done(call->arg, NULL);
	else if (call->run && !f->closed) {
		struct fake_container *c = call->container;
		c->running = true;
		c->pid = ++f->pids;
		fake_tell(c, true);
		call->run(call->arg, c->pid, NULL);
		fake_begin(c);
	} else if (call->run) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_CANCELLED, "the driver was closed");
		call->run(call->arg, 0, &e);
	}
	loop_timer_free(call->timer);
	fake_unref(f);
	free(call);
}

static struct fake_call *fake_call_new(struct fake *f, void *arg)
{
	struct fake_call *call = mem_new(struct fake_call);
	*call = (struct fake_call){.fake = f, .arg = arg};
	f->references++;
	return call;
}

static void fake_later(struct fake *f, container_done *done, void *arg)
{
	struct fake_call *call = fake_call_new(f, arg);
	call->done = done;
	loop_defer(f->config.loop, fake_answer, call);
}

/* ---- a container's life ---- */

static void fake_write(struct fake_container *c, const char *text, size_t size)
{
	struct fake_log *l = map_get(&c->fake->logs, c->log_key);
	char stamp[TIME_TEXT_SIZE];
	time_format_micro(loop_wall_ms(c->fake->config.loop), stamp);
	while (l && size > 0 && l->text.size < LOG_MAX) {
		size_t line = 1 + (size_t)((const char *)memchr(text, '\n', size) - text);
		buf_printf(&l->text, "%s %.*s", stamp, (int)line, text);
		text += line;
		size -= line;
	}
}

static void fake_end(struct fake_container *c, int exit_code)
{
	struct fake *f = c->fake;
	struct fake_log *l = map_get(&f->logs, c->log_key);
	struct container_status status = {.id = c->id,
		.pod_uid = c->uid,
		.exit_code = exit_code,
		.finished_ms = loop_wall_ms(f->config.loop)};
	if (!c->running)
		return;
	c->running = false;
	fake_tell(c, false);
	loop_timer_stop(c->timer);
	loop_timer_stop(c->crash_timer);
	if (l)
		l->ended = true;
	f->events.on_exit(f->events.arg, &status);
}

static void fake_step(void *arg)
{
	struct fake_container *c = arg;
	CLEANUP(buf_done) struct buf output = BUF_INIT;
	int64_t sleep_ms;
	enum fake_pause pause = fake_script_run(&c->script, &output, &sleep_ms);
	fake_write(c, buf_text(&output), output.size);
	if (pause == FAKE_SLEEPS)
		loop_timer_start(c->timer, sleep_ms);
	else if (pause == FAKE_EXITS)
		fake_end(c, c->script.exit_code);
}

static void fake_on_crash(void *arg)
{
	struct fake_container *c = arg;
	fake_end(c, c->exit_code);
}

static void fake_begin(struct fake_container *c)
{
	struct fake *f = c->fake;
	int64_t mean_ms = f->fake.crash_mean_ms;
	if (!c->script.text)
		fake_write(c, "fake\n", 5);
	c->exit_code = 1;
	loop_timer_start(c->timer, 0);
	if (mean_ms > 0)
		loop_timer_start(c->crash_timer, rand_between(&f->rand, 1, 2 * mean_ms));
}

/* ---- the vtable ---- */

static void fake_set_events(struct container_engine *x, const struct container_events *events)
{
	fake_of(x)->events = *events;
}

static void fake_probe(struct container_engine *x,
	void (*done)(void *arg, const struct driver_probe *p), void *arg)
{
	(void)x;
	const struct driver_probe p = {.ready = true, .name = "fake", .version = "1"};
	done(arg, &p);
}

static void fake_sandbox_start(struct container_engine *x, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg)
{
	struct fake *f = fake_of(x);
	struct fake_call *call = fake_call_new(f, arg);
	(void)pod;
	call->sandbox = done;
	loop_defer(f->config.loop, fake_answer, call);
}

static void fake_sandbox_stop(struct container_engine *x, const char *uid, container_done *done,
	void *arg)
{
	struct fake *f = fake_of(x);
	MAP_EACH (&f->containers, entry) {
		const struct fake_container *c = entry->value;
		if (str_equal(c->uid, uid))
			(void)map_remove(&f->containers, entry->key);
	}
	fake_later(f, done, arg);
}

static struct fake_container *fake_container_new(struct fake *f, const struct container_spec *spec)
{
	struct fake_container *c = mem_new(struct fake_container);
	struct fake_log *log = mem_new(struct fake_log);
	*c = (struct fake_container){.fake = f,
		.uid = mem_dup_string(spec->pod.uid),
		.log_key = mem_format("%s/%s/%d", spec->pod.uid, spec->name, spec->attempt)};
	memcpy(c->id, spec->id, sizeof(c->id));
	c->timer = loop_timer_new(f->config.loop, fake_step, c);
	c->crash_timer = loop_timer_new(f->config.loop, fake_on_crash, c);
	fake_script_init(&c->script, spec->args);
	map_put(&f->containers, c->id, c);
	map_put(&f->logs, c->log_key, log);
	CLEANUP(mem_free_ptr)
	char *old = mem_format("%s/%s/%d", spec->pod.uid, spec->name, spec->attempt - 2);
	(void)map_remove(&f->logs, old);
	return c;
}

static void fake_run(struct container_engine *x, const struct container_spec *spec,
	void (*done)(void *arg, int pid, const struct err *e), void *arg)
{
	struct fake *f = fake_of(x);
	struct fake_call *call = fake_call_new(f, arg);
	call->run = done;
	call->container = fake_container_new(f, spec);
	call->timer = loop_timer_new(f->config.loop, fake_answer, call);
	loop_timer_start(call->timer,
		rand_between(&f->rand, f->fake.start_ms_min, f->fake.start_ms_max));
}

static int fake_signal(struct container_engine *x, const char *id, int signal, struct err *e)
{
	struct fake *f = fake_of(x);
	struct fake_container *c = map_get(&f->containers, id);
	if (!c || !c->running)
		return err_set(e, ERR_NOT_FOUND, "container %s does not run", id);
	const struct fake_script *s = &c->script;
	if (signal != SIGKILL && s->traps && s->trap_exit < 0)
		return 0;
	c->exit_code = signal == SIGKILL ? 137 : s->traps ? s->trap_exit : 143;
	loop_timer_start(c->crash_timer,
		signal == SIGKILL ? 0 : rand_between(&f->rand, 0, f->fake.stop_ms_max));
	return 0;
}

static void fake_remove(struct container_engine *x, const char *id, container_done *done, void *arg)
{
	struct fake *f = fake_of(x);
	(void)map_remove(&f->containers, id);
	fake_later(f, done, arg);
}

static int fake_list(struct container_engine *x,
	void (*each_pod)(void *arg, const char *uid, const char *spec, const char *record),
	void (*each_container)(void *arg, const struct container_status *status), void *arg,
	struct err *e)
{
	(void)x, (void)each_pod, (void)each_container, (void)arg, (void)e;
	return 0; /* nothing outlives its process */
}

static int fake_keep(struct container_engine *x, const char *uid, const char *spec,
	const char *record, struct err *e)
{
	(void)x, (void)uid, (void)spec, (void)record, (void)e;
	return 0;
}

static void fake_update(struct container_engine *x, const struct container_pod *pod,
	container_done *done, void *arg)
{
	(void)pod;
	fake_later(fake_of(x), done, arg);
}

static void fake_forget(struct container_engine *x, const char *uid, container_done *done,
	void *arg)
{
	struct fake *f = fake_of(x);
	CLEANUP(mem_free_ptr) char *prefix = mem_format("%s/", uid);
	MAP_EACH (&f->logs, entry)
		if (str_starts(entry->key, prefix))
			(void)map_remove(&f->logs, entry->key);
	fake_later(f, done, arg);
}

static int fake_stats(struct container_engine *x, const char *uid, int64_t *ret_cpu_ns,
	int64_t *ret_memory_bytes, struct err *e)
{
	struct fake *f = fake_of(x);
	(void)e;
	*ret_cpu_ns = loop_now_ms(f->config.loop) * 1000;
	*ret_memory_bytes = 0;
	MAP_EACH (&f->containers, entry) {
		const struct fake_container *c = entry->value;
		if (str_equal(c->uid, uid))
			*ret_memory_bytes += 1 << 20;
	}
	return 0;
}

static void fake_free(struct container_engine *x)
{
	struct fake *f = fake_of(x);
	f->closed = true;
	MAP_EACH (&f->containers, entry) {
		struct fake_container *c = entry->value;
		loop_timer_stop(c->timer);
		loop_timer_stop(c->crash_timer);
	}
	fake_unref(f);
}

/* ---- logs ---- */

struct fake_logs {
	struct driver_logs_call base;
	struct fake *fake;
	struct driver_logs spec;
	char *key;
	struct loop_timer *timer;
	size_t given; /* bytes of the log */
	int64_t skip; /* lines, for the tail */
	int64_t limit;
	bool paused, cancelled;
};

static void fake_logs_give(struct fake_logs *l, const char *line, size_t size)
{
	size_t stamp = l->spec.timestamps ? 0 : strcspn(line, " ") + 1;
	size -= stamp;
	if (l->limit >= 0 && (int64_t)size > l->limit)
		size = (size_t)l->limit;
	if (l->limit >= 0)
		l->limit -= (int64_t)size;
	if (size)
		l->spec.on_data(l->spec.arg, line + stamp, size);
}

/* Followers look every 10 ms: there is nothing below that could tell. */
static void fake_logs_run(void *arg)
{
	struct fake_logs *l = arg;
	const struct fake_log *log = map_get(&l->fake->logs, l->key);
	const char *text = log ? buf_text(&log->text) : "";
	if (!log) /* removed with its pod, in the midst of being read */
		l->given = 0;
	bool more = log && !log->ended && l->spec.follow && !l->fake->closed;
	while (text[l->given] && !l->paused && !l->cancelled) {
		size_t size = strcspn(text + l->given, "\n") + 1;
		if (l->skip > 0)
			l->skip--;
		else
			fake_logs_give(l, text + l->given, size);
		l->given += size;
	}
	if (l->paused && !l->cancelled)
		return;
	if (more && !l->cancelled) {
		loop_timer_start(l->timer, 10);
		return;
	}
	if (!l->cancelled)
		l->spec.on_end(l->spec.arg, NULL);
	loop_timer_free(l->timer);
	fake_unref(l->fake);
	free(l->key);
	free(l);
}

static struct driver_logs_call *fake_logs(struct container_engine *x, const char *uid,
	const char *name, int attempt, bool live, const struct driver_logs *spec)
{
	struct fake *f = fake_of(x);
	struct fake_logs *l = mem_new(struct fake_logs);
	*l = (struct fake_logs){.base.ops = x->ops,
		.fake = f,
		.spec = *spec,
		.key = mem_format("%s/%s/%d", uid, name, attempt),
		.limit = spec->limit_bytes > 0 ? spec->limit_bytes : -1};
	const struct fake_log *log = map_get(&f->logs, l->key);
	int64_t lines = 0;
	for (const char *c = log ? buf_text(&log->text) : ""; *c; c++)
		lines += *c == '\n';
	if (spec->tail_lines >= 0 && lines > spec->tail_lines)
		l->skip = lines - spec->tail_lines;
	l->spec.follow = spec->follow && live;
	l->timer = loop_timer_new(f->config.loop, fake_logs_run, l);
	f->references++;
	loop_timer_start(l->timer, 0);
	return &l->base;
}

static void fake_logs_cancel(struct driver_logs_call *call)
{
	struct fake_logs *l = CONTAINER_OF(call, struct fake_logs, base);
	l->cancelled = true;
	loop_timer_start(l->timer, 0);
}

static void fake_logs_pause(struct driver_logs_call *call, bool paused)
{
	struct fake_logs *l = CONTAINER_OF(call, struct fake_logs, base);
	l->paused = paused;
	if (!paused)
		loop_timer_start(l->timer, 0);
}

/* ---- exec ---- */

struct fake_exec {
	struct driver_exec_call base;
	struct fake *fake;
	struct loop_timer *timer; /* its next turn */
	struct driver_exec spec;
	struct fake_script script;
	bool cancelled;
};

static void fake_exec_run(void *arg)
{
	struct fake_exec *x = arg;
	CLEANUP(buf_done) struct buf output = BUF_INIT;
	int64_t sleep_ms = 0;
	enum fake_pause pause = FAKE_EXITS;
	if (!x->cancelled && !x->fake->closed)
		pause = fake_script_run(&x->script, &output, &sleep_ms);
	if (!x->cancelled && output.size && x->spec.on_stdout)
		x->spec.on_stdout(x->spec.arg, buf_text(&output), output.size);
	if (pause == FAKE_SLEEPS) {
		loop_timer_start(x->timer, sleep_ms);
		return;
	}
	if (!x->cancelled)
		x->spec.on_exit(x->spec.arg, x->script.exit_code, NULL);
	fake_script_done(&x->script);
	loop_timer_free(x->timer);
	fake_unref(x->fake);
	free(x);
}

static void fake_exec(struct container_engine *engine, const char *id,
	const struct driver_exec *spec, struct driver_exec_call **ret_call)
{
	struct fake *f = fake_of(engine);
	struct fake_exec *x = mem_new(struct fake_exec);
	(void)id;
	*x = (struct fake_exec){.base.ops = engine->ops, .fake = f, .spec = *spec};
	fake_script_init(&x->script, spec->command);
	f->references++;
	x->timer = loop_timer_new(f->config.loop, fake_exec_run, x);
	loop_timer_start(x->timer, 0);
	*ret_call = &x->base;
}

static void fake_exec_input(struct driver_exec_call *call, const void *data, size_t size)
{
	struct fake_exec *x = CONTAINER_OF(call, struct fake_exec, base);
	if (!x->cancelled && size && x->spec.on_stdout)
		x->spec.on_stdout(x->spec.arg, data, size);
}

static size_t fake_exec_queued(const struct driver_exec_call *call)
{
	(void)call;
	return 0; /* taken at once */
}

static void fake_exec_pause(struct driver_exec_call *call, bool paused)
{
	(void)call, (void)paused; /* all it writes comes together with its exit */
}

static void fake_exec_cancel(struct driver_exec_call *call)
{
	struct fake_exec *x = CONTAINER_OF(call, struct fake_exec, base);
	x->cancelled = true;
	loop_timer_start(x->timer, 0);
}

static const struct container_engine_ops fake_ops = {.name = "fake",
	.set_events = fake_set_events,
	.probe = fake_probe,
	.sandbox_start = fake_sandbox_start,
	.sandbox_stop = fake_sandbox_stop,
	.run = fake_run,
	.signal = fake_signal,
	.remove = fake_remove,
	.list = fake_list,
	.keep = fake_keep,
	.update = fake_update,
	.forget = fake_forget,
	.stats = fake_stats,
	.logs = fake_logs,
	.logs_cancel = fake_logs_cancel,
	.logs_pause = fake_logs_pause,
	.exec = fake_exec,
	.exec_input = fake_exec_input,
	.exec_queued = fake_exec_queued,
	.exec_pause = fake_exec_pause,
	.exec_cancel = fake_exec_cancel,
	.free = fake_free};

bool driver_fake_kill(struct driver *d, const char *pod_uid)
{
	struct fake *f = fake_of(CONTAINER_OF(d, struct pods, base)->engine);
	bool any = false;
	MAP_EACH (&f->containers, entry) {
		struct fake_container *c = entry->value;
		if (!str_equal(c->uid, pod_uid))
			continue;
		any = true;
		if (c->running)
			(void)fake_signal(&f->base, c->id, SIGKILL, NULL);
	}
	return any;
}

struct driver *driver_fake_new(const struct driver_config *config,
	const struct driver_fake_config *fake)
{
	struct fake *f = mem_new(struct fake);
	struct driver *driver = NULL;
	struct driver_config own = *config;
	if (!fake->pull_images)
		own.host.image_pull = NULL;
	f->base.ops = &fake_ops;
	f->config = *config;
	f->fake = *fake;
	f->references = 1;
	rand_init(&f->rand, fake->seed);
	map_init(&f->containers, fake_container_free);
	map_init(&f->logs, fake_log_free);
	if (pods_new(&own, &f->base,
		    DRIVER_EXEC | DRIVER_STATS | DRIVER_UPDATE | DRIVER_DEVICES | DRIVER_FENCES,
		    &driver, NULL))
		abort(); /* its list cannot fail */
	return driver;
}

#include "driver/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* ---- the specification ---- */

static const char *const probe_fields[PROBE_KINDS] = {
	[PROBE_STARTUP] = "startupProbe",
	[PROBE_LIVENESS] = "livenessProbe",
	[PROBE_READINESS] = "readinessProbe",
};

/* A number, a name of one of the container's ports, or a number as text. 0: none of these. */
static int probe_port(const json_t *container, const json_t *port)
{
	if (json_is_integer(port))
		return (int)json_integer_value(port);
	const char *name = json_text_or(port, "");
	size_t i;
	json_t *item;
	json_array_foreach (json_at(container, "ports"), i, item)
		if (str_equal(json_text(item, "", "name"), name))
			return (int)json_int(item, 0, "containerPort");
	int64_t number = 0;
	return str_to_int64(name, "port", &number, NULL) ? 0 : (int)number;
}

/* A line break in what the pod names would begin a line, or a request, of its own. */
static bool probe_is_clean(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static const char *probe_http_request(struct probe_spec *s, const json_t *get)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	const char *path = json_text(get, "/", "path");
	bool has_agent = false, has_accept = false;
	size_t i;
	json_t *header;
	if (!probe_is_clean(path) || strchr(path, ' '))
		return "the path of an HTTP request must have no blanks and no control characters";
	buf_printf(&b, "GET %s%s HTTP/1.1\r\n", *path == '/' ? "" : "/", path);
	json_array_foreach (json_at(get, "httpHeaders"), i, header) {
		const char *name = json_text(header, "", "name");
		const char *value = json_text(header, "", "value");
		if (!*name || !probe_is_clean(name) || !probe_is_clean(value))
			return "the httpHeaders must have no control characters";
		s->has_host = s->has_host || strcasecmp(name, "host") == 0;
		has_agent = has_agent || strcasecmp(name, "user-agent") == 0;
		has_accept = has_accept || strcasecmp(name, "accept") == 0;
		if (*value)
			buf_printf(&b, "%s: %s\r\n", name, value);
	}
	if (!has_agent)
		buf_append_string(&b, "User-Agent: kube-probe/1.30\r\n");
	if (!has_accept)
		buf_append_string(&b, "Accept: */*\r\n");
	buf_append_string(&b, "Connection: close\r\n");
	s->request = buf_take(&b, NULL);
	return NULL;
}

static char **probe_command(const json_t *list)
{
	size_t count = json_array_size(list);
	char **command = mem_alloc_array(count + 1, sizeof(*command));
	for (size_t i = 0; i < count; i++)
		command[i] = mem_dup_string(json_text_or(json_array_get(list, i), ""));
	return command;
}

static const char *probe_read_action(struct probe_spec *s, const json_t *container,
	const json_t *probe)
{
	const json_t *exec = json_at(probe, "exec"), *get = json_at(probe, "httpGet"),
		     *tcp = json_at(probe, "tcpSocket");
	if (exec) {
		s->action = PROBE_EXEC;
		s->command = probe_command(json_at(exec, "command"));
		return s->command[0] ? NULL : "exec needs a command";
	}
	if (!get && !tcp)
		return "only exec, httpGet and tcpSocket are supported";
	const json_t *from = get ? get : tcp;
	s->action = get ? PROBE_HTTP : PROBE_TCP;
	s->port = probe_port(container, json_at(from, "port"));
	const char *host = json_text(from, "", "host");
	s->host = *host ? mem_dup_string(host) : NULL;
	s->https = get && str_equal(json_text(get, "HTTP", "scheme"), "HTTPS");
	if (s->port <= 0 || s->port > 65535)
		return "the port that it names is no port of the container";
	return get ? probe_http_request(s, get) : NULL;
}

struct probe_spec *probe_spec_new(const json_t *container, enum probe_kind kind,
	const char **ret_problem)
{
	*ret_problem = NULL;
	const json_t *probe = json_at(container, probe_fields[kind]);
	if (!json_is_object(probe))
		return NULL;
	struct probe_spec *s = mem_new(struct probe_spec);
	s->initial_delay_ms = json_int(probe, 0, "initialDelaySeconds") * 1000;
	s->period_ms = json_int(probe, 10, "periodSeconds") * 1000;
	s->timeout_ms = json_int(probe, 1, "timeoutSeconds") * 1000;
	s->success_threshold = (int)json_int(probe, 1, "successThreshold");
	s->failure_threshold = (int)json_int(probe, 3, "failureThreshold");
	if (s->period_ms <= 0)
		s->period_ms = 10000;
	if (s->timeout_ms <= 0)
		s->timeout_ms = 1000;
	if (s->failure_threshold <= 0)
		s->failure_threshold = 3;
	s->grace_ms = json_int(probe, -1, "terminationGracePeriodSeconds");
	if (s->grace_ms > 0)
		s->grace_ms *= 1000;
	*ret_problem = probe_read_action(s, container, probe);
	if (!*ret_problem)
		return s;
	probe_spec_free(s);
	return NULL;
}

struct probe_spec *probe_spec_hook(const json_t *container, const char *hook,
	const char **ret_problem)
{
	*ret_problem = NULL;
	const json_t *handler = json_at(container, "lifecycle", hook);
	if (!json_is_object(handler))
		return NULL;
	struct probe_spec *s = mem_new(struct probe_spec);
	s->any_status = true;
	if (json_at(handler, "sleep")) {
		s->action = PROBE_SLEEP;
		s->sleep_ms = json_int(handler, 0, "sleep", "seconds") * 1000;
	} else if (json_at(handler, "tcpSocket")) {
		*ret_problem = "tcpSocket is no action of a hook: use exec, httpGet or sleep";
	} else {
		*ret_problem = probe_read_action(s, container, handler);
	}
	if (!*ret_problem)
		return s;
	probe_spec_free(s);
	return NULL;
}

void probe_spec_free(struct probe_spec *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->command && s->command[i]; i++)
		free(s->command[i]);
	free(s->command);
	free(s->host);
	free(s->request);
	free(s);
}

/* ---- the watch ---- */

struct probe_watch;

/* One probe in its periods. */
struct probe_line {
	struct probe_watch *watch;
	enum probe_kind kind;
	const struct probe_spec *spec; /* null: no such probe */
	struct loop_timer *timer;
	struct probe_check *check;
	int64_t asked_ms;
	int successes, failures; /* in a row */
	bool ok;                 /* the last verdict */
};

struct probe_watch {
	struct probe_target target;
	struct probe_events events;
	struct probe_line lines[PROBE_KINDS];
	bool *freed; /* set when freed from inside a callback */
};

static void probe_line_end(struct probe_line *l)
{
	loop_timer_free(l->timer);
	probe_check_cancel(l->check);
	l->timer = NULL;
	l->check = NULL;
}

static void probe_line_ask(void *arg);

static void probe_line_begin(struct probe_watch *w, enum probe_kind kind)
{
	struct probe_line *l = &w->lines[kind];
	if (!l->spec)
		return;
	l->timer = loop_timer_new(w->target.loop, probe_line_ask, l);
	loop_timer_start(l->timer, l->spec->initial_delay_ms);
}

static void probe_line_passed(struct probe_line *l)
{
	struct probe_watch *w = l->watch;
	l->failures = 0;
	if (++l->successes < l->spec->success_threshold || l->ok)
		return;
	l->ok = true;
	if (l->kind == PROBE_STARTUP) {
		probe_line_end(l);
		probe_line_begin(w, PROBE_LIVENESS);
		probe_line_begin(w, PROBE_READINESS);
		w->events.on_started(w->events.arg);
	} else if (l->kind == PROBE_READINESS) {
		w->events.on_ready(w->events.arg, true);
	}
}

static void probe_line_failed(struct probe_line *l, const char *text)
{
	struct probe_watch *w = l->watch;
	bool freed = false;
	l->successes = 0;
	w->freed = &freed;
	w->events.on_failure(w->events.arg, l->kind, text);
	if (freed)
		return;
	w->freed = NULL;
	if (++l->failures < l->spec->failure_threshold)
		return;
	if (l->kind != PROBE_READINESS) {
		probe_line_end(l); /* on hold until the container runs anew */
		w->events.on_dead(w->events.arg, l->kind, text);
	} else if (l->ok) {
		l->ok = false;
		w->events.on_ready(w->events.arg, false);
	}
}

static void probe_line_answer(void *arg, bool ok, const char *text)
{
	struct probe_line *l = arg;
	int64_t late_ms = loop_now_ms(l->watch->target.loop) - l->asked_ms;
	l->check = NULL;
	loop_timer_start(l->timer, l->spec->period_ms - late_ms);
	if (ok)
		probe_line_passed(l);
	else
		probe_line_failed(l, text);
}

static void probe_line_ask(void *arg)
{
	struct probe_line *l = arg;
	l->asked_ms = loop_now_ms(l->watch->target.loop);
	l->check = probe_check_start(l->spec, &l->watch->target, probe_line_answer, l);
}

struct probe_watch *probe_watch_new(struct probe_spec *const specs[static PROBE_KINDS],
	const struct probe_target *t, bool started, bool ready, const struct probe_events *events)
{
	struct probe_watch *w = mem_new(struct probe_watch);
	w->target = *t;
	w->events = *events;
	for (int i = 0; i < PROBE_KINDS; i++)
		w->lines[i] = (struct probe_line){
			.watch = w, .kind = (enum probe_kind)i, .spec = specs[i]};
	w->lines[PROBE_READINESS].ok = ready;
	if (specs[PROBE_STARTUP] && !started) {
		probe_line_begin(w, PROBE_STARTUP);
		return w;
	}
	probe_line_begin(w, PROBE_LIVENESS);
	probe_line_begin(w, PROBE_READINESS);
	return w;
}

void probe_watch_free(struct probe_watch *w)
{
	if (!w)
		return;
	if (w->freed)
		*w->freed = true;
	for (int i = 0; i < PROBE_KINDS; i++)
		probe_line_end(&w->lines[i]);
	free(w);
}

#include "cli/adopt_spec.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define NANOS_PER_SECOND 1000000000
#define DOCKER_STOP_SECONDS 10
#define GRACE_MAX_SECONDS 3600

void adopt_spec_warn(const struct adopt_spec *s, const char *format, ...)
{
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(s->warnings, json_string(text));
}

void adopt_label(const char *text, char ret_label[static ADOPT_LABEL_SIZE])
{
	size_t size = 0;
	for (; *text && size < ADOPT_LABEL_SIZE - 1; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = isascii(c) && isalnum(c);
		if (plain)
			ret_label[size++] = (char)tolower(c);
		else if (size && ret_label[size - 1] != '-')
			ret_label[size++] = '-';
	}
	while (size && ret_label[size - 1] == '-')
		size--;
	ret_label[size] = '\0';
	if (!size)
		(void)str_copy(ret_label, ADOPT_LABEL_SIZE, "x");
}

/* ---- image, command, environment ---- */

/* Kubernetes expands $(NAME) and takes $$ for $; Docker takes both as they are. */
static json_t *literal(const char *text)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	for (; *text; text++) {
		buf_append_char(&b, *text);
		if (*text == '$' && (text[1] == '$' || text[1] == '('))
			buf_append_char(&b, '$');
	}
	return json_string(buf_text(&b));
}

static json_t *literals(const json_t *list)
{
	json_t *copy = json_array(), *item;
	size_t i;
	json_array_foreach (list, i, item)
		json_array_append_new(copy, literal(json_text_or(item, "")));
	return copy;
}

/* "sha256:HEX", HEX, or the beginning of it that somebody typed. */
static bool is_id(const struct adopt_spec *s, const char *ref)
{
	const char *id = json_text(s->image, "", "Id");
	if (str_starts(id, "sha256:") && *ref && str_starts(id + strlen("sha256:"), ref))
		return true;
	return str_starts(ref, "sha256:") || (strlen(ref) == 64 && !strpbrk(ref, ":/."));
}

static void map_image(const struct adopt_spec *s, json_t *out)
{
	const char *ref = json_text(s->container, "", "Config", "Image");
	const json_t *tags = json_at(s->image, "RepoTags"),
		     *digests = json_at(s->image, "RepoDigests");
	if (is_id(s, ref)) {
		const char *named = json_text_or(json_array_get(tags, 0), NULL);
		named = named ? named : json_text_or(json_array_get(digests, 0), NULL);
		ref = named ? named : ref;
		if (!named)
			adopt_spec_warn(s, "its image has no name: set one before it is rolled "
					   "out");
	}
	if (s->image && json_array_size(digests) == 0)
		adopt_spec_warn(s,
			"image %s is in no registry that Docker knows of: a roll-out needs it in "
			"one",
			ref);
	json_object_set_new(out, "image", json_string(ref));
	json_object_set_new(out, "imagePullPolicy", json_string("IfNotPresent"));
}

static bool same(const json_t *a, const json_t *b)
{
	if (json_array_size(a) == 0 && json_array_size(b) == 0)
		return true;
	return a && b && json_equal(a, b);
}

/* Docker keeps the image's own with the container: only what differs is said. An entrypoint of the
 * container's own hides the image's command, as in Kubernetes. */
static void map_command(const struct adopt_spec *s, json_t *out)
{
	const json_t *entry = json_at(s->container, "Config", "Entrypoint"),
		     *cmd = json_at(s->container, "Config", "Cmd");
	bool own = !same(entry, json_at(s->image, "Config", "Entrypoint"));
	if (own && json_array_size(entry))
		json_object_set_new(out, "command", literals(entry));
	else if (own && json_array_size(cmd)) /* the image's entrypoint was emptied */
		json_object_set_new(out, "command", literals(cmd));
	bool args = json_array_size(cmd) && (own ? json_array_size(entry) > 0
						 : !same(cmd, json_at(s->image, "Config", "Cmd")));
	if (args)
		json_object_set_new(out, "args", literals(cmd));
}

static bool has(const json_t *list, const char *text)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (str_equal(json_text_or(item, ""), text))
			return true;
	return false;
}

/* What the API takes for the name of a variable; Docker takes all without a "=". */
static bool is_env_name(const char *name)
{
	return !isdigit((unsigned char)*name) &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "-_.")] == '\0';
}

static void map_env(const struct adopt_spec *s, json_t *out)
{
	const json_t *from_image = json_at(s->image, "Config", "Env");
	json_t *env = json_array(), *item;
	size_t i;
	json_array_foreach (json_at(s->container, "Config", "Env"), i, item) {
		const char *text = json_text_or(item, ""), *equals = strchr(text, '=');
		if (has(from_image, text) || equals == text)
			continue;
		CLEANUP(mem_free_ptr)
		char *name = equals ? mem_dup_bytes(text, (size_t)(equals - text))
				    : mem_dup_string(text);
		if (!is_env_name(name)) {
			adopt_spec_warn(s,
				"its variable \"%.60s\" has a name that a pod's cannot have", name);
			continue;
		}
		json_array_append_new(env, json_pack("{s:s, s:o}", "name", name, "value",
						   literal(equals ? equals + 1 : "")));
	}
	if (json_array_size(env))
		json_object_set_new(out, "env", env);
	else
		json_decref(env);
}

/* ---- resources ---- */

static void set_milli(json_t *list, const char *key, int64_t milli)
{
	char text[32];
	snprintf(text, sizeof(text), milli % 1000 ? "%lldm" : "%lld",
		(long long)(milli % 1000 ? milli : milli / 1000));
	json_object_set_new(list, key, json_string(text));
}

static void set_bytes(json_t *list, const char *key, int64_t bytes)
{
	char text[32];
	bool mib = bytes % (1 << 20) == 0;
	snprintf(text, sizeof(text), mib ? "%lldMi" : "%lld",
		(long long)(mib ? bytes >> 20 : bytes));
	json_object_set_new(list, key, json_string(text));
}

static int64_t cpu_milli(const json_t *host)
{
	int64_t nanos = json_int(host, 0, "NanoCpus"), quota = json_int(host, 0, "CpuQuota");
	int64_t period = json_int(host, 0, "CpuPeriod");
	if (nanos > 0)
		return nanos / 1000000 ? nanos / 1000000 : 1;
	return quota > 0 ? quota * 1000 / (period > 0 ? period : 100000) : 0;
}

static void map_resources(const struct adopt_spec *s, json_t *out)
{
	const json_t *host = json_at(s->container, "HostConfig");
	json_t *limits = json_object(), *requests = json_object(), *resources = json_object();
	int64_t cpu = cpu_milli(host), shares = json_int(host, 0, "CpuShares");
	int64_t memory = json_int(host, 0, "Memory"),
		reserved = json_int(host, 0, "MemoryReservation");
	if (cpu > 0)
		set_milli(limits, "cpu", cpu);
	if (memory > 0)
		set_bytes(limits, "memory", memory);
	if (reserved > 0 && (memory <= 0 || reserved <= memory))
		set_bytes(requests, "memory", reserved);
	int64_t share_milli = shares > 2 ? shares * 1000 / 1024 : 0; /* 2: the kernel's least */
	if (share_milli > 0)
		set_milli(requests, "cpu", cpu && share_milli > cpu ? cpu : share_milli);
	if (json_object_size(limits))
		json_object_set(resources, "limits", limits);
	if (json_object_size(requests))
		json_object_set(resources, "requests", requests);
	if (json_object_size(resources))
		json_object_set(out, "resources", resources);
	json_decref(limits);
	json_decref(requests);
	json_decref(resources);
}

/* ---- health, end ---- */

static int64_t seconds(const json_t *check, const char *key, int64_t fallback)
{
	int64_t nanos = json_int(check, 0, key);
	return nanos > 0 ? (nanos + NANOS_PER_SECOND - 1) / NANOS_PER_SECOND : fallback;
}

/* Docker's check restarts nothing: it is a readiness probe. Its defaults are Docker's. */
static void map_health(const struct adopt_spec *s, json_t *out)
{
	const json_t *check = json_at(s->container, "Config", "Healthcheck"),
		     *test = json_at(check, "Test");
	const char *how = json_text_or(json_array_get(test, 0), "");
	json_t *command = NULL;
	if (str_equal(how, "CMD-SHELL")) {
		command = json_pack("[s, s]", "/bin/sh", "-c");
		json_array_append_new(command, literal(json_text_or(json_array_get(test, 1), "")));
	} else if (str_equal(how, "CMD") && json_array_size(test) > 1) {
		command = literals(test);
		json_array_remove(command, 0);
	}
	if (!command)
		return;
	int64_t retries = json_int(check, 0, "Retries");
	json_object_set_new(out, "readinessProbe",
		json_pack("{s:{s:o}, s:I, s:I, s:I, s:I}", "exec", "command", command,
			"initialDelaySeconds", (json_int_t)seconds(check, "StartPeriod", 0),
			"periodSeconds", (json_int_t)seconds(check, "Interval", 30),
			"timeoutSeconds", (json_int_t)seconds(check, "Timeout", 30),
			"failureThreshold", (json_int_t)(retries > 0 ? retries : 3)));
}

static void map_end(const struct adopt_spec *s, json_t *pod)
{
	const char *policy = json_text(s->container, "no", "HostConfig", "RestartPolicy", "Name");
	const char *end = json_text(s->container, "", "Config", "StopSignal");
	if (!str_equal(policy, "always") && !str_equal(policy, "unless-stopped"))
		adopt_spec_warn(s,
			"its restart policy is \"%s\"; as part of a Deployment it is started again "
			"whenever it ends",
			*policy ? policy : "no");
	if (*end && !str_equal(end, "SIGTERM") && !str_equal(end, "15"))
		adopt_spec_warn(s,
			"it is stopped with %s; a pod's signal is the image's or "
			"SIGTERM",
			end);
	int64_t grace_s = json_int(s->container, DOCKER_STOP_SECONDS, "Config", "StopTimeout");
	if (grace_s < 0) {
		grace_s = GRACE_MAX_SECONDS;
		adopt_spec_warn(s,
			"Docker waits for its end as long as it takes; a pod is given %d seconds",
			GRACE_MAX_SECONDS);
	}
	json_object_set_new(pod, "terminationGracePeriodSeconds", json_integer(grace_s));
	json_object_set_new(pod, "restartPolicy", json_string("Always"));
}

static void map_console(const struct adopt_spec *s, json_t *out)
{
	const char *folder = json_text(s->container, "", "Config", "WorkingDir");
	if (*folder && !str_equal(folder, json_text(s->image, "", "Config", "WorkingDir")))
		json_object_set_new(out, "workingDir", json_string(folder));
	if (json_bool(s->container, false, "Config", "Tty"))
		json_object_set_new(out, "tty", json_true());
	if (json_bool(s->container, false, "Config", "OpenStdin"))
		json_object_set_new(out, "stdin", json_true());
}

json_t *adopt_spec_pod(const struct adopt_spec *s)
{
	json_t *pod = json_object(), *out = json_object();
	json_object_set_new(out, "name", json_string(s->name));
	map_image(s, out);
	map_command(s, out);
	map_console(s, out);
	map_env(s, out);
	map_resources(s, out);
	map_health(s, out);
	map_end(s, pod);
	adopt_spec_volumes(s, pod, out);
	adopt_spec_network(s, pod, out);
	adopt_spec_security(s, pod, out);
	adopt_spec_leftovers(s);
	json_object_set_new(pod, "containers", json_pack("[o]", out));
	return pod;
}

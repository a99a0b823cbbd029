#include "driver/env.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/base64.h"
#include "model/model.h"

const struct object *env_find(const struct object *const *objects, size_t count, const char *kind,
	const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(objects[i]->name, name) && str_equal(objects[i]->kind->name, kind))
			return objects[i];
	return NULL;
}

int env_key(const json_t *tree, const char *key, struct buf *ret_bytes, struct err *e)
{
	const json_t *text = json_at(tree, "data", key);
	bool secret = str_equal(json_text(tree, "", "kind"), "Secret");
	if (json_is_string(text) && !secret) {
		buf_append(ret_bytes, json_string_value(text), json_string_length(text));
		return 0;
	}
	if (!secret)
		text = json_at(tree, "binaryData", key);
	if (!json_is_string(text))
		return err_set(e, ERR_NOT_FOUND, "couldn't find key %s in %s %s/%s", key,
			json_text(tree, "", "kind"), json_text(tree, "", "metadata", "namespace"),
			json_text(tree, "", "metadata", "name"));
	return base64_decode(json_string_value(text), json_string_length(text), ret_bytes, e);
}

char *env_expand(const char *text, const struct map *env)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	while (*text) {
		const char *end = text[0] == '$' && text[1] == '(' ? strchr(text, ')') : NULL;
		if (text[0] == '$' && text[1] == '$') {
			buf_append_char(&b, '$');
			text += 2;
		} else if (end) {
			char *name CLEANUP(mem_free_ptr) =
				mem_dup_bytes(text + 2, (size_t)(end - text) - 2);
			const char *value = map_get(env, name);
			if (value)
				buf_append_string(&b, value);
			else
				buf_append(&b, text, (size_t)(end - text) + 1);
			text = end + 1;
		} else {
			buf_append_char(&b, *text++);
		}
	}
	return buf_take(&b, NULL);
}

static void env_put(struct map *env, const char *name, const char *value)
{
	map_put(env, name, mem_dup_string(value));
}

/* The tree of a referenced object; *ret_tree stays null when it is missing and optional. */
static int env_object(const struct env_source *s, const char *kind, const json_t *ref,
	json_t **ret_tree, struct err *e)
{
	const char *name = json_text(ref, "", "name");
	const struct object *o = env_find(s->objects, s->object_count, kind, name);
	if (o) {
		*ret_tree = object_tree(o);
		return 0;
	}
	if (json_bool(ref, false, "optional"))
		return 0;
	return err_set(e, ERR_NOT_FOUND, "%s \"%s\" not found",
		str_equal(kind, "Secret") ? "secret" : "configmap", name);
}

static int env_add_all(const struct env_source *s, struct map *env, const char *kind,
	const json_t *ref, const char *prefix, struct err *e)
{
	json_t *tree CLEANUP(json_done) = NULL;
	int rc = env_object(s, kind, ref, &tree, e);
	if (rc || !tree)
		return rc;
	const char *key;
	json_t *value;
	json_object_foreach (json_at(tree, "data"), key, value) {
		(void)value;
		struct buf b CLEANUP(buf_done) = BUF_INIT;
		rc = env_key(tree, key, &b, e);
		if (rc)
			return rc;
		char *name CLEANUP(mem_free_ptr) = mem_format("%s%s", prefix, key);
		if (!strchr(name, '='))
			env_put(env, name, buf_text(&b));
	}
	return 0;
}

static int env_from_key(const struct env_source *s, const char *kind, const json_t *ref,
	struct buf *value, bool *ret_absent, struct err *e)
{
	json_t *tree CLEANUP(json_done) = NULL;
	int rc = env_object(s, kind, ref, &tree, e);
	if (rc)
		return rc;
	if (tree)
		rc = env_key(tree, json_text(ref, "", "key"), value, e);
	bool optional = json_bool(ref, false, "optional");
	*ret_absent = !tree || (rc == -ERR_NOT_FOUND && optional);
	return *ret_absent ? 0 : rc;
}

/* ---- the downward API ---- */

/* metadata.labels['KEY'], metadata.annotations['KEY']. */
static bool env_by_key(const struct env_source *s, const char *path, struct buf *text)
{
	bool labels = str_starts(path, "metadata.labels['");
	if ((!labels && !str_starts(path, "metadata.annotations['")) || !str_ends(path, "']"))
		return false;
	const char *start = strchr(path, '\'') + 1;
	if (strlen(start) < 2)
		return false;
	char *key CLEANUP(mem_free_ptr) = mem_dup_bytes(start, strlen(start) - 2);
	buf_append_string(text,
		json_text(s->pod, "", "metadata", labels ? "labels" : "annotations", key));
	return true;
}

int env_field(const struct env_source *s, const char *path, struct buf *ret_text, struct err *e)
{
	const char *host_ip = s->host_ip ? s->host_ip : "";
	const char *ip = s->ip && *s->ip ? s->ip : host_ip;
	const struct {
		const char *path, *value;
	} fields[] = {{"metadata.name", json_text(s->pod, "", "metadata", "name")},
		{"metadata.namespace", json_text(s->pod, "", "metadata", "namespace")},
		{"metadata.uid", json_text(s->pod, "", "metadata", "uid")},
		{"spec.serviceAccountName",
			json_text(s->pod, "default", "spec", "serviceAccountName")},
		{"spec.nodeName", s->node_name}, {"status.hostIP", host_ip},
		{"status.hostIPs", host_ip}, {"status.podIP", ip}, {"status.podIPs", ip}};
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (str_equal(path, fields[i].path)) {
			buf_append_string(ret_text, fields[i].value);
			return 0;
		}
	if (env_by_key(s, path, ret_text))
		return 0;
	return err_set(e, ERR_UNSUPPORTED, "the field \"%s\" cannot be given to a container", path);
}

static const json_t *env_container(const struct env_source *s, const char *name)
{
	static const char *const lists[] = {"containers", "initContainers"};
	if (!*name)
		return s->container;
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		size_t i;
		json_t *item;
		json_array_foreach (json_at(s->pod, "spec", lists[l]), i, item)
			if (str_equal(json_text(item, "", "name"), name))
				return item;
	}
	return NULL;
}

int env_resource(const struct env_source *s, const json_t *ref, struct buf *ret_text, struct err *e)
{
	const char *resource = json_text(ref, "", "resource");
	const char *name = json_text(ref, "", "containerName");
	const json_t *container = env_container(s, name);
	bool limits = str_starts(resource, "limits.");
	if (!limits && !str_starts(resource, "requests."))
		return err_set(e, ERR_UNSUPPORTED,
			"the resource \"%s\" cannot be given: limits.NAME and requests.NAME can",
			resource);
	if (!container)
		return err_set(e, ERR_NOT_FOUND, "the pod has no container \"%s\"", name);
	const char *what = strchr(resource, '.') + 1;
	const char *amount =
		json_text(container, NULL, "resources", limits ? "limits" : "requests", what);
	if (!amount && !limits) /* as the API's defaults have it */
		amount = json_text(container, NULL, "resources", "limits", what);
	const char *divisor = json_text(ref, "1", "divisor");
	int64_t milli = 0, by = 0;
	int rc = amount ? quantity_milli(amount, &milli, e) : 0;
	if (!amount && limits)
		milli = str_equal(what, "cpu")      ? s->cpu_milli
			: str_equal(what, "memory") ? s->memory_bytes * 1000
						    : 0;
	if (!rc)
		rc = quantity_milli(str_equal(divisor, "0") ? "1" : divisor, &by, e);
	if (!rc)
		buf_printf(ret_text, "%lld", (long long)(by > 0 ? (milli + by - 1) / by : 0));
	return rc;
}

/* ---- variables ---- */

static int env_from(const struct env_source *s, const json_t *from, struct buf *value,
	bool *ret_absent, struct err *e)
{
	json_t *ref;
	if ((ref = json_at(from, "configMapKeyRef")))
		return env_from_key(s, "ConfigMap", ref, value, ret_absent, e);
	if ((ref = json_at(from, "secretKeyRef")))
		return env_from_key(s, "Secret", ref, value, ret_absent, e);
	if ((ref = json_at(from, "fieldRef")))
		return env_field(s, json_text(ref, "", "fieldPath"), value, e);
	if ((ref = json_at(from, "resourceFieldRef")))
		return env_resource(s, ref, value, e);
	return err_set(e, ERR_UNSUPPORTED, "a variable's valueFrom names no source that is known");
}

static int env_add_one(const struct env_source *s, struct map *env, const json_t *item,
	struct err *e)
{
	const char *name = json_text(item, "", "name");
	const json_t *from = json_at(item, "valueFrom");
	if (!json_is_object(from)) {
		map_put(env, name, env_expand(json_text(item, "", "value"), env));
		return 0;
	}
	struct buf value CLEANUP(buf_done) = BUF_INIT;
	bool absent = false;
	int rc = env_from(s, from, &value, &absent, e);
	if (!rc && !absent)
		env_put(env, name, buf_text(&value));
	return rc;
}

static void env_add_services(const struct env_source *s, struct map *env)
{
	if (!s->service_env || !json_bool(s->pod, true, "spec", "enableServiceLinks"))
		return;
	for (size_t i = 0; s->service_env[i]; i++) {
		const char *equals = strchr(s->service_env[i], '=');
		if (!equals)
			continue;
		char *name CLEANUP(mem_free_ptr) =
			mem_dup_bytes(s->service_env[i], (size_t)(equals - s->service_env[i]));
		env_put(env, name, equals + 1);
	}
}

/* "continuo.dev/usb-camera" becomes "CONTINUO_DEVICE_USB_CAMERA". */
static char *env_device_name(const char *resource)
{
	const char *slash = strchr(resource, '/');
	char *name = mem_format("CONTINUO_DEVICE_%s", slash ? slash + 1 : resource);
	for (char *c = name; *c; c++)
		*c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
	return name;
}

static void env_add_devices(const struct env_source *s, struct map *env)
{
	const char *container = json_text(s->container, "", "name");
	for (size_t i = 0; i < s->device_count; i++) {
		const struct driver_device *d = &s->devices[i];
		if (!str_equal(d->container, container))
			continue;
		char *name CLEANUP(mem_free_ptr) = env_device_name(d->name);
		const char *before = map_get(env, name);
		map_put(env, name,
			before ? mem_format("%s,%s", before, d->container_path)
			       : mem_dup_string(d->container_path));
	}
}

int env_build(const struct env_source *s, struct map *env, struct err *e)
{
	size_t i;
	json_t *item;
	env_add_services(s, env);
	env_add_devices(s, env);
	json_array_foreach (json_at(s->container, "envFrom"), i, item) {
		const char *prefix = json_text(item, "", "prefix");
		json_t *map = json_at(item, "configMapRef"), *secret = json_at(item, "secretRef");
		int rc = map ? env_add_all(s, env, "ConfigMap", map, prefix, e) : 0;
		if (!rc && secret)
			rc = env_add_all(s, env, "Secret", secret, prefix, e);
		if (rc)
			return rc;
	}
	json_array_foreach (json_at(s->container, "env"), i, item) {
		int rc = env_add_one(s, env, item, e);
		if (rc)
			return rc;
	}
	return 0;
}

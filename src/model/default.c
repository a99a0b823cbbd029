#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/base64.h"
#include "model/model.h"
#include "model/pod_qos.h"

static void set_new(json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value) < 0)
		abort();
}

static void set_missing(json_t *object, const char *name, json_t *value)
{
	if (json_object_get(object, name))
		json_decref(value);
	else
		set_new(object, name, value);
}

/* ---- of the schema ---- */

/* Nearly all defaults are plain words and numbers: no parser is needed for those. */
static json_t *make_default(const char *text)
{
	size_t size = strlen(text);
	if (text[0] == '"' && !strchr(text, '\\'))
		return json_stringn(text + 1, size - 2);
	if (str_equal(text, "{}"))
		return json_object();
	int64_t number;
	if (str_to_int64(text, "default", &number, NULL) == 0)
		return json_integer(number);
	return json_loads(text, JSON_DECODE_ANY, NULL);
}

static void default_value(const struct schema *s, json_t *json)
{
	if (s->type == SCHEMA_LIST) {
		for (size_t i = 0; i < json_array_size(json); i++)
			default_value(s->item, json_array_get(json, i));
		return;
	}
	for (size_t i = 0; s->type == SCHEMA_OBJECT && i < s->field_count; i++) {
		const struct schema_field *f = &s->fields[i];
		json_t *value = json_object_get(json, f->name);
		if (!value && f->default_json) {
			set_new(json, f->name, make_default(f->default_json));
			value = json_object_get(json, f->name);
		}
		if (value)
			default_value(f->schema, value);
	}
}

/* ---- of pods ---- */

/* Always for ":latest" and for no tag at all; a digest never changes. */
static const char *pull_policy_of(const char *image)
{
	if (strchr(image, '@'))
		return "IfNotPresent";
	const char *slash = strrchr(image, '/');
	const char *tag = strchr(slash ? slash : image, ':');
	return !tag || str_equal(tag, ":latest") ? "Always" : "IfNotPresent";
}

static void default_requests(json_t *container)
{
	json_t *limits = json_at(container, "resources", "limits");
	const char *name;
	json_t *value;
	json_object_foreach (limits, name, value) {
		json_t *requests =
			json_ensure_object(json_object_get(container, "resources"), "requests");
		set_missing(requests, name, json_incref(value));
	}
}

static void default_container(json_t *container, bool host_network)
{
	const char *image = json_text(container, "", "image");
	set_missing(container, "imagePullPolicy", json_string(pull_policy_of(image)));
	default_requests(container);
	size_t i;
	json_t *port;
	json_array_foreach (json_object_get(container, "ports"), i, port) {
		json_t *number = json_object_get(port, "containerPort");
		if (host_network && number)
			set_missing(port, "hostPort", json_incref(number));
	}
}

static void default_pod_spec(json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	bool host_network = json_bool(spec, false, "hostNetwork");
	size_t i;
	json_t *item;
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		json_array_foreach (json_object_get(spec, lists[l]), i, item) {
			default_container(item, host_network);
		}
	}
	/* A volume without a source is an emptyDir. */
	json_array_foreach (json_object_get(spec, "volumes"), i, item) {
		if (json_object_size(item) == 1 && json_object_get(item, "name"))
			set_new(item, "emptyDir", json_object());
	}
	json_t *account = json_object_get(spec, "serviceAccountName");
	if (account)
		set_missing(spec, "serviceAccount", json_incref(account));
}

static void default_pod(json_t *pod)
{
	json_t *spec = json_ensure_object(pod, "spec");
	default_pod_spec(spec);
	json_t *status = json_ensure_object(pod, "status");
	set_missing(status, "phase", json_string("Pending"));
	set_missing(status, "qosClass", json_string(pod_qos_class(spec)));
}

/* ---- of the other kinds ---- */

static void default_template(json_t *json)
{
	json_t *spec = json_at(json, "spec", "template", "spec");
	if (spec)
		default_pod_spec(spec);
}

static void default_application(json_t *json)
{
	size_t i;
	json_t *component;
	json_array_foreach (json_at(json, "spec", "components"), i, component) {
		json_t *spec = json_at(component, "template", "spec");
		if (spec)
			default_pod_spec(spec);
	}
}

static void default_deployment(json_t *json)
{
	default_template(json);
	json_t *strategy = json_at(json, "spec", "strategy");
	if (!str_equal(json_text(strategy, "", "type"), "RollingUpdate"))
		return;
	json_t *rolling = json_ensure_object(strategy, "rollingUpdate");
	set_missing(rolling, "maxUnavailable", json_string("25%"));
	set_missing(rolling, "maxSurge", json_string("25%"));
}

static void default_service_families(json_t *spec)
{
	const char *address = json_text(spec, "", "clusterIP");
	if (*address)
		set_missing(spec, "clusterIPs", json_pack("[s]", address));
	set_missing(spec, "ipFamilies", json_pack("[s]", "IPv4"));
	set_missing(spec, "ipFamilyPolicy", json_string("SingleStack"));
	set_missing(spec, "internalTrafficPolicy", json_string("Cluster"));
}

static void default_service(json_t *json)
{
	json_t *spec = json_ensure_object(json, "spec");
	const char *type = json_text(spec, "ClusterIP", "type");
	size_t i;
	json_t *port;
	json_array_foreach (json_object_get(spec, "ports"), i, port) {
		json_t *number = json_object_get(port, "port");
		json_t *target = json_object_get(port, "targetPort");
		/* 0 and "" are how Go clients say nothing. */
		if (number &&
			(!target || json_int_or(target, 1) == 0 || !*json_text_or(target, "x")))
			set_new(port, "targetPort", json_incref(number));
	}
	if (str_equal(json_text(spec, "", "sessionAffinity"), "ClientIP")) {
		json_t *config = json_ensure_object(spec, "sessionAffinityConfig");
		set_missing(json_ensure_object(config, "clientIP"), "timeoutSeconds",
			json_integer(10800));
	}
	if (!str_equal(type, "ExternalName"))
		default_service_families(spec);
	bool balancer = str_equal(type, "LoadBalancer");
	if (balancer || str_equal(type, "NodePort"))
		set_missing(spec, "externalTrafficPolicy", json_string("Cluster"));
	if (balancer)
		set_missing(spec, "allocateLoadBalancerNodePorts", json_true());
	set_missing(json_ensure_object(json, "status"), "loadBalancer", json_object());
}

/* stringData is for writing only: it goes into data. */
static void default_secret(json_t *json)
{
	const char *name;
	json_t *value;
	json_object_foreach (json_object_get(json, "stringData"), name, value) {
		CLEANUP(buf_done)
		struct buf text = BUF_INIT;
		const char *plain = json_text_or(value, "");
		base64_encode(plain, strlen(plain), &text);
		set_new(json_ensure_object(json, "data"), name, json_string(buf_text(&text)));
	}
	json_object_del(json, "stringData");
}

static void default_namespace(json_t *json)
{
	json_t *name = json_at(json, "metadata", "name");
	if (name)
		set_new(json_ensure_object(json_object_get(json, "metadata"), "labels"),
			"kubernetes.io/metadata.name", json_incref(name));
	set_missing(json_ensure_object(json, "status"), "phase", json_string("Active"));
}

static void default_node(json_t *json)
{
	json_t *capacity = json_at(json, "status", "capacity");
	if (capacity)
		set_missing(json_object_get(json, "status"), "allocatable",
			json_deep_copy(capacity));
}

static const struct {
	const struct kind *kind;
	void (*apply)(json_t *json);
} rules[] = {
	{&kind_pod, default_pod},
	{&kind_deployment, default_deployment},
	{&kind_application, default_application},
	{&kind_replicaset, default_template},
	{&kind_service, default_service},
	{&kind_secret, default_secret},
	{&kind_namespace, default_namespace},
	{&kind_node, default_node},
};

void model_default(const struct kind *k, json_t *json)
{
	default_value(k->schema, json);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].kind == k)
			rules[i].apply(json);
}

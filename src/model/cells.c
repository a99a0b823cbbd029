#include "model/cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

static json_t *text_cell(const char *text, const char *empty)
{
	return json_string(*text ? text : empty);
}

static json_t *buffer_cell(const struct buf *b, const char *empty)
{
	return text_cell(buf_text(b), empty);
}

static void append_item(struct buf *b, const char *separator, const char *text)
{
	if (b->size)
		buf_append_string(b, separator);
	buf_append_string(b, text);
}

const char *cells_age(const char *time, int64_t wall_ms, char ret_text[static 32])
{
	int64_t at = 0;
	if (!*time || time_parse(time, &at, NULL) < 0)
		snprintf(ret_text, 32, "<unknown>");
	else
		time_format_age(wall_ms - at, ret_text);
	return ret_text;
}

/* ---- pods ---- */

static json_t *pod_ip(const json_t *tree, int64_t wall_ms UNUSED)
{
	return text_cell(json_text(tree, "", "status", "podIP"), "<none>");
}

static json_t *pod_node(const json_t *tree, int64_t wall_ms UNUSED)
{
	return text_cell(json_text(tree, "", "spec", "nodeName"), "<none>");
}

static json_t *pod_nominated(const json_t *tree, int64_t wall_ms UNUSED)
{
	return text_cell(json_text(tree, "", "status", "nominatedNodeName"), "<none>");
}

static json_t *pod_gates(const json_t *tree, int64_t wall_ms UNUSED)
{
	const json_t *gates = json_at(tree, "spec", "readinessGates");
	size_t i, j, open = 0;
	json_t *gate, *condition;
	if (!json_array_size(gates))
		return json_string("<none>");
	json_array_foreach (gates, i, gate) {
		json_array_foreach (json_at(tree, "status", "conditions"), j, condition) {
			open += json_equal(json_object_get(gate, "conditionType"),
					json_object_get(condition, "type")) &&
				str_equal(json_text(condition, "", "status"), "True");
		}
	}
	char text[48];
	snprintf(text, sizeof(text), "%zu/%zu", open, json_array_size(gates));
	return json_string(text);
}

/* ---- workloads ---- */

static json_t *deployment_ready(const json_t *tree, int64_t wall_ms UNUSED)
{
	char text[64];
	snprintf(text, sizeof(text), "%lld/%lld",
		(long long)json_int(tree, 0, "status", "readyReplicas"),
		(long long)json_int(tree, 0, "spec", "replicas"));
	return json_string(text);
}

static json_t *of_containers(const json_t *tree, const char *member)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i;
	json_t *container;
	json_array_foreach (json_at(tree, "spec", "template", "spec", "containers"), i, container) {
		append_item(&b, ",", json_text(container, "", member));
	}
	return buffer_cell(&b, "");
}

static json_t *containers(const json_t *tree, int64_t wall_ms UNUSED)
{
	return of_containers(tree, "name");
}

static json_t *images(const json_t *tree, int64_t wall_ms UNUSED)
{
	return of_containers(tree, "image");
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "app=web,tier=edge", sorted by key as labels are shown. */
static void append_labels(struct buf *b, const json_t *labels)
{
	const char **keys = calloc(json_object_size(labels) + 1, sizeof(*keys));
	size_t count = 0;
	const char *key;
	json_t *value;
	if (!keys)
		abort();
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		keys[count++] = key;
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < count; i++) {
		append_item(b, ",", keys[i]);
		buf_printf(b, "=%s", json_text(labels, "", keys[i]));
	}
	free(keys);
}

static void append_expression(struct buf *b, const json_t *expression)
{
	const char *op = json_text(expression, "", "operator");
	const char *key = json_text(expression, "", "key");
	if (str_equal(op, "DoesNotExist"))
		append_item(b, ",", "!");
	else
		append_item(b, ",", "");
	buf_append_string(b, key);
	if (!str_equal(op, "In") && !str_equal(op, "NotIn"))
		return;
	buf_append_string(b, str_equal(op, "In") ? " in (" : " notin (");
	size_t i;
	json_t *value;
	json_array_foreach (json_object_get(expression, "values"), i, value) {
		buf_printf(b, "%s%s", i ? "," : "", json_text_or(value, ""));
	}
	buf_append_char(b, ')');
}

/* Of a workload (a LabelSelector) or of a service (labels). */
static json_t *selector(const json_t *tree, int64_t wall_ms UNUSED)
{
	const json_t *json = json_at(tree, "spec", "selector");
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (str_equal(json_text(tree, "", "kind"), "Service")) {
		append_labels(&b, json);
		return buffer_cell(&b, "<none>");
	}
	append_labels(&b, json_object_get(json, "matchLabels"));
	size_t i;
	json_t *expression;
	json_array_foreach (json_object_get(json, "matchExpressions"), i, expression) {
		append_expression(&b, expression);
	}
	return buffer_cell(&b, "<none>");
}

/* ---- services ---- */

static json_t *service_cluster_ip(const json_t *tree, int64_t wall_ms UNUSED)
{
	return text_cell(json_text(tree, "", "spec", "clusterIP"), "<none>");
}

static json_t *service_external_ip(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	const char *type = json_text(tree, "", "spec", "type");
	size_t i;
	json_t *item;
	if (str_equal(type, "ExternalName"))
		return text_cell(json_text(tree, "", "spec", "externalName"), "<none>");
	bool balancer = str_equal(type, "LoadBalancer");
	json_array_foreach (json_at(tree, "status", "loadBalancer", "ingress"), i, item) {
		const char *ip = json_text(item, "", "ip");
		if (balancer)
			append_item(&b, ",", *ip ? ip : json_text(item, "", "hostname"));
	}
	json_array_foreach (json_at(tree, "spec", "externalIPs"), i, item) {
		append_item(&b, ",", json_text_or(item, ""));
	}
	return buffer_cell(&b, balancer ? "<pending>" : "<none>");
}

static json_t *service_ports(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i;
	json_t *port;
	json_array_foreach (json_at(tree, "spec", "ports"), i, port) {
		long long node = json_int(port, 0, "nodePort");
		buf_printf(&b, "%s%lld", i ? "," : "", (long long)json_int(port, 0, "port"));
		if (node)
			buf_printf(&b, ":%lld", node);
		buf_printf(&b, "/%s", json_text(port, "TCP", "protocol"));
	}
	return buffer_cell(&b, "<none>");
}

/* At most three of many, then how many more. */
void cells_append_some(struct buf *b, size_t *count, const char *text)
{
	if ((*count)++ < 3)
		append_item(b, ",", text);
}

json_t *cells_some(struct buf *b, size_t count, const char *empty)
{
	if (count > 3)
		buf_printf(b, " + %zu more...", count - 3);
	return buffer_cell(b, empty);
}

static json_t *slice_ports(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i, count = 0;
	json_t *port;
	json_array_foreach (json_object_get(tree, "ports"), i, port) {
		char text[32];
		snprintf(text, sizeof(text), "%lld", (long long)json_int(port, 0, "port"));
		cells_append_some(&b, &count, json_object_get(port, "port") ? text : "*");
	}
	return cells_some(&b, count, "<unset>");
}

static json_t *slice_endpoints(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i, j, count = 0;
	json_t *endpoint, *address;
	json_array_foreach (json_object_get(tree, "endpoints"), i, endpoint) {
		json_array_foreach (json_object_get(endpoint, "addresses"), j, address) {
			cells_append_some(&b, &count, json_text_or(address, ""));
		}
	}
	return cells_some(&b, count, "<unset>");
}

/* ---- configuration ---- */

static json_t *data_count(const json_t *tree, int64_t wall_ms UNUSED)
{
	size_t count = json_object_size(json_object_get(tree, "data")) +
		       json_object_size(json_object_get(tree, "binaryData"));
	return json_integer((json_int_t)count);
}

/* ---- nodes ---- */

static json_t *node_status(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	size_t i;
	json_t *condition;
	json_array_foreach (json_at(tree, "status", "conditions"), i, condition) {
		if (!str_equal(json_text(condition, "", "type"), "Ready"))
			continue;
		bool ready = str_equal(json_text(condition, "", "status"), "True");
		append_item(&b, ",", ready ? "Ready" : "NotReady");
	}
	if (!b.size)
		append_item(&b, ",", "Unknown");
	if (json_bool(tree, false, "spec", "unschedulable"))
		append_item(&b, ",", "SchedulingDisabled");
	return buffer_cell(&b, "");
}

static json_t *node_roles(const json_t *tree, int64_t wall_ms UNUSED)
{
	static const char prefix[] = "node-role.kubernetes.io/";
	const json_t *labels = json_at(tree, "metadata", "labels");
	CLEANUP(json_done) json_t *roles = json_object();
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		const char *role = str_starts(key, prefix) ? key + strlen(prefix) : "";
		if (str_equal(key, "kubernetes.io/role"))
			role = json_text_or(value, "");
		if (*role)
			json_object_set_new(roles, role, json_string(""));
	}
	append_labels(&b, roles);
	/* Roles are labels without values here: leave the "=" out. */
	CLEANUP(buf_done) struct buf names = BUF_INIT;
	for (const char *c = buf_text(&b); *c; c++)
		if (*c != '=')
			buf_append_char(&names, *c);
	return buffer_cell(&names, "<none>");
}

static json_t *node_address(const json_t *tree, const char *type)
{
	size_t i;
	json_t *address;
	json_array_foreach (json_at(tree, "status", "addresses"), i, address) {
		if (str_equal(json_text(address, "", "type"), type))
			return text_cell(json_text(address, "", "address"), "<none>");
	}
	return json_string("<none>");
}

static json_t *node_internal_ip(const json_t *tree, int64_t wall_ms UNUSED)
{
	return node_address(tree, "InternalIP");
}

static json_t *node_external_ip(const json_t *tree, int64_t wall_ms UNUSED)
{
	return node_address(tree, "ExternalIP");
}

static json_t *node_info(const json_t *tree, const char *member)
{
	return text_cell(json_text(tree, "", "status", "nodeInfo", member), "<unknown>");
}

static json_t *node_os_image(const json_t *tree, int64_t wall_ms UNUSED)
{
	return node_info(tree, "osImage");
}

static json_t *node_kernel(const json_t *tree, int64_t wall_ms UNUSED)
{
	return node_info(tree, "kernelVersion");
}

static json_t *node_runtime(const json_t *tree, int64_t wall_ms UNUSED)
{
	return node_info(tree, "containerRuntimeVersion");
}

/* ---- events ---- */

static const char *first_of(const char *a, const char *b, const char *c)
{
	return *a ? a : *b ? b : c;
}

static json_t *event_first_seen(const json_t *tree, int64_t wall_ms)
{
	char text[TIME_TEXT_SIZE];
	const char *at = first_of(json_text(tree, "", "firstTimestamp"),
		json_text(tree, "", "eventTime"), "");
	return json_string(cells_age(at, wall_ms, text));
}

static json_t *event_last_seen(const json_t *tree, int64_t wall_ms)
{
	char text[TIME_TEXT_SIZE];
	const char *series = json_text(tree, "", "series", "lastObservedTime");
	const char *at = first_of(series, json_text(tree, "", "lastTimestamp"),
		first_of(json_text(tree, "", "firstTimestamp"), json_text(tree, "", "eventTime"),
			""));
	return json_string(cells_age(at, wall_ms, text));
}

static json_t *event_object(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	for (const char *c = json_text(tree, "", "involvedObject", "kind"); *c; c++)
		buf_append_char(&b, *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c);
	buf_printf(&b, "/%s", json_text(tree, "", "involvedObject", "name"));
	return buffer_cell(&b, "");
}

static json_t *event_source(const json_t *tree, int64_t wall_ms UNUSED)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	const char *component = json_text(tree, "", "source", "component");
	const char *host = json_text(tree, "", "source", "host");
	buf_append_string(&b, first_of(component, json_text(tree, "", "reportingComponent"), ""));
	if (*host)
		buf_printf(&b, ", %s", host);
	return buffer_cell(&b, "");
}

static json_t *event_message(const json_t *tree, int64_t wall_ms UNUSED)
{
	const char *text = json_text(tree, "", "message");
	size_t size = strlen(text);
	while (size && (text[size - 1] == '\n' || text[size - 1] == ' '))
		size--;
	json_t *cell = json_stringn(text, size);
	return cell ? cell : json_string("");
}

static json_t *event_count(const json_t *tree, int64_t wall_ms UNUSED)
{
	int64_t count = json_int(tree, 0, "series", "count");
	if (!count)
		count = json_int(tree, 0, "count");
	return json_integer(count ? count : 1);
}

const struct cell cell_functions[] = {
	{"application_components", cell_application_components},
	{"application_ready", cell_application_ready},
	{"application_status", cell_application_status},
	{"containers", containers},
	{"data_count", data_count},
	{"deployment_ready", deployment_ready},
	{"event_count", event_count},
	{"event_first_seen", event_first_seen},
	{"event_last_seen", event_last_seen},
	{"event_message", event_message},
	{"event_object", event_object},
	{"event_source", event_source},
	{"images", images},
	{"node_external_ip", node_external_ip},
	{"node_internal_ip", node_internal_ip},
	{"node_kernel", node_kernel},
	{"node_os_image", node_os_image},
	{"node_roles", node_roles},
	{"node_runtime", node_runtime},
	{"node_status", node_status},
	{"pod_gates", pod_gates},
	{"pod_ip", pod_ip},
	{"pod_node", pod_node},
	{"pod_nominated", pod_nominated},
	{"pod_ready", cell_pod_ready},
	{"pod_restarts", cell_pod_restarts},
	{"pod_status", cell_pod_status},
	{"selector", selector},
	{"service_cluster_ip", service_cluster_ip},
	{"service_external_ip", service_external_ip},
	{"service_ports", service_ports},
	{"site_destinations", cell_site_destinations},
	{"site_paths", cell_site_paths},
	{"slice_endpoints", slice_endpoints},
	{"slice_ports", slice_ports},
};
const size_t cell_count = ARRAY_SIZE(cell_functions);

#include <stdio.h>

#include "base/map.h"
#include "base/str.h"
#include "model/format.h"
#include "model/validate.h"

static void check_target(struct findings *f, const struct path *p, const json_t *target)
{
	const char *why =
		json_is_string(target) ? format_check_port_name(json_string_value(target)) : NULL;
	if (json_is_integer(target) &&
		(json_int_or(target, 0) < 1 || json_int_or(target, 0) > 65535))
		why = "must be between 1 and 65535, inclusive";
	if (why)
		find_invalid(f, PATH_FIELD(p, "targetPort"), target, why);
}

static void check_ports(struct findings *f, const struct path *p, const json_t *ports)
{
	struct map seen = {0};
	size_t i;
	json_t *port;
	bool many = json_array_size(ports) > 1;
	validate_unique(f, p, ports, "name");
	json_array_foreach (ports, i, port) {
		const struct path *at = PATH_ITEM(p, i);
		char key[64];
		snprintf(key, sizeof(key), "%lld/%.16s", (long long)json_int(port, 0, "port"),
			json_text(port, "TCP", "protocol"));
		if (many && str_empty(json_text(port, "", "name")))
			find_required(f, PATH_FIELD(at, "name"), "");
		if (map_has(&seen, key))
			find_duplicate(f, at, key);
		map_put(&seen, key, &seen);
		check_target(f, at, json_object_get(port, "targetPort"));
	}
	map_done(&seen);
}

static void check_cluster_ip(const struct validation *v, const struct path *p, const json_t *spec)
{
	const json_t *address = json_object_get(spec, "clusterIP");
	const char *text = json_text_or(address, "");
	const json_t *old = json_object_get(v->old, "spec");
	const char *before = json_text(old, "", "clusterIP");
	const struct path *at = PATH_FIELD(p, "clusterIP");
	bool external = str_equal(json_text(spec, "", "type"), "ExternalName");
	if (*text && external)
		find_forbidden(v->findings, at, "may not be set when `type` is 'ExternalName'");
	else if (*text && !str_equal(text, "None") && format_check(FORMAT_IP, text))
		find_invalid(v->findings, at, address, format_check(FORMAT_IP, text));
	bool was_external = str_equal(json_text(old, "", "type"), "ExternalName");
	if (*before && !external && !was_external && !str_equal(before, text))
		find_invalid(v->findings, at, address ? address : json_object_get(old, "clusterIP"),
			"may not change once set");
}

/* Cluster is what this version does; it is also the default, so only Local is worth a word. */
static void note_policy(const struct validation *v, const struct path *p, const json_t *spec)
{
	static const char *const policies[] = {"internalTrafficPolicy", "externalTrafficPolicy"};
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		if (str_equal(json_text(spec, "", policies[i]), "Local"))
			find_warning(v->findings, PATH_FIELD(p, policies[i]),
				"spec.%s: Local is stored, but this version does not carry it out",
				policies[i]);
}

void validate_service(const struct validation *v)
{
	const json_t *spec = json_object_get(v->json, "spec");
	const struct path *p = PATH_FIELD(NULL, "spec");
	const json_t *ports = json_object_get(spec, "ports");
	bool external = str_equal(json_text(spec, "", "type"), "ExternalName");
	bool headless = str_equal(json_text(spec, "", "clusterIP"), "None");
	if (!json_array_size(ports) && !external && !headless)
		find_required(v->findings, PATH_FIELD(p, "ports"), "");
	check_ports(v->findings, PATH_FIELD(p, "ports"), ports);
	check_cluster_ip(v, p, spec);
	note_policy(v, p, spec);
	const char *name = json_text(spec, "", "externalName");
	if (external && !*name)
		find_required(v->findings, PATH_FIELD(p, "externalName"), "");
	else if (external && format_check(FORMAT_DNS_SUBDOMAIN, name))
		find_invalid_text(v->findings, PATH_FIELD(p, "externalName"), name,
			format_check(FORMAT_DNS_SUBDOMAIN, name));
	const json_t *selector = json_object_get(spec, "selector");
	validate_label_values(v->findings, PATH_FIELD(p, "selector"), selector);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)selector, key, value) {
		const char *why = format_check(FORMAT_LABEL_KEY, key);
		if (why)
			find_invalid_text(v->findings, PATH_FIELD(p, "selector"), key, why);
	}
}

static void check_addresses(struct findings *f, const struct path *p, const json_t *addresses,
	const char *type)
{
	size_t i;
	json_t *address;
	if (json_array_size(addresses) > 100)
		find_error(f, p, "FieldValueTooMany", "Too many: %zu: must have at most 100 items",
			json_array_size(addresses));
	json_array_foreach (addresses, i, address) {
		enum schema_format format =
			str_equal(type, "FQDN") ? FORMAT_DNS_SUBDOMAIN : FORMAT_IP;
		const char *why = format_check(format, json_text_or(address, ""));
		if (why)
			find_invalid(f, PATH_ITEM(p, i), address, why);
	}
}

void validate_endpointslice(const struct validation *v)
{
	const struct path *list = PATH_FIELD(NULL, "endpoints");
	size_t i;
	json_t *endpoint;
	json_array_foreach (json_object_get(v->json, "endpoints"), i, endpoint) {
		check_addresses(v->findings, PATH_FIELD(PATH_ITEM(list, i), "addresses"),
			json_object_get(endpoint, "addresses"),
			json_text(v->json, "IPv4", "addressType"));
	}
	validate_unique(v->findings, PATH_FIELD(NULL, "ports"), json_object_get(v->json, "ports"),
		"name");
}

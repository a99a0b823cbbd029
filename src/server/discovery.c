#include "server/discovery.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static json_t *strings(const char *const *list)
{
	json_t *array = json_array();
	for (; list && *list; list++)
		json_array_append_new(array, json_string(*list));
	return array;
}

static json_t *resource_of(const struct kind *k, const char *subresource, json_t *verbs)
{
	char name[160];
	snprintf(name, sizeof(name), "%s%s%s", k->plural, *subresource ? "/" : "", subresource);
	json_t *resource = json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", name, "singularName",
		*subresource ? "" : k->singular, "namespaced", k->namespaced, "kind", k->name,
		"verbs", verbs);
	if (!*subresource && k->short_names && *k->short_names)
		json_object_set_new(resource, "shortNames", strings(k->short_names));
	if (!*subresource && k->categories && *k->categories)
		json_object_set_new(resource, "categories", strings(k->categories));
	return resource;
}

static json_t *resources_of(const struct kind_registry *kinds, const char *group,
	const char *version)
{
	json_t *list = json_array();
	size_t position = 0;
	const struct kind *k;
	while ((k = kind_next(kinds, &position))) {
		if (strcmp(k->group, group) != 0 || strcmp(k->version, version) != 0)
			continue;
		json_array_append_new(list, resource_of(k, "",
						    json_pack("[s,s,s,s,s,s,s,s]", "create",
							    "delete", "deletecollection", "get",
							    "list", "patch", "update", "watch")));
		if (k->has_status)
			json_array_append_new(list,
				resource_of(k, "status",
					json_pack("[s,s,s]", "get", "patch", "update")));
		if (k == &kind_pod)
			json_array_append_new(list, resource_of(k, "log", json_pack("[s]", "get")));
	}
	return list;
}

static json_t *group_of(const char *group, const char *version)
{
	char group_version[160];
	snprintf(group_version, sizeof(group_version), "%s/%s", group, version);
	return json_pack("{s:s, s:[{s:s, s:s}], s:{s:s, s:s}}", "name", group, "versions",
		"groupVersion", group_version, "version", version, "preferredVersion",
		"groupVersion", group_version, "version", version);
}

static json_t *groups(const struct kind_registry *kinds)
{
	json_t *list = json_array();
	struct map seen = {0};
	size_t position = 0;
	const struct kind *k;
	while ((k = kind_next(kinds, &position))) {
		if (!*k->group || map_has(&seen, k->group))
			continue;
		map_put(&seen, k->group, "");
		json_array_append_new(list, group_of(k->group, k->version));
	}
	map_done(&seen);
	return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups",
		list);
}

static json_t *resource_list(const struct kind_registry *kinds, const char *group,
	const char *version)
{
	json_t *resources = resources_of(kinds, group, version);
	if (!json_array_size(resources)) {
		json_decref(resources);
		return NULL;
	}
	CLEANUP(mem_free_ptr)
	char *group_version = mem_format("%s%s%s", group, *group ? "/" : "", version);
	return json_pack("{s:s, s:s, s:s, s:o}", "kind", "APIResourceList", "apiVersion", "v1",
		"groupVersion", group_version, "resources", resources);
}

static json_t *one_group(const struct kind_registry *kinds, const char *group)
{
	size_t position = 0;
	const struct kind *k;
	while ((k = kind_next(kinds, &position))) {
		if (!*k->group || strcmp(k->group, group) != 0)
			continue;
		json_t *answer = group_of(group, k->version);
		json_object_set_new(answer, "kind", json_string("APIGroup"));
		json_object_set_new(answer, "apiVersion", json_string("v1"));
		return answer;
	}
	return NULL;
}

void discovery_serve(struct request *r, const char *const *parts, size_t count)
{
	const struct kind_registry *kinds = r->server->kinds;
	struct err e = ERR_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	bool core = strcmp(parts[0], "api") == 0;
	if (core && count == 1)
		answer = json_pack("{s:s, s:[s], s:[]}", "kind", "APIVersions", "versions", "v1",
			"serverAddressByClientCIDRs");
	else if (core)
		answer = resource_list(kinds, "", parts[1]);
	else if (count == 1)
		answer = groups(kinds);
	else if (count == 2)
		answer = one_group(kinds, parts[1]);
	else
		answer = resource_list(kinds, parts[1], parts[2]);
	if (answer) {
		request_json(r, 200, answer);
		return;
	}
	(void)err_set(&e, ERR_NOT_FOUND, "the server does not serve this group or version");
	request_fail(r, &e);
}

void discovery_version(struct http_request *http)
{
	/* major and minor: the API level that clients adapt to. */
	static const char text[] = "{\"major\":\"1\",\"minor\":\"30\",\"gitVersion\":\"v1.30.0+"
				   "continuo-" CONTINUO_VERSION "\",\"platform\":\"linux\"}";
	http_respond(http, 200, NULL, 0, "application/json", text, sizeof(text) - 1);
	http_request_free(http);
}

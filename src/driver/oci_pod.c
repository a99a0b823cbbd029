#include "driver/oci_pod.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/devices.h"

char **oci_strings_copy(const char *const *list)
{
	size_t count = 0;
	while (list && list[count])
		count++;
	char **copy = mem_alloc_array(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = mem_dup_string(list[i]);
	return copy;
}

void oci_strings_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

struct oci_pod *oci_pod_new(struct oci *o, const struct container_pod *from)
{
	struct oci_pod *p = mem_new(struct oci_pod);
	*p = (struct oci_pod){.oci = o,
		.object = object_ref(from->pod),
		.objects = mem_alloc_array(from->object_count + 1, sizeof(*p->objects)),
		.object_count = from->object_count,
		.tree = object_tree(from->pod),
		.uid = mem_dup_string(from->uid),
		.cluster_dns = mem_dup_string(from->cluster_dns),
		.privilege = mem_dup_string(from->privilege),
		.ip = mem_dup_string(from->ip),
		.dns_search = oci_strings_copy(from->dns_search),
		.devices = driver_devices_copy(from->devices, from->device_count),
		.device_count = from->device_count,
		.run_folder = mem_format("%s/pods/%s", o->run_folder, from->uid),
		.state_folder = mem_format("%s/pods/%s", o->state_folder, from->uid)};
	for (size_t i = 0; i < from->object_count; i++)
		p->objects[i] = object_ref(from->objects[i]);
	p->host_network = json_bool(p->tree, false, "spec", "hostNetwork");
	return p;
}

void oci_pod_free(struct oci_pod *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->object_count; i++)
		object_unref(p->objects[i]);
	object_unref(p->object);
	json_decref(p->tree);
	free(p->objects);
	free(p->uid);
	free(p->cluster_dns);
	free(p->privilege);
	free(p->ip);
	oci_strings_free(p->dns_search);
	driver_devices_free(p->devices, p->device_count);
	free(p->run_folder);
	free(p->state_folder);
	free(p);
}

const json_t *oci_pod_container(const json_t *pod, const char *name)
{
	static const char *const lists[] = {"initContainers", "containers"};
	for (size_t n = 0; n < ARRAY_SIZE(lists); n++) {
		size_t i;
		json_t *item;
		json_array_foreach (json_at(pod, "spec", lists[n]), i, item)
			if (str_equal(json_text(item, "", "name"), name))
				return item;
	}
	return NULL;
}

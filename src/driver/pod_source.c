#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/devices.h"
#include "driver/pod.h"

static char **copy_strings(const char *const *from)
{
	size_t count = 0;
	while (from && from[count])
		count++;
	char **to = mem_alloc_array(count + 1, sizeof(*to));
	for (size_t i = 0; i < count; i++)
		to[i] = mem_dup_string(from[i]);
	return to;
}

static void free_strings(char **strings)
{
	for (size_t i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

void pod_source_copy(struct pod_source *s, const struct driver_pod *from)
{
	*s = (struct pod_source){.pod = object_ref(from->pod),
		.objects = mem_alloc_array(from->object_count + 1, sizeof(*s->objects)),
		.object_count = from->object_count,
		.cluster_dns = mem_dup_string(from->cluster_dns ? from->cluster_dns : ""),
		.privilege = mem_dup_string(from->privilege ? from->privilege : "baseline"),
		.dns_search = copy_strings(from->dns_search),
		.service_env = copy_strings(from->service_env),
		.devices = driver_devices_copy(from->devices, from->device_count),
		.device_count = from->device_count};
	for (size_t i = 0; i < from->object_count; i++)
		s->objects[i] = object_ref(from->objects[i]);
}

void pod_source_done(struct pod_source *s)
{
	object_unref(s->pod);
	for (size_t i = 0; i < s->object_count; i++)
		object_unref(s->objects[i]);
	free(s->objects);
	free(s->cluster_dns);
	free(s->privilege);
	free_strings(s->dns_search);
	free_strings(s->service_env);
	driver_devices_free(s->devices, s->device_count);
	*s = (struct pod_source){0};
}

bool pod_source_equal(const struct pod_source *s, const struct driver_pod *with)
{
	if (s->pod->revision != with->pod->revision || s->object_count != with->object_count ||
		!driver_devices_equal(s->devices, s->device_count, with->devices,
			with->device_count))
		return false;
	for (size_t i = 0; i < s->object_count; i++)
		if (s->objects[i]->revision != with->objects[i]->revision ||
			!str_equal(s->objects[i]->uid, with->objects[i]->uid))
			return false;
	return true;
}

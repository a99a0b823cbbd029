#include "driver/devices.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct driver_device *driver_devices_copy(const struct driver_device *from, size_t count)
{
	struct driver_device *to = mem_alloc_array(count + 1, sizeof(*to));
	for (size_t i = 0; i < count; i++)
		to[i] = (struct driver_device){.container = mem_dup_string(from[i].container),
			.name = mem_dup_string(from[i].name),
			.path = mem_dup_string(from[i].path),
			.container_path = mem_dup_string(from[i].container_path),
			.permissions = mem_dup_string(from[i].permissions)};
	return to;
}

void driver_devices_free(struct driver_device *devices, size_t count)
{
	for (size_t i = 0; devices && i < count; i++) {
		free((char *)devices[i].container);
		free((char *)devices[i].name);
		free((char *)devices[i].path);
		free((char *)devices[i].container_path);
		free((char *)devices[i].permissions);
	}
	free(devices);
}

bool driver_devices_equal(const struct driver_device *a, size_t a_count,
	const struct driver_device *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!str_equal(a[i].container, b[i].container) ||
			!str_equal(a[i].name, b[i].name) || !str_equal(a[i].path, b[i].path) ||
			!str_equal(a[i].container_path, b[i].container_path) ||
			!str_equal(a[i].permissions, b[i].permissions))
			return false;
	return true;
}

json_t *driver_devices_encode(const struct driver_device *devices, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		const struct driver_device *d = &devices[i];
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s, s:s}", "container", d->container, "name",
				d->name, "path", d->path, "containerPath", d->container_path,
				"permissions", d->permissions));
	}
	return list;
}

struct driver_device *driver_devices_decode(const json_t *list, size_t *ret_count)
{
	size_t i, count = json_array_size(list);
	json_t *item;
	struct driver_device *devices = mem_alloc_array(count + 1, sizeof(*devices));
	json_array_foreach (list, i, item)
		devices[i] = (struct driver_device){
			.container = mem_dup_string(json_text(item, "", "container")),
			.name = mem_dup_string(json_text(item, "", "name")),
			.path = mem_dup_string(json_text(item, "", "path")),
			.container_path = mem_dup_string(json_text(item, "", "containerPath")),
			.permissions = mem_dup_string(json_text(item, "", "permissions"))};
	*ret_count = count;
	return devices;
}

#include "agent/devices.h"

#include "base/str.h"
#include "base/vec.h"

struct giving {
	const struct agent_device *devices;
	size_t device_count;
	struct arena *arena;
	VEC(struct driver_device) given;
};

static void give_containers(struct giving *g, const json_t *containers)
{
	size_t i;
	json_t *container;
	json_array_foreach (containers, i, container)
		for (size_t d = 0; d < g->device_count; d++) {
			const struct agent_device *device = &g->devices[d];
			const char *name = arena_format(g->arena, "continuo.dev/%s", device->name);
			const char *wanted = json_text(container, "0", "resources", "limits", name);
			if (str_equal(wanted, "0"))
				continue;
			struct driver_device given = {
				.container = arena_dup(g->arena, json_text(container, "", "name")),
				.name = name,
				.path = device->path,
				.container_path = device->container_path ? device->container_path
									 : device->path,
				.permissions = device->permissions ? device->permissions : "rw"};
			vec_push(&g->given, given);
		}
}

void agent_devices_give(const struct agent_device *devices, size_t count, const json_t *tree,
	struct arena *a, struct driver_pod *pod)
{
	struct giving g = {.devices = devices, .device_count = count, .arena = a};
	give_containers(&g, json_at(tree, "spec", "initContainers"));
	give_containers(&g, json_at(tree, "spec", "containers"));
	struct driver_device *list = arena_new_array(a, g.given.count + 1, struct driver_device);
	for (size_t i = 0; i < g.given.count; i++)
		list[i] = g.given.items[i];
	pod->devices = list;
	pod->device_count = g.given.count;
	vec_done(&g.given);
}

/* Lists of devices of a pod (struct driver_device), as the pod and jobs of an engine keep them. */
#ifndef CONTINUO_DRIVER_DEVICES_H
#define CONTINUO_DRIVER_DEVICES_H

#include "codec/json.h"
#include "driver/driver.h"

/* Strings included; freed with driver_devices_free, for which null is fine. */
struct driver_device *driver_devices_copy(const struct driver_device *from,
	size_t count) MUST_CHECK;
void driver_devices_free(struct driver_device *devices, size_t count);
bool driver_devices_equal(const struct driver_device *a, size_t a_count,
	const struct driver_device *b, size_t b_count) MUST_CHECK;

/* As records keep them: [{container, name, path, containerPath, permissions}]. What is not so
 * counts as an empty list. */
json_t *driver_devices_encode(const struct driver_device *devices, size_t count) MUST_CHECK;
struct driver_device *driver_devices_decode(const json_t *list, size_t *ret_count) MUST_CHECK;

#endif

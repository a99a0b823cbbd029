/* Reading uevents. Pure. */
#include <arpa/inet.h>
#include <string.h>

#include "device/watch.h"

#define UDEV_PREFIX "libudev"
#define UDEV_MAGIC 0xfeedcafeU

/* What udev puts before its properties; sizes and offsets in host order, magic in network order. */
struct udev_header {
	char prefix[8];
	uint32_t magic;
	uint32_t header_size;
	uint32_t properties_offset;
	uint32_t properties_size;
};

/* Whether one of the texts, each with a NUL behind it, begins so. */
static bool has_text(const char *data, size_t size, const char *prefix)
{
	size_t prefix_size = strlen(prefix);
	while (size > 0) {
		size_t length = strnlen(data, size);
		if (length >= prefix_size && memcmp(data, prefix, prefix_size) == 0)
			return true;
		size -= length < size ? length + 1 : length;
		data += length + 1;
	}
	return false;
}

bool device_uevent_concerns(const void *data, size_t size)
{
	struct udev_header h;
	const char *text = data;
	if (size >= sizeof(h) && memcmp(data, UDEV_PREFIX, sizeof(UDEV_PREFIX)) == 0) {
		memcpy(&h, data, sizeof(h));
		if (h.magic != htonl(UDEV_MAGIC) || h.properties_offset > size ||
			h.properties_size > size - h.properties_offset)
			return false;
		text += h.properties_offset;
		size = h.properties_size;
	}
	return has_text(text, size, "DEVNAME=");
}

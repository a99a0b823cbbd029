#include "driver/docker_frames.h"

#include <stdbool.h>
#include <string.h>

static int frame_begin(struct docker_frames *f, struct err *e)
{
	const uint8_t *h = f->header;
	if (h[0] > 2 || h[1] || h[2] || h[3])
		return err_set(e, ERR_PROTOCOL, "the container engine sent no frame of output");
	f->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
	if (f->left == 0)
		f->header_size = 0;
	return 0;
}

int docker_frames_feed(struct docker_frames *f, const void *data, size_t size, docker_frame_cb *cb,
	void *arg, struct err *e)
{
	const char *at = data;
	while (size > 0) {
		size_t header = sizeof(f->header) - f->header_size;
		size_t take = header ? header : f->left;
		take = take < size ? take : size;
		if (header) {
			memcpy(f->header + f->header_size, at, take);
			f->header_size += take;
			if (take == header && frame_begin(f, e))
				return -ERR_PROTOCOL;
		} else {
			f->left -= (uint32_t)take;
			f->header_size = f->left ? f->header_size : 0;
			if (!cb(arg, f->header[0], at, take))
				return err_set(e, ERR_CANCELLED, "no more is wanted");
		}
		at += take;
		size -= take;
	}
	return 0;
}

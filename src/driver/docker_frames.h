/*
 * The stream that carries a container's two outputs over one connection
 * (https://docs.docker.com/engine/api/v1.41/#operation/ContainerAttach, "Stream format"): frames of
 * an 8 byte header, {1 or 2, 0, 0, 0, size as big endian}, and so many bytes. Pure.
 */
#ifndef CONTINUO_DRIVER_DOCKER_FRAMES_H
#define CONTINUO_DRIVER_DOCKER_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct docker_frames {
	uint8_t header[8];
	size_t header_size;
	uint32_t left; /* of the frame */
};

/* Called with what lies in frames; stream: 1 standard output, 2 standard error. May be called
 * several times for one frame. Returns false to end. */
typedef bool docker_frame_cb(void *arg, int stream, const char *data, size_t size);

/* -ERR_PROTOCOL: no such frame; -ERR_CANCELLED: cb ended it. */
int docker_frames_feed(struct docker_frames *f, const void *data, size_t size, docker_frame_cb *cb,
	void *arg, struct err *e) MUST_CHECK;

#endif

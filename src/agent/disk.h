/*
 * The room for images, as the kubelet keeps it (imageGCHighThresholdPercent and Low): above
 * high_percent of the file system in use, unused images are removed until low_percent are. Where
 * that does not help, the node is under disk pressure until it is below high_percent again.
 * Pure but for what it asks of fs.
 */
#ifndef CONTINUO_AGENT_DISK_H
#define CONTINUO_AGENT_DISK_H

#include <stdbool.h>

#include "sys/fs.h"

#define AGENT_DISK_HIGH_PERCENT 85
#define AGENT_DISK_LOW_PERCENT 80
#define AGENT_DISK_LOOK_MS 60000 /* between two looks at a quiet disk */
#define AGENT_DISK_SOON_MS 3000  /* after a removal began: whether it helped */

struct agent_disk {
	struct fs *fs;
	const char *folder;
	int64_t high_percent, low_percent;
	bool no_space; /* set by the caller: a pull had no room, so all that is unused may go */
	bool asked;    /* images were to be removed, and nobody looked since */
	bool pressure; /* removing them did not do */
};

enum agent_disk_verdict {
	AGENT_DISK_UNKNOWN, /* the file system does not tell: look no more */
	AGENT_DISK_ROOM,
	AGENT_DISK_REMOVE, /* unused images, until *ret_free_bytes are free */
	AGENT_DISK_WAIT    /* a removal is under way */
};

/* 0 for a percentage: the usual one. */
void agent_disk_init(struct agent_disk *d, struct fs *fs, const char *folder, int64_t high_percent,
	int64_t low_percent);

/* removing: images are being removed. *ret_changed: whether pressure is another than before. */
enum agent_disk_verdict agent_disk_look(struct agent_disk *d, bool removing,
	int64_t *ret_free_bytes, bool *ret_changed);

#endif

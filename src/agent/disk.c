#include "agent/disk.h"

void agent_disk_init(struct agent_disk *d, struct fs *fs, const char *folder, int64_t high_percent,
	int64_t low_percent)
{
	*d = (struct agent_disk){.fs = fs,
		.folder = folder,
		.high_percent = high_percent ? high_percent : AGENT_DISK_HIGH_PERCENT,
		.low_percent = low_percent ? low_percent : AGENT_DISK_LOW_PERCENT};
}

enum agent_disk_verdict agent_disk_look(struct agent_disk *d, bool removing,
	int64_t *ret_free_bytes, bool *ret_changed)
{
	int64_t total = fs_total_bytes(d->fs, d->folder);
	int64_t free_bytes = fs_free_bytes(d->fs, d->folder);
	*ret_changed = false;
	if (total <= 0 || free_bytes < 0)
		return AGENT_DISK_UNKNOWN;
	if (removing)
		return AGENT_DISK_WAIT;
	/* In hundredths of the file system, so that nothing overflows. */
	int64_t part = total / 100 > 0 ? total / 100 : 1;
	bool full = (total - free_bytes) / part >= d->high_percent;
	bool pressure = full && (d->asked || d->pressure);
	*ret_changed = pressure != d->pressure;
	d->pressure = pressure;
	d->asked = full;
	bool no_space = d->no_space;
	d->no_space = false;
	if (!full && !no_space)
		return AGENT_DISK_ROOM;
	if (!full) { /* it was larger than what there is below the threshold */
		*ret_free_bytes = INT64_MAX;
		return AGENT_DISK_REMOVE;
	}
	*ret_free_bytes = total - part * d->low_percent;
	return AGENT_DISK_REMOVE;
}

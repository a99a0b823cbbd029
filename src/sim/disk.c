#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- bytes ---- */

static void resize(struct sim_bytes *b, size_t size)
{
	if (size > b->capacity) {
		size_t capacity = b->capacity ? b->capacity : 4096;
		while (capacity < size)
			capacity *= 2;
		b->data = mem_resize(b->data, capacity);
		b->capacity = capacity;
	}
	if (size > b->size)
		memset(b->data + b->size, 0, size - b->size);
	b->size = size;
}

static void overwrite(struct sim_bytes *b, const void *data, size_t size, size_t offset)
{
	if (offset + size > b->size)
		resize(b, offset + size);
	if (size)
		memcpy(b->data + offset, data, size);
}

static void copy(struct sim_bytes *to, const struct sim_bytes *from)
{
	to->size = 0;
	overwrite(to, from->data, from->size, 0);
}

/* ---- files ---- */

static void clear_unsynced(struct sim_file *f)
{
	for (size_t i = 0; i < f->unsynced.count; i++)
		free(f->unsynced.items[i].data);
	f->unsynced.count = 0;
}

static void free_file(struct sim_file *f)
{
	clear_unsynced(f);
	vec_done(&f->unsynced);
	free(f->now.data);
	free(f->durable.data);
	free(f->path);
	free(f);
}

static size_t seek(const struct sim_disk *d, const char *path)
{
	size_t low = 0, high = d->files.count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(d->files.items[middle]->path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct sim_file *find_any(struct sim_disk *d, const char *path)
{
	size_t at = seek(d, path);
	struct sim_file *f = at < d->files.count ? d->files.items[at] : NULL;
	return f && strcmp(f->path, path) == 0 ? f : NULL;
}

struct sim_file *sim_disk_find(struct sim_disk *d, const char *path)
{
	struct sim_file *f = find_any(d, path);
	return f && !f->removed ? f : NULL;
}

struct sim_file *sim_disk_create(struct sim_disk *d, const char *path)
{
	struct sim_file *f = find_any(d, path);
	if (f && f->removed) { /* a new file under the old name */
		f->removed = false;
		f->created = false;
		clear_unsynced(f);
		f->now.size = f->durable.size = 0;
	}
	if (f)
		return f;
	f = mem_new(struct sim_file);
	f->path = mem_dup_string(path);
	size_t at = seek(d, path);
	vec_push(&d->files, f);
	memmove(d->files.items + at + 1, d->files.items + at,
		(d->files.count - 1 - at) * sizeof(f));
	d->files.items[at] = f;
	return f;
}

struct sim_disk *sim_disk_new(struct rand *rand)
{
	extern const struct fs_ops sim_fs_ops;
	struct sim_disk *d = mem_new(struct sim_disk);
	d->fs.ops = &sim_fs_ops;
	d->rand = rand;
	return d;
}

void sim_disk_free(struct sim_disk *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->files.count; i++)
		free_file(d->files.items[i]);
	vec_done(&d->files);
	free(d);
}

struct sim_disk *sim_disk_copy(const struct sim_disk *d)
{
	struct sim_disk *c = sim_disk_new(d->rand);
	for (size_t i = 0; i < d->files.count; i++) {
		const struct sim_file *f = d->files.items[i];
		if (f->removed)
			continue;
		struct sim_file *to = sim_disk_create(c, f->path);
		to->folder = f->folder;
		to->created = true;
		copy(&to->now, &f->now);
		copy(&to->durable, &f->now);
	}
	return c;
}

void sim_disk_take(struct sim_disk *d, struct sim_disk *from)
{
	for (size_t i = 0; i < d->files.count; i++)
		free_file(d->files.items[i]);
	vec_done(&d->files);
	d->files.count = 0;
	for (size_t i = 0; i < from->files.count; i++)
		vec_push(&d->files, from->files.items[i]);
	from->files.count = 0;
	sim_disk_free(from);
}

int64_t sim_disk_used(const struct sim_disk *d)
{
	int64_t used = 0;
	for (size_t i = 0; i < d->files.count; i++)
		if (!d->files.items[i]->removed)
			used += (int64_t)d->files.items[i]->now.size;
	return used;
}

/* ---- changes ---- */

/* Whether one more change may happen; the fuse freezes the disk between two of them. */
static bool admit(struct sim_disk *d)
{
	if (d->frozen)
		return false;
	if (d->fuse && --d->fuse == 0) {
		d->frozen = d->blown = true;
		return false;
	}
	d->changes++;
	return true;
}

bool sim_disk_write(struct sim_disk *d, struct sim_file *f, const void *data, size_t size,
	size_t offset)
{
	if (!admit(d))
		return false;
	if (d->capacity_bytes && offset + size > f->now.size &&
		sim_disk_used(d) + (int64_t)(offset + size - f->now.size) > d->capacity_bytes)
		return false;
	if (d->watch)
		d->watch(d->watch_arg, f, data, size);
	overwrite(&f->now, data, size, offset);
	vec_push(&f->unsynced, (struct sim_disk_op){.type = SIM_WRITE,
				       .offset = offset,
				       .size = size,
				       .data = (unsigned char *)mem_dup_bytes(data, size)});
	return true;
}

bool sim_disk_truncate(struct sim_disk *d, struct sim_file *f, size_t size)
{
	if (!admit(d))
		return false;
	resize(&f->now, size);
	vec_push(&f->unsynced, (struct sim_disk_op){.type = SIM_TRUNCATE, .size = size});
	return true;
}

static void apply(struct sim_bytes *b, const struct sim_disk_op *op, size_t size)
{
	if (op->type == SIM_TRUNCATE)
		resize(b, op->size);
	else
		overwrite(b, op->data, size, op->offset);
}

bool sim_disk_sync(struct sim_disk *d, struct sim_file *f)
{
	if (!admit(d))
		return false;
	d->syncs++;
	if (d->lying)
		return true;
	for (size_t i = 0; i < f->unsynced.count; i++)
		apply(&f->durable, &f->unsynced.items[i], f->unsynced.items[i].size);
	clear_unsynced(f);
	f->created = true;
	return true;
}

bool sim_disk_remove(struct sim_disk *d, struct sim_file *f, bool synced)
{
	if (!admit(d))
		return false;
	f->removed = true;
	if (synced && !d->lying)
		f->created = false;
	return true;
}

/* ---- the power goes ---- */

/* A write that was under way: whole, not at all, or up to some sector. */
static void tear(struct sim_disk *d, struct sim_file *f, const struct sim_disk_op *op)
{
	uint64_t choice = rand_below(d->rand, 4);
	if (choice == 0)
		return;
	size_t sectors = (op->size + SIM_SECTOR - 1) / SIM_SECTOR;
	size_t size = op->size;
	if (choice == 1 && op->type == SIM_WRITE && sectors > 1)
		size = (size_t)rand_below(d->rand, sectors) * SIM_SECTOR;
	apply(&f->durable, op, size);
}

static bool survives(struct sim_disk *d, struct sim_file *f)
{
	if (f->folder)
		return true;
	for (size_t i = 0; i < f->unsynced.count; i++)
		tear(d, f, &f->unsynced.items[i]);
	clear_unsynced(f);
	if (f->removed) /* the removal was not synced: it may come undone */
		return f->created && rand_below(d->rand, 2) == 0;
	return f->created || rand_below(d->rand, 2) == 0;
}

void sim_disk_power_loss(struct sim_disk *d)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->files.count; i++) {
		struct sim_file *f = d->files.items[i];
		if (!survives(d, f)) {
			free_file(f);
			continue;
		}
		f->removed = false;
		f->created = true;
		copy(&f->now, &f->durable);
		d->files.items[kept++] = f;
	}
	d->files.count = kept;
}

void sim_disk_release(struct sim_disk *d)
{
	d->frozen = d->blown = false;
	d->fuse = 0;
	for (size_t i = 0; i < d->files.count; i++)
		d->files.items[i]->locked = false;
}

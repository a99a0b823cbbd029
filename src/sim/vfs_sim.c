/*
 * A SQLite VFS over a simulated disk: https://www.sqlite.org/vfs.html. The store opens its database
 * exclusively, so there is no shared memory, and a lock is one flag. The clock and the randomness
 * that SQLite asks for come from nowhere: fixed, and never part of what the store reads back.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/disk.h"

struct vfs_file {
	sqlite3_file base;
	struct sim_disk *disk;
	struct sim_file *file;
	bool holds_lock;
	bool delete_on_close;
};

static struct vfs_file *of(sqlite3_file *file)
{
	return CONTAINER_OF(file, struct vfs_file, base);
}

static int vfs_close(sqlite3_file *file)
{
	struct vfs_file *v = of(file);
	if (v->holds_lock)
		v->file->locked = false;
	if (v->delete_on_close)
		(void)sim_disk_remove(v->disk, v->file, false);
	return SQLITE_OK;
}

static int vfs_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
	const struct sim_bytes *now = &of(file)->file->now;
	size_t have = (size_t)offset < now->size ? now->size - (size_t)offset : 0;
	size_t wanted = (size_t)size;
	if (have > wanted)
		have = wanted;
	if (have)
		memcpy(data, now->data + offset, have);
	memset((char *)data + have, 0, wanted - have);
	return have == wanted ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int vfs_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
	struct vfs_file *v = of(file);
	if (sim_disk_write(v->disk, v->file, data, (size_t)size, (size_t)offset))
		return SQLITE_OK;
	return v->disk->frozen ? SQLITE_IOERR_WRITE : SQLITE_FULL;
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct vfs_file *v = of(file);
	bool done = sim_disk_truncate(v->disk, v->file, (size_t)size);
	return done ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

static int vfs_sync(sqlite3_file *file, int flags)
{
	(void)flags;
	struct vfs_file *v = of(file);
	return sim_disk_sync(v->disk, v->file) ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int vfs_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	*ret_size = (sqlite3_int64)of(file)->file->now.size;
	return SQLITE_OK;
}

static int vfs_lock(sqlite3_file *file, int level)
{
	struct vfs_file *v = of(file);
	if (level == SQLITE_LOCK_NONE || v->holds_lock)
		return SQLITE_OK;
	if (v->file->locked)
		return SQLITE_BUSY;
	v->file->locked = v->holds_lock = true;
	return SQLITE_OK;
}

static int vfs_unlock(sqlite3_file *file, int level)
{
	struct vfs_file *v = of(file);
	if (level == SQLITE_LOCK_NONE && v->holds_lock)
		v->file->locked = v->holds_lock = false;
	return SQLITE_OK;
}

static int vfs_check_reserved(sqlite3_file *file, int *ret_reserved)
{
	(void)file;
	*ret_reserved = 0;
	return SQLITE_OK;
}

static int vfs_control(sqlite3_file *file, int operation, void *arg)
{
	(void)file, (void)operation, (void)arg;
	return SQLITE_NOTFOUND;
}

static int vfs_sector_size(sqlite3_file *file)
{
	(void)file;
	return SIM_SECTOR;
}

static int vfs_characteristics(sqlite3_file *file)
{
	(void)file;
	return 0;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = vfs_close,
	.xRead = vfs_read,
	.xWrite = vfs_write,
	.xTruncate = vfs_truncate,
	.xSync = vfs_sync,
	.xFileSize = vfs_size,
	.xLock = vfs_lock,
	.xUnlock = vfs_unlock,
	.xCheckReservedLock = vfs_check_reserved,
	.xFileControl = vfs_control,
	.xSectorSize = vfs_sector_size,
	.xDeviceCharacteristics = vfs_characteristics,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct sim_disk *d = vfs->pAppData;
	struct vfs_file *v = of(file);
	*v = (struct vfs_file){.disk = d};
	v->file = sim_disk_find(d, name ? name : "/temporary");
	if (!v->file && (!(flags & SQLITE_OPEN_CREATE) || d->frozen))
		return SQLITE_CANTOPEN;
	if (!v->file)
		v->file = sim_disk_create(d, name ? name : "/temporary");
	v->delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE;
	v->base.pMethods = &methods;
	if (out)
		*out = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int synced)
{
	struct sim_disk *d = vfs->pAppData;
	struct sim_file *f = sim_disk_find(d, name);
	if (!f)
		return SQLITE_IOERR_DELETE_NOENT;
	return sim_disk_remove(d, f, synced) ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_there)
{
	(void)flags;
	*ret_there = sim_disk_find(vfs->pAppData, name) != NULL;
	return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path)
{
	(void)vfs;
	return str_copy(ret_path, (size_t)size, name) ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *ret_bytes)
{
	(void)vfs;
	for (int i = 0; i < size; i++)
		ret_bytes[i] = (char)(i * 7 + 1);
	return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
	(void)vfs;
	return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_julian_day)
{
	(void)vfs;
	*ret_julian_day = 2461041.5; /* 2026-01-01 */
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *ret_text)
{
	(void)vfs, (void)size, (void)ret_text;
	return 0;
}

struct sqlite3_vfs *sim_vfs_register(struct sim_disk *d, const char *name)
{
	sqlite3_vfs *vfs = mem_new(sqlite3_vfs);
	*vfs = (sqlite3_vfs){.iVersion = 1,
		.szOsFile = sizeof(struct vfs_file),
		.mxPathname = 512,
		.zName = name,
		.pAppData = d,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = vfs_randomness,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time,
		.xGetLastError = vfs_last_error};
	if (sqlite3_vfs_register(vfs, 0) != SQLITE_OK)
		abort();
	return vfs;
}

void sim_vfs_unregister(struct sqlite3_vfs *vfs)
{
	if (!vfs)
		return;
	sqlite3_vfs_unregister(vfs);
	free(vfs);
}

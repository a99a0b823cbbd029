/*
 * The disk of a simulated machine: files that remember which of their bytes were synced. A write
 * is seen by readers at once; when the power goes, each write since the last sync is kept, lost or
 * torn at a sector, and so are truncations and removals. A process that dies alone loses nothing.
 *
 * Also two faces of it: struct fs, for roles, and a SQLite VFS, for the store.
 */
#ifndef CONTINUO_SIM_DISK_H
#define CONTINUO_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rand.h"
#include "base/vec.h"
#include "sys/fs.h"

#define SIM_SECTOR 512

struct sim_bytes {
	unsigned char *data;
	size_t size, capacity;
};

struct sim_disk_op {
	enum { SIM_WRITE, SIM_TRUNCATE } type;
	size_t offset, size; /* truncate: size alone */
	unsigned char *data;
};

struct sim_file {
	char *path;
	bool folder;
	bool removed; /* not seen any more; the removal may come undone */
	bool created; /* exists on the disk: was synced once */
	bool locked;  /* by a database connection */
	struct sim_bytes now, durable;
	VEC(struct sim_disk_op) unsynced;
};

struct sim_disk {
	struct fs fs;
	struct rand *rand;
	VEC(struct sim_file *) files; /* sorted by path */
	bool frozen;                  /* the process is dead or dying: nothing changes any more */
	int64_t fuse;                 /* changes until it freezes by itself; 0: never */
	bool blown;                   /* the fuse did it: the machine has to die now */
	bool lying;                   /* planted bug: sync does nothing */
	int64_t capacity_bytes;       /* 0: without limit */
	/* Sees everything that is written; null: nobody does. */
	void (*watch)(void *arg, const struct sim_file *f, const void *data, size_t size);
	void *watch_arg;
	uint64_t changes, syncs;
};

struct sim_disk *sim_disk_new(struct rand *rand) MUST_CHECK; /* rand is borrowed */
void sim_disk_free(struct sim_disk *d);
struct sim_disk *sim_disk_copy(const struct sim_disk *d) MUST_CHECK; /* as readers see it */
/* Has what the copy has from now on; the copy is freed. */
void sim_disk_take(struct sim_disk *d, struct sim_disk *from);
void sim_disk_power_loss(struct sim_disk *d); /* decides what is left */
void sim_disk_release(
	struct sim_disk *d); /* the processes are gone: no locks, not frozen, no fuse */

/* Files, for both faces. Offsets and sizes in bytes; false when the disk is frozen or full. */
struct sim_file *sim_disk_find(struct sim_disk *d, const char *path);
struct sim_file *sim_disk_create(struct sim_disk *d, const char *path); /* found or made */
bool sim_disk_write(struct sim_disk *d, struct sim_file *f, const void *data, size_t size,
	size_t offset);
bool sim_disk_truncate(struct sim_disk *d, struct sim_file *f, size_t size);
bool sim_disk_sync(struct sim_disk *d, struct sim_file *f);
bool sim_disk_remove(struct sim_disk *d, struct sim_file *f, bool synced);
int64_t sim_disk_used(const struct sim_disk *d);

/* The SQLite VFS over a disk, registered under a name (which must live until it is taken back). */
struct sqlite3_vfs;
struct sqlite3_vfs *sim_vfs_register(struct sim_disk *d, const char *name) MUST_CHECK;
void sim_vfs_unregister(struct sqlite3_vfs *vfs);

#endif

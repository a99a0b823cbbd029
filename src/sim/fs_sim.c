/* struct fs over a simulated disk. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "sim/disk.h"

extern const struct fs_ops sim_fs_ops;

static struct sim_disk *disk_of(struct fs *fs)
{
	return CONTAINER_OF(fs, struct sim_disk, fs);
}

static int refused(const struct sim_disk *d, const char *path, struct err *e)
{
	return err_set(e, d->frozen ? ERR_IO : ERR_NO_SPACE, "%s: cannot be written", path);
}

static int fs_sim_read(struct fs *fs, const char *path, struct buf *ret_data, struct err *e)
{
	const struct sim_file *f = sim_disk_find(disk_of(fs), path);
	if (!f || f->folder)
		return err_set(e, ERR_NOT_FOUND, "%s: no such file", path);
	buf_append(ret_data, f->now.data, f->now.size);
	return buf_check(ret_data, path, e);
}

/* Everything is one step here: the temporary file and the rename are one change of the disk. When
 * the fuse blows at it, the old content is left. */
static int fs_sim_write_atomic(struct fs *fs, const char *path, const void *data, size_t size,
	mode_t mode, struct err *e)
{
	(void)mode;
	struct sim_disk *d = disk_of(fs);
	struct sim_file *f = sim_disk_find(d, path);
	bool is_new = !f;
	/* The temporary file needs room beside the old one. */
	if (d->capacity_bytes && sim_disk_used(d) + (int64_t)size > d->capacity_bytes)
		return refused(d, path, e);
	if (is_new)
		f = sim_disk_create(d, path);
	if (!sim_disk_write(d, f, data, size, 0)) {
		f->removed = f->removed || is_new;
		return refused(d, path, e);
	}
	/* What a rename does: all of the new content and no more of the old. */
	f->now.size = size;
	f->durable.size = 0;
	bool frozen = d->frozen, lying = d->lying;
	int64_t fuse = d->fuse;
	d->frozen = d->lying = false;
	d->fuse = 0;
	(void)sim_disk_sync(d, f);
	d->frozen = frozen;
	d->lying = lying;
	d->fuse = fuse;
	return 0;
}

static int fs_sim_remove(struct fs *fs, const char *path, struct err *e)
{
	struct sim_disk *d = disk_of(fs);
	struct sim_file *f = sim_disk_find(d, path);
	if (f && !sim_disk_remove(d, f, true))
		return refused(d, path, e);
	return 0;
}

static int fs_sim_make_folders(struct fs *fs, const char *path, mode_t mode, struct err *e)
{
	(void)mode;
	struct sim_disk *d = disk_of(fs);
	if (sim_disk_find(d, path))
		return 0;
	if (d->frozen)
		return refused(d, path, e);
	sim_disk_create(d, path)->folder = true;
	return 0;
}

/* The name of an entry right under folder, or of the sub-folder that holds the file. */
static bool entry_of(const struct sim_file *f, const char *folder, size_t folder_size,
	char *ret_name, size_t size, bool *ret_is_folder)
{
	if (f->removed || strncmp(f->path, folder, folder_size) != 0 || f->path[folder_size] != '/')
		return false;
	const char *name = f->path + folder_size + 1;
	const char *slash = strchr(name, '/');
	size_t length = slash ? (size_t)(slash - name) : strlen(name);
	if (length >= size)
		return false;
	memcpy(ret_name, name, length);
	ret_name[length] = '\0';
	*ret_is_folder = slash || f->folder;
	return true;
}

static int fs_sim_list(struct fs *fs, const char *path, fs_list_cb *cb, void *arg, struct err *e)
{
	struct sim_disk *d = disk_of(fs);
	size_t size = strlen(path);
	char name[256], last[256] = "";
	bool is_folder, any = sim_disk_find(d, path) != NULL;
	for (size_t i = 0; i < d->files.count; i++) {
		if (!entry_of(d->files.items[i], path, size, name, sizeof(name), &is_folder))
			continue;
		any = true;
		if (strcmp(name, last) == 0)
			continue;
		(void)str_copy(last, sizeof(last), name);
		int r = cb(arg, name, is_folder);
		if (r)
			return r;
	}
	return any ? 0 : err_set(e, ERR_NOT_FOUND, "%s: no such folder", path);
}

static int64_t fs_sim_free_bytes(struct fs *fs, const char *path)
{
	(void)path;
	const struct sim_disk *d = disk_of(fs);
	int64_t all = d->capacity_bytes ? d->capacity_bytes : (int64_t)1 << 40;
	return all - sim_disk_used(d);
}

static int fs_sim_node(struct fs *fs, const char *path, struct fs_node *ret_node, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	int r = fs_sim_read(fs, path, &b, e);
	*ret_node = (struct fs_node){0};
	if (r == 0 && sscanf(buf_text(&b), "%c %u:%u", &ret_node->type, &ret_node->major,
			      &ret_node->minor) != 3)
		ret_node->type = 0;
	return r;
}

static int fs_sim_link(struct fs *fs, const char *path, struct buf *ret_text, struct err *e)
{
	(void)ret_text;
	if (!sim_disk_find(disk_of(fs), path))
		return err_set(e, ERR_NOT_FOUND, "%s: no such file", path);
	return err_set(e, ERR_IO, "%s: no link", path);
}

const struct fs_ops sim_fs_ops = {
	.read = fs_sim_read,
	.write_atomic = fs_sim_write_atomic,
	.remove = fs_sim_remove,
	.make_folders = fs_sim_make_folders,
	.list = fs_sim_list,
	.free_bytes = fs_sim_free_bytes,
	.node = fs_sim_node,
	.link = fs_sim_link,
};

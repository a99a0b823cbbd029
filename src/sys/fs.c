#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define PATH_SIZE 4096

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* ---- over real files ---- */

static int real_read(struct fs *fs, const char *path, struct buf *ret_data, struct err *e)
{
	(void)fs;
	CLEANUP(close_fd)
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open %s", path);
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && S_ISREG(st.st_mode))
		(void)buf_reserve(ret_data, (size_t)st.st_size); /* checked at the end */
	char block[16384];
	ssize_t got;
	while ((got = read(fd, block, sizeof(block))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_errno(e, errno, "cannot read %s", path);
		buf_append(ret_data, block, (size_t)got);
	}
	return buf_check(ret_data, path, e);
}

static int sync_folder_of(const char *path, struct err *e)
{
	char folder[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	size_t size = slash && slash > path ? (size_t)(slash - path) : 1;
	if (!slash || size >= sizeof(folder))
		return err_set(e, ERR_INVALID, "not an absolute path: %s", path);
	memcpy(folder, path, size);
	folder[size] = '\0';
	CLEANUP(close_fd)
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open folder %s", folder);
	if (fsync(fd) < 0)
		return err_set_errno(e, errno, "cannot sync folder %s", folder);
	return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, data, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		data += done;
		size -= (size_t)done;
	}
	return 0;
}

/* Writes the temporary file, durable and with its mode whatever the umask. */
static int write_temporary(const char *path, const void *data, size_t size, mode_t mode,
	struct err *e)
{
	CLEANUP(close_fd)
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot create %s", path);
	int r = write_all(fd, data, size);
	if (r < 0)
		return err_set_errno(e, -r, "cannot write %s", path);
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return err_set_errno(e, errno, "cannot sync %s", path);
	return 0;
}

static int real_write_atomic(struct fs *fs, const char *path, const void *data, size_t size,
	mode_t mode, struct err *e)
{
	(void)fs;
	char temporary[PATH_SIZE];
	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return err_set(e, ERR_INVALID, "path too long: %s", path);
	int r = write_temporary(temporary, data, size, mode, e);
	if (r == 0 && rename(temporary, path) < 0)
		r = err_set_errno(e, errno, "cannot rename %s", temporary);
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_folder_of(path, e);
}

static int real_remove(struct fs *fs, const char *path, struct err *e)
{
	(void)fs;
	if (unlink(path) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set_errno(e, errno, "cannot remove %s", path);
	}
	return sync_folder_of(path, e);
}

static int overwrite(const char *path, struct err *e)
{
	static const char zeros[4096];
	CLEANUP(close_fd)
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set_errno(e, errno, "cannot open %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set_errno(e, errno, "cannot look at %s", path);
	int r = 0;
	for (off_t left = st.st_size; r == 0 && left > 0; left -= (off_t)sizeof(zeros))
		r = write_all(fd, zeros,
			left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros));
	if (r < 0 || fsync(fd) < 0)
		return err_set_errno(e, r < 0 ? -r : errno, "cannot overwrite %s", path);
	return 0;
}

static int real_erase(struct fs *fs, const char *path, struct err *e)
{
	int overwritten = overwrite(path, e);
	int removed = real_remove(fs, path, overwritten < 0 ? NULL : e);
	return overwritten < 0 ? overwritten : removed;
}

static int real_make_folders(struct fs *fs, const char *path, mode_t mode, struct err *e)
{
	(void)fs;
	char part[PATH_SIZE];
	if (path[0] != '/' || !str_copy(part, sizeof(part), path))
		return err_set(e, ERR_INVALID, "not an absolute path: %s", path);
	for (char *at = part + 1;; at++) {
		if (*at != '/' && *at != '\0')
			continue;
		char was = *at;
		*at = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_set_errno(e, errno, "cannot make folder %s", part);
		if (was == '\0')
			break;
		*at = was;
	}
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_IO, "%s exists and is not a folder", path);
	return 0;
}

struct listed {
	char *name;
	bool is_folder;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static void listed_add(DIR *folder, const struct dirent *entry, struct listed *ret_item)
{
	struct stat st;
	bool is_folder = entry->d_type == DT_DIR;
	if (entry->d_type == DT_UNKNOWN &&
		fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		is_folder = S_ISDIR(st.st_mode);
	*ret_item = (struct listed){mem_dup_string(entry->d_name), is_folder};
}

static int real_list(struct fs *fs, const char *path, fs_list_cb *cb, void *arg, struct err *e)
{
	(void)fs;
	DIR *folder = opendir(path);
	if (!folder)
		return err_set_errno(e, errno, "cannot list %s", path);
	VEC(struct listed) names = {0};
	struct dirent *entry;
	while ((entry = readdir(folder)))
		if (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, ".."))
			listed_add(folder, entry, vec_add(&names));
	closedir(folder);
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(struct listed), compare_names);
	int r = 0;
	VEC_EACH (&names, struct listed, item) {
		if (r == 0)
			r = cb(arg, item->name, item->is_folder);
		free(item->name);
	}
	vec_done(&names);
	return r;
}

static int64_t real_free_bytes(struct fs *fs, const char *path)
{
	(void)fs;
	struct statvfs v;
	if (statvfs(path, &v) < 0)
		return -1;
	return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

static int real_node(struct fs *fs, const char *path, struct fs_node *ret_node, struct err *e)
{
	(void)fs;
	struct stat st;
	if (stat(path, &st) < 0)
		return err_set_errno(e, errno, "cannot look at %s", path);
	*ret_node = (struct fs_node){0};
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		*ret_node = (struct fs_node){.type = S_ISCHR(st.st_mode) ? 'c' : 'b',
			.major = major(st.st_rdev),
			.minor = minor(st.st_rdev)};
	return 0;
}

static int real_link(struct fs *fs, const char *path, struct buf *ret_text, struct err *e)
{
	(void)fs;
	char text[PATH_SIZE];
	ssize_t size = readlink(path, text, sizeof(text));
	if (size < 0)
		return err_set_errno(e, errno, "cannot read the link %s", path);
	buf_append(ret_text, text, (size_t)size);
	return buf_check(ret_text, path, e);
}

static int64_t real_total_bytes(struct fs *fs, const char *path)
{
	(void)fs;
	struct statvfs v;
	if (statvfs(path, &v) < 0)
		return -1;
	return (int64_t)v.f_blocks * (int64_t)v.f_frsize;
}

struct fs *fs_real(void)
{
	static const struct fs_ops ops = {
		.read = real_read,
		.write_atomic = real_write_atomic,
		.remove = real_remove,
		.make_folders = real_make_folders,
		.list = real_list,
		.free_bytes = real_free_bytes,
		.node = real_node,
		.link = real_link,
		.total_bytes = real_total_bytes,
		.erase = real_erase,
	};
	static struct fs real = {&ops};
	return &real;
}

/* ---- dispatch ---- */

int fs_read(struct fs *fs, const char *path, struct buf *ret_data, struct err *e)
{
	return fs->ops->read(fs, path, ret_data, e);
}

int fs_write_atomic(struct fs *fs, const char *path, const void *data, size_t size, mode_t mode,
	struct err *e)
{
	return fs->ops->write_atomic(fs, path, data, size, mode, e);
}

int fs_remove(struct fs *fs, const char *path, struct err *e)
{
	return fs->ops->remove(fs, path, e);
}

int fs_erase(struct fs *fs, const char *path, struct err *e)
{
	return fs->ops->erase ? fs->ops->erase(fs, path, e) : fs_remove(fs, path, e);
}

int fs_make_folders(struct fs *fs, const char *path, mode_t mode, struct err *e)
{
	return fs->ops->make_folders(fs, path, mode, e);
}

int fs_list(struct fs *fs, const char *path, fs_list_cb *cb, void *arg, struct err *e)
{
	return fs->ops->list(fs, path, cb, arg, e);
}

int64_t fs_total_bytes(struct fs *fs, const char *path)
{
	return fs->ops->total_bytes ? fs->ops->total_bytes(fs, path) : -1;
}

int64_t fs_free_bytes(struct fs *fs, const char *path)
{
	return fs->ops->free_bytes(fs, path);
}

int fs_node(struct fs *fs, const char *path, struct fs_node *ret_node, struct err *e)
{
	return fs->ops->node(fs, path, ret_node, e);
}

int fs_link(struct fs *fs, const char *path, struct buf *ret_text, struct err *e)
{
	return fs->ops->link(fs, path, ret_text, e);
}

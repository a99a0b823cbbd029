/*
 * A tree may be deeper than a stack or a table of descriptors: it is taken down from the top. Each
 * folder in the top folder is emptied of its files, and the folders in it are moved up beside it,
 * where they are emptied in turn. So no more than two levels are ever looked at.
 */
#include "sys/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/inside.h"

struct removal {
	int top;
	unsigned int moved; /* names of those that were moved up */
	bool progress;      /* in this pass over the top */
	int errnum;         /* of what could not be removed in this pass */
};

void tree_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static DIR *open_folder(int parent, const char *name)
{
	int fd = inside_open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	if (!folder && fd >= 0)
		close(fd);
	return folder;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* 0: it is gone; ENOTEMPTY: a folder that is not; else what is in the way. */
static int remove_one(int parent, const char *name)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	int errnum = errno;
	if (errnum != EISDIR && errnum != EPERM)
		return errnum;
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return errno == EEXIST ? ENOTEMPTY : errno == ENOTDIR ? errnum : errno;
}

/* What has the new name may be anything that was not removed yet. */
static int move_up(struct removal *r, int parent, const char *name)
{
	char fresh[32];
	do {
		if (r->moved == UINT_MAX)
			return ENOTEMPTY;
		snprintf(fresh, sizeof(fresh), ".removed-%u", r->moved++);
		if (renameat(parent, name, r->top, fresh) == 0)
			return 0;
	} while (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR);
	return errno;
}

static void note(struct removal *r, int errnum)
{
	if (errnum == 0)
		r->progress = true;
	else
		r->errnum = errnum;
}

/* Files in it are removed, folders in it moved to the top. */
static void empty_folder(struct removal *r, DIR *folder)
{
	int fd = dirfd(folder);
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (is_dots(entry->d_name))
			continue;
		int errnum = remove_one(fd, entry->d_name);
		note(r, errnum == ENOTEMPTY ? move_up(r, fd, entry->d_name) : errnum);
	}
}

static void remove_folder(struct removal *r, const char *name)
{
	DIR *folder = open_folder(r->top, name);
	if (!folder) {
		note(r, errno);
		return;
	}
	empty_folder(r, folder);
	closedir(folder);
	note(r, remove_one(r->top, name));
}

static void pass_over(struct removal *r, DIR *top)
{
	for (struct dirent *entry; (entry = readdir(top));) {
		if (is_dots(entry->d_name))
			continue;
		int errnum = remove_one(r->top, entry->d_name);
		if (errnum == ENOTEMPTY)
			remove_folder(r, entry->d_name);
		else
			note(r, errnum);
	}
}

/* Each pass finds what the one before moved up, or what it did not see because of that. */
static int empty_top(struct removal *r)
{
	do {
		DIR *top = open_folder(r->top, ".");
		if (!top)
			return errno;
		r->progress = false;
		r->errnum = 0;
		pass_over(r, top);
		closedir(top);
	} while (r->progress);
	return r->errnum;
}

int tree_remove(int folder_fd, const char *name, struct err *e)
{
	int errnum = remove_one(folder_fd, name);
	if (errnum == ENOTEMPTY) {
		DIR *top = open_folder(folder_fd, name);
		if (!top)
			return err_set_errno(e, errno, "open the folder %s to remove it", name);
		struct removal r = {.top = dirfd(top)};
		errnum = empty_top(&r);
		closedir(top);
		if (errnum == 0)
			errnum = remove_one(folder_fd, name);
	}
	return errnum ? err_set_errno(e, errnum, "remove %s", name) : 0;
}

int tree_remove_path(const char *path, struct err *e)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (!slash)
		return tree_remove(AT_FDCWD, path, e);
	if (!str_copy(folder, sizeof(folder), path))
		return err_set_errno(e, ENAMETOOLONG, "remove %.100s...", path);
	folder[slash - path + 1] = '\0';
	CLEANUP(tree_close) int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set_errno(e, errno, "open %s", folder);
	int rc = tree_remove(fd, slash + 1, e);
	if (rc)
		(void)err_prefix(e, "%s", folder);
	return rc;
}

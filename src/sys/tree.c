#include "sys/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Deeper than any path can name (PATH_MAX / 2), so a tree that was made through descriptors cannot
 * exhaust our stack. */
#define DEPTH_MAX 2048

void tree_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int remove_at(int folder_fd, const char *name, int depth, struct err *e);

static int remove_entries(int folder_fd, const char *name, int depth, struct err *e)
{
	int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "open the folder %s to remove it", name);
	DIR *folder = fdopendir(fd);
	if (!folder) {
		int errnum = errno;
		close(fd);
		return err_set_errno(e, errnum, "read the folder %s to remove it", name);
	}
	int rc = 0;
	for (struct dirent *entry; rc == 0 && (entry = readdir(folder));) {
		if (!is_dots(entry->d_name))
			rc = remove_at(fd, entry->d_name, depth + 1, e);
	}
	closedir(folder);
	return rc;
}

static int remove_at(int folder_fd, const char *name, int depth, struct err *e)
{
	if (unlinkat(folder_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_set_errno(e, errno, "remove %s", name);
	if (depth > DEPTH_MAX)
		return err_set(e, ERR_IO, "remove %s: more than %d folders deep", name, DEPTH_MAX);
	int rc = remove_entries(folder_fd, name, depth, e);
	if (rc != 0)
		return rc;
	if (unlinkat(folder_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return err_set_errno(e, errno, "remove the folder %s", name);
	return 0;
}

int tree_remove(int folder_fd, const char *name, struct err *e)
{
	return remove_at(folder_fd, name, 0, e);
}

int tree_remove_path(const char *path, struct err *e)
{
	return remove_at(AT_FDCWD, path, 0, e);
}

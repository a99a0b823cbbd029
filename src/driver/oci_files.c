/* Files and folders of the engine. All of it blocks. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"
#include "sys/tree.h"

void oci_fd_done(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Not synced: everything that goes through here is made anew after a crash of the machine. */
int oci_write_file(const char *path, const char *data, size_t size, int mode, struct err *e)
{
	char *fresh CLEANUP(mem_free_ptr) = mem_format("%s.new", path);
	int fd CLEANUP(oci_fd_done) =
		open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot write %s", fresh);
	(void)fchmod(fd, (mode_t)mode);
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(e, errno, "cannot write %s", fresh);
		data += n;
		size -= (size_t)n;
	}
	if (rename(fresh, path) < 0)
		return err_set_errno(e, errno, "cannot replace %s", path);
	return 0;
}

int oci_read_open(int fd, const char *path, struct buf *b, struct err *e)
{
	char block[4096];
	ssize_t n;
	while ((n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(e, errno, "cannot read %s", path);
		buf_append(b, block, (size_t)n);
	}
	return buf_check(b, path, e);
}

int oci_read_file(const char *path, struct buf *b, struct err *e)
{
	int fd CLEANUP(oci_fd_done) = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot read %s", path);
	return oci_read_open(fd, path, b, e);
}

/* From the top, not by recursion: a path may have thousands of parts. */
int oci_make_folder(const char *path, int mode, struct err *e)
{
	if (mkdir(path, (mode_t)mode) == 0 || errno == EEXIST)
		return 0;
	char *part CLEANUP(mem_free_ptr) = mem_dup_string(path);
	for (char *at = part; errno == ENOENT && (at = strchr(at + 1, '/'));) {
		*at = '\0';
		if (mkdir(part, (mode_t)mode) == 0 || errno == EEXIST)
			errno = ENOENT;
		*at = '/';
	}
	if (errno == ENOENT && (mkdir(path, (mode_t)mode) == 0 || errno == EEXIST))
		return 0;
	return err_set_errno(e, errno, "cannot make the folder %s", path);
}

/* The mount points below path, the deepest last; mountinfo escapes spaces, which ours never have.
 */
static void unmount_below(const char *path)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	if (oci_read_file("/proc/self/mountinfo", &b, NULL))
		return;
	size_t size = strlen(path);
	char *line, *rest = b.data;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *point = line;
		for (int i = 0; i < 4 && point; i++) {
			point = strchr(point, ' ');
			if (point)
				point++;
		}
		if (!point)
			continue;
		point[strcspn(point, " ")] = '\0';
		if (strncmp(point, path, size) != 0 || (point[size] != '/' && point[size]))
			continue;
		/* What lies below a copy of a shared mount would go from its original too. */
		(void)mount(NULL, point, NULL, MS_PRIVATE | MS_REC, NULL);
		(void)umount2(point, MNT_DETACH);
	}
}

void oci_remove_tree(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode)) {
		unmount_below(path);
		if (lstat(path, &st) < 0)
			return;
	}
	(void)!tree_remove_path(path, NULL);
}

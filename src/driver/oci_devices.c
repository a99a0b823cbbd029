/* Devices of a container: those it asks for by name, all of the host's when it is privileged
 * (runtime-spec, linux.devices). Blocks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"

#define DEPTH_MAX 6 /* folders below /dev */
#define NODES_MAX 4096

static void add_node(json_t *devices, const char *path, const struct stat *st)
{
	json_array_append_new(devices,
		json_pack("{s:s,s:s,s:I,s:I,s:i,s:I,s:I}", "path", path, "type",
			S_ISCHR(st->st_mode) ? "c" : "b", "major", (json_int_t)major(st->st_rdev),
			"minor", (json_int_t)minor(st->st_rdev), "fileMode",
			(int)(st->st_mode & 07777), "uid", (json_int_t)st->st_uid, "gid",
			(json_int_t)st->st_gid));
}

/* What every container has of its own, and what is no device of the machine (containerd leaves out
 * the same). */
static bool is_own(const char *name, bool top)
{
	static const char *const names[] = {"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts",
		".udev", "console", "ptmx", "null", "zero", "full", "random", "urandom", "tty"};
	for (size_t i = 0; top && i < ARRAY_SIZE(names); i++)
		if (str_equal(name, names[i]))
			return true;
	return str_equal(name, ".") || str_equal(name, "..");
}

static void add_folder(json_t *devices, int parent, const char *name, const char *path, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	if (!list) {
		oci_fd_done(&fd);
		return;
	}
	struct dirent *entry;
	while ((entry = readdir(list)) && json_array_size(devices) < NODES_MAX) {
		struct stat st;
		if (is_own(entry->d_name, depth == 0) ||
			fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		char *inner CLEANUP(mem_free_ptr) = mem_format("%s/%s", path, entry->d_name);
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			add_folder(devices, fd, entry->d_name, inner, depth + 1);
		else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			add_node(devices, inner, &st);
	}
	closedir(list);
}

void oci_devices_of_host(json_t *devices)
{
	add_folder(devices, AT_FDCWD, "/dev", "/dev", 0);
}

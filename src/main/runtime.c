/*
 * continuo-runtime PROGRAM CGROUP ARGUMENT...
 *
 * Becomes an OCI runtime in a view of the machine in which cgroups are of version 1 alone. crun
 * refuses hybrid hosts whose v2 hierarchy has controllers (its message: "cgroups in hybrid mode not
 * supported"), and knows such a host by the mount at /sys/fs/cgroup/unified: here that is
 * unmounted, in a mount namespace that ends with the runtime. What the runtime starts is in CGROUP
 * of the v2 hierarchy, as in the others; "-" leaves it where it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIFIED "/sys/fs/cgroup/unified"

static int fail(const char *what)
{
	fprintf(stderr, "continuo-runtime: cannot %s: %s\n", what, strerror(errno));
	return 1;
}

/* Makes the cgroup with its parents and enters it. */
static int enter(const char *cgroup)
{
	char path[4096];
	int size = snprintf(path, sizeof(path), UNIFIED "%s/cgroup.procs", cgroup);
	if (size < 0 || (size_t)size >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (char *slash = path + strlen(UNIFIED) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, "0", 1); /* ourselves */
	close(fd);
	return n == 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: continuo-runtime PROGRAM CGROUP|- ARGUMENT...\n");
		return 2;
	}
	if (strcmp(argv[2], "-") != 0 && enter(argv[2]) < 0)
		return fail("enter the cgroup");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fail("make a mount namespace");
	if (umount2(UNIFIED, MNT_DETACH) < 0)
		return fail("unmount " UNIFIED);
	/* A runtime that could be written to by what it starts (CVE-2019-5736) first copies itself
	 * and starts again; from a read-only mount crun does without. If this fails, it copies. */
	if (mount(argv[1], argv[1], NULL, MS_BIND, NULL) == 0)
		(void)mount(NULL, argv[1], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
	argv[2] = argv[1];
	execv(argv[1], argv + 2);
	return fail("execute the runtime");
}

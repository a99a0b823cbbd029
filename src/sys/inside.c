#include "sys/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 1000

int inside_open(int root, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (unsigned int)(flags | O_CLOEXEC),
		.resolve = resolve | RESOLVE_NO_MAGICLINKS};
	int fd = -1;
	for (int i = 0; i < TRIES; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
		(void)sched_yield();
	}
	return fd;
}

/* Looked at before it is opened, through a descriptor that opens nothing: to open a pipe may block,
 * and to open a device may set it going. O_NONBLOCK: somebody may hold a lease on it. */
int inside_open_file(int root, const char *path, uint64_t resolve)
{
	struct stat st;
	char again[64];
	int fd = -1, errnum = EINVAL;
	int found = inside_open(root, path, O_PATH, resolve);
	if (found < 0)
		return -1;
	if (fstat(found, &st) == 0 && S_ISREG(st.st_mode)) {
		snprintf(again, sizeof(again), "/proc/self/fd/%d", found);
		fd = open(again, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		errnum = errno;
	}
	close(found);
	errno = errnum;
	return fd;
}

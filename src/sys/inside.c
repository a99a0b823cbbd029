#include "sys/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
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

/*
 * The workload of benches: writes the time at which it runs (CLOCK_REALTIME, nanoseconds) into
 * /out/HOSTNAME, then waits to be ended. Static, so that it is a whole image by itself.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

int main(void)
{
	struct timespec now;
	char host[65] = "", path[80], text[32];
	clock_gettime(CLOCK_REALTIME, &now);
	/* As process 1 of its namespace it would not be ended by a signal that it does not handle.
	 */
	signal(SIGTERM, end);
	signal(SIGINT, end);
	gethostname(host, sizeof(host) - 1);
	snprintf(path, sizeof(path), "/out/%s", host);
	int size = snprintf(text, sizeof(text), "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)size) != size) {
		perror(path);
		return 1;
	}
	close(fd);
	for (;;)
		pause();
}

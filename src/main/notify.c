#include "main/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

static void send_text(const struct notify *n, const char *text)
{
	if (n->address_size == 0)
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->address,
		n->address_size);
	close(fd);
}

/* A path, or "@name": a name that begins with a zero byte instead. */
static void set_address(struct notify *n, const char *name)
{
	size_t size = strlen(name);
	if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(n->address.sun_path))
		return;
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, name, size);
	if (name[0] == '@')
		n->address.sun_path[0] = '\0';
	n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static int64_t watchdog_of(const char *usec, const char *pid)
{
	int64_t number = 0, us = 0;
	if (pid && (str_to_int64(pid, "WATCHDOG_PID", &number, NULL) < 0 || number != getpid()))
		return 0;
	if (!usec || str_to_int64(usec, "WATCHDOG_USEC", &us, NULL) < 0 || us < 0)
		return 0;
	return us / 1000;
}

void notify_init(struct notify *n)
{
	*n = (struct notify){0};
	const char *name = getenv("NOTIFY_SOCKET");
	if (name)
		set_address(n, name);
	if (n->address_size)
		n->watchdog_ms = watchdog_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/* Twice as often as asked for, as sd_watchdog_enabled(3) advises. */
static void on_watchdog(void *arg)
{
	struct notify *n = arg;
	send_text(n, "WATCHDOG=1");
	loop_timer_start(n->watchdog, n->watchdog_ms / 2);
}

void notify_ready(struct notify *n, struct loop *loop)
{
	send_text(n, "READY=1");
	if (n->watchdog_ms == 0)
		return;
	n->watchdog = loop_timer_new(loop, on_watchdog, n);
	on_watchdog(n);
}

void notify_stopping(const struct notify *n)
{
	send_text(n, "STOPPING=1");
}

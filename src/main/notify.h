/*
 * What a service manager is told: that the program is ready, that it stops, and, where the unit has
 * WatchdogSec=, that its loop still turns. The protocol is that of sd_notify(3): datagrams of
 * KEY=VALUE lines to the unix socket that NOTIFY_SOCKET names. Without one nothing is sent, and
 * what cannot be sent is lost: no program fails for want of a listener.
 */
#ifndef CONTINUO_MAIN_NOTIFY_H
#define CONTINUO_MAIN_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include "sys/loop.h"

struct notify {
	struct sockaddr_un address;
	socklen_t address_size;      /* 0: nobody listens */
	int64_t watchdog_ms;         /* 0: no watchdog */
	struct loop_timer *watchdog; /* ends with the loop, as programs do */
};

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC, and takes them out of the environment: a child that had
 * them would speak in our name, and runc waits for a word of its container when it sees one. */
void notify_init(struct notify *n);

void notify_ready(struct notify *n, struct loop *loop);
void notify_stopping(const struct notify *n);

#endif

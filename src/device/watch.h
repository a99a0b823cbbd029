/*
 * Hears that devices may have come or gone: the kernel's uevents and udev's (netlink(7),
 * NETLINK_KOBJECT_UEVENT, groups 1 and 2), and inotify(7) on folders below /dev, for nodes that
 * come without an event in this network namespace. An event is a hint only: whoever hears it looks
 * at everything again, so nobody can lie to us by one. On the loop's thread; never blocks.
 */
#ifndef CONTINUO_DEVICE_WATCH_H
#define CONTINUO_DEVICE_WATCH_H

#include <stddef.h>

#include "sys/loop.h"

struct device_watch;

/* Whether a uevent is about something that has a device node. Kernel: "ACTION@DEVPATH", then
 * NAME=VALUE, each with a NUL behind it (lib/kobject_uevent.c). udev: a header that begins with
 * "libudev" and says where its NAME=VALUE are (libudev-monitor). Any bytes are safe. */
bool device_uevent_concerns(const void *data, size_t size);

/* on_event comes on later turns, once for a burst. What the system does not give (no netlink, no
 * inotify) is left out: device_watch_hears tells. */
struct device_watch *device_watch_new(struct loop *l, void (*on_event)(void *arg),
	void *arg) MUST_CHECK;
void device_watch_free(struct device_watch *w); /* null is fine */

/* The folders to watch from now on, null terminated; those that are not there are left out. True:
 * one is watched that was not before, or is another one under the old name. */
bool device_watch_folders(struct device_watch *w, char *const *folders);

/* Whether events of both kinds come. */
bool device_watch_hears(const struct device_watch *w);

#endif

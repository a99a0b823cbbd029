#include "device/watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define GROUP_KERNEL 1
#define GROUP_UDEV 2
#define MESSAGE_MAX 16384 /* the kernel's are 2 KiB at most, udev's carry all properties */
/* A node comes with several events, and udev's links a little after it. */
#define BURST_MS 50

#define FOLDER_EVENTS                                                                              \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |        \
		IN_ONLYDIR)

struct folder {
	char *path;
	int watch;
};

struct device_watch {
	void (*on_event)(void *arg);
	void *arg;
	int uevents, inotify; /* -1: none */
	struct loop_poll *uevents_poll, *inotify_poll;
	struct loop_timer *burst;
	VEC(struct folder) folders;
};

static void heard(struct device_watch *w)
{
	if (!loop_timer_active(w->burst))
		loop_timer_start(w->burst, BURST_MS);
}

static void on_burst_over(void *arg)
{
	struct device_watch *w = arg;
	w->on_event(w->arg);
}

static void on_uevents(void *arg)
{
	struct device_watch *w = arg;
	char message[MESSAGE_MAX];
	for (;;) {
		ssize_t size = recv(w->uevents, message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
		if (size < 0 && errno == ENOBUFS)
			heard(w); /* some were lost: look */
		else if (size < 0)
			return;
		else if ((size_t)size > sizeof(message) ||
			 device_uevent_concerns(message, (size_t)size))
			heard(w);
	}
}

static void on_inotify(void *arg)
{
	struct device_watch *w = arg;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	while (read(w->inotify, events, sizeof(events)) > 0)
		heard(w);
}

static int open_uevents(void)
{
	struct sockaddr_nl address = {
		.nl_family = AF_NETLINK, .nl_groups = GROUP_KERNEL | GROUP_UDEV};
	int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct device_watch *device_watch_new(struct loop *l, void (*on_event)(void *arg), void *arg)
{
	struct device_watch *w = mem_new(struct device_watch);
	w->on_event = on_event;
	w->arg = arg;
	w->burst = loop_timer_new(l, on_burst_over, w);
	w->uevents = open_uevents();
	w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->uevents >= 0)
		w->uevents_poll = loop_poll_new(l, w->uevents, on_uevents, w);
	if (w->inotify >= 0)
		w->inotify_poll = loop_poll_new(l, w->inotify, on_inotify, w);
	return w;
}

void device_watch_free(struct device_watch *w)
{
	if (!w)
		return;
	loop_poll_free(w->uevents_poll);
	loop_poll_free(w->inotify_poll);
	loop_timer_free(w->burst);
	if (w->uevents >= 0)
		close(w->uevents);
	if (w->inotify >= 0)
		close(w->inotify);
	VEC_EACH (&w->folders, struct folder, f)
		free(f->path);
	vec_done(&w->folders);
	free(w);
}

static bool is_in(char *const *folders, const char *path)
{
	for (size_t i = 0; folders[i]; i++)
		if (str_equal(folders[i], path))
			return true;
	return false;
}

/* A folder that was removed and made again is another one under the old name: each is added again,
 * which changes nothing for one that is watched already. */
static bool watch_folder(struct device_watch *w, const char *path)
{
	int watch = inotify_add_watch(w->inotify, path, FOLDER_EVENTS);
	VEC_EACH (&w->folders, struct folder, f)
		if (str_equal(f->path, path)) {
			bool news = watch >= 0 && watch != f->watch;
			f->watch = watch;
			return news;
		}
	vec_push(&w->folders, (struct folder){mem_dup_string(path), watch});
	return watch >= 0;
}

bool device_watch_folders(struct device_watch *w, char *const *folders)
{
	bool news = false;
	if (w->inotify < 0)
		return false;
	for (size_t i = 0; i < w->folders.count;) {
		struct folder *f = &w->folders.items[i];
		if (is_in(folders, f->path)) {
			i++;
			continue;
		}
		(void)inotify_rm_watch(w->inotify, f->watch);
		free(f->path);
		vec_remove(&w->folders, i);
	}
	for (size_t i = 0; folders[i]; i++)
		news = watch_folder(w, folders[i]) || news;
	return news;
}

bool device_watch_hears(const struct device_watch *w)
{
	return w->uevents >= 0 && w->inotify >= 0;
}

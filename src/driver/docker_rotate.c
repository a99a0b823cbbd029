/*
 * Logs that Podman's monitors write are rotated as those of `oci` are (oci_rotate.c), as Podman can
 * only limit them by cutting off what is newest. A monitor is a conmon, the parent of a container's
 * first process; its control pipe lies in its bundle, which its command line names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"
#include "driver/oci_rotate.h"

/* 0: none is known. */
static int parent_of(int pid)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%d/stat", pid);
	int parent = 0;
	if (oci_read_file(path, &b, NULL))
		return 0;
	const char *after = strrchr(buf_text(&b), ')'); /* names may hold spaces */
	return after && sscanf(after + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* conmon -b BUNDLE: the words end with NUL each. Freed with free(); null: it is none. */
static char *control_of_monitor(int pid)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%d/cmdline", pid);
	if (oci_read_file(path, &b, NULL) || !str_ends(buf_text(&b), "conmon"))
		return NULL;
	const char *end = b.data + b.size;
	for (const char *word = b.data; word < end; word += strlen(word) + 1)
		if (str_equal(word, "-b") && word + 3 < end)
			return mem_format("%s/ctl", word + 3);
	return NULL;
}

static bool look_at(struct docker_container *c, const char *log)
{
	if (!c->control)
		c->control = control_of_monitor(parent_of(c->pid));
	return c->control && oci_rotate_look(c->docker->oci, log, c->control, &c->log_size);
}

static void rotate_on_timer(void *arg)
{
	struct docker *d = arg;
	bool any = false, fast = false;
	MAP_EACH (&d->containers, entry) {
		struct docker_container *c = entry->value;
		char *log CLEANUP(mem_free_ptr) = oci_log_path(d->oci, c->uid, c->name, c->attempt);
		if (!c->running || c->pid <= 0 || access(log, F_OK) < 0)
			continue;
		any = true;
		fast = look_at(c, log) || fast;
	}
	d->rotate_calm = any && !fast;
	if (any)
		loop_timer_start(d->rotate, fast ? LOG_BUSY_MS : LOG_CALM_MS);
}

void docker_rotate_wake(struct docker *d)
{
	if (!d->rotate)
		d->rotate = loop_timer_new(d->loop, rotate_on_timer, d);
	if (loop_timer_active(d->rotate) && !d->rotate_calm)
		return;
	d->rotate_calm = false;
	loop_timer_start(d->rotate, LOG_BUSY_MS);
}

void docker_rotate_close(struct docker *d)
{
	loop_timer_free(take_ptr(d->rotate));
}

/*
 * Logs are rotated by size: the file is renamed and conmon is told over its control pipe to open a
 * new one, as CRI-O does it ("2 0 0": reopen), so no line is lost. Looked at every 2 s while
 * containers run, ten times a second while one writes fast or has just started. conmon's own
 * --log-size-max is no help: it goes on counting over a reopen, and then cuts a file that was just
 * begun.
 */
#include "driver/oci_rotate.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/oci.h"

static void rotate(const char *path, const char *control)
{
	int fd CLEANUP(oci_fd_done) = open(control, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return; /* conmon is gone: nobody writes any more */
	for (int part = LOG_PARTS - 1; part > 0; part--) {
		char *to CLEANUP(mem_free_ptr) = mem_format("%s.%d", path, part);
		char *from CLEANUP(mem_free_ptr) =
			part > 1 ? mem_format("%s.%d", path, part - 1) : mem_dup_string(path);
		(void)rename(from, to);
	}
	(void)!write(fd, "2 0 0\n", 6);
}

bool oci_rotate_look(const struct oci *o, const char *path, const char *control, int64_t *size)
{
	struct stat st;
	int64_t limit = o->config.log_bytes > 0 ? o->config.log_bytes : LOG_PART_BYTES;
	if (stat(path, &st) < 0)
		return false;
	bool fast = st.st_size - *size > limit / 4;
	*size = st.st_size;
	if (st.st_size >= limit) {
		rotate(path, control);
		*size = 0;
	}
	return fast;
}

static bool look_at(struct oci_container *c)
{
	char *path CLEANUP(mem_free_ptr) = oci_log_path(c->oci, c->uid, c->name, c->attempt);
	char *control CLEANUP(mem_free_ptr) =
		mem_format("%s/containers/%s/ctl", c->oci->run_folder, c->id);
	return oci_rotate_look(c->oci, path, control, &c->log_size);
}

void oci_rotate_on_timer(void *arg)
{
	struct oci *o = arg;
	bool any = false, fast = false;
	MAP_EACH (&o->containers, entry) {
		struct oci_container *c = entry->value;
		if (!c->running)
			continue;
		any = true;
		fast = look_at(c) || fast;
	}
	if (any)
		loop_timer_start(o->rotate_timer, fast ? LOG_BUSY_MS : LOG_CALM_MS);
	o->rotate_calm = any && !fast;
}

void oci_rotate_wake(struct oci *o)
{
	if (!o->rotate_timer || (loop_timer_active(o->rotate_timer) && !o->rotate_calm))
		return;
	o->rotate_calm = false;
	loop_timer_start(o->rotate_timer, LOG_BUSY_MS);
}

/* Of the runs before this one only the last is kept, for `previous`. */
void oci_log_prune(const char *folder, int attempt)
{
	int newest = -1;
	for (int pass = 0; pass < 2; pass++) {
		DIR *list = opendir(folder);
		struct dirent *entry;
		while (list && (entry = readdir(list))) {
			char *end;
			long run = strtol(entry->d_name, &end, 10);
			if (end == entry->d_name || run >= attempt)
				continue;
			if (pass == 0 && run > newest)
				newest = (int)run;
			else if (pass == 1 && run != newest)
				(void)unlinkat(dirfd(list), entry->d_name, 0);
		}
		if (list)
			closedir(list);
	}
}

/*
 * Reading logs as conmon writes them ("k8s-file"): one record a line, "TIME STREAM TAG TEXT", where
 * TAG P is a part of a line and F its end
 * (https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md).
 * A log is N.log with older parts N.log.4 ... N.log.1. Followers wait by inotify.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "driver/oci.h"
#include "driver/oci_rotate.h"

#define READ_SIZE 65536
#define RECORD_HEAD 64   /* bytes that hold a record's time, stream and tag */
#define RECORD_MAX 65536 /* conmon's records are at most 8 KiB and a head */

struct oci_logs {
	struct driver_logs_call base;
	struct list link; /* in oci->followers */
	struct oci *oci;
	struct driver_logs spec;
	char *uid, *name, *path;
	int attempt;
	int part;     /* that is read: LOG_PARTS - 1 ... 1, 0 is N.log */
	int fd;       /* -1: none is open */
	bool live;    /* the container runs, so more may come */
	bool ended;   /* on_end was called */
	bool pumping; /* a pump is deferred */
	bool paused;
	bool in_line;    /* the last record was a part: no time stamp before the next */
	int64_t tail;    /* lines from the end that are still to be found; -1: none */
	int64_t tail_at; /* file offset in part, above which all was looked at */
	int64_t start;   /* where reading is to begin: a record begins there */
	ino_t last_file; /* without follow: the newest file when it was asked, */
	int64_t end;   /* and its size, or who writes faster than we read would hold us for ever */
	int64_t given; /* bytes */
	struct buf rest; /* an unfinished record */
	int inotify_fd;
	struct loop_poll *inotify;
};

char *oci_log_path(const struct oci *o, const char *uid, const char *name, int attempt)
{
	return mem_format("%s/pods/%s/logs/%s/%d.log", o->state_folder, uid, name, attempt);
}

int oci_last_attempt(struct container_engine *x, const char *uid, const char *name)
{
	const struct oci *o = oci_of(x);
	char *folder CLEANUP(mem_free_ptr) =
		mem_format("%s/pods/%s/logs/%s", o->state_folder, uid, name);
	int last = -1;
	DIR *list = opendir(folder);
	struct dirent *entry;
	while (list && (entry = readdir(list))) {
		char *end;
		long attempt = strtol(entry->d_name, &end, 10);
		if (end != entry->d_name && attempt > last && attempt < INT_MAX - 2)
			last = (int)attempt;
	}
	if (list)
		closedir(list);
	return last;
}

/* ---- records ---- */

struct record {
	const char *time, *text;
	size_t time_size, text_size;
	bool part;
};

/* "2026-11-22T19:00:00.123456789+00:00 stdout F text" without its newline. */
static bool record_parse(const char *line, size_t size, struct record *r)
{
	const char *end = line + size;
	const char *stream = memchr(line, ' ', size);
	const char *tag = stream ? memchr(stream + 1, ' ', (size_t)(end - stream - 1)) : NULL;
	if (!tag || end - tag < 3)
		return false;
	*r = (struct record){.time = line,
		.time_size = (size_t)(stream - line),
		.part = tag[1] == 'P',
		.text = tag + 3,
		.text_size = (size_t)(end - tag) - 3};
	return true;
}

static bool record_is_old(const struct record *r, int64_t since_ms)
{
	char text[64];
	int64_t at_ms;
	if (!since_ms || r->time_size >= sizeof(text))
		return false;
	memcpy(text, r->time, r->time_size);
	text[r->time_size] = '\0';
	return time_parse(text, &at_ms, NULL) == 0 && at_ms < since_ms;
}

static void logs_give(struct oci_logs *l, const char *data, size_t size)
{
	int64_t limit = l->spec.limit_bytes;
	if (limit > 0 && l->given + (int64_t)size > limit)
		size = (size_t)(limit - l->given);
	l->given += (int64_t)size;
	if (size)
		l->spec.on_data(l->spec.arg, data, size);
}

static void logs_record(struct oci_logs *l, const char *line, size_t size, struct buf *out)
{
	struct record r;
	if (!record_parse(line, size, &r))
		return;
	bool first = !l->in_line;
	l->in_line = r.part;
	if (record_is_old(&r, l->spec.since_ms))
		return;
	if (l->spec.timestamps && first) {
		buf_append(out, r.time, r.time_size);
		buf_append_char(out, ' ');
	}
	buf_append(out, r.text, r.text_size);
	if (!r.part)
		buf_append_char(out, '\n');
}

static void logs_feed(struct oci_logs *l, const char *data, size_t size)
{
	struct buf out CLEANUP(buf_done) = BUF_INIT;
	while (size > 0) {
		const char *newline = memchr(data, '\n', size);
		size_t take = newline ? (size_t)(newline - data) : size;
		if (l->rest.size + take <= RECORD_MAX)
			buf_append(&l->rest, data, take);
		if (!newline)
			break;
		logs_record(l, buf_text(&l->rest), l->rest.size, &out);
		buf_clear(&l->rest);
		data += take + 1;
		size -= take + 1;
	}
	logs_give(l, buf_text(&out), out.size);
}

/* ---- the parts, oldest first ---- */

static char *part_path(const struct oci_logs *l, int part)
{
	return part ? mem_format("%s.%d", l->path, part) : mem_dup_string(l->path);
}

static void logs_open_part(struct oci_logs *l)
{
	while (l->fd < 0 && l->part >= 0) {
		char *path CLEANUP(mem_free_ptr) = part_path(l, l->part);
		l->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (l->fd < 0 && l->part == 0)
			return;
		if (l->fd < 0)
			l->part--;
	}
}

/* ---- the tail: from the end back, a block a turn, however long the logs are ---- */

static void tail_enter(struct oci_logs *l)
{
	struct stat st;
	l->tail_at = l->start = l->fd >= 0 && fstat(l->fd, &st) == 0 ? st.st_size : 0;
}

static void tail_found(struct oci_logs *l)
{
	l->tail = -1;
	if (l->fd >= 0)
		(void)lseek(l->fd, l->start, SEEK_SET);
}

/* Where the open file is by now: rotation moves it while it is read. */
static int part_now(const struct oci_logs *l)
{
	struct stat ours, named;
	if (l->fd < 0 || fstat(l->fd, &ours) < 0)
		return l->part;
	for (int part = 0; part < LOG_PARTS; part++) {
		char *path CLEANUP(mem_free_ptr) = part_path(l, part);
		if (stat(path, &named) == 0 && named.st_ino == ours.st_ino)
			return part;
	}
	return l->part;
}

/* The next older part, or, when there is none, all of this one. */
static void tail_older(struct oci_logs *l)
{
	l->part = part_now(l);
	char *path CLEANUP(mem_free_ptr) = part_path(l, l->part + 1);
	int fd = l->part + 1 < LOG_PARTS ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0) {
		l->start = 0;
		tail_found(l);
		return;
	}
	oci_fd_done(&l->fd);
	l->fd = fd;
	l->part++;
	tail_enter(l);
}

/* A record begins at offset; true when it is the end of the line before the tail. */
static bool tail_ends(struct oci_logs *l, const char *head, size_t size, int64_t offset)
{
	struct record r;
	if (record_parse(head, size, &r) && !r.part && --l->tail < 0)
		return true;
	l->start = offset;
	return false;
}

static void tail_step(struct oci_logs *l)
{
	if (l->tail_at == 0) {
		tail_older(l);
		return;
	}
	char *block CLEANUP(mem_free_ptr) = mem_alloc(READ_SIZE + RECORD_HEAD);
	int64_t from = l->tail_at > READ_SIZE ? l->tail_at - READ_SIZE : 0;
	ssize_t size = pread(l->fd, block, (size_t)(l->tail_at - from) + RECORD_HEAD, from);
	for (int64_t at = l->tail_at - 1; at >= from && at - from < size; at--) {
		const char *c = block + (at - from);
		bool begins = at == 0 || c[0] == '\n';
		const char *head = at == 0 ? c : c + 1;
		size_t rest = (size_t)(block + size - head);
		int64_t offset = from + (head - block);
		/* What was written since is not of the tail. */
		if (begins && rest && offset < l->start && tail_ends(l, head, rest, offset)) {
			tail_found(l);
			return;
		}
	}
	l->tail_at = size > 0 ? from : 0;
}

/* ---- reading on ---- */

static void logs_free(struct oci_logs *l)
{
	list_remove(&l->link);
	loop_poll_free(l->inotify);
	oci_fd_done(&l->inotify_fd);
	oci_fd_done(&l->fd);
	buf_done(&l->rest);
	oci_unref(l->oci);
	free(l->uid);
	free(l->name);
	free(l->path);
	free(l);
}

static void logs_pump(void *arg);

static void logs_later(struct oci_logs *l)
{
	if (l->pumping || (l->paused && !l->ended))
		return;
	l->pumping = true;
	loop_defer(l->oci->config.loop, logs_pump, l);
}

/* At the end of the current file: true when it was rotated away, so that the next is to be read. */
static bool logs_rotated(const struct oci_logs *l)
{
	struct stat ours, current;
	if (l->part > 0)
		return true;
	return l->fd >= 0 && fstat(l->fd, &ours) == 0 && stat(l->path, &current) == 0 &&
	       ours.st_ino != current.st_ino;
}

/* How much of the open file may be read now. */
static size_t logs_room(const struct oci_logs *l)
{
	struct stat st;
	if (l->spec.follow || l->fd < 0 || fstat(l->fd, &st) < 0 || st.st_ino != l->last_file)
		return READ_SIZE;
	int64_t left = l->end - lseek(l->fd, 0, SEEK_CUR);
	return left <= 0 ? 0 : left < READ_SIZE ? (size_t)left : READ_SIZE;
}

/* One block a turn, so that a large log does not hold the loop. */
static void logs_pump(void *arg)
{
	struct oci_logs *l = arg;
	l->pumping = false;
	if (l->ended) {
		logs_free(l);
		return;
	}
	if (l->paused)
		return;
	if (l->tail >= 0) {
		tail_step(l);
		logs_later(l);
		return;
	}
	l->part = part_now(l);
	bool rotated = logs_rotated(l),
	     live = l->live; /* before reading, or the last lines are lost */
	logs_open_part(l);
	char *block CLEANUP(mem_free_ptr) = mem_alloc(READ_SIZE);
	size_t room = logs_room(l);
	ssize_t size = l->fd >= 0 && room ? read(l->fd, block, room) : 0;
	bool full = l->spec.limit_bytes > 0 && l->given >= l->spec.limit_bytes;
	if (size > 0 && !full) {
		logs_feed(l, block, (size_t)size);
		logs_later(l);
		return;
	}
	if (rotated && room && !full) {
		oci_fd_done(&l->fd);
		l->fd = -1;
		l->part = l->part > 0 ? l->part - 1 : 0;
		logs_later(l);
		return;
	}
	if (live && l->spec.follow && !full)
		return; /* inotify or the container's end goes on */
	l->ended = true;
	l->spec.on_end(l->spec.arg, NULL);
	logs_later(l);
}

static void logs_on_inotify(void *arg)
{
	struct oci_logs *l = arg;
	char block[4096];
	while (read(l->inotify_fd, block, sizeof(block)) > 0)
		continue;
	logs_later(l);
}

static void logs_follow(struct oci_logs *l)
{
	char *folder CLEANUP(mem_free_ptr) = mem_dup_string(l->path);
	*strrchr(folder, '/') = '\0';
	l->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (l->inotify_fd < 0 ||
		inotify_add_watch(l->inotify_fd, folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return;
	l->inotify = loop_poll_new(l->oci->config.loop, l->inotify_fd, logs_on_inotify, l);
}

/* Opens the newest part and notes its end. It is N.log.1 for the moment after a rotation in which
 * conmon has not begun the next file. */
static int logs_open_newest(struct oci_logs *l)
{
	struct stat st;
	int part = 0;
	for (; part < 2 && l->fd < 0; part++) {
		char *path CLEANUP(mem_free_ptr) = part_path(l, part);
		l->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return 0;
	l->last_file = st.st_ino;
	l->end = st.st_size;
	return part - 1;
}

struct driver_logs_call *oci_logs(struct container_engine *x, const char *uid, const char *name,
	int attempt, bool live, const struct driver_logs *spec)
{
	struct oci *o = oci_of(x);
	struct oci_logs *l = mem_new(struct oci_logs);
	*l = (struct oci_logs){.base.ops = x->ops,
		.oci = oci_ref(o),
		.spec = *spec,
		.uid = mem_dup_string(uid),
		.name = mem_dup_string(name),
		.path = oci_log_path(o, uid, name, attempt),
		.attempt = attempt,
		.part = LOG_PARTS - 1,
		.tail = spec->tail_lines >= 0 ? spec->tail_lines : -1,
		.fd = -1,
		.live = live,
		.inotify_fd = -1};
	int newest = logs_open_newest(l);
	if (l->tail >= 0) {
		l->part = newest;
		l->tail_at = l->start = l->end;
	} else {
		oci_fd_done(&l->fd);
		l->fd = -1;
	}
	list_append(&o->followers, &l->link);
	if (live && spec->follow)
		logs_follow(l);
	logs_later(l);
	return &l->base;
}

void oci_logs_cancel(struct driver_logs_call *call)
{
	struct oci_logs *l = CONTAINER_OF(call, struct oci_logs, base);
	if (l->ended)
		return;
	l->ended = true;
	logs_later(l);
}

void oci_logs_pause(struct driver_logs_call *call, bool paused)
{
	struct oci_logs *l = CONTAINER_OF(call, struct oci_logs, base);
	l->paused = paused;
	if (!paused)
		logs_later(l);
}

void oci_logs_wake(struct oci *o, const char *uid, const char *name, int attempt)
{
	LIST_EACH (&o->followers, link) {
		struct oci_logs *l = LIST_ITEM(link, struct oci_logs, link);
		if (l->attempt != attempt || !str_equal(l->uid, uid) || !str_equal(l->name, name))
			continue;
		l->live = false;
		logs_later(l);
	}
}

void oci_logs_close(struct oci *o)
{
	LIST_EACH (&o->followers, link) {
		struct oci_logs *l = LIST_ITEM(link, struct oci_logs, link);
		l->ended = true;
		loop_poll_free(take_ptr(l->inotify));
		logs_later(l);
	}
}

#include "agent/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "pki/pki.h"
#include "wire/wire.h"

#define DELAY_FIRST_MS 1000
#define DELAY_MAX_MS 10000
#define RETRY_MS 10000
#define PART_BYTES ((size_t)64 << 10) /* of one file of events, about */
#define PART_EVENTS 256
#define FILE_MAX ((size_t)16 << 20)
#define CREDIT_MAX (WIRE_EVENTS_BURST / 2) /* the rest is for what happens meanwhile */
#define CREDIT_MS (1000 / (WIRE_EVENTS_PER_S - 1))
#define NAME_MAX_SIZE 64

struct part { /* a file of events that takes no more */
	unsigned long long number;
	size_t events, bytes;
	char name[NAME_MAX_SIZE];
};

/* What one job does, in this order. */
struct job {
	struct agent_spool *spool; /* null: freed meanwhile */
	struct fs *fs;
	struct pki_seal *seal;
	char *folder;
	VEC(char *) before; /* names of files to remove */
	struct job_file {
		char name[NAME_MAX_SIZE];
		struct buf plain;
	} files[2];
	size_t file_count;
	char after[NAME_MAX_SIZE]; /* to remove then; "": none */
	char load[NAME_MAX_SIZE];  /* to read then; "": none */
	struct buf loaded;
	struct part closed; /* what files[0] is; number 0: not a part */
	uint64_t changes, status_changes;
	bool bare; /* afterwards there is neither "open" nor "status" */
	int result;
	struct err e;
};

struct agent_spool {
	struct agent_spool_config config;
	struct pki_seal *seal;
	char *folder;
	VEC(struct part) parts; /* oldest first */
	unsigned long long next_number;
	struct loop_timer *timer;
	struct job *job;
	bool connected, replaying; /* the oldest part's events are in the reports */
	bool has_files;            /* "open" or "status" may be there */
	bool failing;              /* the last write failed, and was told */
	uint64_t saved_changes, saved_status_changes;
	int64_t delay_ms, written_ms;
	int64_t credit, credit_ms; /* events that may go up now, and since when */
	size_t status_bytes;       /* of the file, as last written */
	int64_t writes, dropped_total;
	VEC(char *) torn; /* names: writes that a crash broke off */
	const char *node_key;
};

static void drive(struct agent_spool *s);

/* ---- jobs ---- */

static int write_file(const struct job *j, const struct job_file *f, struct err *e)
{
	CLEANUP(buf_done) struct buf sealed = BUF_INIT_LIMIT(FILE_MAX + 64);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", j->folder, f->name);
	int r = buf_check(&f->plain, "what is to be kept of an island", e);
	if (r == 0)
		r = fs_make_folders(j->fs, j->folder, 0700, e);
	if (r == 0)
		r = pki_seal(j->seal, f->name, f->plain.data, f->plain.size, &sealed, e);
	return r == 0 ? fs_write_atomic(j->fs, path, sealed.data, sealed.size, 0600, e) : r;
}

static int remove_file(const struct job *j, const char *name, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", j->folder, name);
	return fs_remove(j->fs, path, e);
}

static int read_file(struct fs *fs, struct pki_seal *seal, const char *folder, const char *name,
	struct buf *ret_plain, struct err *e)
{
	CLEANUP(buf_done) struct buf sealed = BUF_INIT_LIMIT(FILE_MAX + 64);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", folder, name);
	int r = fs_read(fs, path, &sealed, e);
	return r == 0 ? pki_open(seal, name, sealed.data, sealed.size, ret_plain, e) : r;
}

static void job_work(void *arg)
{
	struct job *j = arg;
	VEC_EACH (&j->before, char *, name)
		if (j->result == 0)
			j->result = remove_file(j, *name, &j->e);
	for (size_t i = 0; j->result == 0 && i < j->file_count; i++)
		j->result = write_file(j, &j->files[i], &j->e);
	if (j->result == 0 && j->after[0])
		j->result = remove_file(j, j->after, &j->e);
	if (j->result == 0 && j->load[0])
		j->result = read_file(j->fs, j->seal, j->folder, j->load, &j->loaded, &j->e);
}

static struct job *job_new(struct agent_spool *s)
{
	struct job *j = mem_new(struct job);
	j->spool = s;
	j->fs = s->config.fs;
	j->seal = s->seal;
	j->folder = mem_dup_string(s->folder);
	j->loaded = BUF_INIT_LIMIT(FILE_MAX);
	return j;
}

static void job_free(struct job *j)
{
	if (!j->spool)
		pki_seal_free(j->seal);
	VEC_EACH (&j->before, char *, name)
		free(*name);
	vec_done(&j->before);
	for (size_t i = 0; i < j->file_count; i++)
		buf_done(&j->files[i].plain);
	buf_done(&j->loaded);
	free(j->folder);
	free(j);
}

static struct buf *job_file(struct job *j, const char *name)
{
	struct job_file *f = &j->files[j->file_count++];
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->plain = BUF_INIT_LIMIT(FILE_MAX);
	return &f->plain;
}

/* ---- parts ---- */

static void name_part(struct part *p)
{
	snprintf(p->name, sizeof(p->name), "%08llu-%zu-%zu", p->number, p->events, p->bytes);
}

static bool parse_part(const char *name, struct part *ret_part)
{
	struct part p = {0};
	if (sscanf(name, "%llu-%zu-%zu", &p.number, &p.events, &p.bytes) != 3 || p.number == 0)
		return false;
	name_part(&p);
	*ret_part = p;
	return str_equal(p.name, name);
}

static void drop_oldest(struct agent_spool *s)
{
	s->config.reports->dropped += (int64_t)s->parts.items[0].events;
	s->dropped_total += (int64_t)s->parts.items[0].events;
	vec_remove(&s->parts, 0);
	s->replaying = false;
}

/* What the files of events may take, beside those that are being written. */
static int64_t room_for_parts(const struct agent_spool *s, size_t more_bytes)
{
	int64_t room = s->config.limit_bytes - (int64_t)(PART_BYTES / 4) - (int64_t)more_bytes;
	for (size_t i = 0; i < s->parts.count; i++)
		room -= (int64_t)s->parts.items[i].bytes;
	return room;
}

static void make_room(struct agent_spool *s, struct job *j)
{
	size_t more = s->status_bytes;
	for (size_t i = 0; i < j->file_count; i++)
		more += j->files[i].plain.size + 64;
	while (s->parts.count > 0 && room_for_parts(s, more) < 0) {
		vec_push(&j->before, mem_dup_string(s->parts.items[0].name));
		drop_oldest(s);
	}
}

/* ---- saving, on an island ---- */

static size_t part_bytes(const struct agent_spool *s)
{
	size_t quarter = (size_t)s->config.limit_bytes / 4;
	return quarter < PART_BYTES ? quarter : PART_BYTES;
}

static bool anything_new(const struct agent_spool *s)
{
	const struct agent_reports *r = s->config.reports;
	return s->config.limit_bytes >= 0 &&
	       (r->changes != s->saved_changes || r->status_changes != s->saved_status_changes);
}

static void on_saved(struct agent_spool *s, struct job *j)
{
	agent_reports_left(s->config.reports, j->result == 0 && j->closed.number);
	if (j->result < 0) {
		if (!s->failing)
			log_err(s->config.log, LOG_ERROR, "spool_not_written", &j->e,
				"folder=%s action=kept_in_memory retry_ms=%d", s->folder, RETRY_MS);
		s->failing = true;
		s->delay_ms = RETRY_MS;
		return;
	}
	if (s->failing)
		log_info(s->config.log, "spool_written", "folder=%s", s->folder);
	s->failing = false;
	s->writes += (int64_t)j->file_count;
	s->saved_changes = j->changes;
	s->saved_status_changes = j->status_changes;
	if (j->closed.number)
		vec_push(&s->parts, j->closed);
}

static void job_done(void *arg)
{
	struct job *j = arg;
	struct agent_spool *s = j->spool;
	if (s) {
		s->job = NULL;
		on_saved(s, j);
		drive(s);
	}
	job_free(j);
}

static void add_status(struct agent_spool *s, struct job *j)
{
	struct buf *b = job_file(j, "status");
	if (s->config.reports->dropped)
		buf_printf(b, "{\"type\":\"dropped\",\"count\":%lld}\n",
			(long long)s->config.reports->dropped);
	agent_reports_write_statuses(s->config.reports, b);
	s->status_bytes = b->size;
}

static void add_events(struct agent_spool *s, struct job *j)
{
	struct agent_reports *r = s->config.reports;
	bool close = r->event_count >= PART_EVENTS || r->event_bytes >= part_bytes(s);
	struct buf *b = job_file(j, "open");
	agent_reports_write_events(r, close, b);
	if (!close)
		return;
	j->closed = (struct part){
		.number = s->next_number++, .events = r->event_count, .bytes = b->size};
	name_part(&j->closed);
	snprintf(j->files[j->file_count - 1].name, NAME_MAX_SIZE, "%s", j->closed.name);
	snprintf(j->after, sizeof(j->after), "open");
}

static void save(struct agent_spool *s)
{
	const struct agent_reports *r = s->config.reports;
	struct job *j = job_new(s);
	j->changes = r->changes;
	j->status_changes = r->status_changes;
	if (r->changes != s->saved_changes && r->event_count > 0)
		add_events(s, j);
	int64_t dropped = r->dropped;
	make_room(s, j);
	if (r->status_changes != s->saved_status_changes || r->dropped != dropped)
		add_status(s, j);
	s->has_files = true;
	s->written_ms = loop_now_ms(s->config.loop);
	s->job = j;
	loop_job(s->config.loop, job_work, job_done, j);
}

/* Rare news are soon on disk; a stream of them costs few writes. */
static int64_t next_delay_ms(const struct agent_spool *s)
{
	if (s->failing)
		return RETRY_MS;
	int64_t calm_ms = loop_now_ms(s->config.loop) - s->written_ms;
	if (s->written_ms == 0 || calm_ms > 2 * DELAY_MAX_MS)
		return DELAY_FIRST_MS;
	int64_t delay_ms = 2 * s->delay_ms;
	return delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS;
}

/* ---- sending, once there is a session ---- */

static void load_done(void *arg)
{
	struct job *j = arg;
	struct agent_spool *s = j->spool;
	if (s)
		s->job = NULL;
	if (s && j->result == 0) {
		agent_reports_take_events(s->config.reports, buf_text(&j->loaded), true);
		s->replaying = true;
		s->config.reports->config.on_news(s->config.reports->config.arg);
	} else if (s && (j->result == -ERR_CORRUPT || j->result == -ERR_NOT_FOUND)) {
		log_err(s->config.log, LOG_ERROR, "spool_damaged", &j->e,
			"file=%s/%s events=%zu action=removed", s->folder, j->load,
			s->parts.items[0].events);
		drop_oldest(s);
		struct err e = ERR_INIT;
		if (remove_file(j, j->load, &e) < 0)
			log_err(s->config.log, LOG_WARN, "spool_not_removed", &e, "file=%s/%s",
				s->folder, j->load);
	} else if (s) {
		log_err(s->config.log, LOG_ERROR, "spool_not_read", &j->e,
			"file=%s/%s action=try_again retry_ms=%d", s->folder, j->load, RETRY_MS);
		loop_timer_start(s->timer, RETRY_MS);
	}
	if (s && !loop_timer_active(s->timer))
		drive(s);
	job_free(j);
}

static void remove_done(void *arg)
{
	struct job *j = arg;
	struct agent_spool *s = j->spool;
	if (s) {
		s->job = NULL;
		if (j->result < 0)
			log_err(s->config.log, LOG_WARN, "spool_not_removed", &j->e, "folder=%s",
				s->folder);
		if (j->result == 0 && j->bare)
			s->has_files = false;
		if (j->result == 0 || !j->bare)
			drive(s);
	}
	job_free(j);
}

static void start_load(struct agent_spool *s)
{
	struct job *j = job_new(s);
	snprintf(j->load, sizeof(j->load), "%s", s->parts.items[0].name);
	s->credit -= (int64_t)s->parts.items[0].events;
	s->job = j;
	loop_job(s->config.loop, job_work, load_done, j);
}

static void remove_sent(struct agent_spool *s)
{
	struct job *j = job_new(s);
	vec_push(&j->before, mem_dup_string(s->parts.items[0].name));
	vec_remove(&s->parts, 0);
	s->replaying = false;
	s->job = j;
	loop_job(s->config.loop, job_work, remove_done, j);
}

static void remove_rest(struct agent_spool *s)
{
	struct job *j = job_new(s);
	vec_push(&j->before, mem_dup_string("open"));
	vec_push(&j->before, mem_dup_string("status"));
	j->bare = true;
	s->job = j;
	loop_job(s->config.loop, job_work, remove_done, j);
}

static void tell_dropped(struct agent_spool *s)
{
	struct agent_reports *r = s->config.reports;
	long long count = (long long)r->dropped;
	r->dropped = 0;
	log_warn(s->config.log, "events_dropped", "count=%lld spool_bytes=%lld action=%s", count,
		(long long)s->config.limit_bytes, "give_more_spoolBytes_if_they_matter");
	CLEANUP(mem_free_ptr)
	char *text = mem_format("%lld events of pods were dropped while there was no session: "
				"spoolBytes is %lld",
		count, (long long)s->config.limit_bytes);
	agent_reports_event(r, s->node_key, "", true, "EventsDropped", text);
}

static void earn_credit(struct agent_spool *s)
{
	int64_t now_ms = loop_now_ms(s->config.loop);
	int64_t earned = (now_ms - s->credit_ms) / CREDIT_MS;
	s->credit_ms += earned * CREDIT_MS;
	s->credit = earned > CREDIT_MAX - s->credit ? CREDIT_MAX : s->credit + earned;
}

static void send_oldest(struct agent_spool *s)
{
	int64_t wanted = (int64_t)s->parts.items[0].events;
	if (wanted > CREDIT_MAX)
		wanted = CREDIT_MAX;
	earn_credit(s);
	if (s->credit >= wanted)
		start_load(s);
	else if (!loop_timer_active(s->timer))
		loop_timer_start(s->timer, (wanted - s->credit) * CREDIT_MS);
}

static void drive_up(struct agent_spool *s)
{
	struct agent_reports *r = s->config.reports;
	if (s->replaying && r->replayed_count == 0) {
		remove_sent(s);
	} else if (s->replaying) {
		return;
	} else if (s->parts.count > 0) {
		send_oldest(s);
	} else {
		bool held = r->hold;
		r->hold = false;
		if (r->dropped)
			tell_dropped(s);
		else if (held)
			r->config.on_news(r->config.arg);
		if (s->has_files && agent_reports_empty(r))
			remove_rest(s);
	}
}

static void drive(struct agent_spool *s)
{
	if (s->job)
		return;
	if (s->connected)
		drive_up(s);
	else if (anything_new(s) && !loop_timer_active(s->timer))
		loop_timer_start(s->timer, s->delay_ms = next_delay_ms(s));
	/* Before the memory is full; not again and again when the disk is. */
	if (!s->connected && !s->job && !s->failing && s->config.limit_bytes >= 0 &&
		s->config.reports->event_count >= PART_EVENTS)
		loop_timer_start(s->timer, 0);
}

static void on_timer(void *arg)
{
	struct agent_spool *s = arg;
	if (!s->connected && !s->job && anything_new(s))
		save(s);
	else
		drive(s);
}

void agent_spool_session(struct agent_spool *s, bool open, const char *node_key)
{
	if (!open && !s->connected)
		return; /* another attempt to connect failed */
	s->connected = open;
	s->node_key = node_key;
	s->config.reports->hold = open && (s->parts.count > 0 || s->job);
	loop_timer_stop(s->timer);
	s->delay_ms = 0;
	s->written_ms = 0;
	drive(s);
}

void agent_spool_news(struct agent_spool *s)
{
	drive(s);
}

/* ---- an earlier life's ---- */

static int each_file(void *arg, const char *name, bool is_folder)
{
	struct agent_spool *s = arg;
	struct part p;
	if (!is_folder && str_ends(name, ".new"))
		vec_push(&s->torn, mem_dup_string(name));
	if (is_folder || !parse_part(name, &p))
		return 0;
	size_t at = s->parts.count;
	vec_push(&s->parts, p);
	for (; at > 0 && s->parts.items[at - 1].number > p.number; at--)
		s->parts.items[at] = s->parts.items[at - 1];
	s->parts.items[at] = p;
	if (p.number >= s->next_number)
		s->next_number = p.number + 1;
	return 0;
}

static int take_status(void *arg, const char *type, json_t *message, struct err *e)
{
	struct agent_spool *s = arg;
	const char *uid = json_text(message, "", "uid");
	(void)e;
	if (str_equal(type, "dropped"))
		s->config.reports->dropped = json_int(message, 0, "count");
	if (!str_equal(type, "status"))
		return 0;
	CLEANUP(mem_free_ptr) char *text = json_encode_string(json_object_get(message, "status"));
	agent_reports_status(s->config.reports, json_text(message, "", "key"), uid, text);
	const char *phase = json_text(message, "", "status", "phase");
	if (str_equal(phase, "Succeeded") || str_equal(phase, "Failed"))
		s->config.on_over(s->config.arg, json_text(message, "", "key"), uid);
	return 0;
}

/* Whether there was such a file, and it could be read. */
static bool load_file(struct agent_spool *s, const char *name, struct buf *plain)
{
	struct err e = ERR_INIT;
	int r = read_file(s->config.fs, s->seal, s->folder, name, plain, &e);
	s->has_files |= r != -ERR_NOT_FOUND;
	if (r < 0 && r != -ERR_NOT_FOUND)
		log_err(s->config.log, LOG_ERROR, "spool_damaged", &e,
			"file=%s/%s action=goes_on_without", s->folder, name);
	return r == 0;
}

static void load(struct agent_spool *s)
{
	CLEANUP(buf_done) struct buf status = BUF_INIT_LIMIT(FILE_MAX);
	CLEANUP(buf_done) struct buf events = BUF_INIT_LIMIT(FILE_MAX);
	struct wire_reader reader = {0};
	struct err e = ERR_INIT;
	int r = fs_list(s->config.fs, s->folder, each_file, s, &e);
	if (r < 0 && r != -ERR_NOT_FOUND)
		log_err(s->config.log, LOG_ERROR, "spool_not_read", &e, "folder=%s", s->folder);
	VEC_EACH (&s->torn, char *, name) {
		CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", s->folder, *name);
		if (fs_remove(s->config.fs, path, &e) < 0)
			log_err(s->config.log, LOG_WARN, "spool_not_removed", &e, "file=%s", path);
		free(*name);
	}
	vec_done(&s->torn);
	if (load_file(s, "status", &status) &&
		wire_read(&reader, status.data, status.size, take_status, s, &e) < 0)
		log_err(s->config.log, LOG_ERROR, "spool_damaged", &e,
			"file=%s/status action=goes_on_without", s->folder);
	wire_reader_done(&reader);
	if (load_file(s, "open", &events))
		agent_reports_take_events(s->config.reports, buf_text(&events), false);
	s->saved_changes = s->config.reports->changes;
	s->saved_status_changes = s->config.reports->status_changes;
	if (s->has_files || s->parts.count > 0)
		log_info(s->config.log, "spool_found", "folder=%s files=%zu events=%zu", s->folder,
			s->parts.count, s->config.reports->event_count);
}

struct agent_spool *agent_spool_new(const struct agent_spool_config *config)
{
	struct agent_spool *s = mem_new(struct agent_spool);
	s->config = *config;
	if (s->config.limit_bytes == 0)
		s->config.limit_bytes = SPOOL_BYTES_DEFAULT;
	if (s->config.leave)
		s->config.limit_bytes = -1;
	s->seal = pki_seal_new(config->key);
	s->config.key = NULL;
	s->folder = mem_format("%s/spool", config->state_folder);
	s->next_number = 1;
	s->credit = CREDIT_MAX;
	s->credit_ms = loop_now_ms(config->loop);
	s->timer = loop_timer_new(config->loop, on_timer, s);
	if (!s->config.leave)
		load(s);
	return s;
}

void agent_spool_free(struct agent_spool *s)
{
	if (!s)
		return;
	if (s->job)
		s->job->spool = NULL; /* it frees the seal */
	else
		pki_seal_free(s->seal);
	loop_timer_free(s->timer);
	vec_done(&s->parts);
	free(s->folder);
	free(s);
}

void agent_spool_metrics(const struct agent_spool *s, struct buf *b)
{
	buf_printf(b,
		"# TYPE continuo_agent_spool_files gauge\ncontinuo_agent_spool_files %zu\n"
		"# TYPE continuo_agent_spool_writes_total counter\n"
		"continuo_agent_spool_writes_total %lld\n"
		"# TYPE continuo_agent_spool_dropped_total counter\n"
		"continuo_agent_spool_dropped_total %lld\n",
		s->parts.count, (long long)s->writes, (long long)s->dropped_total);
}

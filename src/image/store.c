/*
 * The agent's side: looks into the content store (in jobs) and runs continuo-pull for what is not
 * there. One struct job per (reference, policy, credentials); all who ask for the same wait on it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "codec/json.h"
#include "image/partial.h"
#include "image/record.h"
#include "sys/process.h"
#include "sys/tree.h"

#define PARALLEL_DEFAULT 2
#define LINE_MAX_SIZE ((size_t)64 << 10)
/* What was handed out so recently counts as in use, whether or not the caller of collect knew. */
#define RECENT_MS ((int64_t)10 * 60 * 1000)

struct image_store {
	struct loop *loop;
	struct log *log;
	char *folder, *pull_path, *registries_file;
	const char *const *pull_env;
	int max_running, running;
	struct list jobs;       /* all of them */
	unsigned sequence;      /* names temporary folders */
	struct map recent;      /* id → struct recent */
	struct collect *wanted; /* waits until nothing is under way */
	bool collecting, closed;
	int references; /* the owner's, and one per job and collection */
};

struct recent {
	int64_t at_ms;
};

/*
 *            found, or Never                         no more waiters: killed
 *   LOOKING ────────────────▶ (done) ◀── SETTLING ◀── PULLING
 *      │                                                 ▲
 *      └── not there ──▶ QUEUED ── a place is free ──────┘
 */
enum job_state { JOB_WAITING, JOB_LOOKING, JOB_QUEUED, JOB_PULLING, JOB_SETTLING };

struct job {
	struct list link;
	struct image_store *store;
	enum job_state state;
	struct list waiters;
	char *reference, *policy, *auth, *temporary;
	struct process *process;
	struct buf line;
	int64_t begun_ms;
	bool abandoned;
	/* Given by continuo-pull: */
	char digest[DIGEST_TEXT_SIZE];
	bool present;
	/* What a job on the pool works on: */
	struct record record;
	struct err error;
	int rc;
};

struct image_pull {
	struct list link;
	struct job *job;
	struct image_pull_events events;
	void *arg;
};

struct collect {
	struct image_store *store;
	VEC(char *) ids;
	int64_t free_bytes;
	struct err error;
	int rc;
};

static void advance(struct image_store *s);

/* ---- lifetimes ---- */

static void store_unref(struct image_store *s)
{
	if (--s->references > 0)
		return;
	map_done(&s->recent);
	free(s->folder);
	free(s->pull_path);
	free(s->registries_file);
	free(s);
}

static void job_free(struct job *j)
{
	struct image_store *s = j->store;
	list_remove(&j->link);
	LIST_EACH (&j->waiters, link) {
		list_remove(link);
		free(LIST_ITEM(link, struct image_pull, link));
	}
	record_done(&j->record);
	buf_done(&j->line);
	free(j->reference);
	free(j->policy);
	if (j->auth)
		explicit_bzero(j->auth, strlen(j->auth));
	free(j->auth);
	free(j->temporary);
	free(j);
	store_unref(s);
}

static bool job_is_for(const struct job *j, const char *reference, const char *policy,
	const char *auth)
{
	return !j->abandoned && str_equal(j->reference, reference) &&
	       str_equal(j->policy, policy) && str_equal(j->auth, auth);
}

static struct job *job_new(struct image_store *s, const char *reference, const char *policy,
	const char *auth)
{
	struct job *j = mem_new(struct job);
	j->store = s;
	s->references++;
	list_init(&j->waiters);
	list_append(&s->jobs, &j->link);
	j->reference = mem_dup_string(reference ? reference : "");
	j->policy = mem_dup_string(policy);
	j->auth = mem_dup_string(auth);
	j->temporary = mem_format("p%d-%u", (int)getpid(), s->sequence++);
	j->line = BUF_INIT_LIMIT(LINE_MAX_SIZE);
	j->begun_ms = loop_now_ms(s->loop);
	return j;
}

/* ---- results ---- */

static void note_recent(struct image_store *s, const char *id)
{
	struct recent *r = mem_new(struct recent);
	r->at_ms = loop_now_ms(s->loop);
	map_put(&s->recent, id, r);
}

static void tell_all(struct job *j, const struct image_result *result, const struct err *e)
{
	while (!list_empty(&j->waiters)) {
		struct image_pull *p = LIST_ITEM(j->waiters.next, struct image_pull, link);
		list_remove(&p->link);
		p->events.on_done(p->arg, result, e);
		free(p);
	}
}

static void job_fail(struct job *j)
{
	j->abandoned = true; /* who asks again from on_done gets a new one */
	err_prefix(&j->error, "image %.120s", j->reference);
	tell_all(j, NULL, &j->error);
	job_free(j);
}

static void job_succeed(struct job *j)
{
	struct image_store *s = j->store;
	const struct record *r = &j->record;
	VEC(const char *) layers = {0};
	for (size_t i = 0; i < r->layer_count; i++)
		vec_push(&layers, record_layer_path(s->folder, r->layers[i]));
	vec_push(&layers, NULL);
	struct image_result result = {
		.id = r->id,
		.digest = r->digest,
		.layers = layers.items,
		.config_json = r->config_json,
		.was_present = j->present,
		.took_ms = loop_now_ms(s->loop) - j->begun_ms,
		.bytes = r->bytes,
	};
	note_recent(s, r->id);
	j->abandoned = true;
	tell_all(j, &result, NULL);
	for (size_t i = 0; i < r->layer_count; i++)
		free((char *)layers.items[i]);
	vec_done(&layers);
	job_free(j);
}

/* ---- pulling ---- */

/* Removes what a pull that was killed left in tmp/; on the pool. */
static int remove_temporary(void *arg, const char *name, bool is_folder)
{
	const struct job *j = arg;
	size_t length = strlen(j->temporary);
	(void)is_folder;
	if (strncmp(name, j->temporary, length) != 0 || name[length] != '-')
		return 0;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/tmp/%s", j->store->folder, name);
	return tree_remove_path(path, NULL);
}

static void settle_work(void *arg)
{
	struct job *j = arg;
	const char *folder = j->store->folder;
	if (j->digest[0]) {
		j->rc = record_load(fs_real(), folder, j->digest, &j->record, &j->error);
		if (j->rc == 0)
			record_touch(folder, j->digest);
		return;
	}
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/tmp", folder);
	/* A leftover costs space until the store is opened again; the pull's own error matters. */
	int rc = fs_list(fs_real(), path, remove_temporary, j, NULL);
	(void)rc;
	j->rc = -(int)j->error.code;
}

static void settle_done(void *arg)
{
	struct job *j = arg;
	struct image_store *s = j->store;
	s->references++;
	if (j->abandoned || s->closed)
		job_free(j);
	else if (j->rc == 0)
		job_succeed(j);
	else
		job_fail(j);
	advance(s);
	store_unref(s);
}

static enum err_code code_of(const char *text)
{
	for (enum err_code code = ERR_OK + 1; code < ERR_COUNT; code++) {
		if (strcmp(err_text(code), text) == 0)
			return code;
	}
	return ERR_INTERNAL;
}

static void take_line(struct job *j, const char *text, size_t size)
{
	CLEANUP(json_done) json_t *json = NULL;
	if (json_decode(text, size, &json, NULL) != 0)
		return;
	if (json_at(json, "error")) {
		err_set(&j->error, code_of(json_text(json, "", "error")), "%s",
			json_text(json, "", "message"));
	} else if (json_at(json, "digest")) {
		str_copy(j->digest, sizeof(j->digest), json_text(json, "", "digest"));
		j->present = json_bool(json, false, "present");
	} else if (json_at(json, "total")) {
		int64_t done = json_int(json, 0, "done"), total = json_int(json, 0, "total");
		LIST_EACH (&j->waiters, link) {
			struct image_pull *p = LIST_ITEM(link, struct image_pull, link);
			if (p->events.on_progress)
				p->events.on_progress(p->arg, done, total);
		}
	}
}

static void on_stdout(void *arg, const char *data, size_t size)
{
	struct job *j = arg;
	buf_append(&j->line, data, size);
	char *end;
	while (j->line.data && (end = memchr(j->line.data, '\n', j->line.size))) {
		size_t length = (size_t)(end - j->line.data);
		take_line(j, j->line.data, length);
		buf_consume(&j->line, length + 1);
	}
}

static void on_exit_of_pull(void *arg, int status)
{
	struct job *j = arg;
	j->process = NULL;
	j->store->running--;
	if (status != 0)
		j->digest[0] = '\0';
	if (j->digest[0] == '\0' && j->error.code == ERR_OK)
		err_set(&j->error, ERR_INTERNAL, "continuo-pull ended with %s %d",
			status < 0 ? "signal" : "status", status < 0 ? -status : status);
	j->state = JOB_SETTLING;
	loop_job(j->store->loop, settle_work, settle_done, j);
}

static char *make_request(const struct job *j)
{
	const struct image_store *s = j->store;
	CLEANUP(json_done)
	json_t *json = json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "folder", s->folder, "reference",
		j->reference, "temporary", j->temporary, "registriesFile", s->registries_file,
		"auth", j->auth);
	return json ? json_encode_string(json) : NULL;
}

static void start_pull(struct job *j)
{
	struct image_store *s = j->store;
	CLEANUP(mem_free_ptr) char *request = make_request(j);
	const char *argv[] = {s->pull_path, NULL};
	struct process_spec spec = {
		.argv = argv,
		.env = s->pull_env,
		.input = request,
		.input_size = request ? strlen(request) : 0,
		.on_stdout = on_stdout,
		.on_exit = on_exit_of_pull,
		.arg = j,
		.new_session = true,
	};
	j->state = JOB_PULLING;
	int rc = request ? process_start(s->loop, &spec, &j->process, &j->error)
			 : err_set(&j->error, ERR_INVALID, "its name or credentials are not UTF-8");
	if (request)
		explicit_bzero(request, strlen(request));
	if (rc != 0)
		job_fail(j);
	else
		s->running++;
}

/* ---- looking ---- */

static void look_work(void *arg)
{
	struct job *j = arg;
	struct image_reference reference;
	j->rc = image_reference_parse(j->reference, &reference, &j->error);
	if (j->rc == 0 && strcmp(j->policy, "Always") != 0)
		j->rc = record_find(fs_real(), j->store->folder, &reference, &j->record, &j->error);
	else if (j->rc == 0)
		j->rc = -ERR_NOT_FOUND;
	if (j->rc == 0)
		record_touch(j->store->folder, j->record.digest);
}

static void look_done(void *arg)
{
	struct job *j = arg;
	struct image_store *s = j->store;
	s->references++;
	if (j->abandoned || s->closed) {
		job_free(j);
	} else if (j->rc == 0) {
		j->present = true;
		job_succeed(j);
	} else if (j->rc == -ERR_INVALID) {
		job_fail(j);
	} else if (strcmp(j->policy, "Never") == 0) {
		err_set(&j->error, ERR_NOT_FOUND,
			"it is not on this node, and imagePullPolicy is Never");
		job_fail(j);
	} else {
		j->error = ERR_INIT;
		j->state = JOB_QUEUED;
	}
	advance(s);
	store_unref(s);
}

/* ---- collection ---- */

static void collect_free(struct collect *c)
{
	VEC_EACH (&c->ids, char *, id) {
		free(*id);
	}
	vec_done(&c->ids);
	free(c);
}

static void collect_work(void *arg)
{
	struct collect *c = arg;
	c->rc = record_collect(fs_real(), c->store->folder, (const char *const *)c->ids.items,
		c->ids.count, c->free_bytes, &c->error);
}

static void collect_done(void *arg)
{
	struct collect *c = arg;
	struct image_store *s = c->store;
	if (c->rc != 0 && s->log && !s->closed)
		log_err(s->log, LOG_WARN, "images_not_collected", &c->error, "folder=%s",
			s->folder);
	collect_free(c);
	s->collecting = false;
	advance(s);
	store_unref(s);
}

static void add_recent(struct image_store *s, struct collect *c)
{
	int64_t now_ms = loop_now_ms(s->loop);
	MAP_EACH (&s->recent, entry) {
		const struct recent *r = entry->value;
		if (now_ms - r->at_ms < RECENT_MS)
			vec_push(&c->ids, mem_dup_string(entry->key));
		else
			map_remove(&s->recent, entry->key);
	}
}

static bool anything_under_way(const struct image_store *s)
{
	LIST_EACH (&s->jobs, link) {
		const struct job *j = LIST_ITEM(link, struct job, link);
		if (j->state != JOB_WAITING && j->state != JOB_QUEUED)
			return true;
	}
	return false;
}

static void maybe_collect(struct image_store *s)
{
	if (!s->wanted || s->collecting || anything_under_way(s))
		return;
	struct collect *c = take_ptr(s->wanted);
	add_recent(s, c);
	s->collecting = true;
	s->references++;
	loop_job(s->loop, collect_work, collect_done, c);
}

/* ---- what is next ---- */

/* Starts what may start. While a collection waits or runs nothing new begins. */
static void advance(struct image_store *s)
{
	if (s->closed)
		return;
	maybe_collect(s);
	if (s->wanted || s->collecting)
		return;
	s->references++;
	LIST_EACH (&s->jobs, link) {
		struct job *j = LIST_ITEM(link, struct job, link);
		if (j->state == JOB_WAITING) {
			j->state = JOB_LOOKING;
			loop_job(s->loop, look_work, look_done, j);
		} else if (j->state == JOB_QUEUED && s->running < s->max_running) {
			start_pull(j);
		}
	}
	store_unref(s);
}

/* ---- the interface ---- */

static int clear_temporary(void *arg, const char *name, bool is_folder)
{
	struct image_store *s = arg;
	(void)is_folder;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/tmp/%s", s->folder, name);
	return tree_remove_path(path, NULL);
}

/* Pulls of an agent that died ended with it: nobody works in tmp/ now, unless somebody loads an
 * archive; then what is left over waits for the next start. */
static int clear_leftovers(struct image_store *s, const char *temporary, struct err *e)
{
	CLEANUP(tree_close) int hold = -1;
	int rc = record_hold(s->folder, true, false, &hold, e);
	if (rc == -ERR_BUSY)
		return 0;
	if (rc == 0)
		rc = fs_list(fs_real(), temporary, clear_temporary, s, e);
	if (rc == 0)
		partial_collect(s->folder, PARTIAL_AGE_MAX_S, INT64_MAX);
	return rc;
}

int image_store_open(const struct image_store_config *config, struct image_store **ret_store,
	struct err *e)
{
	struct image_store *s = mem_new(struct image_store);
	s->loop = config->loop;
	s->log = config->log;
	s->folder = mem_dup_string(config->folder);
	s->pull_path = mem_dup_string(config->pull_path);
	s->registries_file = mem_dup_string(config->registries_file);
	s->pull_env = config->pull_env;
	s->max_running =
		config->max_parallel_pulls > 0 ? config->max_parallel_pulls : PARALLEL_DEFAULT;
	s->references = 1;
	list_init(&s->jobs);
	map_init(&s->recent, free);
	CLEANUP(mem_free_ptr) char *temporary = mem_format("%s/tmp", s->folder);
	int rc = fs_make_folders(fs_real(), temporary, 0700, e);
	if (rc == 0)
		rc = clear_leftovers(s, temporary, e);
	if (rc != 0) {
		store_unref(s);
		return rc;
	}
	*ret_store = s;
	return 0;
}

static void advance_later(void *arg)
{
	struct image_store *s = arg;
	advance(s);
	store_unref(s);
}

struct image_pull *image_store_pull(struct image_store *s, const char *ref, const char *policy,
	const char *auth_json, const struct image_pull_events *events, void *arg)
{
	struct job *job = NULL;
	LIST_EACH (&s->jobs, link) {
		struct job *j = LIST_ITEM(link, struct job, link);
		if (job_is_for(j, ref, policy, auth_json))
			job = j;
	}
	if (!job) {
		job = job_new(s, ref, policy, auth_json);
		s->references++;
		loop_defer(s->loop, advance_later, s);
	}
	struct image_pull *p = mem_new(struct image_pull);
	p->job = job;
	p->events = *events;
	p->arg = arg;
	list_append(&job->waiters, &p->link);
	return p;
}

void image_pull_cancel(struct image_pull *p)
{
	struct job *j = p->job;
	list_remove(&p->link);
	free(p);
	if (j->abandoned || !list_empty(&j->waiters))
		return;
	j->abandoned = true;
	if (j->state == JOB_WAITING || j->state == JOB_QUEUED)
		job_free(j);
	else if (j->process)
		process_kill(j->process, SIGKILL); /* on_exit_of_pull goes on */
}

void image_store_collect(struct image_store *s, const char *const *used, size_t count,
	int64_t free_bytes)
{
	if (s->wanted)
		collect_free(take_ptr(s->wanted));
	struct collect *c = mem_new(struct collect);
	c->store = s;
	c->free_bytes = free_bytes;
	for (size_t i = 0; i < count; i++)
		vec_push(&c->ids, mem_dup_string(used[i]));
	s->wanted = c;
	s->references++;
	loop_defer(s->loop, advance_later, s);
}

bool image_store_collecting(const struct image_store *s)
{
	return s->wanted || s->collecting;
}

void image_store_close(struct image_store *s)
{
	if (!s)
		return;
	s->closed = true;
	LIST_EACH (&s->jobs, link) {
		struct job *j = LIST_ITEM(link, struct job, link);
		if (j->process) {
			process_kill(j->process, SIGKILL);
			process_forget(take_ptr(j->process));
		}
		if (j->state != JOB_LOOKING && j->state != JOB_SETTLING)
			job_free(j);
	}
	if (s->wanted)
		collect_free(take_ptr(s->wanted));
	store_unref(s);
}

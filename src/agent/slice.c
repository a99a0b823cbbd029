#include "agent/slice.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "pki/pki.h"
#include "wire/wire.h"

#define SAVE_DELAY_MS 250
#define SAVE_RETRY_MS 10000
#define SLICE_FILE_MAX ((size_t)64 << 20)
#define SEAL_NAME "slice"
#define SLICE_FORMAT 1 /* of the lines in the file; a newer one is not guessed at */
#define CACHE_SECRETS "continuo.dev/cache-secrets"

struct save {
	struct agent_slice *slice; /* null: closed meanwhile */
	struct fs *fs;
	struct pki_seal *seal;
	struct agent_data_key key; /* is kept first, if it was not */
	char *path;
	struct buf plain;
	uint64_t change; /* that it has */
	int result;
	struct err e;
};

struct agent_slice {
	struct agent_slice_config config;
	struct map objects;
	char *epoch, *peers, *session;
	struct map withheld; /* keys of Secrets that the disk does not have */
	struct map ended;    /* uids of pods */
	bool left; /* the file is of a newer agent, or its key is away: until a server was heard */
	struct agent_data_key key;
	struct pki_seal *seal;
	struct loop_timer *save_timer;
	struct save *saving;
	bool dirty, failing;
	uint64_t change, kept; /* numbers of changes */
	int64_t writes;
	bool loading;
};

static void object_free(void *value)
{
	object_unref(value);
}

static char *path_in(const struct agent_slice *s, const char *name)
{
	return mem_format("%s/%s", s->config.folder, name);
}

/* ---- saving ---- */

static void write_text_line(struct buf *b, const char *type, const char *field, const char *json)
{
	if (*json)
		buf_printf(b, "{\"type\":\"%s\",\"%s\":%s}\n", type, field, json);
}

static bool forbids(const struct object *namespace)
{
	if (str_equal(object_label(namespace, CACHE_SECRETS), "false"))
		return true;
	CLEANUP(json_done) json_t *tree = object_tree(namespace);
	return str_equal(json_text(tree, "", "metadata", "annotations", CACHE_SECRETS), "false");
}

static bool may_be_cached(const struct agent_slice *s, const struct object *o)
{
	char key[OBJECT_KEY_MAX];
	if (o->kind != &kind_secret ||
		object_key_of(&kind_namespace, "", o->namespace, key, NULL) < 0)
		return true;
	const struct object *namespace = agent_slice_get(s, key);
	return !namespace || !forbids(namespace);
}

static void write_names(struct buf *b, const char *type, const struct map *names)
{
	MAP_EACH (names, entry) {
		buf_printf(b, "{\"type\":\"%s\",\"name\":", type);
		json_write_string(b, entry->key);
		buf_append_string(b, "}\n");
	}
}

static void write_plain(const struct agent_slice *s, struct buf *b)
{
	buf_printf(b, "{\"type\":\"epoch\",\"format\":%d,\"epoch\":", SLICE_FORMAT);
	json_write_string(b, s->epoch);
	buf_append_string(b, "}\n");
	write_names(b, "withheld", &s->withheld);
	write_names(b, "ended", &s->ended);
	write_text_line(b, "session", "session", s->session);
	write_text_line(b, "peers", "peers", s->peers);
	MAP_EACH (&s->objects, entry) {
		if (!may_be_cached(s, entry->value)) {
			buf_append_string(b, "{\"type\":\"withheld\",\"name\":");
			json_write_string(b, entry->key);
		} else {
			buf_append_string(b, "{\"type\":\"put\",\"object\":");
			object_write(entry->value, b);
		}
		buf_append_string(b, "}\n");
	}
}

static void save_work(void *arg)
{
	struct save *w = arg;
	CLEANUP(buf_done) struct buf sealed = BUF_INIT_LIMIT(SLICE_FILE_MAX + 64);
	w->result = buf_check(&w->plain, "the slice", &w->e);
	if (w->result == 0)
		w->result =
			pki_seal(w->seal, SEAL_NAME, w->plain.data, w->plain.size, &sealed, &w->e);
	if (w->result == 0 && !w->key.kept)
		w->result = agent_data_key_keep(&w->key, &w->e);
	if (w->result == 0)
		w->result = fs_write_atomic(w->fs, w->path, sealed.data, sealed.size, 0600, &w->e);
}

static void save_free(struct save *w)
{
	if (!w->slice)
		pki_seal_free(w->seal);
	buf_done(&w->plain);
	free(w->path);
	explicit_bzero(w, sizeof(*w));
	free(w);
}

static void take_key(struct agent_slice *s, const struct agent_data_key *key)
{
	if (s->key.kept || !key->kept)
		return;
	s->key = *key;
	agent_data_key_tell(key);
}

static void save_done(void *arg)
{
	struct save *w = arg;
	struct agent_slice *s = w->slice;
	if (s) {
		s->saving = NULL;
		take_key(s, &w->key);
		s->writes++;
		s->failing = w->result < 0;
		if (w->result < 0) {
			log_err(s->config.log, LOG_ERROR, "slice_not_saved", &w->e, "path=%s",
				w->path);
			s->dirty = true;
			loop_timer_start(s->save_timer, SAVE_RETRY_MS);
		} else {
			s->kept = w->change;
			if (s->dirty)
				loop_timer_start(s->save_timer, SAVE_DELAY_MS);
		}
		if (s->config.on_saved)
			s->config.on_saved(s->config.arg, !s->failing);
	}
	save_free(w);
}

static void on_save_timer(void *arg)
{
	struct agent_slice *s = arg;
	if (!s->dirty || s->saving)
		return;
	struct save *w = mem_new(struct save);
	w->slice = s;
	w->fs = s->config.fs;
	w->seal = s->seal;
	w->key = s->key;
	w->path = path_in(s, "slice");
	w->plain = BUF_INIT_LIMIT(SLICE_FILE_MAX);
	write_plain(s, &w->plain);
	w->change = s->change;
	s->saving = w;
	s->dirty = false;
	loop_job(s->config.loop, save_work, save_done, w);
}

static void changed(struct agent_slice *s)
{
	if (s->loading)
		return;
	s->dirty = true;
	s->change++;
	if (!s->left && !s->saving && !loop_timer_active(s->save_timer))
		loop_timer_start(s->save_timer, SAVE_DELAY_MS);
}

/* ---- contents ---- */

int agent_slice_put(struct agent_slice *s, const json_t *tree, char ret_key[static OBJECT_KEY_MAX],
	struct err *e)
{
	const char *api_version = json_text(tree, "", "apiVersion");
	const char *kind_name = json_text(tree, "", "kind");
	const struct kind *kind = kind_by_name(s->config.kinds, api_version, kind_name);
	if (!kind)
		return err_set(e, ERR_DECODE,
			"the server sent a %.40s of %.60s, which this agent "
			"does not know",
			kind_name, api_version);
	int64_t revision;
	int r = str_to_int64(json_text(tree, "0", "metadata", "resourceVersion"), "resourceVersion",
		&revision, e);
	if (r < 0)
		return r;
	struct object *o;
	r = object_from_json(kind, tree, &o, e);
	if (r < 0)
		return r;
	object_stamp(o, revision, revision);
	object_key(o, ret_key);
	const struct object *old = map_get(&s->objects, ret_key);
	bool same = old && old->revision == revision && str_equal(old->uid, o->uid);
	if (old && !str_equal(old->uid, o->uid))
		map_remove(&s->ended, old->uid);
	map_remove(&s->withheld, ret_key);
	map_put(&s->objects, ret_key, o);
	if (!same)
		changed(s);
	return 0;
}

void agent_slice_delete(struct agent_slice *s, const char *key, const char *uid)
{
	const struct object *o = map_get(&s->objects, key);
	if (!o || (*uid && !str_equal(o->uid, uid)))
		return;
	map_remove(&s->ended, o->uid);
	map_remove(&s->objects, key);
	changed(s);
}

void agent_slice_complete(struct agent_slice *s)
{
	if (s->withheld.count == 0)
		return;
	map_done(&s->withheld);
	changed(s);
}

bool agent_slice_withholds(const struct agent_slice *s)
{
	return s->withheld.count > 0;
}

bool agent_slice_withheld(const struct agent_slice *s, const char *key)
{
	return map_has(&s->withheld, key);
}

void agent_slice_end(struct agent_slice *s, const char *uid)
{
	if (map_has(&s->ended, uid))
		return;
	map_put(&s->ended, uid, s);
	changed(s);
}

bool agent_slice_ended(const struct agent_slice *s, const char *uid)
{
	return map_has(&s->ended, uid);
}

const struct object *agent_slice_get(const struct agent_slice *s, const char *key)
{
	return map_get(&s->objects, key);
}

const struct map *agent_slice_objects(const struct agent_slice *s)
{
	return &s->objects;
}

static void set_text(struct agent_slice *s, char **text, const char *value)
{
	if (str_equal(*text, value))
		return;
	free(*text);
	*text = mem_dup_string(value);
	changed(s);
}

const char *agent_slice_epoch(const struct agent_slice *s)
{
	return s->epoch;
}

void agent_slice_set_epoch(struct agent_slice *s, const char *epoch)
{
	if (s->left && !s->loading) {
		s->left = false;
		changed(s);
	}
	set_text(s, &s->epoch, epoch);
}

const char *agent_slice_peers(const struct agent_slice *s)
{
	return s->peers;
}

void agent_slice_set_peers(struct agent_slice *s, const char *json)
{
	set_text(s, &s->peers, json);
}

const char *agent_slice_session(const struct agent_slice *s)
{
	return s->session;
}

void agent_slice_set_session(struct agent_slice *s, const char *json)
{
	set_text(s, &s->session, json);
}

void agent_slice_write_held(const struct agent_slice *s, struct buf *b)
{
	const char *comma = "";
	buf_append_char(b, '[');
	MAP_EACH (&s->objects, entry) {
		const struct object *o = entry->value;
		buf_printf(b, "%s[", comma);
		json_write_string(b, entry->key);
		buf_append_char(b, ',');
		json_write_string(b, o->uid);
		buf_printf(b, ",%lld]", (long long)o->revision);
		comma = ",";
	}
	buf_append_char(b, ']');
}

size_t agent_slice_count(const struct agent_slice *s)
{
	return s->objects.count;
}

int64_t agent_slice_writes(const struct agent_slice *s)
{
	return s->writes;
}

bool agent_slice_saved(const struct agent_slice *s)
{
	return !s->dirty && !s->saving;
}

uint64_t agent_slice_change(const struct agent_slice *s)
{
	return s->change;
}

bool agent_slice_keeps(const struct agent_slice *s, uint64_t change)
{
	return s->kept >= change;
}

void agent_slice_hurry(struct agent_slice *s)
{
	if (s->dirty && !s->left && !s->saving && !s->failing)
		loop_timer_start(s->save_timer, 0);
}

/* ---- opening ---- */

bool agent_slice_key(const struct agent_slice *s, unsigned char ret_key[static DATA_KEY_SIZE])
{
	memcpy(ret_key, s->key.bytes, DATA_KEY_SIZE);
	return s->key.kept;
}

static int load_line(void *arg, const char *type, json_t *message, struct err *e)
{
	struct agent_slice *s = arg;
	char key[OBJECT_KEY_MAX];
	if (str_equal(type, "put"))
		return agent_slice_put(s, json_object_get(message, "object"), key, e);
	if (str_equal(type, "epoch")) {
		int64_t format = json_int(message, SLICE_FORMAT, "format");
		if (format > SLICE_FORMAT)
			return err_set(e, ERR_UNSUPPORTED,
				"it has format %lld, and this agent knows %d: it is of a newer one",
				(long long)format, SLICE_FORMAT);
		agent_slice_set_epoch(s, json_text(message, "", "epoch"));
		return 0;
	}
	if (str_equal(type, "withheld"))
		map_put(&s->withheld, json_text(message, "", "name"), s);
	if (str_equal(type, "ended"))
		map_put(&s->ended, json_text(message, "", "name"), s);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(json_object_get(message, type));
	if (text && str_equal(type, "session"))
		agent_slice_set_session(s, text);
	else if (text && str_equal(type, "peers"))
		agent_slice_set_peers(s, text);
	return 0;
}

static int load(struct agent_slice *s, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = path_in(s, "slice");
	CLEANUP(buf_done) struct buf sealed = BUF_INIT_LIMIT(SLICE_FILE_MAX + 64);
	CLEANUP(buf_done) struct buf plain = BUF_INIT_LIMIT(SLICE_FILE_MAX);
	int r = fs_read(s->config.fs, path, &sealed, e);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = pki_open(s->seal, SEAL_NAME, sealed.data, sealed.size, &plain, e);
	struct wire_reader reader = {0};
	s->loading = true;
	if (r == 0)
		r = wire_read(&reader, plain.data, plain.size, load_line, s, e);
	s->loading = false;
	wire_reader_done(&reader);
	return r;
}

static void begin_anew(struct agent_slice *s, const struct err *why)
{
	bool newer = why->code == ERR_UNSUPPORTED;
	log_err(s->config.log, LOG_ERROR, newer ? "slice_newer" : "slice_damaged", why,
		"path=%s/slice pods=those_that_run_go_on action=%s", s->config.folder,
		newer ? "run_the_newer_agent_again_or_let_a_server_send_the_slice"
		      : "the_server_sends_it_again");
	s->loading = true;
	map_done(&s->objects);
	map_init(&s->objects, object_free);
	map_done(&s->withheld);
	map_done(&s->ended);
	agent_slice_set_epoch(s, "");
	agent_slice_set_peers(s, "");
	agent_slice_set_session(s, "");
	s->loading = false;
	s->left = newer;
}

static int open_key(struct agent_slice *s, struct err *e)
{
	struct agent_data_key_config key = {.log = s->config.log,
		.loop = s->config.loop,
		.fs = s->config.fs,
		.folder = s->config.folder,
		.seal = s->config.key_seal,
		.sealer = s->config.sealer};
	return agent_data_key_open(&key, &s->key, e);
}

int agent_slice_open(const struct agent_slice_config *config, struct agent_slice **ret_slice,
	struct err *e)
{
	struct agent_slice *s = mem_new(struct agent_slice);
	s->config = *config;
	map_init(&s->objects, object_free);
	s->epoch = mem_dup_string("");
	s->peers = mem_dup_string("");
	s->session = mem_dup_string("");
	s->save_timer = loop_timer_new(config->loop, on_save_timer, s);
	int r = open_key(s, e);
	if (r < 0) {
		agent_slice_close(s);
		return r;
	}
	s->seal = pki_seal_new(s->key.bytes);
	s->left = !s->key.kept;
	struct err why = ERR_INIT;
	if (s->key.kept && load(s, &why) < 0)
		begin_anew(s, &why);
	*ret_slice = s;
	return 0;
}

void agent_slice_close(struct agent_slice *s)
{
	if (!s)
		return;
	if (s->saving)
		s->saving->slice = NULL; /* it frees the seal */
	else
		pki_seal_free(s->seal);
	loop_timer_free(s->save_timer);
	map_done(&s->objects);
	map_done(&s->withheld);
	map_done(&s->ended);
	free(s->epoch);
	free(s->peers);
	free(s->session);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

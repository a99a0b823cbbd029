#include "server/read.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/base64.h"

#define PAGE 500

void read_get(struct request *r)
{
	struct err e = ERR_INIT;
	if (object_key_of(r->kind, r->namespace, r->name, r->key, &e) < 0) {
		request_fail(r, &e);
		return;
	}
	CLEANUP(object_done) struct object *o = store_get(r->server->store, r->key);
	if (!o) {
		(void)err_set(&e, ERR_NOT_FOUND, "%s \"%s\" not found", r->kind->plural, r->name);
		request_fail(r, &e);
		return;
	}
	request_object(r, 200, o);
}

int read_selectors_parse(const struct request *r, struct read_selectors *ret_selectors,
	struct err *e)
{
	*ret_selectors = (struct read_selectors){0};
	const char *labels = http_request_query(r->http, "labelSelector", 0);
	const char *fields = http_request_query(r->http, "fieldSelector", 0);
	int result = 0;
	if (!str_empty(labels))
		result = selector_parse(labels, &ret_selectors->labels, e);
	if (result == 0 && !str_empty(fields))
		result = field_selector_parse(fields, &ret_selectors->fields, e);
	if (result < 0)
		read_selectors_done(ret_selectors);
	return result;
}

bool read_selectors_match(const struct read_selectors *s, const struct object *o)
{
	return (!s->labels || selector_matches(s->labels, o->labels, o->label_count)) &&
	       (!s->fields || field_selector_matches(s->fields, o));
}

void read_selectors_done(struct read_selectors *s)
{
	selector_free(s->labels);
	field_selector_free(s->fields);
	*s = (struct read_selectors){0};
}

/* ---- continue tokens: base64url of {"r":revision,"k":last key} ---- */

static int parse_continue(const char *text, int64_t *ret_revision,
	char ret_key[static OBJECT_KEY_MAX], struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(4096);
	CLEANUP(json_done) json_t *token = NULL;
	if (base64url_decode(text, strlen(text), &b, NULL) < 0 ||
		json_decode(buf_text(&b), b.size, &token, NULL) < 0 ||
		!str_copy(ret_key, OBJECT_KEY_MAX, json_text(token, "", "k")) || !*ret_key)
		return err_set(e, ERR_DECODE,
			"the continue parameter is not one that this server gave");
	*ret_revision = json_int(token, 0, "r");
	return 0;
}

static char *make_continue(int64_t revision, const char *key)
{
	CLEANUP(json_done)
	json_t *token = json_pack("{s:I, s:s}", "r", (json_int_t)revision, "k", key);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(token);
	struct buf b = BUF_INIT;
	base64url_encode(text, strlen(text), &b);
	return buf_take(&b, NULL);
}

/* ---- list ---- */

struct list_query {
	int64_t limit, revision;
	char after[OBJECT_KEY_MAX];
	struct read_selectors selectors;
};

struct list_answer {
	VEC(struct object *) objects;
	int64_t revision;
	char *continue_token;
	int64_t remaining; /* -1: not known */
};

static void list_answer_done(struct list_answer *a)
{
	VEC_EACH (&a->objects, struct object *, o)
		object_unref(*o);
	vec_done(&a->objects);
	free(a->continue_token);
}

static int parse_list_query(const struct request *r, struct list_query *q, struct err *e)
{
	const char *limit = http_request_query(r->http, "limit", 0);
	const char *token = http_request_query(r->http, "continue", 0);
	const char *revision = http_request_query(r->http, "resourceVersion", 0);
	const char *match = http_request_query(r->http, "resourceVersionMatch", 0);
	int result = 0;
	if (!str_empty(limit))
		result = str_to_int64(limit, "limit", &q->limit, e);
	if (result == 0 && q->limit < 0)
		result = err_set(e, ERR_DECODE, "limit must not be negative");
	if (result == 0 && !str_empty(token))
		result = parse_continue(token, &q->revision, q->after, e);
	else if (result == 0 && str_equal(match, "Exact"))
		result = str_to_int64(revision ? revision : "", "resourceVersion", &q->revision, e);
	return result < 0 ? result : read_selectors_parse(r, &q->selectors, e);
}

/* Walks pages of the store until enough objects match. */
static int gather(struct request *r, struct list_query *q, struct list_answer *a, struct err *e)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(r->kind, r->namespace, prefix);
	bool selecting = q->selectors.labels || q->selectors.fields;
	a->revision = q->revision;
	a->remaining = -1;
	for (;;) {
		struct store_list page;
		size_t size = q->limit && !selecting ? (size_t)q->limit : q->limit ? PAGE : 0;
		int result = store_list(r->server->store, prefix, q->after[0] ? q->after : NULL,
			size, a->revision, &page, e);
		if (result < 0)
			return result;
		a->revision = page.revision;
		bool full = false;
		for (size_t i = 0; i < page.count && !full; i++) {
			object_key(page.objects[i], q->after);
			if (read_selectors_match(&q->selectors, page.objects[i]))
				vec_push(&a->objects, object_ref(page.objects[i]));
			full = q->limit && a->objects.count == (size_t)q->limit;
			if (full && (page.more || i + 1 < page.count)) {
				a->continue_token = make_continue(a->revision, q->after);
				a->remaining = selecting ? -1 : page.remaining;
			}
		}
		bool more = page.more;
		store_list_done(&page);
		if (full || !more)
			return 0;
	}
}

static void write_list(const struct request *r, const struct list_answer *a, struct buf *b)
{
	char api_version[128];
	kind_api_version(r->kind, api_version);
	buf_printf(b,
		"{\"kind\":\"%sList\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%"
		"lld\"",
		r->kind->name, api_version, (long long)a->revision);
	if (a->continue_token)
		buf_printf(b, ",\"continue\":\"%s\"", a->continue_token);
	if (a->continue_token && a->remaining >= 0)
		buf_printf(b, ",\"remainingItemCount\":%lld", (long long)a->remaining);
	buf_append_string(b, "},\"items\":[");
	for (size_t i = 0; i < a->objects.count; i++) {
		if (i)
			buf_append_char(b, ',');
		object_write(a->objects.items[i], b);
	}
	buf_append_string(b, "]}");
}

void read_list(struct request *r)
{
	const char *watch = http_request_query(r->http, "watch", 0);
	if (str_equal(watch, "true") || str_equal(watch, "1")) {
		read_watch(r);
		return;
	}
	struct err e = ERR_INIT;
	struct list_query q = {0};
	struct list_answer a = {0};
	int result = parse_list_query(r, &q, &e);
	if (result == 0)
		result = gather(r, &q, &a, &e);
	read_selectors_done(&q.selectors);
	if (result < 0) {
		list_answer_done(&a);
		request_fail(r, &e);
		return;
	}
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT((size_t)1 << 30);
	if (r->table)
		table_write(r->kind, a.objects.items, a.objects.count, a.revision, a.continue_token,
			loop_wall_ms(r->server->loop), &b);
	else
		write_list(r, &a, &b);
	list_answer_done(&a);
	request_text(r, 200, "application/json", b.data, b.size);
}

#include "server/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/addresses.h"

#define WARNINGS_MAX 32

struct request *request_new(struct server *s, struct http_request *http, const struct user *user)
{
	struct request *r = mem_new(struct request);
	r->server = s;
	r->http = http;
	r->user = *user;
	r->grace_s = -1;
	r->started_ms = loop_now_ms(s->loop);
	const char *accept = http_request_header(http, "accept");
	r->table = accept && strstr(accept, "as=Table");
	return r;
}

void request_done(struct request *r)
{
	if (r->claimed_ip[0])
		addresses_release(r->server->addresses, r->claimed_ip);
	r->server->counters.request_us_total +=
		(loop_now_ms(r->server->loop) - r->started_ms) * 1000;
	http_request_free(r->http);
	findings_done(&r->findings);
	json_decref(r->body);
	object_unref(r->base);
	object_unref(r->result);
	free(r);
}

struct header_list {
	struct http_header items[WARNINGS_MAX];
	char text[WARNINGS_MAX][512];
	size_t count;
};

/* Warning headers (RFC 7234 section 5.5, as Kubernetes sends them): 299 - "text". */
static void add_warnings(const struct request *r, struct header_list *headers)
{
	VEC_EACH (&r->findings.warnings, const struct finding, w) {
		if (headers->count == WARNINGS_MAX)
			return;
		char *text = headers->text[headers->count];
		size_t n = (size_t)snprintf(text, 512, "299 - \"");
		for (const char *c = w->text; *c && n < 500; c++) {
			if (*c == '"' || *c == '\\')
				text[n++] = '\\';
			text[n++] = (unsigned char)*c < ' ' ? ' ' : *c;
		}
		memcpy(text + n, "\"", 2);
		headers->items[headers->count++] = (struct http_header){"warning", text};
	}
}

static void respond(struct request *r, int status, const char *content_type, const void *body,
	size_t size)
{
	struct header_list headers = {0};
	add_warnings(r, &headers);
	http_respond(r->http, status, headers.items, headers.count, content_type, body, size);
}

void request_text(struct request *r, int status, const char *content_type, const char *text,
	size_t size)
{
	respond(r, status, content_type, text, size);
	request_done(r);
}

void request_fail(struct request *r, const struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	model_write_status(e, r->kind, r->name, r->findings.errors.count ? &r->findings : NULL, &b);
	r->server->counters.errors++;
	int status = err_http_status(e->code);
	if (status >= 500)
		log_err(r->server->log, LOG_WARN, "request_failed", e, "method=%s path=%.200s",
			http_request_method(r->http), http_request_path(r->http));
	request_text(r, status, "application/json", b.data, b.size);
}

void request_object(struct request *r, int status, const struct object *o)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (r->table)
		table_write(r->kind, (struct object *const *)(void *)&o, 1, o->revision, NULL,
			loop_wall_ms(r->server->loop), &b);
	else
		object_write(o, &b);
	request_text(r, status, "application/json", b.data, b.size);
}

void request_json(struct request *r, int status, const json_t *json)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	json_encode(json, &b);
	request_text(r, status, "application/json", b.data, b.size);
}

void respond_err(struct server *s, struct http_request *http, const struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	model_write_status(e, NULL, "", NULL, &b);
	s->counters.errors++;
	http_respond(http, err_http_status(e->code), NULL, 0, "application/json", b.data, b.size);
	http_request_free(http);
}

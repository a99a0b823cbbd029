#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/exchange.h"

static const char *dup_or_empty(struct arena *a, const char *text)
{
	return text && *text ? arena_dup(a, text) : "";
}

struct http_peer_box *http_peer_box_new(const struct http_peer *peer)
{
	struct http_peer_box *b = mem_new(struct http_peer_box);
	struct http_peer none = {0};
	const struct http_peer *from = peer ? peer : &none;
	b->refs = 1;
	b->peer = (struct http_peer){.address = dup_or_empty(&b->arena, from->address),
		.common_name = dup_or_empty(&b->arena, from->common_name),
		.organization = dup_or_empty(&b->arena, from->organization),
		.spiffe_id = dup_or_empty(&b->arena, from->spiffe_id),
		.serial = dup_or_empty(&b->arena, from->serial),
		.not_before_ms = from->not_before_ms,
		.not_after_ms = from->not_after_ms};
	return b;
}

struct http_peer_box *http_peer_box_ref(struct http_peer_box *b)
{
	b->refs++;
	return b;
}

void http_peer_box_unref(struct http_peer_box *b)
{
	if (!b || --b->refs > 0)
		return;
	arena_done(&b->arena);
	free(b);
}

struct http_server *http_server_new(struct loop *l, http_handler *handler, void *arg)
{
	struct http_server *s = mem_new(struct http_server);
	s->loop = l;
	s->handler = handler;
	s->arg = arg;
	list_init(&s->connections);
	return s;
}

static bool is_stranger(const struct http_peer *p)
{
	return str_empty(p->spiffe_id) && str_empty(p->common_name) && str_empty(p->organization);
}

/* Strangers have little to ask for and none stays long: the oldest makes room, so that they cannot
 * use up the descriptors. */
static void bound_strangers(struct http_server *s)
{
	struct http_connection *oldest = NULL;
	int count = 0;
	LIST_EACH (&s->connections, link) {
		struct http_connection *c = LIST_ITEM(link, struct http_connection, link);
		if (!is_stranger(&c->peer->peer) || c->dropped)
			continue;
		oldest = oldest ? oldest : c;
		count++;
	}
	if (count <= HTTP_STRANGERS_MAX)
		return;
	oldest->dropped = true;
	oldest->ops->drop(oldest);
}

void http_server_take(struct http_server *s, struct stream *stream, const struct http_peer *peer,
	bool http2)
{
	struct http_peer with_address = {0};
	if (peer)
		with_address = *peer;
	if (str_empty(with_address.address))
		with_address.address = stream_peer(stream);
	struct http_peer_box *box = http_peer_box_new(&with_address);
	struct http_connection *c =
		http2 ? http2_serve(s, stream, box) : http1_serve(s, stream, box);
	c->server = s;
	list_append(&s->connections, &c->link);
	if (is_stranger(&with_address))
		bound_strangers(s);
}

int http_server_drop_peer(struct http_server *s, const char *spiffe_id)
{
	int dropped = 0;
	LIST_EACH (&s->connections, link) {
		struct http_connection *c = LIST_ITEM(link, struct http_connection, link);
		if (str_empty(spiffe_id) || strcmp(c->peer->peer.spiffe_id, spiffe_id) != 0)
			continue;
		c->ops->drop(c);
		dropped++;
	}
	return dropped;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	while (!list_empty(&s->connections)) {
		struct http_connection *c =
			LIST_ITEM(s->connections.next, struct http_connection, link);
		c->ops->free(c);
	}
	free(s);
}

/* ---- both ---- */

void http_append_value(struct buf *b, const char *value)
{
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;
		buf_append_char(b, c < ' ' || c == 0x7f ? ' ' : *value);
	}
}

bool http_is_token(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789!#$%&'*+-.^_`|~";
	size_t size = strlen(text);
	return size > 0 && strspn(text, allowed) == size;
}

void http_date(int64_t wall_ms, char ret_text[static 32])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	/* Nobody calls setlocale, so the names are the English ones. */
	if (!gmtime_r(&seconds, &tm) || !strftime(ret_text, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		str_copy(ret_text, 32, "Thu, 01 Jan 1970 00:00:00 GMT");
}

const char *http_find_header(const struct http_header *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(headers[i].name, name) == 0)
			return headers[i].value;
	return NULL;
}

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{413, "Content Too Large"},
	{415, "Unsupported Media Type"},
	{422, "Unprocessable Content"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

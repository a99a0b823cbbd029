#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/loop_uv_private.h"

/*
 *   LOOKUP ──▶ CONNECTING ──▶ OPEN ──▶ CLOSED
 *      │            │ ▲ next address     ▲
 *      └────────────┴─┴──────────────────┘
 */
enum uvs_state { UVS_LOOKUP, UVS_CONNECTING, UVS_OPEN, UVS_CLOSED };

struct uvs {
	struct stream base;
	struct uv_impl *u;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} h;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	enum uvs_state state;
	int references; /* the owner, the handle, a look-up, a deferred call: memory goes with the
			   last */
	bool is_pipe, has_handle, freed, paused, reading, ended_by_peer, end_wanted, end_sent;
	bool tell_open, tell_closed; /* waits for set_events or for a turn of its own */
	bool deferred;
	const struct stream_events *events;
	void *arg;
	struct buf early; /* written before the connection was there */
	size_t in_flight; /* write requests that are not complete */
	struct err why;
	struct address address;
	struct addrinfo *found, *next; /* of the look-up */
	int lookup_result;
	char text[ADDRESS_TEXT_MAX + 256]; /* of the peer */
};

struct write_request {
	uv_write_t uv;
	char data[];
};

static struct uvs *uvs_of(const struct stream *s)
{
	return CONTAINER_OF((struct stream *)s, struct uvs, base);
}

static void unref(struct uvs *s)
{
	if (--s->references > 0)
		return;
	if (s->found)
		freeaddrinfo(s->found);
	buf_done(&s->early);
	free(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
	unref(handle->data);
}

static void close_handle(struct uvs *s)
{
	if (!s->has_handle)
		return;
	s->has_handle = s->reading = false;
	uv_close(&s->h.handle, on_handle_closed);
}

/* ---- telling the owner, always on a turn of its own ---- */

static void update_reading(struct uvs *s);

static void tell(void *arg)
{
	struct uvs *s = arg;
	s->deferred = false;
	if (s->tell_open && s->events && !s->freed) {
		s->tell_open = false;
		if (s->events->on_open)
			s->events->on_open(s->arg);
		update_reading(s);
	}
	if (s->tell_closed && s->events && !s->freed) {
		s->tell_closed = false;
		s->events->on_closed(s->arg, &s->why);
	}
	unref(s);
}

static void tell_later(struct uvs *s)
{
	if (s->deferred)
		return;
	s->deferred = true;
	s->references++;
	loop_defer(&s->u->loop, tell, s);
}

static void fail(struct uvs *s, enum err_code code, const char *what, int uv_error)
{
	if (s->state == UVS_CLOSED)
		return;
	s->state = UVS_CLOSED;
	if (uv_error)
		err_set(&s->why, code, "%s %s: %s", what, s->text, uv_strerror(uv_error));
	else
		err_set(&s->why, code, "%s %s", what, s->text);
	close_handle(s);
	s->tell_closed = true;
	tell_later(s);
}

/* ---- reading ---- */

static void peer_ended(struct uvs *s)
{
	if (s->ended_by_peer)
		return;
	s->ended_by_peer = true;
	update_reading(s);
	if (s->events->on_end)
		s->events->on_end(s->arg);
	else
		fail(s, ERR_CLOSED, "connection closed by", 0);
}

static void on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
	struct uvs *s = handle->data;
	if (s->freed || s->state != UVS_OPEN || size == 0)
		return;
	if (size > 0)
		s->events->on_data(s->arg, (const uint8_t *)buffer->base, (size_t)size);
	else if (size == UV_EOF)
		peer_ended(s);
	else
		fail(s, ERR_IO, "connection broken, peer", (int)size);
}

static void update_reading(struct uvs *s)
{
	bool want = s->has_handle && s->state == UVS_OPEN && s->events && !s->tell_open &&
		    !s->paused && !s->ended_by_peer && !s->freed;
	if (want == s->reading)
		return;
	s->reading = want;
	if (want) {
		int r = uv_read_start(&s->h.stream, uv_impl_buffer, on_read);
		if (r < 0)
			fail(s, ERR_IO, "cannot read from", r);
	} else if (s->has_handle) {
		uv_read_stop(&s->h.stream);
	}
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
	struct uvs *s = request->data;
	free(CONTAINER_OF(request, struct write_request, uv));
	s->in_flight--;
	if (s->freed || s->state != UVS_OPEN)
		return;
	if (status < 0)
		fail(s, status == UV_EPIPE || status == UV_ECONNRESET ? ERR_CLOSED : ERR_IO,
			"cannot write to", status);
	else if (s->in_flight == 0 && s->events && s->events->on_drained)
		s->events->on_drained(s->arg);
}

static void send_now(struct uvs *s, const void *data, size_t size)
{
	struct write_request *w = mem_alloc(sizeof(*w) + size);
	memcpy(w->data, data, size);
	w->uv.data = s;
	uv_buf_t buffer = {.base = w->data, .len = size};
	int r = uv_write(&w->uv, &s->h.stream, &buffer, 1, on_written);
	if (r < 0) {
		free(w);
		fail(s, ERR_IO, "cannot write to", r);
		return;
	}
	s->in_flight++;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
	(void)request; /* a failure shows up in the read or write that follows */
	(void)status;
}

static void send_end(struct uvs *s)
{
	if (s->end_sent || s->state != UVS_OPEN)
		return;
	s->end_sent = true;
	uv_shutdown(&s->shutdown, &s->h.stream, on_shutdown);
}

static void uvs_write(struct stream *base, const void *data, size_t size)
{
	struct uvs *s = uvs_of(base);
	if (size == 0 || s->state == UVS_CLOSED || s->end_wanted)
		return;
	if (s->state == UVS_OPEN) {
		send_now(s, data, size);
		return;
	}
	buf_append(&s->early, data, size);
	if (s->early.failed)
		fail(s, ERR_TOO_LARGE, "too much was written before the connection opened to", 0);
}

static size_t uvs_queued(const struct stream *base)
{
	const struct uvs *s = uvs_of(base);
	return s->early.size + (s->has_handle ? uv_stream_get_write_queue_size(&s->h.stream) : 0);
}

static void uvs_end(struct stream *base)
{
	struct uvs *s = uvs_of(base);
	s->end_wanted = true;
	send_end(s);
}

/* ---- opening ---- */

#define STREAM_KEEPALIVE_S 60 /* of silence; then ten tries, one a second (libuv) */

/* Without keep-alive a peer that lost its power is never missed by who only waits for it. */
static void tune(uv_tcp_t *tcp)
{
	uv_tcp_nodelay(tcp, 1);
	uv_tcp_keepalive(tcp, 1, STREAM_KEEPALIVE_S);
}

static void opened(struct uvs *s)
{
	s->state = UVS_OPEN;
	if (!s->is_pipe)
		tune(&s->h.tcp);
	if (s->early.size > 0)
		send_now(s, s->early.data, s->early.size);
	buf_done(&s->early);
	if (s->end_wanted)
		send_end(s);
	if (s->state != UVS_OPEN)
		return;
	s->tell_open = true;
	tell_later(s);
}

static void init_handle(struct uvs *s)
{
	if (s->is_pipe)
		uv_pipe_init(&s->u->uv, &s->h.pipe, 0);
	else
		uv_tcp_init(&s->u->uv, &s->h.tcp);
	s->h.handle.data = s;
	s->has_handle = true;
	s->references++;
}

static void connect_next(struct uvs *s);
static void on_connected(uv_connect_t *request, int status);

static void on_retry(uv_handle_t *handle)
{
	struct uvs *s = handle->data;
	if (!s->freed && s->state == UVS_CONNECTING)
		connect_next(s);
	unref(s);
}

static void connect_failed(struct uvs *s, int status)
{
	if (s->next) {
		s->has_handle = false;
		uv_close(&s->h.handle, on_retry);
	} else {
		fail(s, ERR_UNAVAILABLE, "cannot connect to", status);
	}
}

static void on_connected(uv_connect_t *request, int status)
{
	struct uvs *s = request->data;
	if (s->freed || s->state != UVS_CONNECTING || status == UV_ECANCELED)
		return;
	if (status < 0)
		connect_failed(s, status);
	else
		opened(s);
}

static void connect_to(struct uvs *s, const struct sockaddr *to)
{
	init_handle(s);
	int r = uv_tcp_connect(&s->connect, &s->h.tcp, to, on_connected);
	if (r < 0)
		connect_failed(s, r);
}

static void connect_next(struct uvs *s)
{
	struct addrinfo *at = s->next;
	s->next = at->ai_next;
	connect_to(s, at->ai_addr);
}

static void look_up(void *arg)
{
	struct uvs *s = arg;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	s->lookup_result = getaddrinfo(s->address.host, s->address.port, &hints, &s->found);
}

static void looked_up(void *arg)
{
	struct uvs *s = arg;
	if (!s->freed && s->state == UVS_LOOKUP) {
		if (s->lookup_result != 0 || !s->found) {
			err_set(&s->why, ERR_UNAVAILABLE, "cannot look up the name of %s: %s",
				s->text, gai_strerror(s->lookup_result));
			s->state = UVS_CLOSED;
			s->tell_closed = true;
			tell_later(s);
		} else {
			s->state = UVS_CONNECTING;
			s->next = s->found;
			connect_next(s);
		}
	}
	unref(s);
}

/* ---- the owner's calls ---- */

static void uvs_set_events(struct stream *base, const struct stream_events *events, void *arg)
{
	struct uvs *s = uvs_of(base);
	s->events = events;
	s->arg = arg;
	if (s->tell_open || s->tell_closed)
		tell_later(s);
	else
		update_reading(s);
}

static void uvs_pause(struct stream *base, bool paused)
{
	struct uvs *s = uvs_of(base);
	s->paused = paused;
	update_reading(s);
}

static const char *uvs_peer(const struct stream *base)
{
	return uvs_of(base)->text;
}

static void uvs_free(struct stream *base)
{
	struct uvs *s = uvs_of(base);
	s->freed = true;
	s->state = UVS_CLOSED;
	close_handle(s);
	unref(s);
}

static const struct stream_ops uvs_ops = {
	.set_events = uvs_set_events,
	.write = uvs_write,
	.queued = uvs_queued,
	.pause = uvs_pause,
	.end = uvs_end,
	.peer = uvs_peer,
	.free = uvs_free,
};

static struct uvs *uvs_new(struct uv_impl *u)
{
	struct uvs *s = mem_new(struct uvs);
	s->base.ops = &uvs_ops;
	s->u = u;
	s->references = 1;
	s->early = BUF_INIT_LIMIT((size_t)4 << 20);
	s->connect.data = s;
	return s;
}

struct stream *stream_uv_connect(struct loop *l, const char *address)
{
	struct uvs *s = uvs_new(uv_impl_of(l));
	if (!str_copy(s->text, sizeof(s->text), address))
		str_copy(s->text, sizeof(s->text), "(a very long address)");
	if (address_parse(address, &s->address, &s->why) < 0) {
		s->state = UVS_CLOSED;
		s->tell_closed = true;
		tell_later(s);
	} else if (s->address.kind == ADDRESS_UNIX) {
		s->is_pipe = true;
		s->state = UVS_CONNECTING;
		init_handle(s);
		uv_pipe_connect(&s->connect, &s->h.pipe, s->address.path, on_connected);
	} else if (s->address.kind == ADDRESS_NUMERIC) {
		s->state = UVS_CONNECTING;
		connect_to(s, (const struct sockaddr *)&s->address.numeric);
	} else {
		s->references++;
		loop_job(l, look_up, looked_up, s);
	}
	return &s->base;
}

struct stream *stream_uv_accept(struct uv_impl *u, uv_stream_t *server, bool is_pipe)
{
	struct uvs *s = uvs_new(u);
	s->is_pipe = is_pipe;
	init_handle(s);
	if (uv_accept(server, &s->h.stream) < 0) {
		uvs_free(&s->base);
		return NULL;
	}
	s->state = UVS_OPEN;
	struct sockaddr_storage peer = {0};
	int size = sizeof(peer);
	if (!is_pipe) {
		tune(&s->h.tcp);
		uv_tcp_getpeername(&s->h.tcp, (struct sockaddr *)&peer, &size);
	}
	address_format((struct sockaddr *)&peer, s->text);
	return &s->base;
}

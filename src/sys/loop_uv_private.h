/*
 * What the files of the libuv loop share; nobody else includes this. A struct uv_impl begins with
 * the struct loop that the rest of the program holds. All on the loop's thread but for the part of
 * the pool that says otherwise.
 */
#ifndef CONTINUO_SYS_LOOP_UV_PRIVATE_H
#define CONTINUO_SYS_LOOP_UV_PRIVATE_H

#include <sys/socket.h>
#include <uv.h>

#include "base/list.h"
#include "sys/loop.h"

#define UV_READ_BUFFER_SIZE ((size_t)64 << 10)

struct pool;

struct uv_impl {
	struct loop loop;
	uv_loop_t uv;
	uv_async_t jobs_done;
	uv_idle_t defer_idle;  /* active while deferred calls wait, so that poll does not block */
	struct list deferred;  /* of struct deferred, oldest first */
	struct list processes; /* of struct process that still have handles */
	struct pool *pool;
	bool stopping;
	char *read_buffer; /* one for all streams: data is valid during on_data only */
};

static inline struct uv_impl *uv_impl_of(struct loop *l)
{
	return CONTAINER_OF(l, struct uv_impl, loop);
}

/* An alloc callback that gives the shared buffer. */
void uv_impl_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer);

/* ---- pool.c ---- */

/* At most `threads` threads, started when jobs wait and ended after some seconds without any, so
 * that an idle process holds no stacks. wake is called on a pool thread when results wait. */
struct pool *pool_new(int threads, void (*wake)(void *arg), void *arg) MUST_CHECK;
void pool_submit(struct pool *p, void (*work)(void *), void (*done)(void *), void *arg);
void pool_run_done(struct pool *p); /* runs the done callbacks that wait */
void pool_free(struct pool *p);     /* waits for all jobs and runs their done callbacks */

/* ---- address.c ---- */

#define ADDRESS_TEXT_MAX 128

enum address_kind { ADDRESS_NUMERIC, ADDRESS_NAME, ADDRESS_UNIX };

struct address {
	enum address_kind kind;
	struct sockaddr_storage numeric; /* ADDRESS_NUMERIC */
	char host[256];                  /* ADDRESS_NAME */
	char port[8];
	char path[108]; /* ADDRESS_UNIX */
};

int address_parse(const char *text, struct address *ret_address, struct err *e) MUST_CHECK;
void address_format(const struct sockaddr *a, char ret_text[static ADDRESS_TEXT_MAX]);

/* ---- stream_uv.c, listener_uv.c, datagram_uv.c ---- */

struct stream *stream_uv_connect(struct loop *l, const char *address) MUST_CHECK;
/* Accepts from a listening handle; null when that fails. */
struct stream *stream_uv_accept(struct uv_impl *u, uv_stream_t *server, bool is_pipe) MUST_CHECK;
int listener_uv_new(struct loop *l, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e) MUST_CHECK;
int datagram_uv_new(struct loop *l, const char *address, datagram_cb *cb, void *arg,
	struct datagram **ret_datagram, struct err *e) MUST_CHECK;

/* ---- process.c ---- */

void process_drop_all(struct uv_impl *u); /* lets go of children that still run */

#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "sys/loop_uv_private.h"

#define BACKLOG 1024

struct uv_listener {
	struct listener base;
	struct uv_impl *u;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} h;
	bool is_pipe, freed;
	listener_cb *cb;
	void *arg;
	char text[ADDRESS_TEXT_MAX];
	char path[108]; /* unix: removed at the end */
};

static void on_connection(uv_stream_t *server, int status)
{
	struct uv_listener *x = server->data;
	if (status < 0 || x->freed)
		return; /* out of descriptors: the peer stays in the backlog */
	struct stream *s = stream_uv_accept(x->u, server, x->is_pipe);
	if (s)
		x->cb(x->arg, s);
}

static const char *get_address(const struct listener *base)
{
	return CONTAINER_OF((struct listener *)base, struct uv_listener, base)->text;
}

static void free_data(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_listener(struct listener *base)
{
	struct uv_listener *x = CONTAINER_OF(base, struct uv_listener, base);
	x->freed = true;
	if (x->path[0])
		unlink(x->path);
	uv_close(&x->h.handle, free_data);
}

/* A socket that a killed process left behind would refuse the bind. Only sockets are removed. */
static int bind_unix(struct uv_listener *x, const char *path)
{
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	int r = uv_pipe_bind(&x->h.pipe, path);
	if (r < 0)
		return r;
	str_copy(x->path, sizeof(x->path), path);
	if (chmod(path, 0600) < 0)
		return -errno;
	snprintf(x->text, sizeof(x->text), "unix:%s", path);
	return 0;
}

static int bind_tcp(struct uv_listener *x, const struct address *a)
{
	int r = uv_tcp_bind(&x->h.tcp, (const struct sockaddr *)&a->numeric, 0);
	if (r < 0)
		return r;
	struct sockaddr_storage own;
	int size = sizeof(own);
	r = uv_tcp_getsockname(&x->h.tcp, (struct sockaddr *)&own, &size);
	if (r == 0)
		address_format((struct sockaddr *)&own, x->text);
	return r;
}

int listener_uv_new(struct loop *l, const char *address, listener_cb *cb, void *arg,
	struct listener **ret_listener, struct err *e)
{
	struct address a;
	int r = address_parse(address, &a, e);
	if (r < 0)
		return r;
	if (a.kind == ADDRESS_NAME)
		return err_set(e, ERR_INVALID, "cannot listen on \"%s\": want a numeric address",
			address);
	struct uv_listener *x = mem_new(struct uv_listener);
	x->base = (struct listener){get_address, close_listener};
	x->u = uv_impl_of(l);
	x->cb = cb;
	x->arg = arg;
	x->is_pipe = a.kind == ADDRESS_UNIX;
	if (x->is_pipe)
		uv_pipe_init(&x->u->uv, &x->h.pipe, 0);
	else
		uv_tcp_init(&x->u->uv, &x->h.tcp);
	x->h.handle.data = x;
	r = x->is_pipe ? bind_unix(x, a.path) : bind_tcp(x, &a);
	if (r == 0)
		r = uv_listen(&x->h.stream, BACKLOG, on_connection);
	if (r < 0) {
		close_listener(&x->base);
		return err_set(e, ERR_UNAVAILABLE, "cannot listen on %s: %s", address,
			uv_strerror(r));
	}
	*ret_listener = &x->base;
	return 0;
}

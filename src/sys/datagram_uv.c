#include <stdlib.h>

#include "base/mem.h"
#include "sys/loop_uv_private.h"

struct uv_datagram {
	struct datagram base;
	uv_udp_t uv;
	datagram_cb *cb;
	void *arg;
	bool freed;
};

static void on_datagram(uv_udp_t *handle, ssize_t size, const uv_buf_t *buffer,
	const struct sockaddr *from, unsigned flags)
{
	struct uv_datagram *d = handle->data;
	if (d->freed || size < 0 || !from || (flags & UV_UDP_PARTIAL))
		return;
	char text[ADDRESS_TEXT_MAX];
	address_format(from, text);
	d->cb(d->arg, (const uint8_t *)buffer->base, (size_t)size, text);
}

static void send_datagram(struct datagram *base, const char *to, const void *data, size_t size)
{
	struct uv_datagram *d = CONTAINER_OF(base, struct uv_datagram, base);
	struct address a;
	if (address_parse(to, &a, NULL) < 0 || a.kind != ADDRESS_NUMERIC)
		return;
	uv_buf_t buffer = {.base = (char *)data, .len = size};
	(void)uv_udp_try_send(&d->uv, &buffer, 1, (const struct sockaddr *)&a.numeric);
}

static void free_data(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_datagram(struct datagram *base)
{
	struct uv_datagram *d = CONTAINER_OF(base, struct uv_datagram, base);
	d->freed = true;
	uv_close((uv_handle_t *)&d->uv, free_data);
}

int datagram_uv_new(struct loop *l, const char *address, datagram_cb *cb, void *arg,
	struct datagram **ret_datagram, struct err *e)
{
	struct address a;
	int r = address_parse(address, &a, e);
	if (r < 0)
		return r;
	if (a.kind != ADDRESS_NUMERIC)
		return err_set(e, ERR_INVALID, "cannot bind \"%s\": want a numeric address",
			address);
	struct uv_datagram *d = mem_new(struct uv_datagram);
	d->base = (struct datagram){send_datagram, close_datagram};
	d->cb = cb;
	d->arg = arg;
	uv_udp_init(&uv_impl_of(l)->uv, &d->uv);
	d->uv.data = d;
	r = uv_udp_bind(&d->uv, (const struct sockaddr *)&a.numeric, 0);
	if (r == 0)
		r = uv_udp_recv_start(&d->uv, uv_impl_buffer, on_datagram);
	if (r < 0) {
		close_datagram(&d->base);
		return err_set(e, ERR_UNAVAILABLE, "cannot bind %s: %s", address, uv_strerror(r));
	}
	*ret_datagram = &d->base;
	return 0;
}

/* The agent's seams over the real things: the pod network over overlay.h, images over image.h. */
#include <stdlib.h>

#include "agent/agent.h"
#include "base/mem.h"

/* ---- the pod network ---- */

struct real_net {
	struct overlay *overlay; /* null: not open */
};

static int net_open(void *context, const struct overlay_config *config, struct err *e)
{
	return overlay_open(config, &((struct real_net *)context)->overlay, e);
}

static int net_set_peers(void *context, const struct overlay_peer *peers, size_t count,
	struct err *e)
{
	return overlay_set_peers(((struct real_net *)context)->overlay, peers, count, e);
}

static int net_set_services(void *context, const struct overlay_service *services, size_t count,
	struct err *e)
{
	return overlay_set_services(((struct real_net *)context)->overlay, services, count, e);
}

static int net_attach(void *context, const char *pod_uid, const char *netns_path,
	const struct overlay_host_port *ports, size_t port_count, char ret_ip[static 64],
	struct err *e)
{
	struct overlay *o = ((struct real_net *)context)->overlay;
	int r = overlay_attach(o, pod_uid, netns_path, ret_ip, e);
	return r < 0 || port_count == 0 ? r
					: overlay_set_host_ports(o, pod_uid, ports, port_count, e);
}

static int net_detach(void *context, const char *pod_uid, struct err *e)
{
	return overlay_detach(((struct real_net *)context)->overlay, pod_uid, e);
}

static int net_keep_only(void *context, const char *const *pod_uids, size_t count, struct err *e)
{
	return overlay_keep_only(((struct real_net *)context)->overlay, pod_uids, count, e);
}

static const char *net_dns_address(void *context)
{
	return overlay_dns_address(((struct real_net *)context)->overlay);
}

static void net_metrics(void *context, struct buf *b)
{
	struct overlay *o = ((struct real_net *)context)->overlay;
	if (o)
		overlay_metrics(o, b);
}

static void net_close(void *context)
{
	struct real_net *n = context;
	struct overlay *o = take_ptr(n->overlay);
	if (o)
		overlay_close(o, true);
}

static void net_free(void *context)
{
	net_close(context);
	free(context);
}

struct agent_net agent_net_real(void)
{
	static const struct agent_net_ops ops = {
		.open = net_open,
		.set_peers = net_set_peers,
		.set_services = net_set_services,
		.attach = net_attach,
		.detach = net_detach,
		.keep_only = net_keep_only,
		.dns_address = net_dns_address,
		.metrics = net_metrics,
		.close = net_close,
		.free = net_free,
	};
	return (struct agent_net){&ops, mem_new(struct real_net)};
}

/* ---- images ---- */

static struct image_pull *images_pull(void *context, const char *ref, const char *policy,
	const char *auth_json, const struct image_pull_events *events, void *arg)
{
	return image_store_pull(context, ref, policy, auth_json, events, arg);
}

static void images_cancel(struct image_pull *p)
{
	image_pull_cancel(p);
}

static void images_collect(void *context, const char *const *used, size_t count, int64_t free_bytes)
{
	image_store_collect(context, used, count, free_bytes);
}

static bool images_collecting(void *context)
{
	return image_store_collecting(context);
}

static void images_free(void *context)
{
	image_store_close(context);
}

int agent_images_real(const struct image_store_config *config, struct agent_images *ret_images,
	struct err *e)
{
	static const struct agent_images_ops ops = {
		.pull = images_pull,
		.cancel = images_cancel,
		.collect = images_collect,
		.collecting = images_collecting,
		.free = images_free,
	};
	struct image_store *store;
	int r = image_store_open(config, &store, e);
	if (r == 0)
		*ret_images = (struct agent_images){&ops, store};
	return r;
}

#include <stdlib.h>

#include "overlay/conntrack.h"
#include "overlay/names_server.h"
#include "overlay/private.h"

/* Elements of one transaction: a few milliseconds of the kernel's work. */
#define STEP_CHANGES 1500
#define RETRY_MS 1000
#define CHECK_MS 10000

/* A pod's host ports in the shape of services without address, each with one endpoint. */
static void add_host_ports(struct arena *a, const struct host_ports *h,
	struct overlay_service *ret_service)
{
	struct overlay_port *ports = arena_new_array(a, h->count + 1, struct overlay_port);
	for (size_t i = 0; i < h->count; i++) {
		struct overlay_endpoint *x = arena_new(a, struct overlay_endpoint);
		*x = (struct overlay_endpoint){
			.ip = h->ip, .port = h->ports[i].pod_port, .ready = true};
		ports[i] = (struct overlay_port){.protocol = h->ports[i].protocol,
			.node_port = h->ports[i].host_port,
			.endpoints = x,
			.endpoint_count = 1};
	}
	*ret_service = (struct overlay_service){.namespace = "hostPort",
		.name = h->ip,
		.cluster_ip = "",
		.ports = ports,
		.port_count = h->count};
}

static int build(struct overlay *o, struct services_state *ret_state, struct err *e)
{
	struct arena arena CLEANUP(arena_done) = {0};
	size_t count = o->table.count + o->host_ports.count;
	struct overlay_service *all = arena_new_array(&arena, count + 1, struct overlay_service);
	for (size_t i = 0; i < o->table.count; i++)
		all[i] = o->table.services[i];
	size_t n = o->table.count;
	MAP_EACH (&o->host_ports, entry)
		add_host_ports(&arena, entry->value, &all[n++]);
	return services_build(all, count, o->pods, o->domain, ret_state, e);
}

static int step(struct overlay *o, struct err *e)
{
	int code = nft_step(o->nft, STEP_CHANGES, &o->behind, e);
	if (code) {
		o->write_errors++;
		loop_timer_start(o->step_timer, RETRY_MS);
		return code;
	}
	if (o->behind)
		loop_timer_start(o->step_timer, 0);
	/* A flow that goes on to where an endpoint was is cut only by this; it is not worth failing
	 * for, since the entry also ages. */
	(void)!conntrack_cut_removed(o->nft, NULL);
	return 0;
}

void overlay_step(void *overlay)
{
	struct overlay *o = overlay;
	struct err e;
	if (step(o, &e))
		log_err(o->config.log, LOG_ERROR, "overlay_services_not_written", &e, "retry_ms=%d",
			RETRY_MS);
}

/* What cannot be written now is written later: the timer tries until it succeeds. So the caller
 * learns only of what is wrong with its input. */
int overlay_publish(struct overlay *o, struct err *e)
{
	struct services_state wanted;
	int code = build(o, &wanted, e);
	nft_want(o->nft, &wanted);
	overlay_step(o);
	return code;
}

void overlay_check(void *overlay)
{
	struct overlay *o = overlay;
	struct err e;
	bool lost = false;
	if (nft_check(o->nft, &lost, &e))
		log_err(o->config.log, LOG_ERROR, "overlay_table_not_checked", &e,
			"table=" NFT_TABLE);
	if (lost) {
		log_warn(o->config.log, "overlay_table_was_removed",
			"table=" NFT_TABLE " by=another_program");
		overlay_step(o);
	}
	overlay_retry_removals(o);
	names_server_reload(o->names);
	loop_timer_start(o->check_timer, CHECK_MS);
}

int overlay_set_services(struct overlay *o, const struct overlay_service *services, size_t count,
	struct err *e)
{
	struct table next;
	table_init(&next, services, count);
	struct table last = o->table;
	o->table = next;
	names_server_set(o->names, &o->table);
	table_done(&last);
	return overlay_publish(o, e);
}

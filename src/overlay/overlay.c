#include "overlay/overlay.h"

#include <ctype.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "overlay/names_server.h"
#include "overlay/private.h"
#include "sys/fs.h"

/* ---- opening ---- */

static const char *lower(char *text)
{
	for (char *c = text; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return text;
}

static void copy_config(struct overlay *o, const struct overlay_config *c)
{
	struct arena *a = &o->arena;
	o->config = *c;
	o->config.backend = arena_dup(a, c->backend);
	o->config.node_name = arena_dup(a, c->node_name);
	o->config.node_address = arena_dup(a, c->node_address);
	o->config.pod_cidr = arena_dup(a, c->pod_cidr);
	o->config.domain_cidr = arena_dup(a, c->domain_cidr);
	o->config.service_cidr = arena_dup(a, c->service_cidr);
	o->config.cluster_domain = lower(arena_dup(a, c->cluster_domain));
	o->config.state_folder = arena_dup(a, c->state_folder);
	o->config.resolv_conf = arena_dup(a, c->resolv_conf);
	o->lease_path = arena_format(a, "%s/leases", c->state_folder);
}

static int parse_config(struct overlay *o, struct err *e)
{
	const struct overlay_config *c = &o->config;
	if (!str_equal(c->backend, "direct"))
		return err_set(e, ERR_UNSUPPORTED,
			"there is no network backend \"%.40s\": use \"direct\"",
			c->backend ? c->backend : "");
	int code = ipv4_range_parse(c->pod_cidr, "pod_cidr", &o->pods, e);
	if (!code)
		code = ipv4_range_parse(c->domain_cidr, "domain_cidr", &o->domain, e);
	if (!code)
		code = ipv4_range_parse(c->service_cidr, "service_cidr", &o->services, e);
	if (!code)
		code = ipv4_parse(c->node_address, "node_address", &o->node_address, e);
	if (!code && !ipv4_range_has(o->domain, o->pods.first))
		code = err_set(e, ERR_INVALID, "pod_cidr %s lies outside domain_cidr %s",
			c->pod_cidr, c->domain_cidr);
	if (!code && (ipv4_range_has(o->domain, o->services.first) ||
			     ipv4_range_has(o->services, o->domain.first)))
		code = err_set(e, ERR_INVALID, "service_cidr %s and domain_cidr %s overlap",
			c->service_cidr, c->domain_cidr);
	return code;
}

static void on_news(void *arg)
{
	struct overlay *o = arg;
	struct err e;
	/* A link that went down took its routes along; one that came back wants them again. */
	if (netlink_news(o->news, OVERLAY_OWN_PREFIX) && overlay_write_routes(o, &e))
		log_err(o->config.log, LOG_WARN, "overlay_routes_not_written", &e, "peers=%zu",
			o->peers.count);
}

static int open_kernel(struct overlay *o, struct err *e)
{
	const struct nft_config nft = {.bridge = OVERLAY_BRIDGE,
		.pods = o->pods,
		.domain = o->domain,
		.services = o->services};
	int code = netlink_open(NETLINK_ROUTE, &o->netlink, e);
	if (!code)
		code = netlink_open_news(&o->news, e);
	if (!code)
		code = overlay_make_bridge(o, e);
	if (!code)
		code = overlay_adopt_leases(o, e);
	if (!code)
		code = overlay_remove_strays(o, e);
	if (!code)
		code = nft_open(&nft, &o->nft, e);
	return code;
}

static int open_names(struct overlay *o, struct err *e)
{
	ipv4_format(ipam_gateway(&o->ipam), o->dns_address);
	const struct names_server_config names = {.loop = o->config.loop,
		.address = o->dns_address,
		.zone = o->config.cluster_domain,
		.resolv_conf = o->config.resolv_conf,
		.domain = o->domain,
		.services = o->services};
	return names_server_open(&names, &o->names, e);
}

int overlay_open(const struct overlay_config *config, struct overlay **ret_overlay, struct err *e)
{
	struct overlay *o = mem_new(struct overlay);
	copy_config(o, config);
	map_init(&o->host_ports, NULL);
	int code = parse_config(o, e);
	if (!code)
		code = ipam_init(&o->ipam, o->pods, e);
	if (!code)
		code = fs_make_folders(fs_real(), o->config.state_folder, 0700, e);
	if (!code)
		code = overlay_load_leases(o, e);
	if (!code)
		code = open_kernel(o, e);
	if (!code)
		code = open_names(o, e);
	if (code) {
		overlay_close(o, true);
		return code;
	}
	o->save_timer = loop_timer_new(config->loop, overlay_save_leases_now, o);
	if (o->leases_changed)
		overlay_leases_changed(o);
	o->step_timer = loop_timer_new(config->loop, overlay_step, o);
	o->check_timer = loop_timer_new(config->loop, overlay_check, o);
	o->news_poll = loop_poll_new(config->loop, netlink_fd(o->news), on_news, o);
	overlay_check(o);
	*ret_overlay = o;
	return 0;
}

void overlay_close(struct overlay *o, bool keep)
{
	if (!o)
		return;
	loop_timer_free(o->step_timer);
	loop_timer_free(o->check_timer);
	overlay_abandon_removals(o);
	names_server_close(o->names);
	if (o->news_poll)
		loop_poll_free(o->news_poll);
	if (!keep) {
		map_done(&o->host_ports);
		map_init(&o->host_ports, NULL);
		overlay_remove_pods(o);
		overlay_remove_routes(o);
		overlay_remove_bridge(o);
	}
	overlay_close_leases(o);
	nft_close(o->nft, keep);
	netlink_close(o->news);
	netlink_close(o->netlink);
	map_done(&o->host_ports);
	table_done(&o->table);
	vec_done(&o->peers);
	ipam_done(&o->ipam);
	arena_done(&o->arena);
	free(o);
}

const char *overlay_dns_address(const struct overlay *o)
{
	return o->dns_address;
}

/* ---- metrics ---- */

static void metric(struct buf *b, const char *name, const char *type, const char *help,
	uint64_t value)
{
	buf_printf(b,
		"# HELP continuo_overlay_%s %s\n# TYPE continuo_overlay_%s %s\n"
		"continuo_overlay_%s %llu\n",
		name, help, name, type, name, (unsigned long long)value);
}

void overlay_metrics(const struct overlay *o, struct buf *b)
{
	metric(b, "addresses_in_use", "gauge", "Pod addresses that are given.",
		o->ipam.by_uid.count);
	metric(b, "addresses", "gauge", "Pod addresses that the node has.",
		ipam_capacity(&o->ipam));
	metric(b, "peers", "gauge", "Nodes whose pods this node can reach.", o->peers.count);
	metric(b, "services", "gauge", "Services that the node knows.", o->table.count);
	metric(b, "endpoints", "gauge", "Ready endpoints of its services' ports.",
		o->table.endpoint_count);
	metric(b, "rules_elements", "gauge", "Elements in the nftables table.",
		nft_element_count(o->nft));
	metric(b, "rules_behind", "gauge", "1 while the table is being written.", o->behind);
	metric(b, "write_errors_total", "counter", "Batches that the kernel refused.",
		o->write_errors);
	names_server_metrics(o->names, b);
}

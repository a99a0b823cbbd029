#include "overlay/table.h"

#include <ctype.h>

static char *copy_text(struct table *t, const char *text)
{
	return arena_dup(&t->arena, text ? text : "");
}

static char *copy_lower(struct table *t, const char *text)
{
	char *copy = copy_text(t, text);
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static void copy_port(struct table *t, struct overlay_port *to, const struct overlay_port *from)
{
	struct overlay_endpoint *endpoints =
		arena_new_array(&t->arena, from->endpoint_count + 1, struct overlay_endpoint);
	for (size_t i = 0; i < from->endpoint_count; i++) {
		const struct overlay_endpoint *x = &from->endpoints[i];
		endpoints[i] = (struct overlay_endpoint){.ip = copy_text(t, x->ip),
			.port = x->port,
			.hostname = copy_lower(t, x->hostname),
			.node = copy_text(t, x->node),
			.ready = x->ready};
		t->endpoint_count += x->ready;
	}
	*to = *from;
	to->name = copy_lower(t, from->name);
	to->protocol = copy_text(t, from->protocol);
	to->endpoints = endpoints;
}

static void copy_service(struct table *t, struct overlay_service *to,
	const struct overlay_service *from)
{
	struct overlay_port *ports =
		arena_new_array(&t->arena, from->port_count + 1, struct overlay_port);
	for (size_t i = 0; i < from->port_count; i++)
		copy_port(t, &ports[i], &from->ports[i]);
	*to = *from;
	to->namespace = copy_lower(t, from->namespace);
	to->name = copy_lower(t, from->name);
	to->cluster_ip = copy_text(t, from->cluster_ip);
	to->external_name = copy_lower(t, from->external_name);
	to->ports = ports;
}

void table_init(struct table *t, const struct overlay_service *services, size_t count)
{
	*t = (struct table){.count = count};
	t->services = arena_new_array(&t->arena, count + 1, struct overlay_service);
	for (size_t i = 0; i < count; i++)
		copy_service(t, &t->services[i], &services[i]);
}

void table_done(struct table *t)
{
	arena_done(&t->arena);
	*t = (struct table){0};
}

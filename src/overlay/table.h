/* A copy of the services that the node should know, indexed by name. Pure; owned by the overlay. */
#ifndef CONTINUO_OVERLAY_TABLE_H
#define CONTINUO_OVERLAY_TABLE_H

#include "base/arena.h"
#include "base/map.h"
#include "overlay/overlay.h"

struct table {
	struct arena arena;
	struct overlay_service *services;
	size_t count;
	size_t endpoint_count; /* ready ones */
};

/* Copies; names become lower case, null texts "". */
void table_init(struct table *t, const struct overlay_service *services, size_t count);
void table_done(struct table *t);

#endif

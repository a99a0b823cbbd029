/* Open addressing with linear probing; what was behind a slot that becomes free moves up. */
#include <stdlib.h>

#include "base/mem.h"
#include "place/tables.h"

#define LEAST_SIZE 8u

static uint32_t home_of(const struct node_counts *c, uint32_t node)
{
	return (node * 2654435761u) >> 7 & (c->size - 1);
}

/* The node's slot, or the free one where it would be. */
static uint32_t find(const struct node_counts *c, uint32_t node)
{
	uint32_t at = home_of(c, node);
	while (c->slots[at].count > 0 && c->slots[at].node != node)
		at = (at + 1) & (c->size - 1);
	return at;
}

void place_counts_prefetch(const struct node_counts *c, uint32_t node)
{
	if (c->used)
		__builtin_prefetch(&c->slots[home_of(c, node)]);
}

uint32_t place_counts_get(const struct node_counts *c, uint32_t node)
{
	return c->used ? c->slots[find(c, node)].count : 0;
}

static void resize(struct node_counts *c, uint32_t size)
{
	struct node_counts old = *c;
	c->size = size;
	c->slots = mem_alloc_array(size, sizeof(*c->slots));
	for (uint32_t i = 0; i < old.size; i++)
		if (old.slots[i].count > 0)
			c->slots[find(c, old.slots[i].node)] = old.slots[i];
	free(old.slots);
}

static void remove_slot(struct node_counts *c, uint32_t gap)
{
	c->used--;
	for (uint32_t i = (gap + 1) & (c->size - 1); c->slots[i].count > 0;
		i = (i + 1) & (c->size - 1)) {
		uint32_t home = home_of(c, c->slots[i].node);
		/* It may go back to the gap unless that lies before its home. */
		if (((i - home) & (c->size - 1)) < ((i - gap) & (c->size - 1)))
			continue;
		c->slots[gap] = c->slots[i];
		gap = i;
	}
	c->slots[gap] = (struct node_count){0};
}

uint32_t place_counts_add(struct node_counts *c, uint32_t node, int64_t count)
{
	if (c->used * 4 >= c->size * 3)
		resize(c, c->size ? c->size * 2 : LEAST_SIZE);
	uint32_t at = find(c, node);
	struct node_count *slot = &c->slots[at];
	c->used += slot->count == 0;
	slot->node = node;
	slot->count = (uint32_t)((int64_t)slot->count + count);
	uint32_t left = slot->count;
	if (left == 0)
		remove_slot(c, at);
	if (c->size > LEAST_SIZE && c->used * 8 < c->size)
		resize(c, c->size / 2);
	return left;
}

void place_counts_done(struct node_counts *c)
{
	free(c->slots);
	*c = (struct node_counts){0};
}

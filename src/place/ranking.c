#include "place/ranking.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "place/ranking_block.h"

#define FEW (RANK_WIDTH / 4) /* a block with fewer entries is merged with its neighbour */
#define MERGED_MOST (RANK_WIDTH * 3 / 4)

void ranking_init(struct ranking *r)
{
	*r = (struct ranking){.free_block = RANK_NONE};
}

void ranking_done(struct ranking *r)
{
	free(r->blocks);
	vec_done(&r->place_of);
	vec_done(&r->trees);
	ranking_init(r);
}

/* ---- entries ---- */

static union rank_entry entry_of(const struct rank_row *row, uint32_t node)
{
	union rank_entry e = {.id = node};
	e.least[RANK_LANE_U] = row->u;
	e.least[RANK_LANE_V] = row->v;
	for (int i = 0; i < RANK_FREE; i++)
		e.least[RANK_LANE_FREE + i] = -row->free[i];
	e.least[RANK_LANE_ORDER] = rank_order_in(row->order);
	return e;
}

static const union rank_entry no_entry = {
	{{RANK_FAR, RANK_FAR, RANK_LAST, RANK_LAST, RANK_LAST, RANK_LAST, RANK_LAST}, RANK_NONE}};

static void write_entry(struct rank_block *b, uint32_t slot, const union rank_entry *e)
{
	b->entries[slot] = *e;
	b->u[slot] = e->least[RANK_LANE_U];
	b->v[slot] = e->least[RANK_LANE_V];
}

/* Who an entry is says where it is. */
static void point_back(struct ranking *r, uint32_t block, uint32_t slot)
{
	const struct rank_block *b = &r->blocks[block];
	uint32_t id = b->entries[slot].id;
	if (b->leaf) {
		r->place_of.items[id] = block * RANK_WIDTH + slot;
		return;
	}
	r->blocks[id].parent = block;
	r->blocks[id].slot = slot;
}

static void put_entry(struct ranking *r, uint32_t block, uint32_t slot, const union rank_entry *e,
	int32_t low)
{
	struct rank_block *b = &r->blocks[block];
	write_entry(b, slot, e);
	b->low[slot] = low;
	if (e->id != RANK_NONE)
		point_back(r, block, slot);
}

static void copy_entry(struct ranking *r, uint32_t to, uint32_t at, uint32_t from, uint32_t slot)
{
	const struct rank_block *b = &r->blocks[from];
	put_entry(r, to, at, &b->entries[slot], b->low[slot]);
}

/* The entries of a branch keep their order; the last one of a leaf takes the place. */
static void remove_entry(struct ranking *r, uint32_t block, uint32_t slot)
{
	struct rank_block *b = &r->blocks[block];
	uint32_t last = --b->count;
	if (b->leaf && slot != last)
		copy_entry(r, block, slot, block, last);
	for (uint32_t i = slot; !b->leaf && i < last; i++)
		copy_entry(r, block, i, block, i + 1);
	put_entry(r, block, last, &no_entry, RANK_LAST);
}

/* ---- blocks ---- */

static void grow(struct ranking *r)
{
	uint32_t capacity = r->block_capacity ? r->block_capacity * 3 / 2 + 1 : 4;
	struct rank_block *blocks =
		mem_alloc_aligned(capacity * sizeof(*blocks), __alignof__(struct rank_block));
	if (r->block_count)
		memcpy(blocks, r->blocks, r->block_count * sizeof(*blocks));
	free(r->blocks);
	r->blocks = blocks;
	r->block_capacity = capacity;
}

static uint32_t new_block(struct ranking *r, uint32_t tree, bool leaf)
{
	uint32_t index = r->free_block;
	if (index != RANK_NONE) {
		r->free_block = r->blocks[index].parent;
	} else {
		if (r->block_count == r->block_capacity)
			grow(r);
		index = r->block_count++;
	}
	struct rank_block *b = &r->blocks[index];
	b->count = 0;
	b->leaf = leaf;
	b->tree = tree;
	b->parent = RANK_NONE;
	b->slot = 0;
	for (uint32_t i = 0; i < RANK_WIDTH; i++)
		put_entry(r, index, i, &no_entry, RANK_LAST);
	return index;
}

static void drop_block(struct ranking *r, uint32_t block)
{
	r->blocks[block].parent = r->free_block;
	r->free_block = block;
}

/* ---- minima on the way up ---- */

static ALWAYS_INLINE void least_of(const struct rank_block *b, union rank_entry *ret_least)
{
	*ret_least = no_entry;
	for (uint32_t i = 0; i < b->count; i++) {
		const int32_t *lanes = b->entries[i].lanes;
		for (int l = 0; l <= RANK_LANES; l++)
			ret_least->lanes[l] =
				lanes[l] < ret_least->lanes[l] ? lanes[l] : ret_least->lanes[l];
	}
}

/* Where the least of a block is kept. */
static ALWAYS_INLINE union rank_entry *entry_for(struct ranking *r, const struct rank_block *b)
{
	return b->parent == RANK_NONE ? &r->trees.items[b->tree].all
				      : &r->blocks[b->parent].entries[b->slot];
}

static ALWAYS_INLINE void keep_least(struct ranking *r, const struct rank_block *b,
	const union rank_entry *least)
{
	memcpy(entry_for(r, b)->least, least->least, sizeof(least->least));
	if (b->parent == RANK_NONE)
		return;
	r->blocks[b->parent].u[b->slot] = least->least[RANK_LANE_U];
	r->blocks[b->parent].v[b->slot] = least->least[RANK_LANE_V];
}

/* An entry of the block went from `before` to `after`; looks at all of its entries only where the
 * least one went. */
WIDE_TOO static void propagate(struct ranking *r, uint32_t block, const union rank_entry *before,
	const union rank_entry *after)
{
	static const int32_t counts[RANK_LANES + 1] = {1, 1, 1, 1, 1, 1, 1, 0};
	union rank_entry was = *before, is = *after;
	for (uint32_t at = block; at != RANK_NONE; at = r->blocks[at].parent) {
		const struct rank_block *b = &r->blocks[at];
		const int32_t *old = entry_for(r, b)->lanes;
		union rank_entry new;
		int32_t gains = 0, losses = 0;
		for (int l = 0; l <= RANK_LANES; l++) {
			new.lanes[l] = is.lanes[l] < old[l] ? is.lanes[l] : old[l];
			gains |= counts[l] & (is.lanes[l] < old[l]);
			losses |= counts[l] & (was.lanes[l] == old[l]) & (is.lanes[l] > old[l]);
		}
		if (losses)
			least_of(b, &new);
		else if (!gains)
			return;
		for (int l = 0; l <= RANK_LANES; l++)
			was.lanes[l] = old[l];
		keep_least(r, b, &new);
		for (int l = 0; l <= RANK_LANES; l++)
			is.lanes[l] = new.lanes[l];
	}
}

/* The block's minima into its place in the parent, and on. */
static void settle(struct ranking *r, uint32_t block)
{
	for (uint32_t at = block; at != RANK_NONE; at = r->blocks[at].parent) {
		const struct rank_block *b = &r->blocks[at];
		union rank_entry least;
		least_of(b, &least);
		keep_least(r, b, &least);
	}
}

/* ---- fewer blocks ---- */

/* A root with one child gives way to it; an empty one goes. */
static void lower_root(struct ranking *r, uint32_t root)
{
	struct rank_tree *tree = &r->trees.items[r->blocks[root].tree];
	while (!r->blocks[root].leaf && r->blocks[root].count == 1) {
		tree->root = r->blocks[root].entries[0].id;
		drop_block(r, root);
		root = tree->root;
		r->blocks[root].parent = RANK_NONE;
	}
	if (r->blocks[root].count > 0) {
		settle(r, root);
		return;
	}
	drop_block(r, root);
	tree->root = RANK_NONE;
	tree->all = no_entry;
}

/* All of the right block into the left one, its neighbour. */
static void merge(struct ranking *r, uint32_t left, uint32_t right)
{
	struct rank_block *l = &r->blocks[left], *b = &r->blocks[right];
	uint32_t parent = b->parent, slot = b->slot;
	b->low[0] = r->blocks[parent].low[slot];
	for (uint32_t i = 0; i < b->count; i++)
		copy_entry(r, left, l->count++, right, i);
	l->low[0] = INT32_MIN; /* the left one may have been empty */
	drop_block(r, right);
	remove_entry(r, parent, slot);
	settle(r, left);
}

/* Whether the block was merged with a neighbour. */
static bool try_merge(struct ranking *r, uint32_t block)
{
	const struct rank_block *b = &r->blocks[block], *up = &r->blocks[b->parent];
	if (up->count == 1)
		return false;
	uint32_t left = b->slot > 0 ? up->entries[b->slot - 1].id : block;
	uint32_t right = b->slot > 0 ? block : up->entries[1].id;
	if (b->count > 0 && r->blocks[left].count + r->blocks[right].count > MERGED_MOST)
		return false;
	merge(r, left, right);
	return true;
}

/* The block lost entries. */
static void shrink(struct ranking *r, uint32_t block)
{
	for (;;) {
		const struct rank_block *b = &r->blocks[block];
		uint32_t parent = b->parent;
		if (parent == RANK_NONE) {
			lower_root(r, block);
			return;
		}
		bool merged = b->count < FEW && try_merge(r, block);
		if (!merged && b->count > 0) {
			settle(r, block);
			return;
		}
		if (!merged) { /* an only child, and empty */
			remove_entry(r, parent, 0);
			drop_block(r, block);
		}
		block = parent;
	}
}

/* Whether blocks are others than before. */
static bool take_out(struct ranking *r, uint32_t node)
{
	uint32_t leaf = r->place_of.items[node] / RANK_WIDTH;
	uint32_t slot = r->place_of.items[node] % RANK_WIDTH;
	const struct rank_block *b = &r->blocks[leaf];
	union rank_entry before = b->entries[slot];
	r->place_of.items[node] = RANK_NONE;
	remove_entry(r, leaf, slot);
	if (b->count < FEW) {
		shrink(r, leaf);
		return true;
	}
	propagate(r, leaf, &before, &no_entry);
	return false;
}

void ranking_remove(struct ranking *r, uint32_t node)
{
	if (ranking_has(r, node))
		(void)take_out(r, node);
}

/* ---- more blocks ---- */

static int32_t d_of(const struct rank_block *leaf, uint32_t slot)
{
	return leaf->u[slot] - leaf->v[slot];
}

/* The slots of a full block by d. */
static void sort_slots(const struct rank_block *b, uint32_t *slots)
{
	for (uint32_t i = 0; i < RANK_WIDTH; i++) {
		uint32_t at = i;
		for (; b->leaf && at > 0 && d_of(b, slots[at - 1]) > d_of(b, i); at--)
			slots[at] = slots[at - 1];
		slots[at] = i;
	}
}

/* Moves the upper half of a full block into an empty one. Returns the low d of that. */
static int32_t move_half(struct ranking *r, uint32_t from, uint32_t to)
{
	uint32_t slots[RANK_WIDTH], half = RANK_WIDTH / 2;
	struct rank_block *b = &r->blocks[from];
	sort_slots(b, slots);
	int32_t low = b->leaf ? d_of(b, slots[half]) : b->low[half];
	struct rank_block old = *b;
	for (uint32_t i = 0; i < RANK_WIDTH; i++) {
		uint32_t slot = slots[i];
		const union rank_entry *e = i < half ? &old.entries[slot] : &no_entry;
		put_entry(r, from, i, e, i < half ? old.low[slot] : RANK_LAST);
		if (i >= half)
			put_entry(r, to, i - half, &old.entries[slot], old.low[slot]);
	}
	r->blocks[from].count = half;
	r->blocks[to].count = RANK_WIDTH - half;
	r->blocks[to].low[0] = INT32_MIN;
	return low;
}

static void add_child(struct ranking *r, uint32_t parent, uint32_t slot, uint32_t child,
	int32_t low)
{
	struct rank_block *b = &r->blocks[parent];
	for (uint32_t i = b->count; i > slot; i--)
		copy_entry(r, parent, i, parent, i - 1);
	b->count++;
	union rank_entry e = no_entry;
	e.id = child;
	put_entry(r, parent, slot, &e, low);
}

static void split(struct ranking *r, uint32_t block)
{
	uint32_t tree = r->blocks[block].tree;
	if (r->blocks[block].parent == RANK_NONE) {
		uint32_t root = new_block(r, tree, false);
		r->trees.items[tree].root = root;
		add_child(r, root, 0, block, INT32_MIN);
	} else if (r->blocks[r->blocks[block].parent].count == RANK_WIDTH) {
		split(r, r->blocks[block].parent);
	}
	uint32_t upper = new_block(r, tree, r->blocks[block].leaf);
	int32_t low = move_half(r, block, upper);
	const struct rank_block *b = &r->blocks[block];
	add_child(r, b->parent, b->slot + 1, upper, low);
	settle(r, upper);
	settle(r, block);
}

/* ---- putting ---- */

static uint32_t find_leaf(const struct ranking *r, uint32_t tree, int32_t d)
{
	uint32_t block = r->trees.items[tree].root;
	while (!r->blocks[block].leaf) {
		const struct rank_block *b = &r->blocks[block];
		int32_t at = -1;
		for (int i = 0; i < RANK_WIDTH; i++)
			at += b->low[i] <= d;
		block = b->entries[at].id;
	}
	return block;
}

static void update(struct ranking *r, uint32_t place, const union rank_entry *e)
{
	struct rank_block *b = &r->blocks[place / RANK_WIDTH];
	union rank_entry before = b->entries[place % RANK_WIDTH];
	write_entry(b, place % RANK_WIDTH, e);
	propagate(r, place / RANK_WIDTH, &before, e);
}

static void insert(struct ranking *r, uint32_t leaf, const union rank_entry *e)
{
	put_entry(r, leaf, r->blocks[leaf].count++, e, RANK_LAST);
	propagate(r, leaf, &no_entry, e);
}

static void ensure_root(struct ranking *r, uint32_t tree)
{
	while (r->trees.count <= tree) {
		struct rank_tree *t = vec_add(&r->trees);
		t->root = RANK_NONE;
		t->all = no_entry;
	}
	if (r->trees.items[tree].root == RANK_NONE)
		r->trees.items[tree].root = new_block(r, tree, true);
}

void ranking_set(struct ranking *r, uint32_t node, uint32_t tree, const struct rank_row *row)
{
	union rank_entry e = entry_of(row, node);
	int32_t d = row->u - row->v;
	while (r->place_of.count <= node)
		vec_push(&r->place_of, RANK_NONE);
	ensure_root(r, tree);
	uint32_t place = r->place_of.items[node], leaf = find_leaf(r, tree, d);
	if (place != RANK_NONE && place / RANK_WIDTH == leaf) {
		update(r, place, &e);
		return;
	}
	if (place != RANK_NONE && take_out(r, node)) {
		ensure_root(r, tree);
		leaf = find_leaf(r, tree, d);
	}
	if (r->blocks[leaf].count == RANK_WIDTH) {
		split(r, leaf);
		leaf = find_leaf(r, tree, d);
	}
	insert(r, leaf, &e);
}

void ranking_update(struct ranking *r, uint32_t node, const struct rank_row *row)
{
	uint32_t leaf = r->place_of.items[node] / RANK_WIDTH;
	ranking_set(r, node, r->blocks[leaf].tree, row);
}

void ranking_prefetch(const struct ranking *r, uint32_t node)
{
	if (!ranking_has(r, node))
		return;
	uint32_t place = r->place_of.items[node];
	const struct rank_block *b = &r->blocks[place / RANK_WIDTH];
	__builtin_prefetch(&b->entries[place % RANK_WIDTH]);
	__builtin_prefetch(b->u);
	__builtin_prefetch(b->v);
	__builtin_prefetch(&b->count);
}

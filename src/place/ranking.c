#include "place/ranking.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define WIDTH 32

/* What is minimised over a subtree. Free amounts are negated. */
enum column { COLUMN_U, COLUMN_V, COLUMN_FREE, COLUMN_ORDER = COLUMN_FREE + RANK_FREE, COLUMNS };

/* Where a node stands in a tree: d, and among equals its number. */
struct key {
	int64_t d;
	uint32_t node;
};

/* A leaf has nodes, in no order; a branch has blocks, each with the keys from its own low key to
 * that of the next one. The first child's low key does not count: it has all that is lower. */
struct rank_block {
	uint32_t count;
	uint32_t parent, slot; /* its place; RANK_NONE: a root */
	uint32_t tree;         /* of a root */
	bool leaf;
	uint32_t ids[WIDTH];
	struct key low[WIDTH]; /* of a branch */
	int64_t columns[COLUMNS][WIDTH];
};

void ranking_init(struct ranking *r)
{
	*r = (struct ranking){.free_block = RANK_NONE};
}

void ranking_done(struct ranking *r)
{
	free(r->blocks);
	vec_done(&r->leaf_of);
	vec_done(&r->roots);
	ranking_init(r);
}

/* ---- blocks ---- */

static uint32_t new_block(struct ranking *r, bool leaf)
{
	uint32_t index = r->free_block;
	if (index != RANK_NONE) {
		r->free_block = r->blocks[index].parent;
	} else {
		if (r->block_count == r->block_capacity) {
			r->block_capacity = r->block_capacity ? r->block_capacity * 3 / 2 + 1 : 4;
			r->blocks = mem_resize(r->blocks, r->block_capacity * sizeof(*r->blocks));
		}
		index = r->block_count++;
	}
	struct rank_block *b = &r->blocks[index];
	b->count = 0;
	b->leaf = leaf;
	b->parent = RANK_NONE;
	b->slot = b->tree = 0;
	return index;
}

static void drop_block(struct ranking *r, uint32_t block)
{
	r->blocks[block].parent = r->free_block;
	r->free_block = block;
}

static struct key key_of(const struct rank_block *leaf, uint32_t slot)
{
	return (struct key){
		leaf->columns[COLUMN_U][slot] - leaf->columns[COLUMN_V][slot], leaf->ids[slot]};
}

static bool is_below(struct key a, struct key b)
{
	return a.d < b.d || (a.d == b.d && a.node < b.node);
}

static int64_t least_of(const int64_t *column, uint32_t count)
{
	int64_t least = RANK_NEVER;
	for (uint32_t i = 0; i < count; i++)
		least = column[i] < least ? column[i] : least;
	return least;
}

static uint32_t slot_of(const struct rank_block *b, uint32_t id)
{
	uint32_t slot = 0;
	while (b->ids[slot] != id)
		slot++;
	return slot;
}

/* ---- minima on the way up ---- */

static void row_columns(const struct rank_row *row, int64_t *columns)
{
	columns[COLUMN_U] = row->u;
	columns[COLUMN_V] = row->v;
	for (int i = 0; i < RANK_FREE; i++)
		columns[COLUMN_FREE + i] = -row->free[i];
	columns[COLUMN_ORDER] = row->order;
}

static void never_columns(int64_t *columns)
{
	for (int c = 0; c < COLUMNS; c++)
		columns[c] = RANK_NEVER;
}

/* An entry of the block went from `before` to `after`; looks at all of its entries only where the
 * least one went. */
static void propagate(struct ranking *r, uint32_t block, const int64_t *before,
	const int64_t *after)
{
	int64_t was[COLUMNS], is[COLUMNS];
	memcpy(was, before, sizeof(was));
	memcpy(is, after, sizeof(is));
	for (const struct rank_block *b = &r->blocks[block]; b->parent != RANK_NONE;) {
		struct rank_block *up = &r->blocks[b->parent];
		bool changed = false;
		for (int c = 0; c < COLUMNS; c++) {
			int64_t old = up->columns[c][b->slot], new = old;
			if (is[c] == was[c]) {
				was[c] = is[c] = old;
				continue;
			}
			if (is[c] <= old)
				new = is[c];
			else if (was[c] == old)
				new = least_of(b->columns[c], b->count);
			up->columns[c][b->slot] = new;
			changed = changed || new != old;
			was[c] = old;
			is[c] = new;
		}
		if (!changed)
			return;
		b = up;
	}
}

/* The block's minima into its place in the parent, and on. */
static void settle(struct ranking *r, uint32_t block)
{
	const struct rank_block *b = &r->blocks[block];
	if (b->parent == RANK_NONE)
		return;
	struct rank_block *up = &r->blocks[b->parent];
	for (int c = 0; c < COLUMNS; c++)
		up->columns[c][b->slot] = least_of(b->columns[c], b->count);
	settle(r, b->parent);
}

/* ---- entries ---- */

static void copy_entry(struct rank_block *to, uint32_t at, const struct rank_block *from,
	uint32_t slot)
{
	to->ids[at] = from->ids[slot];
	to->low[at] = from->low[slot];
	for (int c = 0; c < COLUMNS; c++)
		to->columns[c][at] = from->columns[c][slot];
}

/* Who an entry is says where it is. */
static void point_back(struct ranking *r, uint32_t block, uint32_t slot)
{
	const struct rank_block *b = &r->blocks[block];
	if (b->leaf) {
		r->leaf_of.items[b->ids[slot]] = block;
		return;
	}
	r->blocks[b->ids[slot]].parent = block;
	r->blocks[b->ids[slot]].slot = slot;
}

static void remove_entry(struct ranking *r, uint32_t block, uint32_t slot)
{
	struct rank_block *b = &r->blocks[block];
	b->count--;
	if (b->leaf) {
		if (slot != b->count)
			copy_entry(b, slot, b, b->count);
		return;
	}
	for (uint32_t i = slot; i < b->count; i++) {
		copy_entry(b, i, b, i + 1);
		point_back(r, block, i);
	}
}

/* An empty block goes, and with the last one the tree. */
static void remove_empty(struct ranking *r, uint32_t block)
{
	struct rank_block *b = &r->blocks[block];
	if (b->count > 0) {
		settle(r, block);
		return;
	}
	uint32_t parent = b->parent, slot = b->slot;
	if (parent == RANK_NONE)
		r->roots.items[b->tree] = RANK_NONE;
	drop_block(r, block);
	if (parent == RANK_NONE)
		return;
	remove_entry(r, parent, slot);
	remove_empty(r, parent);
}

void ranking_remove(struct ranking *r, uint32_t node)
{
	if (!ranking_has(r, node))
		return;
	uint32_t leaf = r->leaf_of.items[node];
	struct rank_block *b = &r->blocks[leaf];
	uint32_t slot = slot_of(b, node);
	int64_t before[COLUMNS], after[COLUMNS];
	for (int c = 0; c < COLUMNS; c++)
		before[c] = b->columns[c][slot];
	r->leaf_of.items[node] = RANK_NONE;
	remove_entry(r, leaf, slot);
	never_columns(after);
	if (b->count > 0)
		propagate(r, leaf, before, after);
	else
		remove_empty(r, leaf);
}

/* ---- splitting ---- */

struct placed {
	struct key key;
	uint32_t slot;
};

static int compare_placed(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	return is_below(x->key, y->key) ? -1 : is_below(y->key, x->key);
}

/* Moves the upper half into an empty block. Returns the low key of that. */
static struct key move_half(struct ranking *r, uint32_t from, uint32_t to)
{
	struct rank_block *b = &r->blocks[from], *upper = &r->blocks[to];
	struct placed order[WIDTH];
	struct rank_block old = *b;
	for (uint32_t i = 0; i < b->count; i++)
		order[i] = (struct placed){b->leaf ? key_of(b, i) : b->low[i], i};
	if (b->leaf)
		qsort(order, b->count, sizeof(*order), compare_placed);
	uint32_t half = b->count / 2;
	for (uint32_t i = 0; i < old.count; i++)
		copy_entry(i < half ? b : upper, i < half ? i : i - half, &old, order[i].slot);
	b->count = half;
	upper->count = old.count - half;
	for (uint32_t i = 0; i < b->count; i++)
		point_back(r, from, i);
	for (uint32_t i = 0; i < upper->count; i++)
		point_back(r, to, i);
	return order[half].key;
}

static void add_child(struct ranking *r, uint32_t parent, uint32_t slot, uint32_t child,
	struct key low)
{
	struct rank_block *b = &r->blocks[parent];
	for (uint32_t i = b->count; i > slot; i--) {
		copy_entry(b, i, b, i - 1);
		point_back(r, parent, i);
	}
	b->count++;
	b->ids[slot] = child;
	b->low[slot] = low;
	point_back(r, parent, slot);
}

static void add_root(struct ranking *r, uint32_t block)
{
	uint32_t root = new_block(r, false);
	struct rank_block *b = &r->blocks[block];
	r->blocks[root].tree = b->tree;
	r->roots.items[b->tree] = root;
	add_child(r, root, 0, block, (struct key){0});
}

static void split(struct ranking *r, uint32_t block)
{
	if (r->blocks[block].parent == RANK_NONE)
		add_root(r, block);
	else if (r->blocks[r->blocks[block].parent].count == WIDTH)
		split(r, r->blocks[block].parent);
	uint32_t upper = new_block(r, r->blocks[block].leaf);
	struct key low = move_half(r, block, upper);
	const struct rank_block *b = &r->blocks[block];
	add_child(r, b->parent, b->slot + 1, upper, low);
	settle(r, upper);
	settle(r, block);
}

/* ---- putting ---- */

static uint32_t find_leaf(const struct ranking *r, uint32_t tree, struct key key)
{
	uint32_t block = r->roots.items[tree];
	while (!r->blocks[block].leaf) {
		const struct rank_block *b = &r->blocks[block];
		uint32_t from = 0, to = b->count; /* the last one whose low key is not above */
		while (to - from > 1) {
			uint32_t middle = (from + to) / 2;
			if (is_below(key, b->low[middle]))
				to = middle;
			else
				from = middle;
		}
		block = b->ids[from];
	}
	return block;
}

static void write_entry(struct ranking *r, uint32_t leaf, uint32_t slot, const int64_t *columns)
{
	for (int c = 0; c < COLUMNS; c++)
		r->blocks[leaf].columns[c][slot] = columns[c];
}

static void update(struct ranking *r, uint32_t leaf, uint32_t node, const int64_t *columns)
{
	struct rank_block *b = &r->blocks[leaf];
	uint32_t slot = slot_of(b, node);
	int64_t before[COLUMNS];
	for (int c = 0; c < COLUMNS; c++)
		before[c] = b->columns[c][slot];
	write_entry(r, leaf, slot, columns);
	propagate(r, leaf, before, columns);
}

static void insert(struct ranking *r, uint32_t leaf, uint32_t node, const int64_t *columns)
{
	struct rank_block *b = &r->blocks[leaf];
	int64_t before[COLUMNS];
	uint32_t slot = b->count++;
	b->ids[slot] = node;
	write_entry(r, leaf, slot, columns);
	r->leaf_of.items[node] = leaf;
	never_columns(before);
	propagate(r, leaf, before, columns);
}

static uint32_t ensure_root(struct ranking *r, uint32_t tree)
{
	while (r->roots.count <= tree)
		vec_push(&r->roots, RANK_NONE);
	if (r->roots.items[tree] == RANK_NONE) {
		uint32_t root = new_block(r, true);
		r->blocks[root].tree = tree;
		r->roots.items[tree] = root;
	}
	return r->roots.items[tree];
}

static uint32_t tree_of(const struct ranking *r, uint32_t block)
{
	while (r->blocks[block].parent != RANK_NONE)
		block = r->blocks[block].parent;
	return r->blocks[block].tree;
}

void ranking_set(struct ranking *r, uint32_t node, uint32_t tree, const struct rank_row *row)
{
	int64_t columns[COLUMNS];
	row_columns(row, columns);
	struct key key = {row->u - row->v, node};
	while (r->leaf_of.count <= node)
		vec_push(&r->leaf_of, RANK_NONE);
	uint32_t current = r->leaf_of.items[node];
	if (current != RANK_NONE && tree_of(r, current) != tree) {
		ranking_remove(r, node);
		current = RANK_NONE;
	}
	(void)ensure_root(r, tree);
	uint32_t leaf = find_leaf(r, tree, key);
	if (leaf == current) {
		update(r, leaf, node, columns);
		return;
	}
	if (current != RANK_NONE) {
		ranking_remove(r, node);
		leaf = find_leaf(r, tree, key); /* an empty block may have gone */
	}
	if (r->blocks[leaf].count == WIDTH) {
		split(r, leaf);
		leaf = find_leaf(r, tree, key);
	}
	insert(r, leaf, node, columns);
}

void ranking_update(struct ranking *r, uint32_t node, const struct rank_row *row)
{
	ranking_set(r, node, tree_of(r, r->leaf_of.items[node]), row);
}

bool ranking_has(const struct ranking *r, uint32_t node)
{
	return node < r->leaf_of.count && r->leaf_of.items[node] != RANK_NONE;
}

bool ranking_is_empty(const struct ranking *r, uint32_t tree)
{
	return tree >= r->roots.count || r->roots.items[tree] == RANK_NONE;
}

/* ---- searching ---- */

struct search {
	const struct ranking *r;
	const struct rank_query *q;
	struct rank_best *best;
	uint32_t count;
	int64_t f_most; /* f of what is no worse than the last of the best, at most */
	uint64_t asked;
};

static bool has_room(const struct rank_query *q, const struct rank_block *b, uint32_t slot)
{
	for (int i = 0; i < RANK_FREE; i++)
		if (-b->columns[COLUMN_FREE + i][slot] < q->need[i])
			return false;
	return true;
}

/* f of each child at least: below the turn v counts, above it u, and in the child in which it lies
 * the greater one. */
static void bound_children(const struct rank_query *q, const struct rank_block *b, int64_t *ret_f)
{
	const int64_t *u = b->columns[COLUMN_U], *v = b->columns[COLUMN_V];
	int64_t turn = q->cv - q->cu;
	uint32_t at = 0;
	while (at + 1 < b->count && b->low[at + 1].d < turn)
		at++;
	for (uint32_t i = 0; i < at; i++)
		ret_f[i] = v[i] + q->cv;
	for (uint32_t i = at; i < b->count; i++)
		ret_f[i] = u[i] + q->cu;
	if (ret_f[at] < v[at] + q->cv)
		ret_f[at] = v[at] + q->cv;
}

static bool is_worse(const struct search *s, int64_t total, int64_t order)
{
	const struct rank_best *last = &s->best[s->count - 1];
	return total > last->total || (total == last->total && order > last->order);
}

/* The greatest f with rank_total(f) <= total. */
static int64_t greatest_f(const struct rank_query *q, int64_t total)
{
	if (total == RANK_NEVER || (q->weight == 0 && q->rest <= total))
		return RANK_NEVER;
	int64_t budget = total - q->rest;
	if (budget < 0)
		return -1;
	__int128 product = ((__int128)budget + 1) << RANK_WEIGHT_SHIFT;
	return q->weight ? (int64_t)((product - 1) / q->weight) : -1;
}

static void narrow(struct search *s)
{
	s->f_most = greatest_f(s->q, s->best[s->count - 1].total);
}

void rank_offer(struct rank_best *best, uint32_t count, const struct rank_best *one)
{
	uint32_t at = 0;
	while (at < count && (best[at].total < one->total ||
				     (best[at].total == one->total && best[at].order < one->order)))
		at++;
	if (one->total == RANK_NEVER || at == count || best[at].node == one->node)
		return;
	memmove(&best[at + 1], &best[at], (count - at - 1) * sizeof(*best));
	best[at] = *one;
}

static void ask(struct search *s, const struct rank_block *b, uint32_t slot, int64_t f)
{
	int64_t order = b->columns[COLUMN_ORDER][slot], least = rank_total(s->q, f);
	if (is_worse(s, least, order) || !has_room(s->q, b, slot))
		return;
	s->asked++;
	struct rank_best one = {
		s->q->total(s->q->arg, b->ids[slot], least), b->ids[slot], (uint32_t)order};
	rank_offer(s->best, s->count, &one);
	narrow(s);
}

static void search_leaf(struct search *s, const struct rank_block *b)
{
	for (uint32_t i = 0; i < b->count; i++) {
		int64_t u = b->columns[COLUMN_U][i] + s->q->cu,
			v = b->columns[COLUMN_V][i] + s->q->cv;
		int64_t f = u > v ? u : v;
		if (f <= s->f_most)
			ask(s, b, i, f);
	}
}

static void search_block(struct search *s, uint32_t block)
{
	const struct rank_block *b = &s->r->blocks[block];
	if (b->leaf) {
		search_leaf(s, b);
		return;
	}
	int64_t f[WIDTH];
	bound_children(s->q, b, f);
	for (uint32_t left = b->count; left > 0; left--) {
		uint32_t best = 0;
		for (uint32_t i = 1; i < b->count; i++)
			best = f[i] < f[best] ? i : best;
		if (f[best] > s->f_most || f[best] == RANK_NEVER)
			return;
		if (has_room(s->q, b, best) &&
			!is_worse(s, rank_total(s->q, f[best]), b->columns[COLUMN_ORDER][best]))
			search_block(s, b->ids[best]);
		f[best] = RANK_NEVER;
	}
}

uint64_t ranking_search(const struct ranking *r, uint32_t tree, const struct rank_query *q,
	struct rank_best *best, uint32_t count)
{
	struct search s = {r, q, best, count, 0, 0};
	assert(count > 0 && q->weight >= 0);
	narrow(&s);
	if (!ranking_is_empty(r, tree))
		search_block(&s, r->roots.items[tree]);
	return s.asked;
}

int64_t ranking_bound(const struct ranking *r, uint32_t tree, const struct rank_query *q)
{
	int64_t f[WIDTH], least = RANK_NEVER;
	if (ranking_is_empty(r, tree))
		return least;
	const struct rank_block *b = &r->blocks[r->roots.items[tree]];
	if (b->leaf) {
		for (uint32_t i = 0; i < b->count; i++) {
			int64_t u = b->columns[COLUMN_U][i] + q->cu,
				v = b->columns[COLUMN_V][i] + q->cv;
			f[i] = u > v ? u : v;
		}
	} else {
		bound_children(q, b, f);
	}
	for (uint32_t i = 0; i < b->count; i++)
		if (f[i] < least && has_room(q, b, i))
			least = f[i];
	return least == RANK_NEVER ? least : rank_total(q, least);
}

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/core.h"

/* A commit: first in the queue, then in the batch until it is acknowledged. */
struct store_commit_item {
	struct list link;
	struct store_compare *compares; /* keys are owned */
	size_t compare_count;
	struct store_op *ops; /* keys are owned; objects too until the batch takes them */
	size_t op_count;
	store_commit_cb *done;
	void *arg;
	int64_t asked_ms;
	struct store_result result;
	struct err err; /* of this commit alone */
};

/*
 * What is being made durable. changes have no entry yet; they get one when they become visible.
 * The job reads rows, drops and the numbers; the loop's thread leaves those alone meanwhile.
 */
struct store_batch {
	struct store *store;
	struct list items;
	VEC(struct store_change) changes;
	VEC(const char *) keys; /* of the changes; borrowed from the items */
	struct map staged;      /* key -> index into changes + 1 */
	VEC(struct store_row) rows;
	int64_t *drops;
	size_t drop_count;
	size_t bytes;
	int64_t revision, reserved;
	int64_t compacted;
	struct err err; /* of the whole batch */
};

static void free_item(struct store_commit_item *item)
{
	for (size_t i = 0; i < item->compare_count; i++)
		free((char *)item->compares[i].key);
	for (size_t i = 0; i < item->op_count; i++) {
		free((char *)item->ops[i].key);
		object_unref(item->ops[i].object);
	}
	free(item->compares);
	free(item->ops);
	free(item);
}

static void free_batch(struct store_batch *b)
{
	LIST_EACH (&b->items, link) {
		list_remove(link);
		free_item(LIST_ITEM(link, struct store_commit_item, link));
	}
	for (size_t i = 0; i < b->changes.count; i++) {
		object_unref(b->changes.items[i].object);
		object_unref(b->changes.items[i].previous);
	}
	vec_done(&b->changes);
	vec_done(&b->keys);
	vec_done(&b->rows);
	map_done(&b->staged);
	free(b->drops);
	free(b);
}

/* ---- judging one commit against the visible state and what the batch has staged ---- */

static struct object *current(struct store_batch *b, const char *key, int64_t *ret_row)
{
	size_t staged = (size_t)(uintptr_t)map_get(&b->staged, key);
	if (staged) {
		const struct store_change *change = &b->changes.items[staged - 1];
		*ret_row = change->object ? change->row : 0;
		return change->object;
	}
	const struct store_entry *entry = store_index_find(&b->store->index, key);
	*ret_row = entry ? entry->row : 0;
	return entry ? entry->object : NULL;
}

static int compare_one(struct store_batch *b, const struct store_compare *compare, struct err *e)
{
	int64_t row;
	const struct object *o = current(b, compare->key, &row);
	if (compare->revision == 0 && o)
		return err_set(e, ERR_EXISTS, "%s already exists", compare->key);
	if (compare->revision == 0)
		return 0;
	if (!o)
		return err_set(e, ERR_NOT_FOUND, "%s does not exist", compare->key);
	int64_t have = compare->type == STORE_IF_REVISION ? o->revision : o->create_revision;
	if (have != compare->revision)
		return err_set(e, ERR_CONFLICT,
			"%s changed: it has %srevision %lld, not %lld; read it again and retry",
			compare->key, compare->type == STORE_IF_REVISION ? "" : "creation ",
			(long long)have, (long long)compare->revision);
	return 0;
}

static int check_op(struct store *s, const struct store_commit_item *item, size_t i, struct err *e)
{
	const struct store_op *op = &item->ops[i];
	for (size_t j = 0; j < i; j++)
		if (strcmp(item->ops[j].key, op->key) == 0)
			return err_set(e, ERR_INVALID, "%s is written twice in one commit",
				op->key);
	if (!op->object)
		return 0;
	char key[OBJECT_KEY_MAX];
	object_key(op->object, key);
	if (strcmp(key, op->key) != 0)
		return err_set(e, ERR_INVALID, "the object %s cannot be stored at %s", key,
			op->key);
	if (op->object->kind->sealed && s->log && !s->log->ops->can_seal(s->log))
		return err_set(e, ERR_UNSUPPORTED,
			"%s cannot be stored: this store has no key to encrypt it with", op->key);
	return 0;
}

static int judge(struct store_batch *b, struct store_commit_item *item, struct err *e)
{
	if (item->err.code)
		return -(int)item->err.code;
	for (size_t i = 0; i < item->compare_count; i++) {
		int r = compare_one(b, &item->compares[i], e);
		if (r < 0) {
			item->result.failed = i;
			return r;
		}
	}
	for (size_t i = 0; i < item->op_count; i++) {
		int r = check_op(b->store, item, i, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- staging ---- */

/* An object that was stored before (the caller kept it over a failed commit) is stamped already and
 * may have readers: it is copied. */
static int own_object(struct store_op *op, struct err *e)
{
	if (!op->object || !op->object->revision)
		return 0;
	struct object *copy;
	int r = object_from_blob(op->object->kind, op->object->blob, op->object->blob_size, 0, 0,
		&copy, e);
	if (r < 0)
		return r;
	object_unref(op->object);
	op->object = copy;
	return 0;
}

static void stage_op(struct store_batch *b, struct store_op *op, int64_t revision, size_t position)
{
	int64_t previous_row;
	struct object *previous = current(b, op->key, &previous_row);
	struct object *object = take_ptr(op->object);
	if (!object && !previous)
		return;
	const struct kind *kind = object ? object->kind : previous->kind;
	int64_t row =
		b->store->log && !kind->in_memory ? STORE_ROW(revision, (int64_t)position) : 0;
	if (object)
		object_stamp(object, revision, previous ? previous->create_revision : revision);
	vec_push(&b->changes, (struct store_change){.revision = revision,
				      .row = row,
				      .previous_row = previous_row,
				      .object = object,
				      .previous = previous ? object_ref(previous) : NULL});
	vec_push(&b->keys, op->key);
	map_put(&b->staged, op->key, (void *)(uintptr_t)b->changes.count);
	if (row) {
		vec_push(&b->rows,
			(struct store_row){.row = row, .key = op->key, .object = object});
		b->bytes += object ? object->blob_size : 0;
	}
}

static void stage(struct store_batch *b, struct store_commit_item *item)
{
	int r = judge(b, item, &item->err);
	for (size_t i = 0; r == 0 && i < item->op_count; i++)
		r = own_object(&item->ops[i], &item->err);
	if (r < 0)
		return;
	size_t before = b->changes.count;
	for (size_t i = 0; i < item->op_count; i++)
		stage_op(b, &item->ops[i], b->revision + 1, i);
	if (b->changes.count > before)
		b->revision++;
	item->result.revision = b->revision;
}

/* ---- the batch becomes visible ---- */

static void publish(struct store_batch *b)
{
	struct store *s = b->store;
	for (size_t i = 0; i < b->changes.count; i++) {
		struct store_change *change = mem_new(struct store_change);
		*change = b->changes.items[i];
		b->changes.items[i].object = b->changes.items[i].previous = NULL;
		change->entry = store_index_add(&s->index, b->keys.items[i]);
		s->stats.object_bytes +=
			(int64_t)(change->object ? change->object->blob_size : 0) -
			(int64_t)(change->previous ? change->previous->blob_size : 0);
		s->stats.objects += !!change->object - !!change->previous;
		store_history_add(s, change);
	}
	s->revision = b->revision;
	if (s->reserved < b->reserved)
		s->reserved = b->reserved;
}

static void acknowledge(struct store *s, struct store_batch *b)
{
	int64_t now_ms = loop_now_ms(s->loop);
	LIST_EACH (&b->items, link) {
		struct store_commit_item *item = LIST_ITEM(link, struct store_commit_item, link);
		if (b->err.code)
			item->err = b->err;
		item->result.err = item->err.code ? &item->err : NULL;
		s->stats.commits++;
		s->stats.conflicts += item->err.code == ERR_CONFLICT;
		s->stats.commit_us_total += (now_ms - item->asked_ms) * 1000;
		if (item->done)
			item->done(item->arg, &item->result);
	}
}

static void restore_drops(struct store *s, struct store_batch *b)
{
	for (size_t i = 0; i < b->drop_count; i++)
		vec_push(&s->drops, b->drops[i]);
}

static void finish(struct store_batch *b)
{
	struct store *s = b->store;
	s->batch = NULL;
	if (b->err.code)
		restore_drops(s, b);
	else
		publish(b);
	s->stats.batches++;
	if (!list_empty(&s->queue) || !list_empty(&s->barriers))
		loop_timer_start(s->turn, 0);
	store_watches_notify(s);
	acknowledge(s, b);
	free_batch(b);
	if (!s->delivering)
		store_history_trim_excess(s);
}

/* ---- the job ---- */

static void write_work(void *arg)
{
	struct store_batch *b = arg;
	struct store_write w = {.rows = b->rows.items,
		.row_count = b->rows.count,
		.drops = b->drops,
		.drop_count = b->drop_count,
		.compacted = b->compacted,
		.reserved = b->reserved};
	struct store_log *log = b->store->log;
	int r = log->ops->write(log, &w, &b->err);
	if (r < 0 && !b->err.code)
		err_set(&b->err, ERR_INTERNAL, "the store's log failed without a reason");
}

static void write_done(void *arg)
{
	struct store_batch *b = arg;
	struct store *s = b->store;
	if (!s->closing) {
		finish(b);
		return;
	}
	free_batch(b);
	s->batch = NULL;
	store_destroy(s);
}

/* Whether a batch of what is not logged must go to the disk to reserve its revisions. Once
 * everything goes there anyway, the rows themselves keep the revisions from being given again. */
static void reserve(struct store_batch *b)
{
	const struct store *s = b->store;
	b->reserved = s->reserved;
	if (!b->rows.count && b->revision > s->reserved)
		b->reserved = b->revision + STORE_RESERVE;
	else if (b->reserved < b->revision)
		b->reserved = b->revision;
}

/* Rows to forget lie scattered over the file: they wait until they are worth the pages. */
static void take_drops(struct store_batch *b)
{
	struct store *s = b->store;
	if (s->drops.count < STORE_DROPS_MIN)
		return;
	b->drop_count = s->drops.count;
	b->drops = s->drops.items;
	b->compacted = s->compacted;
	memset(&s->drops, 0, sizeof(s->drops));
}

static void run_batch(struct store_batch *b)
{
	struct store *s = b->store;
	reserve(b);
	if (s->log && (b->rows.count || b->reserved > s->reserved)) {
		take_drops(b);
		s->batch = b;
		loop_job(s->loop, write_work, write_done, b);
	} else {
		finish(b);
	}
}

static struct store_batch *collect(struct store *s)
{
	struct store_batch *b = mem_new(struct store_batch);
	b->store = s;
	b->revision = s->revision;
	list_init(&b->items);
	size_t count = 0;
	while (!list_empty(&s->queue) && count < STORE_BATCH_COMMITS &&
		b->bytes < STORE_BATCH_BYTES) {
		struct list *link = s->queue.next;
		list_remove(link);
		list_append(&b->items, link);
		s->queued--;
		count++;
		stage(b, LIST_ITEM(link, struct store_commit_item, link));
	}
	return b;
}

struct barrier {
	struct list link;
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

/* One writer and one reader: what was acknowledged is visible already. */
static void run_barriers(struct store *s, const struct err *e)
{
	struct list mine;
	list_init(&mine);
	while (!list_empty(&s->barriers)) {
		struct list *link = s->barriers.next;
		list_remove(link);
		list_append(&mine, link);
	}
	LIST_EACH (&mine, link) {
		struct barrier *barrier = LIST_ITEM(link, struct barrier, link);
		barrier->done(barrier->arg, e);
		free(barrier);
	}
}

void store_queue_run(struct store *s)
{
	run_barriers(s, NULL);
	if (!s->batch && !list_empty(&s->queue))
		run_batch(collect(s));
}

static void cancel_item(struct store_commit_item *item, const struct err *e)
{
	struct store_result result = {.err = e};
	if (item->done)
		item->done(item->arg, &result);
}

/* The items of the batch are freed with it, when its job has returned. Whoever is told may ask
 * anew: that is told at once, too. */
void store_queue_cancel(struct store *s)
{
	struct err e;
	err_set(&e, ERR_CANCELLED, "the store was closed: whether it was written is unknown");
	if (s->batch)
		LIST_EACH (&s->batch->items, link)
			cancel_item(LIST_ITEM(link, struct store_commit_item, link), &e);
	do {
		while (!list_empty(&s->queue)) {
			struct list *link = s->queue.next;
			struct store_commit_item *item =
				LIST_ITEM(link, struct store_commit_item, link);
			list_remove(link);
			cancel_item(item, &e);
			free_item(item);
		}
		run_barriers(s, &e);
	} while (!list_empty(&s->queue) || !list_empty(&s->barriers));
}

/* ---- asking ---- */

static int check_commit(size_t compare_count, size_t op_count, const struct store *s,
	const struct store_op *ops, struct err *e)
{
	if (s->queued >= STORE_QUEUE_MAX)
		return err_set(e, ERR_BUSY, "%d commits are waiting for the disk; try later",
			STORE_QUEUE_MAX);
	if (op_count > STORE_OPS_MAX || compare_count > STORE_OPS_MAX)
		return err_set(e, ERR_TOO_LARGE, "one commit has at most %d operations, not %zu",
			STORE_OPS_MAX, op_count > compare_count ? op_count : compare_count);
	for (size_t i = 0; i < op_count; i++)
		if (strlen(ops[i].key) >= OBJECT_KEY_MAX)
			return err_set(e, ERR_INVALID, "the key %.100s... is longer than %d bytes",
				ops[i].key, OBJECT_KEY_MAX - 1);
	return 0;
}

static void drop_objects(const struct store_op *ops, size_t op_count)
{
	for (size_t i = 0; i < op_count; i++)
		object_unref(ops[i].object);
}

static void copy_commit(struct store_commit_item *item, const struct store_compare *compares,
	size_t compare_count, const struct store_op *ops, size_t op_count)
{
	item->compares = mem_alloc_array(compare_count, sizeof(*compares));
	item->ops = mem_alloc_array(op_count, sizeof(*ops));
	item->compare_count = compare_count;
	item->op_count = op_count;
	for (size_t i = 0; i < compare_count; i++) {
		item->compares[i] = compares[i];
		item->compares[i].key = mem_dup_string(compares[i].key);
	}
	for (size_t i = 0; i < op_count; i++) {
		item->ops[i].key = mem_dup_string(ops[i].key);
		item->ops[i].object = ops[i].object;
	}
}

void store_commit(struct store *s, const struct store_compare *compares, size_t compare_count,
	const struct store_op *ops, size_t op_count, store_commit_cb *done, void *arg)
{
	struct store_commit_item *item = mem_new(struct store_commit_item);
	item->done = done;
	item->arg = arg;
	item->asked_ms = loop_now_ms(s->loop);
	/* A refused commit takes its place in the queue too, so that answers keep the order. */
	if (check_commit(compare_count, op_count, s, ops, &item->err) < 0)
		drop_objects(ops, op_count);
	else
		copy_commit(item, compares, compare_count, ops, op_count);
	list_append(&s->queue, &item->link);
	s->queued++;
	if (!s->batch && !loop_timer_active(s->turn))
		loop_timer_start(s->turn, 0);
}

void store_barrier(struct store *s, void (*done)(void *arg, const struct err *e), void *arg)
{
	struct barrier *barrier = mem_new(struct barrier);
	barrier->done = done;
	barrier->arg = arg;
	list_append(&s->barriers, &barrier->link);
	if (!loop_timer_active(s->turn))
		loop_timer_start(s->turn, 0);
}

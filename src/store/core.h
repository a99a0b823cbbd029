/*
 * The inside of the store, shared by its files and by nobody else: an ordered index of keys, the
 * history of changes behind it, the queue of commits, the watches, and the seam to a log
 * (struct store_log), which is all that a backend adds.
 *
 *   store_commit ─▶ queue ─▶ batch: compare, stamp ─▶ log (a job) ─▶ visible ─▶ callers, watches
 *                     ▲__________ one batch at a time __________|
 *
 * While a batch is on its way to the disk, later commits wait in the queue and form the next one
 * (group commit), so each is judged against exactly the state that readers will see before it.
 */
#ifndef CONTINUO_STORE_CORE_H
#define CONTINUO_STORE_CORE_H

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/store.h"

#define STORE_BATCH_COMMITS 512             /* of one batch: bounds the time of one turn */
#define STORE_BATCH_BYTES ((size_t)8 << 20) /* after the first commit */
#define STORE_DELIVER_EVENTS 128            /* of one call of on_events */
#define STORE_BOOKMARK_MS 5000              /* between bookmarks of idle watches */
#define STORE_RESERVE 1000                  /* revisions reserved at once for what is not logged */
#define STORE_DROPS_MIN 256                 /* rows forgotten at once */
#define STORE_ROW(revision, position) ((revision)*128 + (position)) /* STORE_OPS_MAX < 128 */

/* ---- index.c: keys in order ---- */

struct store_change;

struct store_entry {
	struct object *object;       /* what readers see; null: deleted, but still in the history */
	int64_t row;                 /* of the object in the log; 0: not logged */
	struct store_change *newest; /* the last change that the history has of it; may be null */
	char key[];
};

/*
 * A sorted array of sorted chunks: a B-tree of two levels. Finding is two binary searches, walking
 * is a loop, and the counts per chunk make the number of what remains cheap.
 */
#define STORE_CHUNK 256
struct store_chunk {
	size_t count;
	size_t live; /* entries with an object */
	struct store_entry *entries[STORE_CHUNK];
};
struct store_index {
	VEC(struct store_chunk *) chunks; /* none is empty */
};
struct store_cursor {
	size_t chunk, entry;
};

void store_index_done(struct store_index *x); /* frees the entries and drops their objects */
struct store_entry *store_index_find(const struct store_index *x, const char *key);
struct store_entry *store_index_add(struct store_index *x, const char *key); /* found or made */
void store_index_remove(struct store_index *x, struct store_entry *entry);   /* frees it */
/* Takes the object (may be null) and drops the one before. */
void store_index_set(struct store_index *x, struct store_entry *entry, struct object *object);
/* The first key that is not below `key` (after: that is above it). */
struct store_cursor store_index_seek(const struct store_index *x, const char *key, bool after);
/* The first key behind all that start with prefix. */
struct store_cursor store_index_seek_end(const struct store_index *x, const char *prefix);
struct store_entry *store_index_at(const struct store_index *x, struct store_cursor at);
struct store_cursor store_index_next(const struct store_index *x, struct store_cursor at);
int64_t store_index_count(const struct store_index *x, struct store_cursor from,
	struct store_cursor to);

/* ---- history.c: the changes of the last STORE_HISTORY revisions ---- */

struct store_change {
	int64_t revision;
	int64_t row, previous_row; /* in the log; 0: not logged */
	struct store_entry *entry;
	struct object *object;              /* null: deleted */
	struct object *previous;            /* null: created */
	struct store_change *older, *newer; /* of the same key */
};
struct store_history {
	struct store_change **ring;
	size_t capacity;     /* a power of two */
	uint64_t first, end; /* positions: they only grow; first <= position < end */
	size_t revisions;    /* different ones in it */
};

/* Makes a change visible: takes change->object and ->previous, links it to its entry. */
void store_history_add(struct store *s, struct store_change *change);
struct store_change *store_history_at(const struct store_history *h, uint64_t position);
/* The position of the first change above revision. */
uint64_t store_history_seek(const struct store_history *h, int64_t revision);
/* Forgets changes up to revision; rows nobody needs any more go to s->drops. */
void store_history_trim(struct store *s, int64_t revision);
void store_history_trim_excess(struct store *s); /* down to STORE_HISTORY revisions */
void store_history_done(struct store_history *h);
/* What the key held at a revision that is still in the history (borrowed; may be null). */
struct object *store_entry_at(const struct store_entry *entry, int64_t revision);

/* ---- the log, which a backend provides ---- */

struct store_row {
	int64_t row; /* STORE_ROW(revision, position) */
	const char *key;
	const struct object *object; /* null: deleted */
};
struct store_write {
	const struct store_row *rows;
	size_t row_count;
	const int64_t *drops; /* rows to forget */
	size_t drop_count;
	int64_t compacted;
	int64_t reserved; /* no revision up to it is ever given again */
};
struct store_log {
	const struct store_log_ops *ops;
};
struct store_log_ops {
	/* All of it, durably, or nothing. Runs in a job; blocks. */
	int (*write)(struct store_log *log, const struct store_write *w, struct err *e);
	int64_t (*disk_bytes)(struct store_log *log);
	bool (*can_seal)(struct store_log *log); /* has a key for sealed kinds */
	void (*free)(struct store_log *log);
};

/* ---- commit.c ---- */

struct store_commit_item; /* a commit in the queue or in the batch */
struct store_batch;

struct store_life {
	int64_t first, last; /* revisions */
};

struct store {
	struct loop *loop;
	const struct kind_registry *kinds;
	struct store_log *log; /* null: memory */
	char epoch[40];
	struct store_index index;
	struct store_history history;
	int64_t revision, compacted;
	int64_t restarted; /* what is not logged was lost up to this revision; 0: never */
	/* Of a store that lasts: the revisions of its earlier lives, each from one start to the
	 * next, oldest first, and the first one of this life. */
	VEC(struct store_life) lives;
	int64_t born;
	int64_t reserved; /* in the log */
	VEC(int64_t) drops;

	struct loop_timer *turn; /* starts a batch, or ends one that needs no disk */
	struct list queue;       /* struct store_commit_item */
	size_t queued;
	struct store_batch *batch; /* on its way to the disk */
	struct list barriers;
	bool closing; /* store_free was called while a batch was with the disk */

	struct loop_timer *deliver, *bookmark;
	struct list watches;
	bool delivering;
	int64_t compact_wanted; /* by a caller from inside a delivery */

	struct store_stats stats;
};

/* Without epoch, log and content. */
struct store *store_new(struct loop *l, const struct kind_registry *kinds) MUST_CHECK;
void store_make_epoch(struct store *s);
/* Puts one row of a log back, in the order of rows. Takes the object (null: deleted). */
void store_restore(struct store *s, const char *key, int64_t row, struct object *object);
/* After the last row: revisions go on behind `revision`. */
void store_restored(struct store *s, int64_t revision);
void store_destroy(struct store *s);
/* -ERR_GONE when prefix is of a kind that is kept in memory only, and revision is from before the
 * restart that lost it: no deletion of it was ever recorded. */
int store_check_memory_kind(const struct store *s, const char *prefix, int64_t revision,
	struct err *e) MUST_CHECK;

void store_queue_run(struct store *s);    /* the turn */
void store_queue_cancel(struct store *s); /* everybody gets -ERR_CANCELLED */

/* ---- watch.c ---- */

void store_watches_notify(struct store *s); /* there are new changes */
void store_watches_run(struct store *s);    /* the timer deliver */
void store_watches_bookmark(struct store *s);
void store_watches_end(struct store *s); /* the store goes: watches are left without it */

#endif

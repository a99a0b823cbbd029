/*
 * The store: one ordered log of commits, and the state it adds up to. What was acknowledged is on
 * disk (or with a quorum) and is never lost.
 *
 * Every backend keeps the current objects and the last STORE_HISTORY revisions in memory (core.c),
 * so that reads never block; a backend adds where the log goes: nowhere (memory), SQLite, etcd. All
 * functions run on the loop's thread. Objects handed out are references to immutable objects:
 * snapshots of them can be used on other threads.
 */
#ifndef CONTINUO_STORE_STORE_H
#define CONTINUO_STORE_STORE_H

#include "model/model.h"
#include "sys/fs.h"
#include "sys/loop.h"

#define STORE_HISTORY                                                                              \
	10000 /* revisions that can be watched from and listed at, also after a restart */
#define STORE_OPS_MAX 100    /* operations of one commit */
#define STORE_QUEUE_MAX 4096 /* commits waiting: beyond it -ERR_BUSY */

struct store;

/* Encrypts what goes to disk for kinds that are sealed; kept by pki. Both append to out. */
struct store_seal {
	int (*seal)(void *context, const char *key, const void *data, size_t size, struct buf *out,
		struct err *e);
	int (*open)(void *context, const char *key, const void *data, size_t size, struct buf *out,
		struct err *e);
	void *context;
};

/* ---- opening ---- */

struct store *store_memory_new(struct loop *l, const struct kind_registry *kinds) MUST_CHECK;

/* folder: the state directory; vfs: name of a registered SQLite VFS, null for the system's. Reads
 * the whole state before it returns. -ERR_CORRUPT, -ERR_UNSUPPORTED (a newer version),
 * -ERR_NO_SPACE. */
int store_sqlite_open(struct loop *l, const struct kind_registry *kinds, const char *folder,
	const char *vfs, const struct store_seal *seal, struct store **ret_store,
	struct err *e) MUST_CHECK;

/* Waiting commits and barriers get -ERR_CANCELLED, their outcome is unknown; and so do those that
 * are asked for when that is told: asking again and again then never ends. */
void store_free(struct store *s);

/* ---- reading ---- */

int64_t store_revision(const struct store *s);  /* of the last commit that readers see */
int64_t store_compacted(const struct store *s); /* reads and watches below it are -ERR_GONE */
const char *store_epoch(const struct store *s); /* the life of these revisions; a UUID */
/* Whether the store ever was at this revision. If not, it is of a future that was undone: the store
 * was put back to an older copy. Each start leaves a gap behind the last revision, so that none of
 * such a future is given again. */
bool store_was_at(const struct store *s, int64_t revision);
/* Whether it had a life before this one, so that it may have been put back. */
bool store_has_past(const struct store *s);

/* A new reference, or null when the key has no object. */
struct object *store_get(const struct store *s, const char *key) MUST_CHECK;

/*
 * Objects whose key starts with prefix, in the order of keys, after the key `after` (null: from the
 * start), at most limit (0: all), as they were at revision (0: now). Each is a new reference.
 * ret_more: whether there are more behind the last; ret_remaining: how many (-1 unknown).
 */
struct store_list {
	struct object **objects;
	size_t count;
	int64_t revision; /* that the list is of */
	bool more;
	int64_t remaining;
};
int store_list(const struct store *s, const char *prefix, const char *after, size_t limit,
	int64_t revision, struct store_list *ret_list,
	struct err *e) MUST_CHECK; /* -ERR_GONE, -ERR_INVALID (future revision) */
void store_list_done(struct store_list *list);

/* Calls done once readers of this server see all that was acknowledged anywhere before the call. */
void store_barrier(struct store *s, void (*done)(void *arg, const struct err *e), void *arg);

/* ---- writing ---- */

enum store_compare_type {
	STORE_IF_REVISION,        /* the key's object has this revision; 0: there is none */
	STORE_IF_CREATE_REVISION, /* it was created at this revision (a leader's fence) */
};
struct store_compare {
	const char *key;
	enum store_compare_type type;
	int64_t revision;
};

struct store_op {
	const char *key;
	struct object
		*object; /* put: the store takes the reference, even on failure; null: delete */
};

/* A failed comparison is -ERR_CONFLICT (failed names the first such key), or -ERR_EXISTS when it
 * asked for absence, or -ERR_NOT_FOUND when the key is gone. Everything of one commit has one
 * revision. */
struct store_result {
	int64_t revision;      /* of this commit; unchanged state still has one */
	const struct err *err; /* null: acknowledged, durable and visible */
	size_t failed;         /* index of the comparison that failed */
};
typedef void store_commit_cb(void *arg, const struct store_result *result);

/* The only write. Takes copies of keys and comparisons. done may be null. Comparisons and
 * operations of commits are carried out in the order of the calls. */
void store_commit(struct store *s, const struct store_compare *compares, size_t compare_count,
	const struct store_op *ops, size_t op_count, store_commit_cb *done, void *arg);

/* Forgets history below revision (at most the current one). The store does so itself to keep
 * STORE_HISTORY. */
void store_compact(struct store *s, int64_t revision);

/* ---- watching ---- */

enum store_event_type { STORE_PUT, STORE_DELETE };
struct store_event {
	enum store_event_type type;
	int64_t revision;
	const char *key;
	const struct object *object;   /* put: the new state; delete: the last state (borrowed) */
	const struct object *previous; /* the state before; null: created (borrowed) */
};

struct store_watch;
struct store_watch_events {
	/* All events of one revision in one call or several, in order, none twice, none missing. */
	void (*on_events)(void *arg, const struct store_event *events, size_t count);
	/* Everything up to this revision was delivered; about every 5 s when idle, and after the
	 * catch-up. */
	void (*on_bookmark)(void *arg, int64_t revision); /* may be null */
	/* The watch ended (ERR_GONE: it fell behind the history). Free it. */
	void (*on_ended)(void *arg, const struct err *why);
};

/* Everything after from_revision (0: from now) under prefix. Never calls back from inside.
 * -ERR_GONE. */
int store_watch(struct store *s, const char *prefix, int64_t from_revision,
	const struct store_watch_events *events, void *arg, struct store_watch **ret_watch,
	struct err *e) MUST_CHECK;
/* While paused nothing is delivered and nothing is queued: it goes on from the history. */
void store_watch_pause(struct store_watch *w, bool paused);
void store_watch_free(struct store_watch *w);

/* ---- introspection ---- */

struct store_stats {
	int64_t objects, object_bytes, commits, conflicts, batches, disk_bytes;
	int64_t commit_us_total; /* from call to acknowledgement */
	int watches;
};
void store_stats(const struct store *s, struct store_stats *ret_stats);

#endif

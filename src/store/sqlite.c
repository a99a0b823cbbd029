/*
 * The log in SQLite: one append-only table of rows. A row is one put or delete of one key; the
 * newest row of a key is its state, the older ones are the history, and rows that the history no
 * longer needs are deleted some hundred at a time. So each object is written once.
 *
 *   rows(id = revision * 128 + position in the commit, key, data as row.h says)
 *   meta(name, value): epoch, compacted, reserved, born, lives ("FIRST-LAST FIRST-LAST ...")
 *
 * WAL with synchronous=EXTRA: a transaction that returned is on the disk. For the WAL that is FULL;
 * it also syncs the folder when the rollback journal of the new database is removed, which else can
 * come back with a power loss and undo everything (the simulator found it). locking_mode=EXCLUSIVE
 * keeps a second server out of the folder and makes shared memory unnecessary. The connection is
 * used by the loop's thread while opening and closing, else by one job at a time.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/core.h"
#include "store/row.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x436e746f /* "Cnto" */
#define LIVES_MOST 256
#define LIFE_GAP ((int64_t)1 << 20)

struct sqlite_log {
	struct store_log log;
	char *path;
	char *vfs;
	sqlite3 *db;
	sqlite3_stmt *insert, *forget, *meta;
	struct store_seal seal;
	bool has_seal;
	bool created;     /* just now */
	bool broken;      /* the last write failed in a way that leaves the connection in doubt */
	int64_t last_row; /* the newest that was acknowledged */
	int64_t saved_reserved;
	_Atomic int64_t disk_bytes;
};

/* ---- errors ---- */

static enum err_code code_of(const struct sqlite_log *q, int result)
{
	int system = q->db ? sqlite3_system_errno(q->db) : 0;
	switch (result & 0xff) {
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	default:
		return system == ENOSPC || system == EDQUOT ? ERR_NO_SPACE : ERR_IO;
	}
}

static int fail(const struct sqlite_log *q, int result, struct err *e)
{
	enum err_code code = code_of(q, result);
	if (code == ERR_BUSY)
		return err_set(e, code, "%s is in use by another server", q->path);
	if (code == ERR_NO_SPACE)
		return err_set(e, code, "%s: no space left on the disk; make room, then retry",
			q->path);
	return err_set(e, code, "%s: %s", q->path,
		q->db ? sqlite3_errmsg(q->db) : sqlite3_errstr(result));
}

static int run(struct sqlite_log *q, const char *sql, struct err *e)
{
	int result = sqlite3_exec(q->db, sql, NULL, NULL, NULL);
	return result == SQLITE_OK ? 0 : fail(q, result, e);
}

static void done_statement(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

static int query_number(struct sqlite_log *q, const char *sql, int64_t *ret_number, struct err *e)
{
	CLEANUP(done_statement)
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(q->db, sql, -1, &statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		return fail(q, result, e);
	*ret_number = result == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	return 0;
}

/* ---- opening ---- */

/* Before anything is written: is this ours, and of a version that we know? */
static int check_version(struct sqlite_log *q, int64_t *ret_version, struct err *e)
{
	int64_t application, tables;
	int r = query_number(q, "PRAGMA user_version", ret_version, e);
	if (r == 0)
		r = query_number(q, "PRAGMA application_id", &application, e);
	if (r == 0)
		r = query_number(q, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (r < 0)
		return r;
	if ((tables && application != APPLICATION_ID) || *ret_version < 0)
		return err_set(e, ERR_CORRUPT, "%s is a database, but not one of continuo",
			q->path);
	if (*ret_version > SCHEMA_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			"%s has schema version %lld and this program knows %d: it was written by a "
			"newer version; use that one, or restore a backup",
			q->path, (long long)*ret_version, SCHEMA_VERSION);
	return 0;
}

static int create_schema(struct sqlite_log *q, const char *epoch, struct err *e)
{
	CLEANUP(mem_free_ptr)
	char *sql = mem_format("BEGIN IMMEDIATE;"
			       "CREATE TABLE rows(id INTEGER PRIMARY KEY, key TEXT NOT NULL,"
			       " data BLOB NOT NULL);"
			       "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
			       "INSERT INTO meta VALUES('epoch', '%s'), ('compacted', 1),"
			       " ('reserved', 1);"
			       "PRAGMA application_id = %d; PRAGMA user_version = %d;"
			       "COMMIT",
		epoch, APPLICATION_ID, SCHEMA_VERSION);
	int r = run(q, sql, e);
	if (r < 0)
		(void)run(q, "ROLLBACK", NULL);
	return r;
}

static int prepare(struct sqlite_log *q, const char *sql, sqlite3_stmt **statement, struct err *e)
{
	int result = sqlite3_prepare_v3(q->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	return result == SQLITE_OK ? 0 : fail(q, result, e);
}

static int prepare_all(struct sqlite_log *q, struct err *e)
{
	int r = prepare(q, "INSERT INTO rows(id, key, data) VALUES(?, ?, ?)", &q->insert, e);
	if (r == 0)
		r = prepare(q, "DELETE FROM rows WHERE id = ?", &q->forget, e);
	if (r == 0)
		r = prepare(q, "UPDATE meta SET value = ? WHERE name = ?", &q->meta, e);
	return r;
}

static void disconnect(struct sqlite_log *q)
{
	sqlite3_finalize(q->insert);
	sqlite3_finalize(q->forget);
	sqlite3_finalize(q->meta);
	sqlite3_close(q->db);
	q->insert = q->forget = q->meta = NULL;
	q->db = NULL;
}

/* epoch: for a new database; null: there must be one. */
static int connect_database(struct sqlite_log *q, const char *epoch, struct err *e)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (epoch ? SQLITE_OPEN_CREATE : 0);
	int64_t version;
	int result = sqlite3_open_v2(q->path, &q->db, flags, q->vfs);
	if (result != SQLITE_OK)
		return fail(q, result, e);
	int r = run(q,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -512;"
		"PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA synchronous = "
		"EXTRA",
		e);
	if (r == 0)
		r = check_version(q, &version, e);
	if (r == 0)
		r = run(q,
			"PRAGMA journal_mode = WAL;"
			"PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 8388608",
			e);
	q->created = r == 0 && version == 0 && epoch;
	if (q->created)
		r = create_schema(q, epoch, e);
	return r == 0 ? prepare_all(q, e) : r;
}

static int load_meta(struct sqlite_log *q, struct store *s, struct err *e)
{
	CLEANUP(done_statement)
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(q->db, "SELECT value FROM meta WHERE name = 'epoch'", -1,
		&statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	const char *epoch =
		result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	if (!epoch || !str_copy(s->epoch, sizeof(s->epoch), epoch))
		return err_set(e, ERR_CORRUPT, "%s has no epoch", q->path);
	int r = query_number(q, "SELECT value FROM meta WHERE name = 'compacted'", &s->compacted,
		e);
	return r < 0 ? r
		     : query_number(q, "SELECT value FROM meta WHERE name = 'reserved'",
			       &q->saved_reserved, e);
}

static int load_rows(struct sqlite_log *q, struct store *s, struct err *e)
{
	CLEANUP(done_statement)
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(q->db, "SELECT id, key, data FROM rows ORDER BY id", -1,
		&statement, NULL);
	if (result != SQLITE_OK)
		return fail(q, result, e);
	while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t row = sqlite3_column_int64(statement, 0);
		const char *key = (const char *)sqlite3_column_text(statement, 1);
		const void *data = sqlite3_column_blob(statement, 2);
		struct object *object;
		if (!key)
			return err_set(e, ERR_CORRUPT, "%s: a row has no key", q->path);
		int r = store_row_decode(row, key, data, (size_t)sqlite3_column_bytes(statement, 2),
			s->kinds, q->has_seal ? &q->seal : NULL, &object, e);
		if (r < 0) {
			err_prefix(e, "%s", q->path);
			return r;
		}
		store_restore(s, key, row, object);
		q->last_row = row;
	}
	return result == SQLITE_DONE ? 0 : fail(q, result, e);
}

static int load_lives(struct sqlite_log *q, struct store *s, struct err *e)
{
	CLEANUP(done_statement)
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(q->db, "SELECT value FROM meta WHERE name = 'lives'", -1,
		&statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		return fail(q, result, e);
	const char *text =
		result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	while (text && *text) {
		long long first, last;
		int size = 0;
		if (sscanf(text, "%lld-%lld %n", &first, &last, &size) != 2 || size == 0)
			return err_set(e, ERR_CORRUPT, "%s: its lives cannot be read", q->path);
		vec_push(&s->lives, (struct store_life){first, last});
		text += size;
	}
	return query_number(q, "SELECT value FROM meta WHERE name = 'born'", &s->born, e);
}

/* The next life begins behind a gap, and not before the clock: a copy of the store that is put back
 * later gives none of the revisions that were given meanwhile. */
static int begin_life(struct sqlite_log *q, struct store *s, int64_t reserved, int64_t wall_ms,
	struct err *e)
{
	int64_t last = q->last_row / STORE_ROW(1, 0);
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	vec_push(&s->lives, (struct store_life){s->born, last});
	if (s->lives.count > LIVES_MOST)
		vec_remove(&s->lives, 0);
	VEC_EACH (&s->lives, struct store_life, life)
		buf_printf(&text, "%lld-%lld ", (long long)life->first, (long long)life->last);
	s->born = reserved + LIFE_GAP > wall_ms ? reserved + LIFE_GAP : wall_ms;
	CLEANUP(mem_free_ptr)
	char *sql = mem_format("BEGIN IMMEDIATE;"
			       "INSERT OR REPLACE INTO meta VALUES('lives', '%s'), ('born', %lld),"
			       " ('reserved', %lld);"
			       "COMMIT",
		text.data, (long long)s->born, (long long)s->born);
	int r = run(q, sql, e);
	if (r < 0)
		(void)run(q, "ROLLBACK", NULL);
	else
		q->saved_reserved = s->born;
	return r;
}

static int load(struct sqlite_log *q, struct store *s, struct err *e)
{
	int r = load_meta(q, s, e);
	if (r == 0)
		r = load_rows(q, s, e);
	if (r < 0)
		return r;
	int64_t revision = q->last_row / STORE_ROW(1, 0);
	if (revision < q->saved_reserved)
		revision = q->saved_reserved;
	if (revision < s->compacted)
		revision = s->compacted;
	r = load_lives(q, s, e);
	if (r == 0 && !q->created)
		r = begin_life(q, s, revision, loop_wall_ms(s->loop), e);
	store_restored(s, q->created ? revision : s->born);
	return r;
}

/* ---- writing ---- */

static int insert_row(struct sqlite_log *q, const struct store_row *row, struct err *e)
{
	CLEANUP(buf_done)
	struct buf data = BUF_INIT;
	int r = store_row_encode(row, q->has_seal ? &q->seal : NULL, &data, e);
	if (r < 0)
		return r;
	sqlite3_bind_int64(q->insert, 1, row->row);
	sqlite3_bind_text(q->insert, 2, row->key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(q->insert, 3, data.data, (int)data.size, SQLITE_STATIC);
	int result = sqlite3_step(q->insert);
	if (result != SQLITE_DONE)
		r = fail(q, result, e);
	sqlite3_reset(q->insert);
	sqlite3_clear_bindings(q->insert);
	return r;
}

static int forget_row(struct sqlite_log *q, int64_t row, struct err *e)
{
	sqlite3_bind_int64(q->forget, 1, row);
	int result = sqlite3_step(q->forget);
	int r = result == SQLITE_DONE ? 0 : fail(q, result, e);
	sqlite3_reset(q->forget);
	return r;
}

static int save_number(struct sqlite_log *q, const char *name, int64_t number, struct err *e)
{
	sqlite3_bind_int64(q->meta, 1, number);
	sqlite3_bind_text(q->meta, 2, name, -1, SQLITE_STATIC);
	int result = sqlite3_step(q->meta);
	int r = result == SQLITE_DONE ? 0 : fail(q, result, e);
	sqlite3_reset(q->meta);
	return r;
}

/* The newest row keeps all revisions up to its own from being given again; what lies above it must
 * be said. */
static bool must_reserve(const struct sqlite_log *q, const struct store_write *w)
{
	int64_t newest = w->row_count ? w->rows[w->row_count - 1].row / STORE_ROW(1, 0) : 0;
	return w->reserved > q->saved_reserved && w->reserved > newest;
}

static int write_all(struct sqlite_log *q, const struct store_write *w, struct err *e)
{
	int r = run(q, "BEGIN IMMEDIATE", e);
	for (size_t i = 0; r == 0 && i < w->row_count; i++)
		r = insert_row(q, &w->rows[i], e);
	for (size_t i = 0; r == 0 && i < w->drop_count; i++)
		r = forget_row(q, w->drops[i], e);
	if (r == 0 && w->drop_count)
		r = save_number(q, "compacted", w->compacted, e);
	if (r == 0 && must_reserve(q, w))
		r = save_number(q, "reserved", w->reserved, e);
	return r == 0 ? run(q, "COMMIT", e) : r;
}

/* After a failure nobody knows what a recovery would bring back: it was never acknowledged, so it
 * goes before the next write. */
static int reconnect(struct sqlite_log *q, struct err *e)
{
	disconnect(q);
	int r = connect_database(q, NULL, e);
	if (r < 0)
		return r;
	CLEANUP(mem_free_ptr)
	char *sql = mem_format("DELETE FROM rows WHERE id > %lld", (long long)q->last_row);
	r = run(q, sql, e);
	q->broken = r < 0;
	return r;
}

static void measure(struct sqlite_log *q)
{
	static const int files[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};
	int64_t total = 0;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		sqlite3_file *file = NULL;
		sqlite3_int64 size = 0;
		sqlite3_file_control(q->db, NULL, files[i], &file);
		if (file && file->pMethods && file->pMethods->xFileSize(file, &size) == SQLITE_OK)
			total += size;
	}
	atomic_store(&q->disk_bytes, total);
}

static int sqlite_write(struct store_log *log, const struct store_write *w, struct err *e)
{
	struct sqlite_log *q = CONTAINER_OF(log, struct sqlite_log, log);
	int r = q->broken ? reconnect(q, e) : 0;
	if (r == 0)
		r = write_all(q, w, e);
	if (r < 0) {
		if (q->db && !sqlite3_get_autocommit(q->db))
			(void)run(q, "ROLLBACK", NULL);
		q->broken = true;
		return r;
	}
	if (w->row_count)
		q->last_row = w->rows[w->row_count - 1].row;
	if (must_reserve(q, w))
		q->saved_reserved = w->reserved;
	measure(q);
	return 0;
}

/* ---- the rest of the log ---- */

static int64_t sqlite_disk_bytes(struct store_log *log)
{
	return atomic_load(&CONTAINER_OF(log, struct sqlite_log, log)->disk_bytes);
}

static bool sqlite_can_seal(struct store_log *log)
{
	return CONTAINER_OF(log, struct sqlite_log, log)->has_seal;
}

static void sqlite_free(struct store_log *log)
{
	struct sqlite_log *q = CONTAINER_OF(log, struct sqlite_log, log);
	disconnect(q);
	free(q->path);
	free(q->vfs);
	free(q);
}

static const struct store_log_ops sqlite_ops = {
	.write = sqlite_write,
	.disk_bytes = sqlite_disk_bytes,
	.can_seal = sqlite_can_seal,
	.free = sqlite_free,
};

int store_sqlite_open(struct loop *l, const struct kind_registry *kinds, const char *folder,
	const char *vfs, const struct store_seal *seal, struct store **ret_store, struct err *e)
{
	struct sqlite_log *q = mem_new(struct sqlite_log);
	q->log.ops = &sqlite_ops;
	q->path = mem_format("%s/store.db", folder);
	q->vfs = mem_dup_string(vfs);
	if (seal) {
		q->seal = *seal;
		q->has_seal = true;
	}
	struct store *s = store_new(l, kinds);
	s->log = &q->log;
	store_make_epoch(s);
	int r = connect_database(q, s->epoch, e);
	if (r == 0)
		r = load(q, s, e);
	if (r < 0) {
		store_destroy(s);
		return r;
	}
	measure(q);
	*ret_store = s;
	return 0;
}

#include "image/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/resolve.h"

#define LINKS_MAX 4
#define PIECE_SIZE ((size_t)64 << 10)

struct entry {
	char *name;   /* cleaned */
	char *target; /* of a link, cleaned; null: none */
	int64_t size;
	bool is_file;
};

struct archive_index {
	char *path;
	VEC(struct entry) entries;
};

struct archive_file {
	struct archive *archive;
	const char *path; /* of the archive */
	char data[PIECE_SIZE];
};

/* ---- the archive ---- */

static int archive_problem(struct archive *a, const char *path, struct err *e)
{
	const char *text = archive_error_string(a);
	return err_set(e, ERR_PROTOCOL, "%s is no sound tar archive: %.150s", path,
		text ? text : "unknown format");
}

static int open_archive(const char *path, struct archive **ret_archive, struct err *e)
{
	struct archive *a = archive_read_new();
	struct stat st;
	if (!a)
		abort();
	if (stat(path, &st) != 0) {
		archive_read_free(a);
		return err_set(e, ERR_NOT_FOUND, "there is no file %s", path);
	}
	archive_read_support_format_tar(a);
	archive_read_support_filter_gzip(a);
	int r = archive_read_open_filename(a, path, PIECE_SIZE);
	if (r != ARCHIVE_OK) {
		r = archive_problem(a, path, e);
		archive_read_free(a);
		return r;
	}
	*ret_archive = a;
	return 0;
}

/* ---- the index ---- */

/* "../LAYER/layer.tar" beside folder/name, without leaving the archive. */
static char *link_target(const char *folder, const char *target)
{
	CLEANUP(buf_done) struct buf joined = BUF_INIT_LIMIT(PATH_MAX);
	struct resolve_path *clean = mem_alloc(sizeof(*clean));
	char *result = NULL;
	buf_append_string(&joined, folder);
	for (; str_starts(target, "../") && joined.size > 0; target += 3) {
		const char *slash = strrchr(joined.data, '/');
		joined.size = slash ? (size_t)(slash - joined.data) : 0;
		joined.data[joined.size] = '\0';
	}
	buf_append_char(&joined, '/');
	buf_append_string(&joined, target);
	if (!joined.failed && resolve_clean(joined.data, clean, NULL) == 0)
		result = mem_dup_string(clean->text);
	free(clean);
	return result;
}

static int add_entry(struct archive_index *x, struct archive_entry *entry, struct err *e)
{
	CLEANUP(mem_free_ptr) struct resolve_path *name = mem_alloc(sizeof(*name));
	if (x->entries.count >= ARCHIVE_FILES_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s has more than %d entries", x->path,
			ARCHIVE_FILES_MAX);
	if (resolve_clean(archive_entry_pathname(entry), name, NULL) != 0)
		return err_set(e, ERR_PROTOCOL,
			"%s has an entry \"%.100s\" that leads out of it, or is too long", x->path,
			archive_entry_pathname(entry) ? archive_entry_pathname(entry) : "");
	struct entry *added = vec_add(&x->entries);
	*added = (struct entry){.name = mem_dup_string(name->text),
		.size = archive_entry_size(entry),
		.is_file = archive_entry_filetype(entry) == AE_IFREG};
	const char *hard = archive_entry_hardlink(entry), *soft = archive_entry_symlink(entry);
	if (hard)
		added->target = link_target("", hard);
	else if (archive_entry_filetype(entry) == AE_IFLNK && soft)
		added->target = link_target(name->folder, soft);
	return 0;
}

int archive_index_new(const char *path, struct archive_index **ret_index, struct err *e)
{
	struct archive *a;
	struct archive_entry *entry;
	int rc = open_archive(path, &a, e), r = ARCHIVE_OK;
	if (rc != 0)
		return rc;
	struct archive_index *x = mem_new(struct archive_index);
	x->path = mem_dup_string(path);
	while (rc == 0 && (r = archive_read_next_header(a, &entry)) == ARCHIVE_OK)
		rc = add_entry(x, entry, e);
	if (rc == 0 && r != ARCHIVE_EOF)
		rc = archive_problem(a, path, e);
	archive_read_free(a);
	if (rc != 0) {
		archive_index_free(x);
		return rc;
	}
	*ret_index = x;
	return 0;
}

void archive_index_free(struct archive_index *x)
{
	if (!x)
		return;
	VEC_EACH (&x->entries, struct entry, entry) {
		free(entry->name);
		free(entry->target);
	}
	vec_done(&x->entries);
	free(x->path);
	free(x);
}

static const struct entry *find_entry(const struct archive_index *x, const char *name)
{
	for (size_t i = 0; i < x->entries.count; i++) {
		if (strcmp(x->entries.items[i].name, name) == 0)
			return &x->entries.items[i];
	}
	return NULL;
}

int archive_index_find(const struct archive_index *x, const char *name, size_t *ret_at,
	int64_t *ret_size, struct err *e)
{
	CLEANUP(mem_free_ptr) struct resolve_path *clean = mem_alloc(sizeof(*clean));
	const struct entry *entry = NULL;
	if (resolve_clean(name, clean, NULL) == 0)
		entry = find_entry(x, clean->text);
	for (int links = 0; entry && entry->target && links < LINKS_MAX; links++)
		entry = find_entry(x, entry->target);
	if (!entry || !entry->is_file || entry->target)
		return err_set(e, ERR_NOT_FOUND, "%s has no file %.200s", x->path, name);
	*ret_at = (size_t)(entry - x->entries.items);
	*ret_size = entry->size;
	return 0;
}

int archive_index_read(const struct archive_index *x, const char *name, struct buf *ret_text,
	struct err *e)
{
	size_t at;
	int64_t size;
	struct archive_file *f;
	int rc = archive_index_find(x, name, &at, &size, e);
	if (rc == 0)
		rc = archive_file_open(x, at, &f, e);
	if (rc != 0)
		return rc;
	for (;;) {
		const void *data;
		size_t piece;
		rc = archive_file_read(f, &data, &piece, e);
		if (rc != 0 || piece == 0 || ret_text->failed)
			break;
		buf_append(ret_text, data, piece);
	}
	archive_file_close(f);
	return rc == 0 ? buf_check(ret_text, name, e) : rc;
}

/* ---- one file ---- */

int archive_file_open(const struct archive_index *x, size_t at, struct archive_file **ret_file,
	struct err *e)
{
	struct archive *a;
	struct archive_entry *entry;
	int rc = open_archive(x->path, &a, e), r = ARCHIVE_OK;
	if (rc != 0)
		return rc;
	for (size_t i = 0; i <= at && r == ARCHIVE_OK; i++)
		r = archive_read_next_header(a, &entry);
	if (r != ARCHIVE_OK) { /* it was sound a moment ago */
		rc = archive_problem(a, x->path, e);
		archive_read_free(a);
		return rc;
	}
	struct archive_file *f = mem_new(struct archive_file);
	f->archive = a;
	f->path = x->path;
	*ret_file = f;
	return 0;
}

int archive_file_read(struct archive_file *f, const void **ret_data, size_t *ret_size,
	struct err *e)
{
	la_ssize_t size = archive_read_data(f->archive, f->data, sizeof(f->data));
	*ret_size = 0;
	if (size < 0)
		return archive_problem(f->archive, f->path, e);
	*ret_data = f->data;
	*ret_size = (size_t)size;
	return 0;
}

void archive_file_close(struct archive_file *f)
{
	if (!f)
		return;
	archive_read_free(f->archive);
	free(f);
}

#include "image/plain.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/digest.h"

struct plain {
	struct archive *archive;
	unpack_read *read;
	void *arg;
	int64_t left;
	const char *diff_id;
	struct digest *digest; /* null: nobody wants to know */
	bool opened;
	bool read_ended; /* the caller's stream */
	bool ended;
	struct err error;
};

static la_ssize_t on_read(struct archive *archive, void *arg, const void **ret_data)
{
	struct plain *p = arg;
	size_t size = 0;
	if (p->read_ended)
		return 0;
	if (p->read(p->arg, ret_data, &size, &p->error) != 0) {
		archive_set_error(archive, EIO, "the stream broke");
		return ARCHIVE_FATAL;
	}
	p->read_ended = size == 0;
	return (la_ssize_t)size;
}

struct plain *plain_new(unpack_read *read, void *arg, int64_t limit, const char *diff_id)
{
	struct plain *p = mem_new(struct plain);
	*p = (struct plain){.archive = archive_read_new(),
		.read = read,
		.arg = arg,
		.left = limit,
		.diff_id = diff_id,
		.digest = diff_id ? digest_new() : NULL};
	if (!p->archive)
		abort();
	archive_read_support_filter_gzip(p->archive);
	archive_read_support_filter_zstd(p->archive);
	archive_read_support_format_raw(p->archive);
	archive_read_support_format_empty(p->archive);
	return p;
}

void plain_free(struct plain *p)
{
	archive_read_free(p->archive);
	if (p->digest)
		digest_free(p->digest);
	free(p);
}

/* ---- reading ---- */

static void note_problem(struct plain *p)
{
	const char *text = archive_error_string(p->archive);
	if (p->error.code == ERR_OK)
		(void)err_set(&p->error, ERR_PROTOCOL, "the layer is no sound tar archive: %.200s",
			text ? text : "unknown format");
}

/* Opening looks at the first bytes. Nothing at all is an archive without an entry. */
static void begin(struct plain *p)
{
	struct archive_entry *entry;
	p->opened = true;
	int status = archive_read_open2(p->archive, p, NULL, on_read, NULL, NULL);
	if (status == ARCHIVE_OK)
		status = archive_read_next_header(p->archive, &entry);
	p->ended = status == ARCHIVE_EOF;
	if (!p->ended && status < ARCHIVE_WARN)
		note_problem(p);
}

static void check_digest(struct plain *p)
{
	char found[DIGEST_TEXT_SIZE];
	if (!p->digest)
		return;
	digest_end(p->digest, found);
	if (strcmp(found, p->diff_id) != 0)
		(void)err_set(&p->error, ERR_CORRUPT,
			"the image's configuration has %s for the layer's files (diff_ids), which "
			"are %s",
			p->diff_id, found);
}

/* The compressed stream may go on behind its end; only its own end tells that it was whole. */
static void finish(struct plain *p)
{
	while (!p->read_ended && p->error.code == ERR_OK) {
		const void *data;
		size_t size = 0;
		if (p->read(p->arg, &data, &size, &p->error) == 0)
			p->read_ended = size == 0;
	}
	if (p->error.code == ERR_OK)
		check_digest(p);
}

static void next(struct plain *p, const void **ret_data, size_t *ret_size)
{
	la_int64_t offset;
	int status = archive_read_data_block(p->archive, ret_data, ret_size, &offset);
	if (status == ARCHIVE_EOF) {
		p->ended = true;
		*ret_size = 0;
	} else if (status < ARCHIVE_WARN) {
		note_problem(p);
	} else if ((int64_t)*ret_size > p->left) {
		(void)err_set(&p->error, ERR_TOO_LARGE, "the layer unpacks to too many bytes");
	} else {
		p->left -= (int64_t)*ret_size;
		if (p->digest)
			digest_add(p->digest, *ret_data, *ret_size);
	}
}

int plain_read(struct plain *p, const void **ret_data, size_t *ret_size, struct err *e)
{
	bool had_ended = p->ended;
	*ret_size = 0;
	if (!p->opened)
		begin(p);
	while (!p->ended && p->error.code == ERR_OK && *ret_size == 0)
		next(p, ret_data, ret_size);
	if (p->ended && !had_ended && p->error.code == ERR_OK)
		finish(p);
	if (p->error.code == ERR_OK)
		return 0;
	*ret_size = 0;
	if (e)
		*e = p->error;
	return -(int)p->error.code;
}

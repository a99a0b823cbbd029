#include "image/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

#define RECORD_MAX ((size_t)8 << 20)

void record_done(struct record *r)
{
	free(r->layers);
	free(r->config_json);
	*r = (struct record){0};
}

char *record_path(const char *folder, const char *kind, const char *digest, const char *suffix)
{
	return mem_format("%s/%s/sha256-%s%s", folder, kind, digest + strlen("sha256:"), suffix);
}

char *record_layer_path(const char *folder, const char *digest)
{
	return record_path(folder, "layers", digest, "");
}

static char *reference_path(const char *folder, const struct image_reference *reference)
{
	char text[IMAGE_REFERENCE_SIZE], digest[DIGEST_TEXT_SIZE];
	image_reference_format(reference, text);
	digest_of(text, strlen(text), digest);
	return record_path(folder, "refs", digest, ".json");
}

static int read_json(struct fs *fs, const char *path, json_t **ret_json, struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(RECORD_MAX);
	int rc = fs_read(fs, path, &text, e);
	if (rc != 0)
		return rc;
	*ret_json = json_loadb(buf_text(&text), text.size, JSON_REJECT_DUPLICATES, NULL);
	return *ret_json ? 0 : err_set(e, ERR_NOT_FOUND, "%s is damaged", path);
}

static int write_json(struct fs *fs, const char *path, const json_t *json, struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(RECORD_MAX);
	json_encode(json, &text);
	int rc = buf_check(&text, "the image's record", e);
	return rc == 0 ? fs_write_atomic(fs, path, text.data, text.size, 0600, e) : rc;
}

static int take_layers(const json_t *json, const char *folder, struct record *r, struct err *e)
{
	size_t i;
	const json_t *item;
	r->layers = mem_alloc_array(json_array_size(json) + 1, sizeof(*r->layers));
	json_array_foreach (json, i, item) {
		const char *digest = json_text_or(item, "");
		if (!image_digest_valid(digest))
			return err_set(e, ERR_NOT_FOUND, "the record of image %s is damaged",
				r->digest);
		CLEANUP(mem_free_ptr) char *path = record_layer_path(folder, digest);
		if (access(path, F_OK) != 0)
			return err_set(e, ERR_NOT_FOUND, "layer %s of the image is missing",
				digest);
		str_copy(r->layers[r->layer_count++], DIGEST_TEXT_SIZE, digest);
	}
	return 0;
}

int record_load(struct fs *fs, const char *folder, const char *digest, struct record *ret_record,
	struct err *e)
{
	CLEANUP(record_done) struct record r = {0};
	CLEANUP(json_done) json_t *json = NULL;
	CLEANUP(mem_free_ptr) char *path = record_path(folder, "images", digest, ".json");
	int rc = read_json(fs, path, &json, e);
	if (rc != 0)
		return rc;
	if (!image_digest_valid(json_text(json, "", "id")) || !json_at(json, "config"))
		return err_set(e, ERR_NOT_FOUND, "%s is damaged", path);
	str_copy(r.digest, sizeof(r.digest), digest);
	str_copy(r.id, sizeof(r.id), json_text(json, "", "id"));
	r.bytes = json_int(json, 0, "bytes");
	r.config_json = mem_dup_string(json_text(json, "", "config"));
	rc = take_layers(json_at(json, "layers"), folder, &r, e);
	if (rc != 0)
		return rc;
	*ret_record = r;
	r = (struct record){0};
	return 0;
}

int record_reference_digest(struct fs *fs, const char *path,
	char ret_digest[static DIGEST_TEXT_SIZE], struct err *e)
{
	CLEANUP(json_done) json_t *json = NULL;
	int rc = read_json(fs, path, &json, e);
	if (rc != 0)
		return rc;
	const char *digest = json_text(json, "", "digest");
	if (!image_digest_valid(digest) || !str_copy(ret_digest, DIGEST_TEXT_SIZE, digest))
		return err_set(e, ERR_NOT_FOUND, "%s is damaged", path);
	return 0;
}

int record_find(struct fs *fs, const char *folder, const struct image_reference *reference,
	struct record *ret_record, struct err *e)
{
	char digest[DIGEST_TEXT_SIZE];
	CLEANUP(mem_free_ptr) char *path = reference_path(folder, reference);
	int rc = record_reference_digest(fs, path, digest, e);
	return rc == 0 ? record_load(fs, folder, digest, ret_record, e) : rc;
}

int record_save(struct fs *fs, const char *folder, const struct record *r, struct err *e)
{
	CLEANUP(json_done)
	json_t *json = json_pack("{s:s, s:s, s:I, s:[], s:s}", "digest", r->digest, "id", r->id,
		"bytes", (json_int_t)r->bytes, "layers", "config", r->config_json);
	if (!json)
		return err_set(e, ERR_PROTOCOL, "the image's config is not UTF-8");
	for (size_t i = 0; i < r->layer_count; i++)
		json_array_append_new(json_object_get(json, "layers"), json_string(r->layers[i]));
	CLEANUP(mem_free_ptr) char *path = record_path(folder, "images", r->digest, ".json");
	return write_json(fs, path, json, e);
}

int record_save_reference(struct fs *fs, const char *folder,
	const struct image_reference *reference, const char *digest, struct err *e)
{
	char text[IMAGE_REFERENCE_SIZE];
	image_reference_format(reference, text);
	CLEANUP(json_done)
	json_t *json = json_pack("{s:s, s:s}", "reference", text, "digest", digest);
	CLEANUP(mem_free_ptr) char *path = reference_path(folder, reference);
	return write_json(fs, path, json, e);
}

void record_touch(const char *folder, const char *digest)
{
	CLEANUP(mem_free_ptr) char *path = record_path(folder, "images", digest, ".json");
	/* A time that is not noted makes the image go earlier, nothing worse. */
	int rc = utimensat(AT_FDCWD, path, NULL, 0);
	(void)rc;
}

int record_hold(const char *folder, bool alone, bool wait, int *ret_fd, struct err *e)
{
	CLEANUP(mem_free_ptr) char *locks = mem_format("%s/locks", folder);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/store", locks);
	int rc = fs_make_folders(fs_real(), locks, 0700, e);
	if (rc != 0)
		return rc;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, errno, "open %s", path);
	while (flock(fd, (alone ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB)) != 0) {
		if (errno == EINTR)
			continue;
		rc = errno == EWOULDBLOCK
			     ? err_set(e, ERR_BUSY, "another process works on %s", folder)
			     : err_set_errno(e, errno, "lock %s", path);
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

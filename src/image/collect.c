#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/partial.h"
#include "image/record.h"
#include "sys/tree.h"

/* An image of the store, and when it was used last. */
struct candidate {
	char digest[DIGEST_TEXT_SIZE];
	int64_t used_ns;
	bool in_use;
};

struct collection {
	struct fs *fs;
	const char *folder;
	VEC(struct candidate) images;
	struct map layers; /* digests that some image still has */
	struct map named;  /* digests of images that are in use by their names */
};

/* "sha256-HEX" with an optional ".json" back into a digest; false for other names. */
static bool name_to_digest(const char *name, char ret_digest[static DIGEST_TEXT_SIZE])
{
	if (strlen(name) < 71 || !str_starts(name, "sha256-"))
		return false;
	memcpy(ret_digest, name, 71);
	ret_digest[6] = ':';
	ret_digest[71] = '\0';
	return image_digest_valid(ret_digest);
}

static bool id_in_use(const char *id, const char *const *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(ids[i], id) == 0)
			return true;
	}
	return false;
}

static int add_image(void *arg, const char *name, bool is_folder)
{
	struct collection *c = arg;
	char digest[DIGEST_TEXT_SIZE];
	if (is_folder || !name_to_digest(name, digest))
		return 0;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/images/%s", c->folder, name);
	struct stat st;
	if (stat(path, &st) != 0)
		return 0;
	struct candidate *image = vec_add(&c->images);
	str_copy(image->digest, sizeof(image->digest), digest);
	image->used_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->used_ns != y->used_ns)
		return x->used_ns < y->used_ns ? -1 : 1;
	return strcmp(x->digest, y->digest);
}

/* What a pod names before it runs: by the name the image is found when it is to. */
static void note_named(struct collection *c, const char *const *used, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		CLEANUP(record_done) struct record r = {0};
		struct image_reference reference;
		if (!image_digest_valid(used[i]) &&
			image_reference_parse(used[i], &reference, NULL) == 0 &&
			record_find(c->fs, c->folder, &reference, &r, NULL) == 0)
			map_put(&c->named, r.digest, c);
	}
}

/* A record that cannot be read has nothing worth keeping. */
static void mark_in_use(struct collection *c, const char *const *used, size_t count)
{
	note_named(c, used, count);
	VEC_EACH (&c->images, struct candidate, image) {
		CLEANUP(record_done) struct record r = {0};
		if (record_load(c->fs, c->folder, image->digest, &r, NULL) == 0)
			image->in_use =
				id_in_use(r.id, used, count) || map_has(&c->named, image->digest);
		if (image->in_use) /* its time begins when it no longer is */
			record_touch(c->folder, image->digest);
	}
}

/* One that cannot be read now stays. Nobody pulls meanwhile. */
static int remove_dangling(void *arg, const char *name, bool is_folder)
{
	struct collection *c = arg;
	char digest[DIGEST_TEXT_SIZE];
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/refs/%s", c->folder, name);
	if (is_folder || record_reference_digest(c->fs, path, digest, NULL) != 0)
		return 0;
	CLEANUP(mem_free_ptr) char *image = record_path(c->folder, "images", digest, ".json");
	if (access(image, F_OK) == 0 || errno != ENOENT)
		return 0;
	return fs_remove(c->fs, path, NULL);
}

/* The refs of removed images go, those too of one that died before it came to that. */
static int sweep_refs(struct collection *c, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/refs", c->folder);
	return fs_list(c->fs, path, remove_dangling, c, e);
}

static int remove_image(struct collection *c, const char *digest, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = record_path(c->folder, "images", digest, ".json");
	return fs_remove(c->fs, path, e);
}

static void note_layers(struct collection *c)
{
	VEC_EACH (&c->images, struct candidate, image) {
		CLEANUP(record_done) struct record r = {0};
		if (record_load(c->fs, c->folder, image->digest, &r, NULL) != 0)
			continue;
		for (size_t i = 0; i < r.layer_count; i++)
			map_put(&c->layers, r.layers[i], c);
	}
}

static int remove_layer(void *arg, const char *name, bool is_folder)
{
	struct collection *c = arg;
	char digest[DIGEST_TEXT_SIZE];
	(void)is_folder;
	if (name_to_digest(name, digest) && map_has(&c->layers, digest))
		return 0;
	/* Renamed first: a folder under its final name must be whole. */
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/layers/%s", c->folder, name);
	CLEANUP(mem_free_ptr) char *doomed = mem_format("%s/tmp/removed-%s", c->folder, name);
	CLEANUP(mem_free_ptr) char *lock = mem_format("%s/locks/%s", c->folder, name);
	int rc = tree_remove_path(doomed, NULL);
	if (rc == 0 && rename(path, doomed) == 0)
		rc = tree_remove_path(doomed, NULL);
	unlink(lock);
	return rc;
}

static int sweep(struct collection *c, struct err *e)
{
	map_done(&c->layers);
	note_layers(c);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/layers", c->folder);
	return fs_list(c->fs, path, remove_layer, c, e);
}

int record_collect(struct fs *fs, const char *folder, const char *const *used, size_t count,
	int64_t free_bytes, struct err *e)
{
	CLEANUP(tree_close) int hold = -1;
	struct collection c = {.fs = fs, .folder = folder};
	int rc = record_hold(folder, true, false, &hold, e);
	if (rc != 0)
		return rc;
	map_init(&c.layers, NULL);
	map_init(&c.named, NULL);
	if (fs_free_bytes(fs, folder) < free_bytes)
		partial_collect(folder, 0, 0); /* the cheapest room: it can be fetched again */
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/images", folder);
	rc = fs_list(fs, path, add_image, &c, e);
	if (rc == 0) {
		mark_in_use(&c, used, count);
		if (c.images.count > 0)
			qsort(c.images.items, c.images.count, sizeof(*c.images.items), by_age);
		rc = sweep(&c, e);
	}
	size_t before = c.images.count;
	for (size_t i = 0;
		rc == 0 && i < c.images.count && fs_free_bytes(fs, folder) < free_bytes;) {
		if (c.images.items[i].in_use) {
			i++;
			continue;
		}
		rc = remove_image(&c, c.images.items[i].digest, e);
		vec_remove(&c.images, i);
		if (rc == 0)
			rc = sweep(&c, e);
	}
	if (rc == 0 && c.images.count < before)
		rc = sweep_refs(&c, e);
	vec_done(&c.images);
	map_done(&c.layers);
	map_done(&c.named);
	return rc;
}

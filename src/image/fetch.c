#include "image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "image/registry.h"
#include "image/tree.h"
#include "image/unpack.h"

#define PARALLEL_DEFAULT 3
#define PARALLEL_MAX 16
#define INDEX_DEPTH_MAX 2

struct layer {
	struct manifest_blob blob;
	char *path;      /* its final name */
	char *temporary; /* while it is made */
	int lock;        /* held until it has its final name; -1: was there already */
	bool unpacked;
};

struct pull {
	const struct fetch *f;
	struct registry *registry;
	struct image_reference reference;
	struct manifest *manifest;
	struct layer layers[MANIFEST_LAYERS_MAX]; /* each once, sorted by digest */
	size_t layer_count;
	int64_t total_bytes;
	/* Under the lock: */
	pthread_mutex_t lock;
	size_t next; /* layer to take */
	int64_t done_bytes;
	struct err error; /* the first one; ends the others */
};

/* ---- manifest and config ---- */

static int fetch_manifest(struct pull *p, struct transfer_client *client, char *ret_digest,
	struct err *e)
{
	char tag[sizeof(p->reference.tag)];
	const char *wanted = p->reference.digest[0] ? p->reference.digest : p->reference.tag;
	str_copy(tag, sizeof(tag), wanted); /* a digest fits as well */
	for (int depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
		CLEANUP(buf_done) struct buf text = BUF_INIT;
		char digest[MANIFEST_DIGEST_SIZE];
		int rc = registry_get_manifest(p->registry, client, tag, &text, digest, e);
		if (rc == 0)
			rc = manifest_parse(buf_text(&text), text.size, &p->f->platform,
				p->manifest, e);
		if (rc != 0)
			return rc;
		if (depth == 0)
			memcpy(ret_digest, digest, sizeof(digest));
		if (!p->manifest->is_index)
			return 0;
		str_copy(tag, sizeof(tag), p->manifest->chosen.digest);
	}
	return err_set(e, ERR_PROTOCOL, "the image's indexes lead to ever more indexes");
}

static int fetch_config(struct pull *p, struct transfer_client *client, struct record *r,
	struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX);
	struct registry_blob *blob;
	int rc = registry_open_blob(p->registry, client, &p->manifest->config, &blob, e);
	if (rc != 0)
		return rc;
	for (;;) {
		const void *data;
		size_t size;
		rc = registry_read_blob(blob, &data, &size, e);
		if (rc != 0 || size == 0)
			break;
		buf_append(&text, data, size);
	}
	registry_close_blob(blob);
	if (rc != 0)
		return rc;
	rc = buf_check(&text, "the image's config", e);
	if (rc == 0)
		rc = manifest_check_config(buf_text(&text), text.size, p->manifest->layer_count, e);
	if (rc == 0) {
		str_copy(r->id, sizeof(r->id), p->manifest->config.digest);
		r->config_json = buf_take(&text, NULL);
	}
	return rc;
}

/* ---- layers ---- */

static int by_digest(const void *a, const void *b)
{
	return strcmp(((const struct layer *)a)->blob.digest,
		((const struct layer *)b)->blob.digest);
}

static bool layer_known(const struct pull *p, const char *digest)
{
	for (size_t i = 0; i < p->layer_count; i++) {
		if (strcmp(p->layers[i].blob.digest, digest) == 0)
			return true;
	}
	return false;
}

/* overlayfs refuses one folder twice. Of equal layers the upper one decides what is seen, so the
 * record keeps that one alone. */
static void list_layers(struct pull *p, struct record *r)
{
	const struct manifest *m = p->manifest;
	r->layers = mem_alloc_array(m->layer_count + 1, sizeof(*r->layers));
	for (size_t i = m->layer_count; i-- > 0;) {
		if (layer_known(p, m->layers[i].digest))
			continue;
		struct layer *layer = &p->layers[p->layer_count++];
		layer->blob = m->layers[i];
		layer->lock = -1;
		layer->path = record_layer_path(p->f->folder, layer->blob.digest);
		memcpy(r->layers[r->layer_count++], layer->blob.digest, DIGEST_TEXT_SIZE);
		r->bytes += layer->blob.size;
	}
	for (size_t i = 0; i < r->layer_count / 2; i++) {
		char other[DIGEST_TEXT_SIZE];
		memcpy(other, r->layers[i], sizeof(other));
		memcpy(r->layers[i], r->layers[r->layer_count - 1 - i], sizeof(other));
		memcpy(r->layers[r->layer_count - 1 - i], other, sizeof(other));
	}
	qsort(p->layers, p->layer_count, sizeof(p->layers[0]), by_digest);
}

/* Takes the locks of all missing layers, in the order of the digests (every pull does, so none
 * waits for one that waits for it), and looks again afterwards. */
static int lock_layers(struct pull *p, struct err *e)
{
	for (size_t i = 0; i < p->layer_count; i++) {
		struct layer *layer = &p->layers[i];
		if (access(layer->path, F_OK) == 0)
			continue;
		CLEANUP(mem_free_ptr)
		char *path = record_path(p->f->folder, "locks", layer->blob.digest, "");
		CLEANUP(tree_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_set_errno(e, errno, "open %s", path);
		while (flock(fd, LOCK_EX) != 0) {
			if (errno != EINTR)
				return err_set_errno(e, errno, "lock %s", path);
		}
		if (access(layer->path, F_OK) == 0)
			continue;
		layer->lock = fd;
		fd = -1;
		layer->temporary = mem_format("%s/tmp/%s-%zu", p->f->folder, p->f->temporary, i);
		p->total_bytes += layer->blob.size;
	}
	return 0;
}

static void add_progress(struct pull *p, int64_t bytes)
{
	pthread_mutex_lock(&p->lock);
	p->done_bytes += bytes;
	if (p->f->progress)
		p->f->progress(p->f->arg, p->done_bytes, p->total_bytes);
	pthread_mutex_unlock(&p->lock);
}

static bool has_failed(struct pull *p)
{
	pthread_mutex_lock(&p->lock);
	bool failed = p->error.code != ERR_OK;
	pthread_mutex_unlock(&p->lock);
	return failed;
}

struct reader {
	struct pull *pull;
	struct registry_blob *blob;
};

static int read_layer(void *arg, const void **ret_data, size_t *ret_size, struct err *e)
{
	struct reader *reader = arg;
	if (has_failed(reader->pull))
		return err_set(e, ERR_CANCELLED, "another layer failed");
	int rc = registry_read_blob(reader->blob, ret_data, ret_size, e);
	if (rc == 0)
		add_progress(reader->pull, (int64_t)*ret_size);
	return rc;
}

static int make_layer(struct pull *p, struct transfer_client *client, struct layer *layer,
	struct err *e)
{
	if (mkdir(layer->temporary, 0755) != 0)
		return err_set_errno(e, errno, "create %s", layer->temporary);
	CLEANUP(tree_close)
	int folder = open(layer->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return err_set_errno(e, errno, "open %s", layer->temporary);
	struct reader reader = {.pull = p};
	int rc = registry_open_blob(p->registry, client, &layer->blob, &reader.blob, e);
	if (rc != 0)
		return rc;
	rc = unpack_layer(folder, read_layer, &reader, NULL, e);
	registry_close_blob(reader.blob);
	layer->unpacked = rc == 0;
	return rc;
}

static struct layer *next_layer(struct pull *p)
{
	struct layer *found = NULL;
	pthread_mutex_lock(&p->lock);
	while (!found && p->error.code == ERR_OK && p->next < p->layer_count) {
		struct layer *layer = &p->layers[p->next++];
		if (layer->lock >= 0)
			found = layer;
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

static void *worker(void *arg)
{
	struct pull *p = arg;
	struct transfer_client *client = transfer_client_new();
	for (struct layer *layer; (layer = next_layer(p));) {
		struct err e = ERR_INIT;
		if (make_layer(p, client, layer, &e) == 0)
			continue;
		err_prefix(&e, "layer %.19s", layer->blob.digest);
		pthread_mutex_lock(&p->lock);
		if (p->error.code == ERR_OK)
			p->error = e;
		pthread_mutex_unlock(&p->lock);
	}
	transfer_client_free(client);
	return NULL;
}

static size_t missing_layers(const struct pull *p)
{
	size_t count = 0;
	for (size_t i = 0; i < p->layer_count; i++)
		count += p->layers[i].lock >= 0;
	return count;
}

static void run_workers(struct pull *p)
{
	pthread_t threads[PARALLEL_MAX];
	size_t wanted = p->f->parallel > 0 ? (size_t)p->f->parallel : PARALLEL_DEFAULT;
	size_t missing = missing_layers(p), started = 0;
	if (wanted > PARALLEL_MAX)
		wanted = PARALLEL_MAX;
	if (wanted > missing)
		wanted = missing;
	while (started < wanted && pthread_create(&threads[started], NULL, worker, p) == 0)
		started++;
	if (started == 0) /* no thread to be had: then here */
		worker(p);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

/* What is whole gets its final name once its data are on the disk, also when others failed: the
 * next pull goes on from there. */
static int publish_layers(struct pull *p, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/layers", p->f->folder);
	CLEANUP(tree_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (missing_layers(p) > 0 && syncfs(fd) != 0))
		return err_set_errno(e, errno, "write out %s", path);
	for (size_t i = 0; i < p->layer_count; i++) {
		struct layer *layer = &p->layers[i];
		if (layer->unpacked && rename(layer->temporary, layer->path) != 0)
			return err_set_errno(e, errno, "rename %s", layer->temporary);
	}
	if (fsync(fd) != 0)
		return err_set_errno(e, errno, "write out %s", path);
	return 0;
}

static void free_layers(struct pull *p)
{
	for (size_t i = 0; i < p->layer_count; i++) {
		struct layer *layer = &p->layers[i];
		/* What cannot be removed now is removed when the agent opens the store. */
		if (layer->temporary && tree_remove_path(layer->temporary, NULL) != 0)
			fprintf(stderr, "%s is left over\n", layer->temporary);
		tree_close(&layer->lock);
		free(layer->temporary);
		free(layer->path);
	}
}

static int fetch_layers(struct pull *p, struct record *r, struct err *e)
{
	list_layers(p, r);
	int rc = lock_layers(p, e);
	if (rc == 0 && missing_layers(p) > 0) {
		add_progress(p, 0);
		run_workers(p);
		struct err publish_error = ERR_INIT;
		rc = publish_layers(p, &publish_error);
		if (p->error.code != ERR_OK) {
			rc = -(int)p->error.code;
			publish_error = p->error;
		}
		if (rc != 0 && e)
			*e = publish_error;
	}
	free_layers(p);
	return rc;
}

/* ---- all of it ---- */

static int make_folders(const char *folder, struct err *e)
{
	static const char *const names[] = {"layers", "images", "refs", "locks", "tmp"};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(names); i++) {
		CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", folder, names[i]);
		rc = fs_make_folders(fs_real(), path, 0700, e);
	}
	return rc;
}

/* One pull at a time writes records: two names may lead to one image, and both write its record. */
static int save_records(struct pull *p, const struct record *r, bool image_too, struct err *e)
{
	const char *folder = p->f->folder;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/locks/records", folder);
	CLEANUP(tree_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, errno, "open %s", path);
	while (flock(fd, LOCK_EX) != 0) {
		if (errno != EINTR)
			return err_set_errno(e, errno, "lock %s", path);
	}
	int rc = image_too ? record_save(fs_real(), folder, r, e) : 0;
	return rc == 0 ? record_save_reference(fs_real(), folder, &p->reference, r->digest, e) : rc;
}

static int pull_image(struct pull *p, struct transfer_client *client, struct record *r,
	bool *ret_present, struct err *e)
{
	const char *folder = p->f->folder;
	int rc = fetch_manifest(p, client, r->digest, e);
	if (rc != 0)
		return rc;
	struct record known = {0};
	*ret_present = record_load(fs_real(), folder, r->digest, &known, NULL) == 0;
	if (*ret_present) {
		record_done(r);
		*r = known;
		return save_records(p, r, false, e);
	}
	rc = fetch_config(p, client, r, e);
	if (rc == 0)
		rc = fetch_layers(p, r, e);
	return rc == 0 ? save_records(p, r, true, e) : rc;
}

int fetch_image(const struct fetch *f, struct record *ret_record, bool *ret_present, struct err *e)
{
	CLEANUP(record_done) struct record r = {0};
	CLEANUP(mem_free_ptr) struct pull *p = mem_new(struct pull);
	CLEANUP(mem_free_ptr) struct manifest *manifest = mem_new(struct manifest);
	p->f = f;
	p->manifest = manifest;
	int rc = image_reference_parse(f->reference, &p->reference, e);
	if (rc == 0)
		rc = make_folders(f->folder, e);
	if (rc == 0)
		rc = registry_open(&p->reference, f->registries, f->docker_config, &p->registry, e);
	if (rc != 0)
		return rc;
	pthread_mutex_init(&p->lock, NULL);
	struct transfer_client *client = transfer_client_new();
	rc = pull_image(p, client, &r, ret_present, e);
	transfer_client_free(client);
	registry_free(p->registry);
	pthread_mutex_destroy(&p->lock);
	if (rc != 0)
		return rc;
	*ret_record = r;
	r = (struct record){0};
	return 0;
}

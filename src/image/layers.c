#include "image/layers.h"

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
#include "image/partial.h"
#include "image/unpack.h"
#include "sys/tree.h"

#define PARALLEL_DEFAULT 3
#define PARALLEL_MAX 16

struct layer {
	struct manifest_blob blob;
	char *path;      /* its final name */
	char *temporary; /* while it is made */
	int lock;        /* held until it has its final name; -1: was there already */
	bool unpacked;   /* whole, and still under its temporary name */
};

struct work {
	const struct layers_config *config;
	struct layer layers[MANIFEST_LAYERS_MAX]; /* each once, sorted by digest */
	size_t layer_count;
	int64_t total_bytes;
	/* Under the lock: */
	pthread_mutex_t lock;
	size_t next; /* layer to take */
	int64_t done_bytes;
	struct err error; /* the first one; ends the others */
};

/* ---- which ---- */

static int by_digest(const void *a, const void *b)
{
	return strcmp(((const struct layer *)a)->blob.digest,
		((const struct layer *)b)->blob.digest);
}

static bool layer_known(const struct work *w, const char *digest)
{
	for (size_t i = 0; i < w->layer_count; i++) {
		if (strcmp(w->layers[i].blob.digest, digest) == 0)
			return true;
	}
	return false;
}

/* overlayfs refuses one folder twice. Of equal layers the upper one decides what is seen, so the
 * record keeps that one alone. */
static void list_layers(struct work *w, const struct manifest *m, struct record *r)
{
	r->layers = mem_alloc_array(m->layer_count + 1, sizeof(*r->layers));
	for (size_t i = m->layer_count; i-- > 0;) {
		if (layer_known(w, m->layers[i].digest))
			continue;
		struct layer *layer = &w->layers[w->layer_count++];
		layer->blob = m->layers[i];
		layer->lock = -1;
		layer->path = record_layer_path(w->config->folder, layer->blob.digest);
		memcpy(r->layers[r->layer_count++], layer->blob.digest, DIGEST_TEXT_SIZE);
		r->bytes += layer->blob.size;
	}
	for (size_t i = 0; i < r->layer_count / 2; i++) {
		char other[DIGEST_TEXT_SIZE];
		memcpy(other, r->layers[i], sizeof(other));
		memcpy(r->layers[i], r->layers[r->layer_count - 1 - i], sizeof(other));
		memcpy(r->layers[r->layer_count - 1 - i], other, sizeof(other));
	}
	qsort(w->layers, w->layer_count, sizeof(w->layers[0]), by_digest);
}

static int wait_for_lock(int fd, const char *path, struct err *e)
{
	while (flock(fd, LOCK_EX) != 0) {
		if (errno != EINTR)
			return err_set_errno(e, errno, "lock %s", path);
	}
	return 0;
}

/* Takes the locks of all missing layers, in the order of the digests (every pull does, so none
 * waits for one that waits for it), and looks again afterwards. */
static int lock_layers(struct work *w, struct err *e)
{
	const struct layers_config *c = w->config;
	for (size_t i = 0; i < w->layer_count; i++) {
		struct layer *layer = &w->layers[i];
		if (access(layer->path, F_OK) == 0)
			continue;
		CLEANUP(mem_free_ptr)
		char *path = record_path(c->folder, "locks", layer->blob.digest, "");
		CLEANUP(tree_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_set_errno(e, errno, "open %s", path);
		int rc = wait_for_lock(fd, path, e);
		if (rc != 0)
			return rc;
		if (access(layer->path, F_OK) == 0)
			continue;
		layer->lock = fd;
		fd = -1;
		layer->temporary = mem_format("%s/tmp/%s-%zu", c->folder, c->temporary, i);
		w->total_bytes += layer->blob.size;
	}
	return 0;
}

/* ---- progress, failure ---- */

static void add_progress(struct work *w, int64_t bytes)
{
	pthread_mutex_lock(&w->lock);
	w->done_bytes += bytes;
	if (w->config->progress)
		w->config->progress(w->config->arg, w->done_bytes, w->total_bytes);
	pthread_mutex_unlock(&w->lock);
}

static bool has_failed(void *arg)
{
	struct work *w = arg;
	pthread_mutex_lock(&w->lock);
	bool failed = w->error.code != ERR_OK;
	pthread_mutex_unlock(&w->lock);
	return failed;
}

static void note_failure(struct work *w, const struct err *e)
{
	pthread_mutex_lock(&w->lock);
	if (w->error.code == ERR_OK)
		w->error = *e;
	pthread_mutex_unlock(&w->lock);
}

/* ---- final names ---- */

/* What is whole gets its final name once its data are on the disk. layer null: all that are whole,
 * also when others failed: the next pull goes on from there. */
static int publish(struct work *w, struct layer *only, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/layers", w->config->folder);
	CLEANUP(tree_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd) != 0)
		return err_set_errno(e, errno, "write out %s", path);
	for (size_t i = 0; i < w->layer_count; i++) {
		struct layer *layer = &w->layers[i];
		if ((only && layer != only) || !layer->unpacked)
			continue; /* with only, the others belong to their threads */
		if (rename(layer->temporary, layer->path) != 0)
			return err_set_errno(e, errno, "rename %s", layer->temporary);
		layer->unpacked = false;
	}
	if (fsync(fd) != 0)
		return err_set_errno(e, errno, "write out %s", path);
	return 0;
}

/* ---- one layer ---- */

struct reader {
	struct work *work;
	void *blob;
};

static int read_layer(void *arg, const void **ret_data, size_t *ret_size, struct err *e)
{
	struct reader *reader = arg;
	struct work *w = reader->work;
	if (has_failed(w))
		return err_set(e, ERR_CANCELLED, "another layer failed");
	int rc = w->config->source->read(reader->blob, ret_data, ret_size, e);
	if (rc == 0)
		add_progress(w, (int64_t)*ret_size);
	return rc;
}

/* Whether more of the same could still become the layer. */
static bool partial_is_good(int rc)
{
	return rc == -ERR_UNAVAILABLE || rc == -ERR_CANCELLED || rc == -ERR_BUSY ||
	       rc == -ERR_UNAUTHORIZED || rc == -ERR_NOT_FOUND || rc == -ERR_TIMEOUT;
}

static int unpack_once(struct work *w, void *thread, struct layer *layer, int partial_fd,
	bool *ret_again, struct err *e)
{
	const struct layers_source *source = w->config->source;
	*ret_again = false;
	if (mkdir(layer->temporary, 0755) != 0)
		return err_set_errno(e, errno, "create %s", layer->temporary);
	CLEANUP(tree_close)
	int folder = open(layer->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return err_set_errno(e, errno, "open %s", layer->temporary);
	struct reader reader = {.work = w};
	int rc = source->open(w->config->context, thread, &layer->blob, partial_fd, has_failed, w,
		&reader.blob, e);
	if (rc != 0)
		return rc;
	/* A layer that is not compressed has the digest that its source looks at. */
	const char *diff_id = layer->blob.diff_id;
	bool checked = !w->config->digests_are_plain && strcmp(diff_id, layer->blob.digest) == 0;
	struct unpack_limits limits = {.diff_id = checked ? NULL : diff_id};
	rc = unpack_layer(folder, read_layer, &reader, &limits, e);
	*ret_again = rc != 0 && !partial_is_good(rc) && rc != -ERR_NO_SPACE &&
		     source->may_differ(reader.blob);
	source->close(reader.blob);
	return rc;
}

static int make_layer(struct work *w, void *thread, struct layer *layer, struct err *e)
{
	const struct layers_config *c = w->config;
	int partial_fd = c->source->keeps_partial
				 ? partial_open(c->folder, layer->blob.digest, layer->blob.size)
				 : -1;
	bool again;
	int rc = unpack_once(w, thread, layer, partial_fd, &again, e);
	while (again) {
		/* After a crash the end of a partial file may be anything; a mirror, too. */
		*e = ERR_INIT;
		again = false;
		rc = partial_fd < 0 || ftruncate(partial_fd, 0) == 0
			     ? tree_remove_path(layer->temporary, e)
			     : err_set_errno(e, errno, "empty a partial file");
		if (rc == 0)
			rc = unpack_once(w, thread, layer, partial_fd, &again, e);
	}
	layer->unpacked = rc == 0;
	/* The partial file goes only when the layer is safe on the disk. */
	if (rc == 0 && partial_fd >= 0)
		rc = publish(w, layer, e);
	if (partial_fd >= 0 && !partial_is_good(rc))
		partial_remove(c->folder, layer->blob.digest);
	tree_close(&partial_fd);
	return rc;
}

/* ---- all layers ---- */

static struct layer *next_layer(struct work *w)
{
	struct layer *found = NULL;
	pthread_mutex_lock(&w->lock);
	while (!found && w->error.code == ERR_OK && w->next < w->layer_count) {
		struct layer *layer = &w->layers[w->next++];
		if (layer->lock >= 0)
			found = layer;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

static void *worker(void *arg)
{
	struct work *w = arg;
	void *thread = w->config->source->thread_new(w->config->context);
	for (struct layer *layer; (layer = next_layer(w));) {
		struct err e = ERR_INIT;
		if (make_layer(w, thread, layer, &e) == 0)
			continue;
		err_prefix(&e, "layer %.19s", layer->blob.digest);
		note_failure(w, &e);
	}
	w->config->source->thread_free(thread);
	return NULL;
}

static size_t missing_layers(const struct work *w)
{
	size_t count = 0;
	for (size_t i = 0; i < w->layer_count; i++)
		count += w->layers[i].lock >= 0;
	return count;
}

static void run_workers(struct work *w)
{
	pthread_t threads[PARALLEL_MAX];
	size_t wanted = w->config->parallel > 0 ? (size_t)w->config->parallel : PARALLEL_DEFAULT;
	size_t missing = missing_layers(w), started = 0;
	if (wanted > PARALLEL_MAX)
		wanted = PARALLEL_MAX;
	if (wanted > missing)
		wanted = missing;
	while (started < wanted && pthread_create(&threads[started], NULL, worker, w) == 0)
		started++;
	if (started == 0) /* no thread to be had: then here */
		worker(w);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

static bool any_unpacked(const struct work *w)
{
	for (size_t i = 0; i < w->layer_count; i++) {
		if (w->layers[i].unpacked)
			return true;
	}
	return false;
}

static void free_layers(struct work *w)
{
	for (size_t i = 0; i < w->layer_count; i++) {
		struct layer *layer = &w->layers[i];
		/* What cannot be removed now is removed when the agent opens the store. */
		if (layer->temporary && tree_remove_path(layer->temporary, NULL) != 0)
			fprintf(stderr, "%s is left over\n", layer->temporary);
		tree_close(&layer->lock);
		free(layer->temporary);
		free(layer->path);
	}
}

static int bring_missing(struct work *w, struct err *e)
{
	struct err publish_error = ERR_INIT;
	add_progress(w, 0);
	run_workers(w);
	int rc = any_unpacked(w) ? publish(w, NULL, &publish_error) : 0;
	if (w->error.code != ERR_OK) {
		rc = -(int)w->error.code;
		publish_error = w->error;
	}
	if (rc != 0 && e)
		*e = publish_error;
	return rc;
}

int layers_bring(const struct layers_config *config, const struct manifest *m, struct record *r,
	struct err *e)
{
	CLEANUP(mem_free_ptr) struct work *w = mem_new(struct work);
	w->config = config;
	pthread_mutex_init(&w->lock, NULL);
	list_layers(w, m, r);
	int rc = lock_layers(w, e);
	if (rc == 0 && missing_layers(w) > 0)
		rc = bring_missing(w, e);
	free_layers(w);
	pthread_mutex_destroy(&w->lock);
	return rc;
}

/* ---- folders and records ---- */

int layers_make_folders(const char *folder, struct err *e)
{
	static const char *const names[] = {"layers", "images", "refs", "locks", "partial", "tmp"};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(names); i++) {
		CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", folder, names[i]);
		rc = fs_make_folders(fs_real(), path, 0700, e);
	}
	return rc;
}

/* One process at a time: two names may lead to one image, and both write its record. */
int layers_save_record(const char *folder, const struct image_reference *reference,
	const struct record *r, bool image_too, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/locks/records", folder);
	CLEANUP(tree_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, errno, "open %s", path);
	int rc = wait_for_lock(fd, path, e);
	if (rc == 0 && image_too)
		rc = record_save(fs_real(), folder, r, e);
	return rc == 0 && reference
		       ? record_save_reference(fs_real(), folder, reference, r->digest, e)
		       : rc;
}

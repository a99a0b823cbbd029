/*
 * The layers of one image, brought into the content store from wherever its blobs are: a registry
 * (fetch.c) or an archive (load.c). Layers stream straight into the unpacker, several at a time,
 * each on a thread of its own. One that is there already is not brought again. Several processes
 * may do this on one store at the same time: a lock per layer makes the later one wait. Blocks.
 * Linked into continuo-pull alone.
 */
#ifndef CONTINUO_IMAGE_LAYERS_H
#define CONTINUO_IMAGE_LAYERS_H

#include "image/manifest.h"
#include "image/record.h"

/* Where blobs come from. A thread's own part (its connections) is made and freed on it. */
struct layers_source {
	void *(*thread_new)(void *context);
	void (*thread_free)(void *thread);
	/* partial_fd: see download.h; -1: none. given_up(arg): whether somebody still waits. */
	int (*open)(void *context, void *thread, const struct manifest_blob *blob, int partial_fd,
		bool (*given_up)(void *arg), void *arg, void **ret_reader, struct err *e);
	/* Pieces until size 0, which is told only when size and digest were right. */
	int (*read)(void *reader, const void **ret_data, size_t *ret_size, struct err *e);
	/* What it gave is wrong: whether it may be right once more, without the partial file. */
	bool (*may_differ)(void *reader);
	void (*close)(void *reader);
	bool keeps_partial; /* worth keeping what came when it breaks off */
};

struct layers_config {
	const char *folder;    /* of the content store */
	const char *temporary; /* begins the names in tmp/; unique to this process */
	int parallel;          /* layers at a time; 0: 3 */
	/* Layers may come compressed, and have the digests of what is in them: the source does not
	 * look at digests then. */
	bool digests_are_plain;
	const struct layers_source *source;
	void *context;
	/* Called by any thread, one at a time; null: nobody listens. */
	void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes);
	void *arg;
};

/* Makes the folders of a store. */
int layers_make_folders(const char *folder, struct err *e) MUST_CHECK;

/* Fills in the record's layers and bytes. Errors as image.h's on_done has them; then nothing is
 * left in tmp/, and layers that came whole are kept. */
int layers_bring(const struct layers_config *config, const struct manifest *m, struct record *r,
	struct err *e) MUST_CHECK;

/* Writes the record (image_too: not only the name), then the name; one process at a time. reference
 * may be null. */
int layers_save_record(const char *folder, const struct image_reference *reference,
	const struct record *r, bool image_too, struct err *e) MUST_CHECK;

#endif

#include "image/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "image/download.h"
#include "image/layers.h"
#include "image/registry.h"
#include "sys/tree.h"

#define INDEX_DEPTH_MAX 2

struct pull {
	const struct fetch *f;
	struct registry *registry;
	struct image_reference reference;
	struct manifest *manifest;
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
		if (rc != 0)
			return rc;
		rc = manifest_parse(buf_text(&text), text.size, &p->f->platform, p->manifest, e);
		if (rc == -ERR_PROTOCOL &&
			registry_distrust(p->registry, registry_manifest_from(p->registry))) {
			*e = ERR_INIT; /* it is no manifest: somebody behind has one */
			depth--;
			continue;
		}
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

static int fetch_small(struct pull *p, struct transfer_client *client, struct buf *ret_text,
	bool *ret_again, struct err *e)
{
	const struct download_config config = {.registry = p->registry,
		.client = client,
		.blob = &p->manifest->config,
		.small = true,
		.partial_fd = -1};
	struct download *blob = download_new(&config);
	int rc;
	for (;;) {
		const void *data;
		size_t size;
		rc = download_read(blob, &data, &size, e);
		if (rc != 0 || size == 0)
			break;
		buf_append(ret_text, data, size);
	}
	*ret_again = rc == -ERR_CORRUPT && download_may_differ(blob);
	download_free(blob);
	return rc;
}

static int fetch_config(struct pull *p, struct transfer_client *client, struct record *r,
	struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX);
	bool again;
	int rc = fetch_small(p, client, &text, &again, e);
	while (again) {
		*e = ERR_INIT;
		buf_clear(&text);
		rc = fetch_small(p, client, &text, &again, e);
	}
	if (rc != 0)
		return rc;
	rc = buf_check(&text, "the image's config", e);
	if (rc == 0)
		rc = manifest_check_config(p->manifest, buf_text(&text), text.size, e);
	if (rc == 0) {
		str_copy(r->id, sizeof(r->id), p->manifest->config.digest);
		r->config_json = buf_take(&text, NULL);
	}
	return rc;
}

/* ---- layers ---- */

static void *thread_new(void *context)
{
	(void)context;
	return transfer_client_new();
}

static void thread_free(void *thread)
{
	transfer_client_free(thread);
}

static int open_blob(void *context, void *thread, const struct manifest_blob *blob, int partial_fd,
	bool (*given_up)(void *arg), void *arg, void **ret_reader, struct err *e)
{
	const struct pull *p = context;
	const struct download_config config = {.registry = p->registry,
		.client = thread,
		.blob = blob,
		.partial_fd = partial_fd,
		.given_up = given_up,
		.arg = arg};
	(void)e;
	*ret_reader = download_new(&config);
	return 0;
}

static int read_blob(void *reader, const void **ret_data, size_t *ret_size, struct err *e)
{
	return download_read(reader, ret_data, ret_size, e);
}

static bool blob_may_differ(void *reader)
{
	return download_may_differ(reader);
}

static void close_blob(void *reader)
{
	download_free(reader);
}

static int fetch_layers(struct pull *p, struct record *r, struct err *e)
{
	static const struct layers_source source = {.thread_new = thread_new,
		.thread_free = thread_free,
		.open = open_blob,
		.read = read_blob,
		.may_differ = blob_may_differ,
		.close = close_blob,
		.keeps_partial = true};
	const struct fetch *f = p->f;
	const struct layers_config config = {.folder = f->folder,
		.temporary = f->temporary,
		.parallel = f->parallel,
		.source = &source,
		.context = p,
		.progress = f->progress,
		.arg = f->arg};
	return layers_bring(&config, p->manifest, r, e);
}

/* ---- all of it ---- */

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
		return layers_save_record(folder, &p->reference, r, false, e);
	}
	rc = fetch_config(p, client, r, e);
	if (rc == 0)
		rc = fetch_layers(p, r, e);
	return rc == 0 ? layers_save_record(folder, &p->reference, r, true, e) : rc;
}

int fetch_image(const struct fetch *f, struct record *ret_record, bool *ret_present, struct err *e)
{
	CLEANUP(record_done) struct record r = {0};
	CLEANUP(tree_close) int hold = -1;
	CLEANUP(mem_free_ptr) struct pull *p = mem_new(struct pull);
	CLEANUP(mem_free_ptr) struct manifest *manifest = mem_new(struct manifest);
	p->f = f;
	p->manifest = manifest;
	int rc = image_reference_parse(f->reference, &p->reference, e);
	if (rc == 0)
		rc = layers_make_folders(f->folder, e);
	if (rc == 0)
		rc = record_hold(f->folder, false, true, &hold, e);
	if (rc == 0)
		rc = registry_open(&p->reference, f->registries, f->docker_config, &p->registry, e);
	if (rc != 0)
		return rc;
	struct transfer_client *client = transfer_client_new();
	rc = pull_image(p, client, &r, ret_present, e);
	transfer_client_free(client);
	registry_free(p->registry);
	if (rc != 0)
		return rc;
	*ret_record = r;
	r = (struct record){0};
	return 0;
}

#include "image/load.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/archive.h"
#include "image/layers.h"
#include "sys/tree.h"

#define INDEX_DEPTH_MAX 2
#define IMAGES_MAX 1000

/* An image of the archive while it is loaded. */
struct loading {
	const struct load *l;
	const struct archive_index *x;
	struct manifest *manifest;
	/* Of a docker archive: where each layer of the manifest is. */
	size_t entries[MANIFEST_LAYERS_MAX];
	bool is_docker;
};

/* ---- blobs ---- */

struct blob {
	struct archive_file *file;
	struct digest *digest;
	const struct manifest_blob *wanted;
	int64_t size;
	bool is_plain; /* wanted has the digest of what is in it: the unpacker looks at that */
	bool ended;
};

static void *thread_new(void *context)
{
	(void)context;
	return NULL;
}

static void thread_free(void *thread)
{
	(void)thread;
}

static char *blob_name(const char *digest)
{
	return mem_format("blobs/sha256/%s", strchr(digest, ':') + 1);
}

static int find_blob(const struct loading *g, const struct manifest_blob *wanted, size_t *ret_at,
	struct err *e)
{
	const struct manifest *m = g->manifest;
	int64_t size;
	for (size_t i = 0; g->is_docker && i < m->layer_count; i++) {
		if (strcmp(m->layers[i].digest, wanted->digest) == 0) {
			*ret_at = g->entries[i];
			return 0;
		}
	}
	CLEANUP(mem_free_ptr) char *name = blob_name(wanted->digest);
	return archive_index_find(g->x, name, ret_at, &size, e);
}

static int blob_open(void *context, void *thread, const struct manifest_blob *wanted,
	int partial_fd, bool (*given_up)(void *arg), void *arg, void **ret_reader, struct err *e)
{
	const struct loading *g = context;
	struct archive_file *file;
	size_t at;
	(void)thread, (void)partial_fd, (void)given_up, (void)arg;
	int rc = find_blob(g, wanted, &at, e);
	if (rc == 0)
		rc = archive_file_open(g->x, at, &file, e);
	if (rc != 0)
		return rc;
	struct blob *b = mem_new(struct blob);
	*b = (struct blob){
		.file = file, .digest = digest_new(), .wanted = wanted, .is_plain = g->is_docker};
	*ret_reader = b;
	return 0;
}

static int check_blob(struct blob *b, struct err *e)
{
	char found[DIGEST_TEXT_SIZE];
	digest_end(b->digest, found);
	bool same = b->is_plain || strcmp(found, b->wanted->digest) == 0;
	if (b->size != b->wanted->size || !same)
		return err_set(e, ERR_CORRUPT,
			"the archive has %lld bytes with the digest %s instead of %lld bytes with "
			"%s",
			(long long)b->size, found, (long long)b->wanted->size, b->wanted->digest);
	b->ended = true;
	return 0;
}

static int blob_read(void *reader, const void **ret_data, size_t *ret_size, struct err *e)
{
	struct blob *b = reader;
	*ret_size = 0;
	if (b->ended)
		return 0;
	int rc = archive_file_read(b->file, ret_data, ret_size, e);
	if (rc != 0)
		return rc;
	if (*ret_size == 0)
		return check_blob(b, e);
	b->size += (int64_t)*ret_size;
	if (b->size > b->wanted->size)
		return err_set(e, ERR_CORRUPT, "the archive has more than the %lld bytes of %s",
			(long long)b->wanted->size, b->wanted->digest);
	digest_add(b->digest, *ret_data, *ret_size);
	return 0;
}

static bool blob_may_differ(void *reader)
{
	(void)reader;
	return false;
}

static void blob_close(void *reader)
{
	struct blob *b = reader;
	archive_file_close(b->file);
	digest_free(b->digest);
	free(b);
}

/* A small one, as text. */
static int read_blob_text(const struct loading *g, const char *digest, struct buf *ret_text,
	struct err *e)
{
	char found[DIGEST_TEXT_SIZE];
	CLEANUP(mem_free_ptr) char *name = blob_name(digest);
	int rc = archive_index_read(g->x, name, ret_text, e);
	if (rc != 0)
		return rc;
	digest_of(buf_text(ret_text), ret_text->size, found);
	if (strcmp(found, digest) != 0)
		return err_set(e, ERR_CORRUPT, "the archive's %s has the digest %s", name, found);
	return 0;
}

/* ---- one image, once its manifest is known ---- */

static int bring(struct loading *g, const char *config, size_t config_size, struct record *r,
	struct err *e)
{
	static const struct layers_source source = {.thread_new = thread_new,
		.thread_free = thread_free,
		.open = blob_open,
		.read = blob_read,
		.may_differ = blob_may_differ,
		.close = blob_close};
	const struct layers_config layers = {.folder = g->l->folder,
		.temporary = g->l->temporary,
		.digests_are_plain = g->is_docker,
		.source = &source,
		.context = g};
	int rc = manifest_check_config(g->manifest, config, config_size, e);
	if (rc != 0)
		return rc;
	str_copy(r->id, sizeof(r->id), g->manifest->config.digest);
	r->config_json = mem_dup_bytes(config, config_size);
	rc = layers_bring(&layers, g->manifest, r, e);
	return rc == 0 ? layers_save_record(g->l->folder, NULL, r, true, e) : rc;
}

static int name_image(const struct load *l, const char *name, const struct record *r, struct err *e)
{
	struct image_reference reference;
	char whole[IMAGE_REFERENCE_SIZE];
	int rc = image_reference_parse(name, &reference, e);
	if (rc == 0)
		rc = layers_save_record(l->folder, &reference, r, false, e);
	if (rc != 0)
		return rc;
	image_reference_format(&reference, whole);
	if (l->loaded)
		l->loaded(l->arg, whole, r->digest);
	return 0;
}

static int nameless(const struct load *l, struct err *e)
{
	return err_set(e, ERR_INVALID,
		"%s has an image without a name: give it one (--name REFERENCE)", l->archive);
}

/* ---- OCI archives ---- */

static int read_manifest(struct loading *g, const char *digest, struct err *e)
{
	char wanted[MANIFEST_DIGEST_SIZE];
	str_copy(wanted, sizeof(wanted), digest);
	for (int depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
		CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX);
		int rc = read_blob_text(g, wanted, &text, e);
		if (rc == 0)
			rc = manifest_parse(buf_text(&text), text.size, &g->l->platform,
				g->manifest, e);
		if (rc != 0 || !g->manifest->is_index)
			return rc;
		str_copy(wanted, sizeof(wanted), g->manifest->chosen.digest);
	}
	return err_set(e, ERR_PROTOCOL, "the archive's indexes lead to ever more indexes");
}

static int load_oci_image(struct loading *g, const json_t *entry, const char *name, struct err *e)
{
	CLEANUP(record_done) struct record r = {0};
	CLEANUP(buf_done) struct buf config = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX);
	const char *digest = json_text(entry, "", "digest");
	if (!image_digest_valid(digest))
		return err_set(e, ERR_PROTOCOL, "index.json has a digest that is none: %.80s",
			digest);
	str_copy(r.digest, sizeof(r.digest), digest);
	int rc = read_manifest(g, digest, e);
	if (rc == 0)
		rc = read_blob_text(g, g->manifest->config.digest, &config, e);
	if (rc == 0)
		rc = bring(g, buf_text(&config), config.size, &r, e);
	return rc == 0 ? name_image(g->l, name, &r, e) : rc;
}

/* containerd's annotation has the whole name, the specification's may have the tag alone. */
static const char *annotated_name(const json_t *entry)
{
	const char *name = json_text(entry, "", "annotations", "io.containerd.image.name");
	return *name ? name
		     : json_text(entry, "", "annotations", "org.opencontainers.image.ref.name");
}

static int load_oci(struct loading *g, const json_t *index, struct err *e)
{
	const json_t *entries = json_object_get(index, "manifests");
	size_t i, count = json_array_size(entries);
	json_t *entry;
	if (count == 0 || count > IMAGES_MAX)
		return err_set(e, ERR_PROTOCOL, "index.json names %zu images", count);
	if (g->l->name && count > 1)
		return err_set(e, ERR_INVALID, "--name is for archives with one image; %s has %zu",
			g->l->archive, count);
	json_array_foreach (entries, i, entry) {
		const char *name = g->l->name ? g->l->name : annotated_name(entry);
		int rc = *name ? load_oci_image(g, entry, name, e) : nameless(g->l, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- docker archives ---- */

/* The config's own digest, which its file's name must tell when it looks like one. */
static int read_docker_config(struct loading *g, const char *name, struct buf *ret_text,
	struct err *e)
{
	int rc = archive_index_read(g->x, name, ret_text, e);
	if (rc != 0)
		return rc;
	struct manifest_blob *config = &g->manifest->config;
	digest_of(buf_text(ret_text), ret_text->size, config->digest);
	config->size = (int64_t)ret_text->size;
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	if (strspn(base, "0123456789abcdef") == 64 && strncmp(base, config->digest + 7, 64) != 0)
		return err_set(e, ERR_CORRUPT, "the archive's %.100s has the digest %s", name,
			config->digest);
	return 0;
}

static int find_docker_layers(struct loading *g, const json_t *names, const json_t *config,
	struct err *e)
{
	const json_t *diffs = json_at(config, "rootfs", "diff_ids");
	struct manifest *m = g->manifest;
	size_t count = json_array_size(names);
	if (count > MANIFEST_LAYERS_MAX || count != json_array_size(diffs))
		return err_set(e, ERR_PROTOCOL, "manifest.json has %zu layers, the image %zu",
			count, json_array_size(diffs));
	for (size_t i = 0; i < count; i++) {
		struct manifest_blob *layer = &m->layers[i];
		const char *digest = json_text_or(json_array_get(diffs, i), "");
		if (!image_digest_valid(digest))
			return err_set(e, ERR_UNSUPPORTED,
				"a layer's digest is %.80s: only sha256 is", digest);
		str_copy(layer->digest, sizeof(layer->digest), digest);
		int rc = archive_index_find(g->x, json_text_or(json_array_get(names, i), ""),
			&g->entries[i], &layer->size, e);
		if (rc != 0)
			return rc;
	}
	m->layer_count = count;
	return 0;
}

/* Docker archives have no manifest: one is made, so that the same image has the same digest. */
static void make_docker_digest(const struct manifest *m, char *ret_digest)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	buf_printf(&text,
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		"\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":"
		"\"%s\",\"size\":%lld},\"layers\":[",
		m->config.digest, (long long)m->config.size);
	for (size_t i = 0; i < m->layer_count; i++)
		buf_printf(&text,
			"%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":"
			"\"%s\",\"size\":%lld}",
			i ? "," : "", m->layers[i].digest, (long long)m->layers[i].size);
	buf_append_string(&text, "]}");
	digest_of(buf_text(&text), text.size, ret_digest);
}

static int load_docker_image(struct loading *g, const json_t *entry, struct err *e)
{
	CLEANUP(record_done) struct record r = {0};
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX);
	CLEANUP(json_done) json_t *config = NULL;
	const json_t *tags = json_object_get(entry, "RepoTags");
	*g->manifest = (struct manifest){0};
	if (!g->l->name && json_array_size(tags) == 0)
		return nameless(g->l, e);
	int rc = read_docker_config(g, json_text(entry, "", "Config"), &text, e);
	if (rc == 0)
		rc = json_decode(buf_text(&text), text.size, &config, e);
	if (rc == 0)
		rc = find_docker_layers(g, json_object_get(entry, "Layers"), config, e);
	if (rc != 0)
		return rc;
	make_docker_digest(g->manifest, r.digest);
	rc = bring(g, buf_text(&text), text.size, &r, e);
	if (rc == 0 && g->l->name)
		return name_image(g->l, g->l->name, &r, e);
	for (size_t i = 0; rc == 0 && i < json_array_size(tags); i++)
		rc = name_image(g->l, json_text_or(json_array_get(tags, i), ""), &r, e);
	return rc;
}

static int load_docker(struct loading *g, const json_t *images, struct err *e)
{
	size_t i, count = json_array_size(images);
	json_t *entry;
	if (count == 0 || count > IMAGES_MAX)
		return err_set(e, ERR_PROTOCOL, "manifest.json names %zu images", count);
	if (g->l->name && count > 1)
		return err_set(e, ERR_INVALID, "--name is for archives with one image; %s has %zu",
			g->l->archive, count);
	json_array_foreach (images, i, entry) {
		int rc = load_docker_image(g, entry, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- all of it ---- */

static int read_json(const struct archive_index *x, const char *name, json_t **ret_json,
	struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX);
	int rc = archive_index_read(x, name, &text, e);
	if (rc == 0 && json_decode(buf_text(&text), text.size, ret_json, e) != 0)
		rc = err_set(e, ERR_PROTOCOL, "the archive's %s is no JSON", name);
	return rc;
}

static int load_all(struct loading *g, struct err *e)
{
	CLEANUP(json_done) json_t *list = NULL;
	g->is_docker = false;
	int rc = read_json(g->x, "index.json", &list, e);
	if (rc == 0)
		return load_oci(g, list, e);
	if (rc != -ERR_NOT_FOUND)
		return rc;
	*e = ERR_INIT;
	g->is_docker = true;
	rc = read_json(g->x, "manifest.json", &list, e);
	if (rc == -ERR_NOT_FOUND)
		return err_set(e, ERR_PROTOCOL,
			"%s is neither an OCI archive (index.json) nor a docker archive "
			"(manifest.json)",
			g->l->archive);
	return rc == 0 ? load_docker(g, list, e) : rc;
}

int load_archive(const struct load *l, struct err *e)
{
	CLEANUP(tree_close) int hold = -1;
	CLEANUP(mem_free_ptr) struct manifest *manifest = mem_new(struct manifest);
	struct archive_index *x;
	struct err why = ERR_INIT;
	int rc = archive_index_new(l->archive, &x, e);
	if (rc != 0)
		return rc;
	struct loading g = {.l = l, .x = x, .manifest = manifest};
	rc = layers_make_folders(l->folder, &why);
	if (rc == 0)
		rc = record_hold(l->folder, false, true, &hold, &why);
	if (rc == 0)
		rc = load_all(&g, &why);
	archive_index_free(x);
	if (rc != 0 && e)
		*e = why;
	return rc;
}

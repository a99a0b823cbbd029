#include "image/save.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "codec/json.h"
#include "image/download.h"
#include "sys/tree.h"

#define INDEX_DEPTH_MAX 2

struct image {
	struct registry *registry;
	struct image_reference reference;
	char name[IMAGE_REFERENCE_SIZE];
	char digest[MANIFEST_DIGEST_SIZE]; /* of the image's own manifest */
	char media_type[128];
	struct buf text; /* the manifest */
	struct manifest *manifest;
};

struct saving {
	const struct save *s;
	struct transfer_client *client;
	struct archive *archive;
	VEC(struct image) images;
	struct map written; /* digests that are in the archive */
};

static char *blob_name(const char *digest)
{
	return mem_format("blobs/sha256/%s", strchr(digest, ':') + 1);
}

/* ---- what is saved ---- */

static int get_manifest(struct saving *g, struct image *image, struct err *e)
{
	char wanted[sizeof(image->reference.tag)];
	const struct image_reference *reference = &image->reference;
	str_copy(wanted, sizeof(wanted), reference->digest[0] ? reference->digest : reference->tag);
	for (int depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
		int rc = registry_get_manifest(image->registry, g->client, wanted, &image->text,
			image->digest, e);
		if (rc == 0)
			rc = manifest_parse(buf_text(&image->text), image->text.size,
				&g->s->platform, image->manifest, e);
		if (rc != 0 || !image->manifest->is_index)
			return rc;
		str_copy(wanted, sizeof(wanted), image->manifest->chosen.digest);
	}
	return err_set(e, ERR_PROTOCOL, "the image's indexes lead to ever more indexes");
}

/* Manifests say their own type; OCI's need not. */
static void note_media_type(struct image *image)
{
	CLEANUP(json_done) json_t *json = NULL;
	const char *type = "";
	if (json_decode(buf_text(&image->text), image->text.size, &json, NULL) == 0)
		type = json_text(json, "", "mediaType");
	if (!*type || !str_copy(image->media_type, sizeof(image->media_type), type))
		str_copy(image->media_type, sizeof(image->media_type),
			"application/vnd.oci.image.manifest.v1+json");
}

static int add_image(struct saving *g, const char *reference, struct err *e)
{
	struct image *image = vec_add(&g->images);
	*image = (struct image){.text = BUF_INIT_LIMIT(MANIFEST_SIZE_MAX)};
	image->manifest = mem_new(struct manifest);
	int rc = image_reference_parse(reference, &image->reference, e);
	if (rc == 0)
		rc = registry_open(&image->reference, g->s->registries, g->s->docker_config,
			&image->registry, e);
	if (rc == 0)
		rc = get_manifest(g, image, e);
	if (rc != 0)
		return err_prefix(e, "image %.120s", reference);
	image_reference_format(&image->reference, image->name);
	note_media_type(image);
	if (g->s->saving)
		g->s->saving(g->s->arg, image->name, image->digest);
	return 0;
}

/* ---- the archive ---- */

static int write_problem(struct saving *g, struct err *e)
{
	int number = archive_errno(g->archive);
	return err_set_errno(e, number > 0 ? number : EIO, "write %s", g->s->archive);
}

static int begin_file(struct saving *g, const char *name, int64_t size, struct err *e)
{
	struct archive_entry *entry = archive_entry_new();
	if (!entry)
		abort();
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, size);
	archive_entry_set_mtime(entry, 0, 0); /* the same images give the same archive */
	int r = archive_write_header(g->archive, entry);
	archive_entry_free(entry);
	return r == ARCHIVE_OK ? 0 : write_problem(g, e);
}

static int write_piece(struct saving *g, const void *data, size_t size, struct err *e)
{
	return archive_write_data(g->archive, data, size) == (la_ssize_t)size ? 0
									      : write_problem(g, e);
}

static int write_text(struct saving *g, const char *name, const char *text, size_t size,
	struct err *e)
{
	int rc = begin_file(g, name, (int64_t)size, e);
	return rc == 0 ? write_piece(g, text, size, e) : rc;
}

static int write_json(struct saving *g, const char *name, json_t *json, struct err *e)
{
	CLEANUP(mem_free_ptr) char *text = json_encode_string(json);
	json_decref(json);
	return write_text(g, name, text, strlen(text), e);
}

static json_t *index_entry(const struct image *image)
{
	return json_pack("{s:s, s:s, s:I, s:{s:s, s:s}}", "mediaType", image->media_type, "digest",
		image->digest, "size", (json_int_t)image->text.size, "annotations",
		"org.opencontainers.image.ref.name", image->name, "io.containerd.image.name",
		image->name);
}

static json_t *docker_entry(const struct image *image)
{
	const struct image_reference *reference = &image->reference;
	const struct manifest *m = image->manifest;
	CLEANUP(mem_free_ptr) char *config = blob_name(m->config.digest);
	json_t *tags = json_array(), *layers = json_array();
	if (reference->tag[0]) {
		CLEANUP(mem_free_ptr)
		char *tag = mem_format("%s/%s:%s", reference->host, reference->repository,
			reference->tag);
		json_array_append_new(tags, json_string(tag));
	}
	for (size_t i = 0; i < m->layer_count; i++) {
		CLEANUP(mem_free_ptr) char *name = blob_name(m->layers[i].digest);
		json_array_append_new(layers, json_string(name));
	}
	return json_pack("{s:s, s:o, s:o}", "Config", config, "RepoTags", tags, "Layers", layers);
}

static int write_indexes(struct saving *g, struct err *e)
{
	json_t *entries = json_array(), *docker = json_array();
	VEC_EACH (&g->images, struct image, image) {
		json_array_append_new(entries, index_entry(image));
		json_array_append_new(docker, docker_entry(image));
	}
	int rc = write_json(g, "oci-layout", json_pack("{s:s}", "imageLayoutVersion", "1.0.0"), e);
	json_t *index = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType",
		"application/vnd.oci.image.index.v1+json", "manifests", entries);
	if (rc == 0)
		rc = write_json(g, "index.json", index, e);
	else
		json_decref(index);
	if (rc == 0)
		return write_json(g, "manifest.json", docker, e);
	json_decref(docker);
	return rc;
}

/* ---- blobs ---- */

static int copy_blob(struct saving *g, struct download *d, struct err *e)
{
	for (;;) {
		const void *data;
		size_t size;
		int rc = download_read(d, &data, &size, e);
		if (rc != 0 || size == 0)
			return rc;
		rc = write_piece(g, data, size, e);
		if (rc != 0)
			return rc;
	}
}

static int save_blob(struct saving *g, struct image *image, const struct manifest_blob *blob,
	struct err *e)
{
	if (map_has(&g->written, blob->digest))
		return 0;
	map_put(&g->written, blob->digest, g);
	CLEANUP(mem_free_ptr) char *name = blob_name(blob->digest);
	int rc = begin_file(g, name, blob->size, e);
	if (rc != 0)
		return rc;
	const struct download_config config = {
		.registry = image->registry, .client = g->client, .blob = blob, .partial_fd = -1};
	struct download *d = download_new(&config);
	rc = copy_blob(g, d, e);
	download_free(d);
	return rc == 0 ? 0 : err_prefix(e, "image %.120s", image->name);
}

static int save_image(struct saving *g, struct image *image, struct err *e)
{
	const struct manifest *m = image->manifest;
	int rc = 0;
	if (!map_has(&g->written, image->digest)) {
		CLEANUP(mem_free_ptr) char *name = blob_name(image->digest);
		map_put(&g->written, image->digest, g);
		rc = write_text(g, name, buf_text(&image->text), image->text.size, e);
	}
	if (rc == 0)
		rc = save_blob(g, image, &m->config, e);
	for (size_t i = 0; rc == 0 && i < m->layer_count; i++)
		rc = save_blob(g, image, &m->layers[i], e);
	return rc;
}

/* ---- all of it ---- */

static int write_archive(struct saving *g, int fd, struct err *e)
{
	g->archive = archive_write_new();
	if (!g->archive)
		abort();
	archive_write_set_format_pax_restricted(g->archive);
	archive_write_set_bytes_in_last_block(g->archive, 1);
	int rc = archive_write_open_fd(g->archive, fd) == ARCHIVE_OK ? 0 : write_problem(g, e);
	if (rc == 0)
		rc = write_indexes(g, e);
	for (size_t i = 0; rc == 0 && i < g->images.count; i++)
		rc = save_image(g, &g->images.items[i], e);
	if (rc == 0 && archive_write_close(g->archive) != ARCHIVE_OK)
		rc = write_problem(g, e);
	if (rc != 0) /* closing would wait for what never comes */
		archive_write_fail(g->archive);
	archive_write_free(g->archive);
	return rc;
}

static int write_file(struct saving *g, struct err *e)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s.part-%d", g->s->archive, (int)getpid());
	CLEANUP(tree_close)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set_errno(e, errno, "create %s", path);
	int rc = write_archive(g, fd, e);
	if (rc == 0 && fsync(fd) != 0)
		rc = err_set_errno(e, errno, "write out %s", path);
	if (rc == 0 && rename(path, g->s->archive) != 0)
		rc = err_set_errno(e, errno, "rename %s", path);
	if (rc != 0)
		unlink(path);
	return rc;
}

int save_archive(const struct save *s, struct err *e)
{
	struct saving g = {.s = s, .client = transfer_client_new()};
	int rc = 0;
	map_init(&g.written, NULL);
	for (size_t i = 0; rc == 0 && s->references[i]; i++)
		rc = add_image(&g, s->references[i], e);
	if (rc == 0)
		rc = write_file(&g, e);
	VEC_EACH (&g.images, struct image, image) {
		registry_free(image->registry);
		buf_done(&image->text);
		free(image->manifest);
	}
	vec_done(&g.images);
	map_done(&g.written);
	transfer_client_free(g.client);
	return rc;
}

/*
 * Each layer is walked twice: first to learn how long its archive is, as a tar has sizes in front,
 * then to write it. Whiteouts become files of the name ".wh.NAME" and opaque folders get a
 * ".wh..wh..opq", as the image specification wants it (layer.md, "Whiteouts").
 */
#include "image/export.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/digest.h"

#define PIECE ((size_t)64 << 10)
#define OVERLAY_XATTR "trusted.overlay."
#define OPAQUE_XATTR "trusted.overlay.opaque"

/* One layer's own archive, counted or sent into the one around it. */
struct layer {
	const char *folder;
	struct archive *inner, *outer; /* outer: null while counting */
	int64_t size;
	struct digest *digest;
};

/* ---- the archive of a layer ---- */

static la_ssize_t on_inner(struct archive *archive, void *arg, const void *data, size_t size)
{
	struct layer *l = arg;
	l->size += (int64_t)size;
	if (!l->outer)
		return (la_ssize_t)size;
	digest_add(l->digest, data, size);
	if (archive_write_data(l->outer, data, size) == (la_ssize_t)size)
		return (la_ssize_t)size;
	archive_set_error(archive, EPIPE, "nobody takes the archive");
	return -1;
}

static int problem(struct archive *archive, const char *what, struct err *e)
{
	const char *text = archive_error_string(archive);
	return err_set(e, ERR_IO, "cannot export %.200s: %.150s", what, text ? text : "unknown");
}

static int write_bytes(struct layer *l, struct archive *disk, struct archive_entry *entry,
	struct err *e)
{
	char piece[PIECE];
	int64_t left = archive_entry_size(entry);
	memset(piece, 0, l->outer ? 1 : sizeof(piece));
	while (left > 0) {
		size_t want = left < (int64_t)sizeof(piece) ? (size_t)left : sizeof(piece);
		la_ssize_t got = l->outer ? archive_read_data(disk, piece, want) : (la_ssize_t)want;
		if (got <= 0)
			return err_set(e, ERR_IO, "%.300s became shorter while it was exported",
				archive_entry_pathname(entry));
		if (archive_write_data(l->inner, piece, (size_t)got) != got)
			return problem(l->inner, archive_entry_pathname(entry), e);
		left -= got;
	}
	return 0;
}

/* An empty file that stands for something removed. */
static int write_marker(struct layer *l, const char *folder, const char *name, struct err *e)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("%s%s", folder, name);
	struct archive_entry *marker = archive_entry_new();
	archive_entry_set_pathname(marker, path);
	archive_entry_set_filetype(marker, AE_IFREG);
	archive_entry_set_perm(marker, 0644);
	archive_entry_set_size(marker, 0);
	int rc = archive_write_header(l->inner, marker) == ARCHIVE_OK ? 0
								      : problem(l->inner, path, e);
	archive_entry_free(marker);
	return rc;
}

static int write_whiteout(struct layer *l, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	size_t folder_size = slash ? (size_t)(slash + 1 - path) : 0;
	char *folder CLEANUP(mem_free_ptr) = mem_dup_bytes(path, folder_size);
	char *name CLEANUP(mem_free_ptr) = mem_format(".wh.%s", path + folder_size);
	return write_marker(l, folder, name, e);
}

/* Takes overlayfs' own attributes off; true: the folder hides what lower layers have in it. */
static bool clean_xattrs(struct archive_entry *entry)
{
	struct archive_entry *copy = archive_entry_clone(entry);
	const char *name;
	const void *value;
	size_t size;
	bool opaque = false;
	archive_entry_xattr_clear(entry);
	archive_entry_xattr_reset(copy);
	while (archive_entry_xattr_next(copy, &name, &value, &size) == ARCHIVE_OK) {
		if (str_equal(name, OPAQUE_XATTR))
			opaque = opaque || (size == 1 && *(const char *)value == 'y');
		else if (!str_starts(name, OVERLAY_XATTR))
			archive_entry_xattr_add_entry(entry, name, value, size);
	}
	archive_entry_free(copy);
	return opaque;
}

static int write_entry(struct layer *l, struct archive *disk,
	struct archive_entry_linkresolver *links, struct archive_entry *entry, struct err *e)
{
	const char *full = archive_entry_sourcepath(entry), *path = full + strlen(l->folder);
	while (*path == '/')
		path++;
	if (!*path || archive_entry_filetype(entry) == AE_IFSOCK)
		return 0;
	char *relative CLEANUP(mem_free_ptr) = mem_dup_string(path);
	if (archive_entry_filetype(entry) == AE_IFCHR && archive_entry_rdev(entry) == 0)
		return write_whiteout(l, relative, e);
	struct archive_entry *spare = NULL, *out = entry;
	archive_entry_set_pathname(entry, relative);
	bool opaque = clean_xattrs(entry);
	archive_entry_linkify(links, &out, &spare);
	if (!out)
		return 0;
	if (archive_write_header(l->inner, out) != ARCHIVE_OK)
		return problem(l->inner, relative, e);
	int rc = archive_entry_size(out) > 0 ? write_bytes(l, disk, out, e) : 0;
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/", relative);
	return rc == 0 && opaque ? write_marker(l, folder, ".wh..wh..opq", e) : rc;
}

static int walk(struct layer *l, struct archive *disk, struct err *e)
{
	struct archive_entry_linkresolver *links = archive_entry_linkresolver_new();
	struct archive_entry *entry = archive_entry_new();
	int rc = 0, got = ARCHIVE_OK;
	archive_entry_linkresolver_set_strategy(links, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED);
	while (rc == 0 && (got = archive_read_next_header2(disk, entry)) != ARCHIVE_EOF) {
		if (got < ARCHIVE_WARN)
			rc = problem(disk, l->folder, e);
		else
			rc = write_entry(l, disk, links, entry, e);
		archive_read_disk_descend(disk);
		archive_entry_clear(entry);
	}
	archive_entry_free(entry);
	archive_entry_linkresolver_free(links);
	return rc;
}

static int write_layer(struct layer *l, struct err *e)
{
	struct archive *disk = archive_read_disk_new();
	int rc = 0;
	l->inner = archive_write_new();
	l->size = 0;
	archive_write_set_format_pax_restricted(l->inner);
	archive_write_set_bytes_per_block(l->inner, (int)PIECE);
	archive_write_set_bytes_in_last_block(l->inner, 1);
	archive_read_disk_set_symlink_physical(disk);
	archive_read_disk_set_behavior(disk, ARCHIVE_READDISK_NO_ACL | ARCHIVE_READDISK_NO_FFLAGS |
						     ARCHIVE_READDISK_NO_SPARSE |
						     ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS);
	if (archive_read_disk_open(disk, l->folder) != ARCHIVE_OK)
		rc = problem(disk, l->folder, e);
	else if (archive_write_open(l->inner, l, NULL, on_inner, NULL) != ARCHIVE_OK)
		rc = problem(l->inner, l->folder, e);
	if (rc == 0)
		rc = walk(l, disk, e);
	if (rc == 0 && archive_write_close(l->inner) != ARCHIVE_OK)
		rc = problem(l->inner, l->folder, e);
	archive_write_free(l->inner);
	archive_read_free(disk);
	return rc;
}

/* ---- the archive around the layers ---- */

static int add_header(struct archive *outer, const char *name, int64_t size, struct err *e)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, size);
	int rc = archive_write_header(outer, entry) == ARCHIVE_OK ? 0 : problem(outer, name, e);
	archive_entry_free(entry);
	return rc;
}

static int add_text(struct archive *outer, const char *name, const json_t *json, struct err *e)
{
	char *text CLEANUP(mem_free_ptr) = json_encode_string(json);
	size_t size = strlen(text);
	int rc = add_header(outer, name, (int64_t)size, e);
	if (rc == 0 && archive_write_data(outer, text, size) != (la_ssize_t)size)
		rc = problem(outer, name, e);
	return rc;
}

static int add_layer(struct archive *outer, const char *folder, const char *name, json_t *diff_ids,
	struct err *e)
{
	struct layer l = {.folder = folder};
	struct stat st;
	char digest[DIGEST_TEXT_SIZE];
	if (stat(folder, &st) < 0)
		return err_set_errno(e, errno, "the layer %s", folder);
	int rc = write_layer(&l, e);
	int64_t counted = l.size;
	if (rc == 0)
		rc = add_header(outer, name, counted, e);
	if (rc != 0)
		return rc;
	l.outer = outer;
	l.digest = digest_new();
	rc = write_layer(&l, e);
	digest_end(l.digest, digest);
	digest_free(l.digest);
	if (rc == 0 && l.size != counted)
		rc = err_set(e, ERR_IO, "the layer %s changed while it was exported", folder);
	json_array_append_new(diff_ids, json_string(digest));
	return rc;
}

static const char *architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__arm__)
	return "arm";
#else
	return "unknown";
#endif
}

/* All that containers take from an image is told when they are made: this one is only its layers.
 */
static int add_all(struct archive *outer, const struct export *x, struct err *e)
{
	json_t *diff_ids CLEANUP(json_done) = json_array();
	json_t *names CLEANUP(json_done) = json_array();
	json_t *folders CLEANUP(json_done) = json_array();
	int rc = 0;
	for (size_t i = 0; x->layers[i] && rc == 0; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%zu/layer.tar", i);
		json_array_append_new(names, json_string(name));
		rc = add_layer(outer, x->layers[i], name, diff_ids, e);
	}
	/* The label says when the image is of no more use: when a folder is gone. */
	for (size_t i = 0; x->layers[i]; i++)
		json_array_append_new(folders, json_string(x->layers[i]));
	char *text CLEANUP(mem_free_ptr) = json_encode_string(folders);
	json_t *config CLEANUP(json_done) = json_pack("{s:s,s:s,s:s,s:{s:{s:s}},s:{s:s,s:O}}",
		"created", "1970-01-01T00:00:00Z", "architecture", architecture(), "os", "linux",
		"config", "Labels", EXPORT_LABEL, text, "rootfs", "type", "layers", "diff_ids",
		diff_ids);
	json_t *manifest CLEANUP(json_done) = json_pack("[{s:s,s:[s],s:O}]", "Config",
		"config.json", "RepoTags", x->name, "Layers", names);
	if (rc == 0)
		rc = add_text(outer, "config.json", config, e);
	return rc ? rc : add_text(outer, "manifest.json", manifest, e);
}

int export_image(const struct export *x, struct err *e)
{
	struct archive *outer = archive_write_new();
	int rc = 0;
	archive_write_set_format_pax_restricted(outer);
	archive_write_set_bytes_per_block(outer, (int)PIECE);
	archive_write_set_bytes_in_last_block(outer, 1);
	if (archive_write_open_fd(outer, x->fd) != ARCHIVE_OK)
		rc = problem(outer, x->name, e);
	if (rc == 0)
		rc = add_all(outer, x, e);
	if (rc == 0 && archive_write_close(outer) != ARCHIVE_OK)
		rc = problem(outer, x->name, e);
	archive_write_free(outer);
	return rc;
}

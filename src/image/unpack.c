#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/str.h"
#include "image/plain.h"
#include "image/resolve.h"
#include "sys/tree.h"

#define BYTES_DEFAULT ((int64_t)64 << 30)
#define ENTRIES_DEFAULT ((int64_t)2000000)
#define XATTR_MAX 65536
#define WHITEOUT ".wh."
#define OPAQUE_XATTR "trusted.overlay.opaque"

struct unpack {
	int root;
	struct archive *archive;
	struct plain *plain;
	int64_t bytes_left, entries_left;
	struct err read_error; /* of the stream; code ERR_OK: none */
	bool ended;
	bool cut_short; /* see only_padding_missing */
	struct resolve resolve;
};

/* ---- the stream ---- */

static la_ssize_t on_read(struct archive *archive, void *arg, const void **ret_data)
{
	struct unpack *u = arg;
	size_t size = 0;
	if (u->ended)
		return 0;
	if (plain_read(u->plain, ret_data, &size, &u->read_error) != 0) {
		archive_set_error(archive, EIO, "the stream broke");
		return ARCHIVE_FATAL;
	}
	u->ended = size == 0;
	return (la_ssize_t)size;
}

static int archive_problem(struct unpack *u, struct err *e)
{
	if (u->read_error.code != ERR_OK) {
		if (e)
			*e = u->read_error;
		return -(int)u->read_error.code;
	}
	const char *text = archive_error_string(u->archive);
	return err_set(e, ERR_PROTOCOL, "the layer is no sound tar archive: %.200s",
		text ? text : "unknown format");
}

/* A tar ends before its stream does (padding); only the end of the stream tells that it was whole.
 */
static int drain(struct unpack *u, struct err *e)
{
	while (!u->ended) {
		const void *data;
		size_t size = 0;
		int rc = plain_read(u->plain, &data, &size, e);
		if (rc != 0)
			return rc;
		u->ended = size == 0;
	}
	return 0;
}

/* The locale's form is null for names that the locale (often "C") cannot write: then UTF-8. */
static const char *entry_name(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);
	return name ? name : archive_entry_pathname_utf8(entry);
}

static const char *entry_symlink(struct archive_entry *entry)
{
	const char *target = archive_entry_symlink(entry);
	return target ? target : archive_entry_symlink_utf8(entry);
}

static const char *entry_hardlink(struct archive_entry *entry)
{
	const char *target = archive_entry_hardlink(entry);
	return target ? target : archive_entry_hardlink_utf8(entry);
}

/* ---- what an entry carries besides its data ---- */

static bool xattr_wanted(const char *name)
{
	return strcmp(name, "security.capability") == 0 || str_starts(name, "user.");
}

static int set_xattrs(struct archive_entry *entry, int fd, const char *path, struct err *e)
{
	const char *name;
	const void *value;
	size_t size;
	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !xattr_wanted(name) || size > XATTR_MAX)
			continue;
		/* A file system without user xattrs loses them; capabilities must not get lost. */
		if (fsetxattr(fd, name, value, size, 0) != 0 &&
			!(errno == EOPNOTSUPP && str_starts(name, "user.")))
			return err_set_errno(e, errno, "set %s of %s", name, path);
	}
	return 0;
}

/* Owner before mode: chown takes the setuid bit away. */
static int set_owner_mode(struct archive_entry *entry, int fd, const char *path, struct err *e)
{
	if (fchown(fd, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)) != 0 ||
		fchmod(fd, archive_entry_perm(entry) & 07777) != 0)
		return err_set_errno(e, errno, "set owner and mode of %s", path);
	return 0;
}

static void entry_times(struct archive_entry *entry, struct timespec ret_times[2])
{
	ret_times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	ret_times[1] = (struct timespec){.tv_nsec = UTIME_OMIT};
	if (archive_entry_mtime_is_set(entry))
		ret_times[1] = (struct timespec){.tv_sec = archive_entry_mtime(entry),
			.tv_nsec = archive_entry_mtime_nsec(entry)};
}

/* ---- kinds of entries ---- */

/* Some tools (umoci 0.4) leave the padding of the last file away, and what marks the end. The file
 * itself was whole then, and whether the stream was, its reader tells at its end. */
static bool only_padding_missing(struct unpack *u)
{
	const char *text = archive_error_string(u->archive);
	u->cut_short = text && str_starts(text, "Truncated input file");
	return u->cut_short;
}

static int write_data(struct unpack *u, int fd, int64_t whole, const char *path, struct err *e)
{
	int64_t end = 0;
	for (;;) {
		const void *data;
		size_t size;
		la_int64_t offset;
		int status = archive_read_data_block(u->archive, &data, &size, &offset);
		if (status == ARCHIVE_EOF)
			return 0;
		if (status < ARCHIVE_WARN)
			return end == whole && only_padding_missing(u) ? 0 : archive_problem(u, e);
		end = offset + (int64_t)size;
		for (size_t done = 0; done < size;) {
			ssize_t written = pwrite(fd, (const char *)data + done, size - done,
				offset + (off_t)done);
			if (written < 0 && errno != EINTR)
				return err_set_errno(e, errno, "write %s", path);
			done += written > 0 ? (size_t)written : 0;
		}
	}
}

static int take_bytes(struct unpack *u, int64_t size, const char *path, struct err *e)
{
	if (size < 0 || size > u->bytes_left)
		return err_set(e, ERR_TOO_LARGE, "the layer unpacks to too many bytes (at %s)",
			path);
	u->bytes_left -= size;
	return 0;
}

static int make_file(struct unpack *u, struct archive_entry *entry, int parent, const char *name,
	const char *path, struct err *e)
{
	int64_t size = archive_entry_size(entry);
	int rc = take_bytes(u, size, path, e);
	if (rc != 0)
		return rc;
	CLEANUP(tree_close)
	int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, errno, "create %s", path);
	rc = write_data(u, fd, size, path, e);
	/* A sparse file may end in a hole. */
	if (rc == 0 && ftruncate(fd, size) != 0)
		rc = err_set_errno(e, errno, "write %s", path);
	if (rc == 0)
		rc = set_owner_mode(entry, fd, path, e);
	if (rc == 0)
		rc = set_xattrs(entry, fd, path, e);
	if (rc != 0)
		return rc;
	struct timespec times[2];
	entry_times(entry, times);
	if (futimens(fd, times) != 0)
		return err_set_errno(e, errno, "set the time of %s", path);
	return 0;
}

static int make_folder(struct archive_entry *entry, int parent, const char *name, const char *path,
	struct err *e)
{
	if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
		return err_set_errno(e, errno, "create the folder %s", path);
	CLEANUP(tree_close)
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "open the folder %s", path);
	int rc = set_owner_mode(entry, fd, path, e);
	return rc == 0 ? set_xattrs(entry, fd, path, e) : rc;
}

static int make_symlink(struct archive_entry *entry, int parent, const char *name, const char *path,
	struct err *e)
{
	const char *target = entry_symlink(entry);
	if (str_empty(target))
		return err_set(e, ERR_PROTOCOL, "the symbolic link %s points nowhere", path);
	struct timespec times[2];
	entry_times(entry, times);
	if (symlinkat(target, parent, name) != 0 ||
		fchownat(parent, name, (uid_t)archive_entry_uid(entry),
			(gid_t)archive_entry_gid(entry), AT_SYMLINK_NOFOLLOW) != 0 ||
		utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) != 0)
		return err_set_errno(e, errno, "create the symbolic link %s", path);
	return 0;
}

static int make_hard_link(struct unpack *u, struct archive_entry *entry, int parent,
	const char *name, const char *path, struct err *e)
{
	struct resolve_path target;
	int rc = resolve_clean(entry_hardlink(entry), &target, e);
	if (rc != 0)
		return rc;
	if (target.name[0] == '\0')
		return err_set(e, ERR_PROTOCOL, "the hard link %s points at the image's root",
			path);
	CLEANUP(tree_close)
	int folder = resolve_open_folder(u->root, target.folder, e);
	if (folder < 0)
		return err_prefix(e, "the hard link %s", path);
	if (linkat(folder, target.name, parent, name, 0) != 0) {
		if (errno == ENOENT || errno == EPERM)
			return err_set(e, ERR_PROTOCOL,
				"the hard link %s points at %s/%s, which is no file of this layer",
				path, target.folder, target.name);
		return err_set_errno(e, errno, "create the hard link %s", path);
	}
	return 0;
}

static int make_fifo(struct archive_entry *entry, int parent, const char *name, const char *path,
	struct err *e)
{
	mode_t mode = archive_entry_perm(entry) & 07777;
	if (mkfifoat(parent, name, mode) != 0 ||
		fchownat(parent, name, (uid_t)archive_entry_uid(entry),
			(gid_t)archive_entry_gid(entry), AT_SYMLINK_NOFOLLOW) != 0 ||
		fchmodat(parent, name, mode, 0) != 0)
		return err_set_errno(e, errno, "create the pipe %s", path);
	return 0;
}

/* ---- whiteouts ---- */

static int make_opaque(int folder, const char *name, const char *path, struct err *e)
{
	CLEANUP(tree_close)
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) != 0)
		return err_set_errno(e, errno, "make %s opaque", path);
	return 0;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* A whiteout speaks of the layers below only. Beside a folder of this layer it means that nothing
 * of theirs shows through; beside another file it says nothing new. */
static int make_whiteout(int parent, const char *name, const char *path, struct err *e)
{
	if (strcmp(name, ".wh..opq") == 0)
		return make_opaque(parent, ".", path, e);
	if (str_starts(name, WHITEOUT)) /* .wh..wh.plnk and its like: aufs' own books */
		return 0;
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, ERR_PROTOCOL, "the layer has a whiteout without a name: %s",
			path);
	struct stat st;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? make_opaque(parent, name, path, e) : 0;
	if (mknodat(parent, name, S_IFCHR, makedev(0, 0)) != 0)
		return err_set_errno(e, errno, "create the whiteout %s", path);
	return 0;
}

/* ---- entries ---- */

/* Clears the place of an entry. *ret_was_whiteout: a folder put there must be opaque. */
static int clear_place(int parent, const char *name, bool folder_comes, bool *ret_was_whiteout,
	struct err *e)
{
	struct stat st;
	*ret_was_whiteout = false;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	if (S_ISDIR(st.st_mode) && folder_comes)
		return 0;
	*ret_was_whiteout = is_whiteout(&st);
	return tree_remove(parent, name, e);
}

static int make_entry(struct unpack *u, struct archive_entry *entry, int parent, const char *name,
	const char *path, struct err *e)
{
	mode_t type = archive_entry_filetype(entry);
	bool link = entry_hardlink(entry) != NULL;
	if (!link && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK && type != AE_IFIFO)
		return 0;
	bool was_whiteout;
	int rc = clear_place(parent, name, !link && type == AE_IFDIR, &was_whiteout, e);
	if (rc != 0)
		return rc;
	if (link)
		return make_hard_link(u, entry, parent, name, path, e);
	if (type == AE_IFREG)
		return make_file(u, entry, parent, name, path, e);
	if (type == AE_IFLNK)
		return make_symlink(entry, parent, name, path, e);
	if (type == AE_IFIFO)
		return make_fifo(entry, parent, name, path, e);
	rc = make_folder(entry, parent, name, path, e);
	return rc == 0 && was_whiteout ? make_opaque(parent, name, path, e) : rc;
}

static int unpack_entry(struct unpack *u, struct archive_entry *entry, struct err *e)
{
	struct resolve_path path;
	int rc = resolve_clean(entry_name(entry), &path, e);
	if (rc != 0)
		return rc;
	if (path.name[0] == '\0') /* "./": the root's own owner and mode */
		return archive_entry_filetype(entry) == AE_IFDIR
			       ? set_owner_mode(entry, u->root, "the root", e)
			       : err_set(e, ERR_PROTOCOL, "the layer has an entry without a name");
	int parent;
	rc = resolve_make_folder(&u->resolve, u->root, path.folder, &parent, e);
	if (rc != 0)
		return rc;
	if (str_starts(path.name, WHITEOUT))
		return make_whiteout(parent, path.name + strlen(WHITEOUT), path.text, e);
	return make_entry(u, entry, parent, path.name, path.text, e);
}

static int unpack_entries(struct unpack *u, struct err *e)
{
	for (;;) {
		struct archive_entry *entry;
		int status = archive_read_next_header(u->archive, &entry);
		if (status == ARCHIVE_EOF)
			return drain(u, e);
		if (status < ARCHIVE_WARN)
			return archive_problem(u, e);
		if (u->entries_left-- <= 0)
			return err_set(e, ERR_TOO_LARGE, "the layer has too many files");
		int rc = unpack_entry(u, entry, e);
		if (rc != 0)
			return rc;
		if (u->cut_short)
			return drain(u, e);
	}
}

/* What a tar may have besides the data of its files: a few blocks for each. */
static int64_t plain_limit(const struct unpack *u)
{
	return u->bytes_left + (u->entries_left + 16) * 4096;
}

int unpack_layer(int folder_fd, unpack_read *read, void *arg, const struct unpack_limits *limits,
	struct err *e)
{
	struct unpack u = {
		.root = folder_fd,
		.archive = archive_read_new(),
		.bytes_left = limits && limits->bytes ? limits->bytes : BYTES_DEFAULT,
		.entries_left = limits && limits->entries ? limits->entries : ENTRIES_DEFAULT,
	};
	if (!u.archive)
		abort();
	u.plain = plain_new(read, arg, plain_limit(&u), limits ? limits->diff_id : NULL);
	resolve_init(&u.resolve);
	archive_read_support_format_tar(u.archive);
	archive_read_support_format_empty(u.archive);
	int rc;
	if (archive_read_open2(u.archive, &u, NULL, on_read, NULL, NULL) != ARCHIVE_OK)
		rc = archive_problem(&u, e);
	else
		rc = unpack_entries(&u, e);
	resolve_done(&u.resolve);
	archive_read_free(u.archive);
	plain_free(u.plain);
	return rc;
}

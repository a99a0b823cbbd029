#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "image/digest.h"
#include "image/unpack.h"
#include "sys/tree.h"

/* A folder with the layer's root in it, so that what leads out can be seen. */
struct fixture {
	char top[64];
	char root[96];
	int fd;
	struct archive *archive;
	struct buf tar;
	size_t given;
	size_t piece; /* how much a read gives */
	struct unpack_limits limits;
	struct err error;
};

static la_ssize_t collect(struct archive *archive, void *arg, const void *data, size_t size)
{
	(void)archive;
	struct fixture *f = arg;
	buf_append(&f->tar, data, size);
	return (la_ssize_t)size;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	strcpy(f->top, "/tmp/continuo-unpack-XXXXXX");
	if (geteuid() != 0 || !mkdtemp(f->top))
		return -1;
	snprintf(f->root, sizeof(f->root), "%s/root", f->top);
	mkdir(f->root, 0755);
	f->fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->piece = 100;
	f->archive = archive_write_new();
	archive_write_set_format_pax(f->archive);
	archive_write_open2(f->archive, f, NULL, collect, NULL, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	archive_write_free(f->archive);
	buf_done(&f->tar);
	close(f->fd);
	int rc = tree_remove_path(f->top, NULL);
	free(f);
	return rc;
}

static struct archive_entry *new_entry(const char *path, unsigned type, int mode)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, path);
	archive_entry_set_filetype(entry, type);
	archive_entry_set_perm(entry, (mode_t)mode);
	archive_entry_set_mtime(entry, 1000000, 0);
	archive_entry_set_uid(entry, 12);
	archive_entry_set_gid(entry, 34);
	return entry;
}

static void put(struct fixture *f, struct archive_entry *entry, const char *data)
{
	if (data)
		archive_entry_set_size(entry, (la_int64_t)strlen(data));
	assert_int_equal(archive_write_header(f->archive, entry), ARCHIVE_OK);
	if (data)
		archive_write_data(f->archive, data, strlen(data));
	archive_entry_free(entry);
}

static void put_file(struct fixture *f, const char *path, const char *data)
{
	put(f, new_entry(path, AE_IFREG, 0644), data);
}

static void put_folder(struct fixture *f, const char *path)
{
	put(f, new_entry(path, AE_IFDIR, 0755), NULL);
}

static void put_symlink(struct fixture *f, const char *path, const char *target)
{
	struct archive_entry *entry = new_entry(path, AE_IFLNK, 0777);
	archive_entry_set_symlink(entry, target);
	put(f, entry, NULL);
}

static void put_hard_link(struct fixture *f, const char *path, const char *target)
{
	struct archive_entry *entry = new_entry(path, AE_IFREG, 0644);
	archive_entry_set_hardlink(entry, target);
	put(f, entry, NULL);
}

static int give(void *arg, const void **ret_data, size_t *ret_size, struct err *e)
{
	(void)e;
	struct fixture *f = arg;
	size_t left = f->tar.size - f->given;
	*ret_size = left < f->piece ? left : f->piece;
	*ret_data = f->tar.data + f->given;
	f->given += *ret_size;
	return 0;
}

static int unpack_it(struct fixture *f)
{
	archive_write_close(f->archive);
	return unpack_layer(f->fd, give, f, &f->limits, &f->error);
}

static void check_unpacked(struct fixture *f)
{
	int rc = unpack_it(f);
	if (rc != 0)
		fail_msg("unpack gave %d: %s", rc, f->error.text);
	assert_int_equal(f->given, f->tar.size);
}

static struct stat stat_of(struct fixture *f, const char *path)
{
	struct stat st = {0};
	if (fstatat(f->fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		st.st_mode = 0;
	return st;
}

static void check_text(struct fixture *f, const char *path, const char *text)
{
	char found[64] = "";
	int fd = openat(f->fd, path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, found, sizeof(found) - 1), strlen(text));
	close(fd);
	assert_string_equal(found, text);
}

static bool is_whiteout(struct fixture *f, const char *path)
{
	struct stat st = stat_of(f, path);
	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static bool is_opaque(struct fixture *f, const char *path)
{
	char whole[200], value[8] = "";
	snprintf(whole, sizeof(whole), "%s/%s", f->root, path);
	return lgetxattr(whole, "trusted.overlay.opaque", value, sizeof(value)) == 1 &&
	       value[0] == 'y';
}

static void files_keep_what_they_are(void **state)
{
	struct fixture *f = *state;
	put_folder(f, "./");
	put_folder(f, "usr/bin/");
	put(f, new_entry("usr/bin/su", AE_IFREG, 04755), "hello");
	put_symlink(f, "usr/bin/link", "/etc/passwd");
	put_hard_link(f, "usr/bin/hard", "usr/bin/su");
	put(f, new_entry("pipe", AE_IFIFO, 0600), NULL);
	put_file(f, "/deep/er/than/listed", "x");
	/* Written in a locale that knows the letter, read in one that does not. */
	put_file(f, "n\xc3\xa4me", "x");
	archive_write_close(f->archive);
	setlocale(LC_CTYPE, "C");
	check_unpacked(f);
	struct stat st = stat_of(f, "usr/bin/su");
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 34);
	assert_int_equal(st.st_mtime, 1000000);
	assert_int_equal(st.st_nlink, 2);
	check_text(f, "usr/bin/hard", "hello");
	assert_true(S_ISLNK(stat_of(f, "usr/bin/link").st_mode));
	assert_true(S_ISFIFO(stat_of(f, "pipe").st_mode));
	assert_int_equal(stat_of(f, "deep/er").st_mode, S_IFDIR | 0755);
	check_text(f, "n\xc3\xa4me", "x");
	assert_int_equal(stat_of(f, ".").st_uid, 12);
}

static void later_entries_replace_earlier_ones(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a/b/c", "old");
	put_file(f, "a/b", "now a file");
	put_file(f, "d", "file");
	put_folder(f, "d/");
	put_file(f, "d/e", "1");
	put_folder(f, "d/");
	check_unpacked(f);
	check_text(f, "a/b", "now a file");
	check_text(f, "d/e", "1");
}

static void whiteouts_become_overlayfs_ones(void **state)
{
	struct fixture *f = *state;
	put_file(f, "etc/.wh.passwd", "");
	put_file(f, "var/.wh..wh..opq", "");
	put_file(f, "var/kept", "x");
	put_file(f, ".wh.gone", "");
	put_file(f, ".wh..wh.plnk", "");
	put_folder(f, "here/");
	put_file(f, ".wh.here", "");
	put_file(f, ".wh.file", "");
	put_file(f, "file", "new");
	/* The folder is put only after its whiteout. */
	put_folder(f, "later/");
	check_unpacked(f);
	assert_true(is_whiteout(f, "etc/passwd"));
	assert_true(is_whiteout(f, "gone"));
	assert_true(is_opaque(f, "var"));
	check_text(f, "var/kept", "x");
	assert_true(is_opaque(f, "here"));
	assert_false(is_opaque(f, "later"));
	check_text(f, "file", "new");
	assert_int_equal(stat_of(f, ".wh..wh.plnk").st_mode, 0);
}

static void folder_over_its_whiteout_is_opaque(void **state)
{
	struct fixture *f = *state;
	put_file(f, ".wh.conf", "");
	put_folder(f, "conf/");
	put_file(f, "conf/new", "x");
	check_unpacked(f);
	assert_true(is_opaque(f, "conf"));
	check_text(f, "conf/new", "x");
}

static void devices_are_left_out(void **state)
{
	struct fixture *f = *state;
	struct archive_entry *entry = new_entry("dev/null", AE_IFCHR, 0666);
	archive_entry_set_rdev(entry, makedev(1, 3));
	put(f, entry, NULL);
	entry = new_entry("dev/sda", AE_IFBLK, 0666);
	archive_entry_set_rdev(entry, makedev(8, 0));
	put(f, entry, NULL);
	check_unpacked(f);
	assert_int_equal(stat_of(f, "dev/null").st_mode, 0);
	assert_int_equal(stat_of(f, "dev/sda").st_mode, 0);
}

static void xattrs_are_filtered(void **state)
{
	struct fixture *f = *state;
	struct archive_entry *entry = new_entry("file", AE_IFREG, 0755);
	static const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
	archive_entry_xattr_add_entry(entry, "security.capability", capability, sizeof(capability));
	archive_entry_xattr_add_entry(entry, "trusted.overlay.redirect", "/x", 2);
	put(f, entry, "x");
	check_unpacked(f);
	char value[64], path[200];
	snprintf(path, sizeof(path), "%s/file", f->root);
	assert_int_equal(lgetxattr(path, "security.capability", value, sizeof(value)), 20);
	assert_true(lgetxattr(path, "trusted.overlay.redirect", value, sizeof(value)) < 0);
}

/* Whatever a layer does, nothing may appear beside its root. */
static void check_nothing_outside(struct fixture *f)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/evil", f->top);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access("/tmp/continuo-evil", F_OK), -1);
}

static void dots_are_refused(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a/../../evil", "x");
	assert_int_equal(unpack_it(f), -ERR_PROTOCOL);
	assert_non_null(strstr(f->error.text, "leads out"));
	check_nothing_outside(f);
}

static void links_lead_nowhere_outside(void **state)
{
	struct fixture *f = *state;
	put_symlink(f, "up", "../../../..");
	put_symlink(f, "absolute", "/tmp");
	put_folder(f, "tmp/");
	put_folder(f, "inner/");
	put_symlink(f, "inner/above", "..");
	put_file(f, "up/tmp/continuo-evil", "in the root");
	put_file(f, "absolute/evil", "in tmp of the root");
	put_file(f, "inner/above/evil", "in the root");
	check_unpacked(f);
	check_nothing_outside(f);
	check_text(f, "tmp/continuo-evil", "in the root");
	check_text(f, "tmp/evil", "in tmp of the root");
	check_text(f, "evil", "in the root");
}

static void files_replace_links_instead_of_following(void **state)
{
	struct fixture *f = *state;
	char target[200];
	snprintf(target, sizeof(target), "%s/evil", f->top);
	put_symlink(f, "file", target);
	put_file(f, "file", "x");
	put_symlink(f, "folder", f->top);
	put_folder(f, "folder/");
	put_file(f, "folder/evil", "x");
	check_unpacked(f);
	check_nothing_outside(f);
	assert_true(S_ISREG(stat_of(f, "file").st_mode));
	assert_true(S_ISDIR(stat_of(f, "folder").st_mode));
}

static void hard_links_stay_inside(void **state)
{
	struct fixture *f = *state;
	put_symlink(f, "out", "/");
	put_hard_link(f, "stolen", "out/etc/passwd");
	assert_int_equal(unpack_it(f), -ERR_PROTOCOL);
	assert_int_equal(stat_of(f, "stolen").st_mode, 0);
}

static void dangling_folders_are_refused(void **state)
{
	struct fixture *f = *state;
	put_symlink(f, "loop", "loop");
	put_file(f, "loop/file", "x");
	assert_int_equal(unpack_it(f), -ERR_PROTOCOL);
}

static void nameless_whiteouts_are_refused(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a/.wh...", "");
	assert_int_equal(unpack_it(f), -ERR_PROTOCOL);
}

static void sizes_and_counts_are_bounded(void **state)
{
	struct fixture *f = *state;
	f->limits = (struct unpack_limits){.bytes = 5, .entries = 2};
	put_file(f, "a", "12345");
	put_file(f, "b", "1");
	assert_int_equal(unpack_it(f), -ERR_TOO_LARGE);
}

static void entries_are_bounded(void **state)
{
	struct fixture *f = *state;
	f->limits = (struct unpack_limits){.entries = 2};
	put_file(f, "a", "");
	put_file(f, "b", "");
	put_file(f, "c", "");
	assert_int_equal(unpack_it(f), -ERR_TOO_LARGE);
}

static void damage_is_named(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a", "12345");
	archive_write_close(f->archive);
	f->tar.data[700] ^= 1; /* in a header: its checksum fails */
	f->tar.data[100] ^= 1;
	assert_int_equal(unpack_layer(f->fd, give, f, NULL, &f->error), -ERR_PROTOCOL);
	f->given = 0;
	buf_clear(&f->tar);
	buf_append_string(&f->tar, "<html>no tar</html>");
	assert_int_equal(unpack_layer(f->fd, give, f, NULL, &f->error), -ERR_PROTOCOL);
}

static void files_cut_short_are_refused(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a", "12345");
	archive_write_close(f->archive);
	/* The archive ends with the file's block and two empty ones, all padded to 10,240. */
	char *data = memmem(f->tar.data, f->tar.size, "12345", 5);
	assert_non_null(data);
	f->tar.size = (size_t)(data - f->tar.data) + 3;
	assert_int_equal(unpack_layer(f->fd, give, f, NULL, &f->error), -ERR_PROTOCOL);
}

static void missing_padding_is_forgiven(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a", "12345");
	archive_write_close(f->archive);
	char *data = memmem(f->tar.data, f->tar.size, "12345", 5);
	assert_non_null(data);
	f->tar.size = (size_t)(data - f->tar.data) + 5;
	check_unpacked(f);
	check_text(f, "a", "12345");
}

static int broken(void *arg, const void **ret_data, size_t *ret_size, struct err *e)
{
	struct fixture *f = arg;
	if (f->given >= 200)
		return err_set(e, ERR_UNAVAILABLE, "the line is cut");
	return give(arg, ret_data, ret_size, e);
}

static void broken_streams_give_their_own_error(void **state)
{
	struct fixture *f = *state;
	put_file(f, "a", "12345");
	archive_write_close(f->archive);
	assert_int_equal(unpack_layer(f->fd, broken, f, NULL, &f->error), -ERR_UNAVAILABLE);
	assert_string_equal(f->error.text, "the line is cut");
}

static void compress_it(struct fixture *f)
{
	CLEANUP(mem_free_ptr) char *plain = mem_dup_bytes(f->tar.data, f->tar.size);
	size_t size = f->tar.size;
	struct archive *a = archive_write_new();
	buf_clear(&f->tar);
	archive_write_add_filter_gzip(a);
	archive_write_set_format_raw(a);
	assert_int_equal(archive_write_open2(a, f, NULL, collect, NULL, NULL), ARCHIVE_OK);
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_filetype(entry, AE_IFREG);
	assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
	assert_true(archive_write_data(a, plain, size) == (la_ssize_t)size);
	archive_entry_free(entry);
	archive_write_free(a);
}

static void the_configuration_knows_what_is_inside(void **state)
{
	struct fixture *f = *state;
	char id[DIGEST_TEXT_SIZE], packed[DIGEST_TEXT_SIZE];
	put_file(f, "a", "12345");
	archive_write_close(f->archive);
	digest_of(f->tar.data, f->tar.size, id);
	compress_it(f);
	digest_of(f->tar.data, f->tar.size, packed);
	f->limits.diff_id = packed;
	assert_int_equal(unpack_layer(f->fd, give, f, &f->limits, &f->error), -ERR_CORRUPT);
	assert_non_null(strstr(f->error.text, id));
	assert_non_null(strstr(f->error.text, "diff_ids"));
	f->given = 0;
	f->limits.diff_id = id;
	assert_int_equal(unpack_layer(f->fd, give, f, &f->limits, &f->error), 0);
	check_text(f, "a", "12345");
}

/* What follows the archive in its stream is unpacked for its digest, but not for ever. */
static void a_long_end_is_refused(void **state)
{
	struct fixture *f = *state;
	static const char zeros[65536];
	put_file(f, "a", "12345");
	archive_write_close(f->archive);
	for (int i = 0; i < 16; i++)
		buf_append(&f->tar, zeros, sizeof(zeros));
	compress_it(f);
	f->limits = (struct unpack_limits){.bytes = 1000, .entries = 10};
	assert_int_equal(unpack_layer(f->fd, give, f, &f->limits, &f->error), -ERR_TOO_LARGE);
}

#define LAYER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAYER_TEST(files_keep_what_they_are),
		LAYER_TEST(later_entries_replace_earlier_ones),
		LAYER_TEST(whiteouts_become_overlayfs_ones),
		LAYER_TEST(folder_over_its_whiteout_is_opaque),
		LAYER_TEST(devices_are_left_out),
		LAYER_TEST(xattrs_are_filtered),
		LAYER_TEST(dots_are_refused),
		LAYER_TEST(the_configuration_knows_what_is_inside),
		LAYER_TEST(a_long_end_is_refused),
		LAYER_TEST(links_lead_nowhere_outside),
		LAYER_TEST(files_replace_links_instead_of_following),
		LAYER_TEST(hard_links_stay_inside),
		LAYER_TEST(dangling_folders_are_refused),
		LAYER_TEST(nameless_whiteouts_are_refused),
		LAYER_TEST(sizes_and_counts_are_bounded),
		LAYER_TEST(entries_are_bounded),
		LAYER_TEST(damage_is_named),
		LAYER_TEST(files_cut_short_are_refused),
		LAYER_TEST(missing_padding_is_forgiven),
		LAYER_TEST(broken_streams_give_their_own_error),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Layers that are exported and unpacked again are as they were; what docker load checks is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/digest.h"
#include "image/export.h"
#include "image/unpack.h"
#include "sys/tree.h"

struct fixture {
	char top[64], lower[96], upper[96], again[96], tar[96];
};

static void put_file(const char *folder, const char *name, size_t size, int mode)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/%s", folder, name);
	char *data CLEANUP(mem_free_ptr) = mem_alloc(size + 1);
	memset(data, 'x', size);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(fchmod(fd, (mode_t)mode), 0);
	close(fd);
}

static char *at(const char *folder, const char *name)
{
	return mem_format("%s/%s", folder, name);
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	strcpy(f->top, "/tmp/continuo-export-XXXXXX");
	if (geteuid() != 0 || !mkdtemp(f->top))
		return -1;
	snprintf(f->lower, sizeof(f->lower), "%s/lower", f->top);
	snprintf(f->upper, sizeof(f->upper), "%s/upper", f->top);
	snprintf(f->again, sizeof(f->again), "%s/again", f->top);
	snprintf(f->tar, sizeof(f->tar), "%s/image.tar", f->top);
	mkdir(f->lower, 0755);
	mkdir(f->upper, 0755);
	mkdir(f->again, 0755);
	put_file(f->lower, "one", 10, 0644);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int rc = tree_remove_path(f->top, NULL);
	free(f);
	return rc;
}

/* All that a layer may hold, with a file longer than a piece and a name longer than a tar header.
 */
static void fill_upper(const struct fixture *f)
{
	char name[200];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	put_file(f->upper, name, 1, 0600);
	put_file(f->upper, "large", 300001, 04755);
	char *large CLEANUP(mem_free_ptr) = at(f->upper, "large");
	char *same CLEANUP(mem_free_ptr) = at(f->upper, "same");
	char *folder CLEANUP(mem_free_ptr) = at(f->upper, "folder");
	char *gone CLEANUP(mem_free_ptr) = at(f->upper, "folder/gone");
	char *symbolic CLEANUP(mem_free_ptr) = at(f->upper, "folder/link");
	assert_int_equal(link(large, same), 0);
	assert_int_equal(chown(large, 1234, 70000), 0);
	assert_int_equal(chmod(large, 04755), 0);
	assert_int_equal(setxattr(large, "user.note", "text", 4, 0), 0);
	assert_int_equal(mkdir(folder, 0711), 0);
	assert_int_equal(setxattr(folder, "trusted.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(mknod(gone, S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(symlink("/outside", symbolic), 0);
}

static void export_both(const struct fixture *f)
{
	const char *const layers[] = {f->lower, f->upper, NULL};
	struct err e = ERR_INIT;
	int fd = open(f->tar, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	const struct export x = {.layers = layers, .name = "continuo/layers:abc", .fd = fd};
	if (export_image(&x, &e))
		fail_msg("%s", e.text);
	close(fd);
}

/* A member of the archive, all of it. */
static void read_member(const struct fixture *f, const char *name, struct buf *ret_data)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	archive_read_support_format_tar(a);
	assert_int_equal(archive_read_open_filename(a, f->tar, 10240), ARCHIVE_OK);
	while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		if (!str_equal(archive_entry_pathname(entry), name))
			continue;
		size_t size = (size_t)archive_entry_size(entry);
		char *data CLEANUP(mem_free_ptr) = mem_alloc(size + 1);
		assert_int_equal(archive_read_data(a, data, size), size);
		buf_append(ret_data, data, size);
	}
	archive_read_free(a);
	assert_true(ret_data->size > 0);
}

static json_t *read_json(const struct fixture *f, const char *name)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	json_t *json = NULL;
	read_member(f, name, &b);
	assert_int_equal(json_decode(buf_text(&b), b.size, &json, NULL), 0);
	return json;
}

static void engines_find_what_they_check(void **state)
{
	struct fixture *f = *state;
	fill_upper(f);
	export_both(f);
	json_t *manifest CLEANUP(json_done) = read_json(f, "manifest.json");
	const json_t *image = json_array_get(manifest, 0);
	json_t *config CLEANUP(json_done) = read_json(f, json_text(image, "", "Config"));
	assert_string_equal(json_text_or(json_array_get(json_at(image, "RepoTags"), 0), ""),
		"continuo/layers:abc");
	assert_int_equal(json_array_size(json_at(image, "Layers")), 2);
	for (size_t i = 0; i < 2; i++) {
		struct buf layer CLEANUP(buf_done) = BUF_INIT;
		char digest[DIGEST_TEXT_SIZE];
		read_member(f, json_text_or(json_array_get(json_at(image, "Layers"), i), ""),
			&layer);
		digest_of(layer.data, layer.size, digest);
		assert_string_equal(
			json_text_or(json_array_get(json_at(config, "rootfs", "diff_ids"), i), ""),
			digest);
	}
	char *folders CLEANUP(mem_free_ptr) = mem_format("[\"%s\",\"%s\"]", f->lower, f->upper);
	assert_string_equal(json_text(config, "", "config", "Labels", EXPORT_LABEL), folders);
}

static int give_once(void *arg, const void **ret_data, size_t *ret_size, struct err *e)
{
	struct buf *b = arg;
	(void)e;
	*ret_data = b->data;
	*ret_size = b->limit ? b->size : 0;
	b->limit = 0; /* given */
	return 0;
}

static void layers_come_back_as_they_were(void **state)
{
	struct fixture *f = *state;
	struct buf layer CLEANUP(buf_done) = BUF_INIT_LIMIT(4 << 20);
	struct err e = ERR_INIT;
	struct stat st, other;
	char value[8] = "";
	fill_upper(f);
	export_both(f);
	read_member(f, "1/layer.tar", &layer);
	int fd = open(f->again, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct unpack_limits limits = {0};
	if (unpack_layer(fd, give_once, &layer, &limits, &e))
		fail_msg("%s", e.text);
	assert_int_equal(fstatat(fd, "large", &st, 0), 0);
	assert_int_equal(fstatat(fd, "same", &other, 0), 0);
	assert_int_equal(st.st_ino, other.st_ino);
	assert_int_equal(st.st_size, 300001);
	assert_int_equal(st.st_mode & 07777, 04755);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 70000);
	char *large CLEANUP(mem_free_ptr) = at(f->again, "large");
	assert_int_equal(getxattr(large, "user.note", value, sizeof(value)), 4);
	char *folder CLEANUP(mem_free_ptr) = at(f->again, "folder");
	assert_int_equal(getxattr(folder, "trusted.overlay.opaque", value, sizeof(value)), 1);
	assert_int_equal(fstatat(fd, "folder/gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	assert_int_equal(fstatat(fd, "folder/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(faccessat(fd, "one", F_OK, 0), -1); /* of the other layer */
	close(fd);
}

static void the_same_folders_give_the_same_bytes(void **state)
{
	struct fixture *f = *state;
	struct buf first CLEANUP(buf_done) = BUF_INIT;
	struct buf second CLEANUP(buf_done) = BUF_INIT;
	fill_upper(f);
	export_both(f);
	read_member(f, "config.json", &first);
	export_both(f);
	read_member(f, "config.json", &second);
	assert_string_equal(buf_text(&first), buf_text(&second));
}

static void what_is_gone_is_told(void **state)
{
	struct fixture *f = *state;
	char *gone CLEANUP(mem_free_ptr) = at(f->top, "gone");
	const char *const layers[] = {gone, NULL};
	struct err e = ERR_INIT;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct export x = {.layers = layers, .name = "x:y", .fd = fd};
	assert_int_equal(export_image(&x, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, gone));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(engines_find_what_they_check, setup, teardown),
		cmocka_unit_test_setup_teardown(layers_come_back_as_they_were, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_folders_give_the_same_bytes, setup,
			teardown),
		cmocka_unit_test_setup_teardown(what_is_gone_is_told, setup, teardown),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

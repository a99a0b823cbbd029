/* Files in memory for tests: a table of paths and texts, read only. A text "-> TARGET" makes a
 * symbolic link, which fs_node does not follow; "c MAJOR:MINOR" and "b MAJOR:MINOR" make device
 * nodes. Folders are what paths lie in. */
#ifndef CONTINUO_SYS_FILES_TEST_H
#define CONTINUO_SYS_FILES_TEST_H

#include <stdio.h>
#include <string.h>

#include "sys/fs.h"

struct test_file {
	const char *path, *text;
};

struct test_files {
	struct fs fs;
	const struct test_file *files; /* ends with a null path */
};

static inline const struct test_file *test_files_find(struct fs *fs, const char *path)
{
	const struct test_files *t = CONTAINER_OF(fs, struct test_files, fs);
	for (const struct test_file *f = t->files; f->path; f++)
		if (strcmp(f->path, path) == 0)
			return f;
	return NULL;
}

static inline int test_files_read(struct fs *fs, const char *path, struct buf *ret_data,
	struct err *e)
{
	const struct test_file *f = test_files_find(fs, path);
	if (!f)
		return err_set(e, ERR_NOT_FOUND, "there is no %s", path);
	if (strncmp(f->text, "-> ", 3) == 0)
		return err_set(e, ERR_IO, "%s is a folder", path);
	buf_append_string(ret_data, f->text);
	return 0;
}

static inline int64_t test_files_free(struct fs *fs, const char *path)
{
	(void)fs;
	(void)path;
	return 1 << 30;
}

/* Names come in the order of the table, which must have what is in one folder together. */
static inline int test_files_list(struct fs *fs, const char *path, fs_list_cb *cb, void *arg,
	struct err *e)
{
	const struct test_files *t = CONTAINER_OF(fs, struct test_files, fs);
	size_t size = strlen(path);
	char last[256] = "";
	bool any = false;
	for (const struct test_file *f = t->files; f->path; f++) {
		char name[256];
		if (strncmp(f->path, path, size) != 0 || f->path[size] != '/')
			continue;
		any = true;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(f->path + size + 1, "/"),
			f->path + size + 1);
		if (strcmp(name, last) == 0)
			continue;
		strcpy(last, name);
		int r = cb(arg, name, f->path[size + 1 + strlen(name)] == '/');
		if (r)
			return r;
	}
	return any ? 0 : err_set(e, ERR_NOT_FOUND, "there is no %s", path);
}

static inline int test_files_node(struct fs *fs, const char *path, struct fs_node *ret_node,
	struct err *e)
{
	const struct test_file *f = test_files_find(fs, path);
	*ret_node = (struct fs_node){0};
	if (!f)
		return err_set(e, ERR_NOT_FOUND, "there is no %s", path);
	if (sscanf(f->text, "%c %u:%u", &ret_node->type, &ret_node->major, &ret_node->minor) != 3)
		ret_node->type = 0;
	return 0;
}

static inline int test_files_link(struct fs *fs, const char *path, struct buf *ret_text,
	struct err *e)
{
	const struct test_file *f = test_files_find(fs, path);
	if (!f || strncmp(f->text, "-> ", 3) != 0)
		return err_set(e, f ? ERR_IO : ERR_NOT_FOUND, "%s is no link", path);
	buf_append_string(ret_text, f->text + 3);
	return 0;
}

static const struct fs_ops test_files_ops = {.read = test_files_read,
	.list = test_files_list,
	.free_bytes = test_files_free,
	.node = test_files_node,
	.link = test_files_link};

#endif

/* Files in memory for tests: a table of paths and texts, read only. */
#ifndef CONTINUO_AGENT_FILES_TEST_H
#define CONTINUO_AGENT_FILES_TEST_H

#include <string.h>

#include "sys/fs.h"

struct test_file {
	const char *path, *text;
};

struct test_files {
	struct fs fs;
	const struct test_file *files; /* ends with a null path */
};

static inline int test_files_read(struct fs *fs, const char *path, struct buf *ret_data,
	struct err *e)
{
	const struct test_files *t = CONTAINER_OF(fs, struct test_files, fs);
	for (const struct test_file *f = t->files; f->path; f++)
		if (strcmp(f->path, path) == 0) {
			buf_append_string(ret_data, f->text);
			return 0;
		}
	return err_set(e, ERR_NOT_FOUND, "there is no %s", path);
}

static inline int64_t test_files_free(struct fs *fs, const char *path)
{
	(void)fs;
	(void)path;
	return 1 << 30;
}

static const struct fs_ops test_files_ops = {
	.read = test_files_read, .free_bytes = test_files_free};

#endif

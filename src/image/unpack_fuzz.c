/*
 * A layer of any bytes, unpacked into a folder: it ends with a result or an error, and nothing
 * appears outside of the folder. The folder is the only entry of another one, whose other entries
 * would be escapes. Needs root for owners and whiteouts (without it most inputs end early).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/unpack.h"
#include "sys/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

static int give(void *arg, const void **ret_data, size_t *ret_size, struct err *e)
{
	struct input *input = arg;
	(void)e;
	*ret_data = input->data;
	*ret_size = input->left < 512 ? input->left : 512;
	input->data += *ret_size;
	input->left -= *ret_size;
	return 0;
}

static int count_entries(const char *path)
{
	DIR *folder = opendir(path);
	int count = 0;
	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char top[] = "/tmp/continuo-fuzz-XXXXXX";
	static char root[64];
	strcpy(top, "/tmp/continuo-fuzz-XXXXXX");
	if (!mkdtemp(top))
		abort();
	snprintf(root, sizeof(root), "%s/root", top);
	if (mkdir(root, 0755) != 0)
		abort();
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct input input = {data, size};
	struct unpack_limits limits = {.bytes = 1 << 20, .entries = 100};
	struct err e = ERR_INIT;
	int rc = unpack_layer(fd, give, &input, &limits, &e);
	close(fd);
	if (rc > 0 || (rc < 0 && e.text[0] == '\0'))
		abort();
	if (rc == 0 && input.left > 0) /* a digest would not have been checked */
		abort();
	if (count_entries(top) != 3) /* ".", "..", "root" */
		abort();
	if (tree_remove_path(top, &e) != 0)
		abort();
	return 0;
}

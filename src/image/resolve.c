#include "image/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/inside.h"
#include "sys/tree.h"

int resolve_clean(const char *name, struct resolve_path *ret_path, struct err *e)
{
	if (!name)
		return err_set(e, ERR_PROTOCOL, "the layer has an entry whose name cannot be read");
	size_t used = 0;
	char *text = ret_path->text;
	for (const char *at = name; *at;) {
		size_t length = strcspn(at, "/");
		if (length == 2 && memcmp(at, "..", 2) == 0)
			return err_set(e, ERR_PROTOCOL,
				"the layer's entry \"%.100s\" leads out of the image", name);
		if (length > NAME_MAX || used + length + 2 > PATH_MAX)
			return err_set(e, ERR_PROTOCOL,
				"the layer's entry \"%.60s...\" is too long", name);
		if (length > 0 && !(length == 1 && *at == '.')) {
			if (used > 0)
				text[used++] = '/';
			memcpy(text + used, at, length);
			used += length;
		}
		at += length + (at[length] == '/');
	}
	text[used] = '\0';
	const char *slash = strrchr(text, '/');
	size_t folder_length = slash ? (size_t)(slash - text) : 0;
	memcpy(ret_path->folder, text, folder_length);
	ret_path->folder[folder_length] = '\0';
	str_copy(ret_path->name, sizeof(ret_path->name), slash ? slash + 1 : text);
	return 0;
}

static int open_in_root(int root, const char *folder)
{
	return inside_open(root, folder[0] ? folder : ".", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
}

static int open_error(const char *folder, struct err *e)
{
	if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
		return err_set(e, ERR_PROTOCOL, "the layer names \"%.200s\", which is no folder",
			folder);
	return err_set_errno(e, errno, "open %s", folder);
}

int resolve_open_folder(int root, const char *folder, struct err *e)
{
	int fd = open_in_root(root, folder);
	return fd >= 0 ? fd : open_error(folder, e);
}

/* Makes one folder after the other: each is resolved anew, as the ones before may be links. */
static int make_all(int root, const char *folder, struct err *e)
{
	char path[PATH_MAX];
	CLEANUP(tree_close)
	int above = resolve_open_folder(root, "", e);
	if (above < 0)
		return above;
	for (const char *at = folder; *at;) {
		size_t length = strcspn(at, "/");
		size_t whole = (size_t)(at - folder) + length;
		memcpy(path, folder, whole);
		path[whole] = '\0';
		int fd = open_in_root(root, path);
		if (fd < 0 && errno == ENOENT) {
			if (mkdirat(above, path + (at - folder), 0755) != 0)
				return errno == EEXIST ? open_error(path, e)
						       : err_set_errno(e, errno, "create %s", path);
			fd = open_in_root(root, path);
		}
		if (fd < 0)
			return open_error(path, e);
		close(above);
		above = fd;
		at += length + (at[length] == '/');
	}
	int fd = above;
	above = -1;
	return fd;
}

void resolve_init(struct resolve *r)
{
	r->fd = -1;
	r->folder[0] = '\0';
}

int resolve_make_folder(struct resolve *r, int root, const char *folder, int *ret_fd, struct err *e)
{
	if (r->fd < 0 || strcmp(r->folder, folder) != 0) {
		resolve_done(r);
		int fd = open_in_root(root, folder);
		if (fd < 0 && errno == ENOENT)
			fd = make_all(root, folder, e);
		else if (fd < 0)
			return open_error(folder, e);
		if (fd < 0)
			return fd;
		r->fd = fd;
		str_copy(r->folder, sizeof(r->folder), folder);
	}
	*ret_fd = r->fd;
	return 0;
}

void resolve_done(struct resolve *r)
{
	tree_close(&r->fd);
}

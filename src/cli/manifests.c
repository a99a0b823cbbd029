#include "cli/manifests.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/kubeconfig.h"
#include "codec/yaml.h"

#define FILE_MAX ((size_t)64 << 20)

struct walk {
	manifest_cb *cb;
	void *arg;
	bool recursive;
	const char *path; /* of the file that is read */
	int failures;
};

static void report(struct walk *w, const struct err *e)
{
	w->failures++;
	cli_fail(e);
}

static void give(struct walk *w, json_t *document, int line)
{
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *where = mem_format("%s:%d", w->path, line);
	if (!json_is_object(document))
		err_set(&e, ERR_DECODE, "%.200s: this is not an object", where);
	else if (w->cb(w->arg, document, where, &e) == 0)
		return;
	report(w, &e);
}

static int on_document(void *arg, json_t *document, int line, struct err *e)
{
	struct walk *w = arg;
	(void)e;
	if (!str_equal(json_text(document, "", "kind"), "List")) {
		give(w, document, line);
		return 0;
	}
	size_t at;
	json_t *item;
	json_array_foreach (json_object_get(document, "items"), at, item) {
		give(w, item, line);
	}
	return 0;
}

static void read_one(struct walk *w, const char *path)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(FILE_MAX);
	struct err e = ERR_INIT;
	w->path = str_equal(path, "-") ? "stdin" : path;
	int r = cli_read_file(path, &b, &e);
	if (r == 0) {
		r = yaml_decode(buf_text(&b), b.size, on_document, w, &e);
		if (r < 0)
			err_prefix(&e, "%.150s", w->path);
	}
	if (r < 0)
		report(w, &e);
}

static bool is_manifest(const char *name)
{
	return str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json");
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void read_path(struct walk *w, const char *path, bool named);

static void read_folder(struct walk *w, const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_visible, alphasort);
	if (count < 0) {
		struct err e = ERR_INIT;
		err_set_errno(&e, errno, "cannot read folder %.150s", path);
		report(w, &e);
		return;
	}
	for (int i = 0; i < count; i++) {
		CLEANUP(mem_free_ptr) char *inner = mem_format("%s/%s", path, entries[i]->d_name);
		read_path(w, inner, false);
		free(entries[i]);
	}
	free(entries);
}

/* named: given by the user, so read whatever its name ends in. */
static void read_path(struct walk *w, const char *path, bool named)
{
	struct stat info;
	bool folder = !str_equal(path, "-") && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
	if (folder && (named || w->recursive))
		read_folder(w, path);
	else if (!folder && (named || is_manifest(path)))
		read_one(w, path);
}

int manifests_each(const cli_words *paths, bool recursive, manifest_cb *cb, void *arg,
	struct err *e)
{
	struct walk w = {.cb = cb, .arg = arg, .recursive = recursive};
	if (paths->count == 0)
		return err_set(e, ERR_USAGE,
			"say which manifests: -f FILE (a folder, - for stdin)");
	for (size_t i = 0; i < paths->count; i++)
		read_path(&w, paths->items[i], true);
	return w.failures;
}

#include "driver/volume_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/env.h"
#include "driver/oci.h"

void volume_file_free(void *value)
{
	struct volume_file *f = value;
	free(f->data);
	free(f);
}

/* ---- collecting ---- */

static int add_file(struct map *files, const char *path, struct buf *data, int mode, struct err *e)
{
	bool dots = str_equal(path, "..") || str_starts(path, "../") || strstr(path, "/../") ||
		    str_ends(path, "/..") || str_starts(path, "..");
	if (!*path || *path == '/' || dots)
		return err_set(e, ERR_INVALID, "the path \"%s\" leads out of the volume", path);
	struct volume_file *f = mem_new(struct volume_file);
	f->data = buf_take(data, &f->size);
	f->mode = mode;
	map_put(files, path, f);
	return 0;
}

static int add_items(const json_t *tree, const json_t *from, int mode, struct map *files,
	struct err *e)
{
	size_t i;
	json_t *item;
	bool optional = json_bool(from, false, "optional");
	json_array_foreach (json_at(from, "items"), i, item) {
		struct buf data CLEANUP(buf_done) = BUF_INIT;
		int rc = env_key(tree, json_text(item, "", "key"), &data, e);
		if (rc == -ERR_NOT_FOUND && optional)
			continue;
		if (!rc)
			rc = add_file(files, json_text(item, "", "path"), &data,
				(int)json_int(item, mode, "mode"), e);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_keys(const json_t *tree, const char *section, int mode, struct map *files,
	struct err *e)
{
	const char *key;
	json_t *value;
	json_object_foreach (json_at(tree, section), key, value) {
		(void)value;
		struct buf data CLEANUP(buf_done) = BUF_INIT;
		int rc = env_key(tree, key, &data, e);
		if (!rc)
			rc = add_file(files, key, &data, mode, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_object(const struct volumes *v, const char *kind, const char *name,
	const json_t *from, int mode, struct map *files, struct err *e)
{
	const struct object *o = env_find(v->objects, v->object_count, kind, name);
	if (!o && json_bool(from, false, "optional"))
		return 0;
	if (!o)
		return err_set(e, ERR_NOT_FOUND, "%s \"%s\" not found",
			str_equal(kind, "Secret") ? "secret" : "configmap", name);
	json_t *tree CLEANUP(json_done) = object_tree(o);
	if (json_array_size(json_at(from, "items")))
		return add_items(tree, from, mode, files, e);
	int rc = add_keys(tree, "data", mode, files, e);
	return rc ? rc : add_keys(tree, "binaryData", mode, files, e);
}

/* Labels or annotations, as kubelet writes them: key="value", sorted by key. */
static void write_pairs(const json_t *pairs, struct buf *data)
{
	char *text CLEANUP(mem_free_ptr) = pairs ? json_dumps(pairs, JSON_SORT_KEYS) : NULL;
	json_t *again CLEANUP(json_done) = text ? json_loads(text, 0, NULL) : NULL;
	const char *key;
	json_t *value;
	json_object_foreach (again, key, value) {
		buf_printf(data, "%s=", key);
		json_write_string(data, json_text_or(value, ""));
		buf_append_char(data, '\n');
	}
	if (data->size)
		data->size--; /* none after the last */
}

static int add_field(const struct volumes *v, const json_t *item, struct buf *data, struct err *e)
{
	const struct env_source source = {.pod = v->pod,
		.node_name = v->node_name,
		.ip = v->ip,
		.host_ip = v->host_ip,
		.cpu_milli = v->cpu_milli,
		.memory_bytes = v->memory_bytes};
	const char *field = json_text(item, "", "fieldRef", "fieldPath");
	const json_t *resource = json_at(item, "resourceFieldRef");
	if (resource)
		return env_resource(&source, resource, data, e);
	bool labels = str_equal(field, "metadata.labels");
	if (!str_starts(field, "metadata."))
		return err_set(e, ERR_UNSUPPORTED,
			"the field \"%s\" cannot be a file, only a variable", field);
	if (!labels && !str_equal(field, "metadata.annotations"))
		return env_field(&source, field, data, e);
	write_pairs(json_at(v->pod, "metadata", labels ? "labels" : "annotations"), data);
	return 0;
}

static int add_fields(const struct volumes *v, const json_t *from, int mode, struct map *files,
	struct err *e)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_at(from, "items"), i, item) {
		struct buf data CLEANUP(buf_done) = BUF_INIT;
		int rc = add_field(v, item, &data, e);
		if (rc)
			return rc;
		rc = add_file(files, json_text(item, "", "path"), &data,
			(int)json_int(item, mode, "mode"), e);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_source(const struct volumes *v, const json_t *source, int mode, struct map *files,
	struct err *e)
{
	const json_t *map = json_at(source, "configMap"), *secret = json_at(source, "secret"),
		     *fields = json_at(source, "downwardAPI");
	if (map)
		return add_object(v, "ConfigMap", json_text(map, "", "name"), map,
			(int)json_int(map, mode, "defaultMode"), files, e);
	if (secret)
		return add_object(v, "Secret",
			json_text(secret, json_text(secret, "", "name"), "secretName"), secret,
			(int)json_int(secret, mode, "defaultMode"), files, e);
	if (fields)
		return add_fields(v, fields, (int)json_int(fields, mode, "defaultMode"), files, e);
	return err_set(e, ERR_UNSUPPORTED,
		"this kind of volume is not supported: configMap, secret, downwardAPI, projected, "
		"emptyDir and hostPath are");
}

int volume_files_collect(const struct volumes *v, const json_t *volume, struct map *files,
	struct err *e)
{
	const json_t *projected = json_at(volume, "projected");
	if (!projected)
		return add_source(v, volume, 0644, files, e);
	int mode = (int)json_int(projected, 0644, "defaultMode");
	size_t i;
	json_t *source;
	json_array_foreach (json_at(projected, "sources"), i, source) {
		int rc = add_source(v, source, mode, files, e);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- writing ---- */

static bool same_content(const char *folder, const struct map *files)
{
	char *list CLEANUP(mem_free_ptr) = mem_format("%s/..data/..count", folder);
	struct buf count CLEANUP(buf_done) = BUF_INIT;
	if (oci_read_file(list, &count, NULL) || (size_t)atoi(buf_text(&count)) != files->count)
		return false;
	MAP_EACH (files, entry) {
		const struct volume_file *f = entry->value;
		char *path CLEANUP(mem_free_ptr) = mem_format("%s/..data/%s", folder, entry->key);
		struct buf data CLEANUP(buf_done) = BUF_INIT;
		struct stat st;
		if (oci_read_file(path, &data, NULL) || data.size != f->size ||
			(f->size && memcmp(data.data, f->data, f->size) != 0) ||
			stat(path, &st) < 0 || (int)(st.st_mode & 0777) != (f->mode & 0777))
			return false;
	}
	return true;
}

static int write_set(const char *set, const struct map *files, int64_t group, struct err *e)
{
	MAP_EACH (files, entry) {
		const struct volume_file *f = entry->value;
		char *path CLEANUP(mem_free_ptr) = mem_format("%s/%s", set, entry->key);
		char *folder CLEANUP(mem_free_ptr) = mem_dup_string(path);
		*strrchr(folder, '/') = '\0';
		int rc = oci_make_folder(folder, 0755, e);
		if (!rc)
			rc = oci_write_file(path, f->data, f->size,
				group >= 0 ? f->mode | 0440 : f->mode, e);
		if (rc)
			return rc;
		if (group >= 0 && chown(path, (uid_t)-1, (gid_t)group) < 0)
			return err_set_errno(e, errno, "cannot give %s to its group", path);
	}
	char *list CLEANUP(mem_free_ptr) = mem_format("%s/..count", set);
	char text[32];
	int size = snprintf(text, sizeof(text), "%zu", files->count);
	return oci_write_file(list, text, (size_t)size, 0600, e);
}

/* Links for what is at the top, so that users see folder/KEY; each leads through ..data. */
static void link_names(const char *folder, const struct map *files)
{
	MAP_EACH (files, entry) {
		char *top CLEANUP(mem_free_ptr) = mem_dup_string(entry->key);
		char *slash = strchr(top, '/');
		if (slash)
			*slash = '\0';
		char *link CLEANUP(mem_free_ptr) = mem_format("%s/%s", folder, top);
		char *target CLEANUP(mem_free_ptr) = mem_format("..data/%s", top);
		(void)!symlink(target, link); /* there already: the same */
	}
}

static bool has_name(const struct map *files, const char *top)
{
	size_t size = strlen(top);
	MAP_EACH (files, entry)
		if (str_starts(entry->key, top) && (!entry->key[size] || entry->key[size] == '/'))
			return true;
	return false;
}

/* Links of keys that are no more; after the switch, so that no reader sees less than one set. */
static void unlink_names(const char *folder, const struct map *files)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	while (list && (entry = readdir(list)))
		if (!str_starts(entry->d_name, "..") && !str_equal(entry->d_name, ".") &&
			!has_name(files, entry->d_name))
			(void)unlinkat(dirfd(list), entry->d_name, 0);
	if (list)
		closedir(list);
}

int volume_files_write(const char *folder, const struct map *files, int64_t group, struct err *e)
{
	int rc = oci_make_folder(folder, 0755, e);
	if (rc)
		return rc;
	if (same_content(folder, files))
		return 0;
	char *data CLEANUP(mem_free_ptr) = mem_format("%s/..data", folder);
	char *fresh CLEANUP(mem_free_ptr) = mem_format("%s/..data_tmp", folder);
	char *set CLEANUP(mem_free_ptr) = mem_format("%s/..XXXXXX", folder);
	char old[256] = "";
	ssize_t size = readlink(data, old, sizeof(old) - 1);
	old[size > 0 ? size : 0] = '\0';
	if (!mkdtemp(set) || chmod(set, 0755) < 0)
		return err_set_errno(e, errno, "cannot make a folder in %s", folder);
	rc = write_set(set, files, group, e);
	(void)unlink(fresh);
	if (!rc && (symlink(strrchr(set, '/') + 1, fresh) < 0 || rename(fresh, data) < 0))
		rc = err_set_errno(e, errno, "cannot switch %s over", data);
	if (rc) {
		oci_remove_tree(set);
		return rc;
	}
	link_names(folder, files);
	unlink_names(folder, files);
	if (*old) {
		char *gone CLEANUP(mem_free_ptr) = mem_format("%s/%s", folder, old);
		oci_remove_tree(gone);
	}
	return 0;
}

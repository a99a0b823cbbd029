#include "driver/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/env.h"
#include "driver/oci.h"
#include "driver/volume_files.h"
#include "model/model.h"
#include "sys/inside.h"

#define SUB_PATHS "%s/subpaths" /* in run_folder: CONTAINER_ID/NUMBER, mounted */

static int64_t volume_group(const struct volumes *v)
{
	return json_int(v->pod, -1, "spec", "securityContext", "fsGroup");
}

static char *volume_folder(const struct volumes *v, const json_t *volume)
{
	const json_t *empty = json_at(volume, "emptyDir");
	bool disk = empty && !str_equal(json_text(empty, "", "medium"), "Memory");
	return mem_format("%s/volumes/%s", disk ? v->state_folder : v->run_folder,
		json_text(volume, "", "name"));
}

/* ---- emptyDir and hostPath ---- */

static bool is_mounted(const char *folder)
{
	struct stat here, above;
	char *parent CLEANUP(mem_free_ptr) = mem_format("%s/..", folder);
	return stat(folder, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

static int volume_empty(const struct volumes *v, const json_t *empty, const char *folder,
	struct err *e)
{
	bool memory = str_equal(json_text(empty, "", "medium"), "Memory");
	struct stat st;
	bool there = stat(folder, &st) == 0;
	if (there && (!memory || is_mounted(folder)))
		return 0;
	int rc = oci_make_folder(folder, 0700, e);
	if (rc)
		return rc;
	if (memory) {
		int64_t size = 0;
		char options[64] = "mode=0777";
		if (json_at(empty, "sizeLimit") &&
			quantity_units(json_text(empty, "", "sizeLimit"), &size, NULL) == 0)
			snprintf(options, sizeof(options), "mode=0777,size=%lld", (long long)size);
		if (mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
			return err_set_errno(e, errno, "cannot mount a tmpfs on %s", folder);
	}
	int64_t group = volume_group(v);
	if (group >= 0 && chown(folder, (uid_t)-1, (gid_t)group) < 0)
		return err_set_errno(e, errno, "cannot give %s to group %lld", folder,
			(long long)group);
	if (chmod(folder, group >= 0 ? 02777 : 0777) < 0)
		return err_set_errno(e, errno, "cannot open %s to all", folder);
	return 0;
}

static int host_path_create(const char *path, bool folder, struct err *e)
{
	if (folder)
		return oci_make_folder(path, 0755, e);
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot create the hostPath %s", path);
	close(fd);
	return 0;
}

static int volume_host_path(const struct volumes *v, const json_t *host, struct err *e)
{
	static const struct {
		const char *type;
		mode_t mode;
	} types[] = {{"Directory", S_IFDIR}, {"File", S_IFREG}, {"Socket", S_IFSOCK},
		{"CharDevice", S_IFCHR}, {"BlockDevice", S_IFBLK}, {"DirectoryOrCreate", S_IFDIR},
		{"FileOrCreate", S_IFREG}};
	const char *path = json_text(host, "", "path"), *type = json_text(host, "", "type");
	if (!str_equal(v->privilege, "privileged"))
		return err_set(e, ERR_FORBIDDEN,
			"hostPath %s needs a namespace of level privileged, not %s", path,
			v->privilege);
	struct stat st;
	bool there = stat(path, &st) == 0;
	if (!there && str_ends(type, "OrCreate"))
		return host_path_create(path, str_starts(type, "Directory"), e);
	if (!there)
		return err_set(e, ERR_NOT_FOUND, "hostPath %s is not there", path);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_equal(type, types[i].type) && (st.st_mode & S_IFMT) != types[i].mode)
			return err_set(e, ERR_INVALID, "hostPath %s is no %s", path, type);
	return 0;
}

/* ---- all volumes of a pod ---- */

static int volume_make(const struct volumes *v, const json_t *volume, struct err *e)
{
	char *folder CLEANUP(mem_free_ptr) = volume_folder(v, volume);
	const json_t *empty = json_at(volume, "emptyDir"), *host = json_at(volume, "hostPath");
	if (empty)
		return volume_empty(v, empty, folder, e);
	if (host)
		return volume_host_path(v, host, e);
	struct map files CLEANUP(map_done);
	map_init(&files, volume_file_free);
	int rc = volume_files_collect(v, volume, &files, e);
	if (rc)
		return err_prefix(e, "volume \"%s\"", json_text(volume, "", "name"));
	return volume_files_write(folder, &files, volume_group(v), e);
}

int volumes_make(const struct volumes *v, struct err *e)
{
	size_t i;
	json_t *volume;
	json_array_foreach (json_at(v->pod, "spec", "volumes"), i, volume) {
		int rc = volume_make(v, volume, e);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- mounts of one container ---- */

/* Opens path below root, never outside of it: links in the volume are the container's to make. */
static int open_inside(int root, const char *path, int flags)
{
	return inside_open(root, path, flags, RESOLVE_BENEATH);
}

/* Makes the folders of path below root that are missing. */
static void make_inside(int root, const char *path)
{
	char *copy CLEANUP(mem_free_ptr) = mem_dup_string(path);
	for (char *at = copy; at;) {
		char *slash = strchr(at, '/');
		char *cut = at > copy ? at - 1 : NULL;
		if (slash)
			*slash = '\0';
		if (cut)
			*cut = '\0';
		int parent CLEANUP(oci_fd_done) =
			open_inside(root, cut ? copy : ".", O_PATH | O_DIRECTORY);
		if (parent >= 0)
			(void)mkdirat(parent, at, 0755);
		if (cut)
			*cut = '/';
		if (slash)
			*slash = '/';
		at = slash ? slash + 1 : NULL;
	}
}

static int make_target(const char *target, bool folder, struct err *e)
{
	char *parent CLEANUP(mem_free_ptr) = mem_dup_string(target);
	*strrchr(parent, '/') = '\0';
	int rc = oci_make_folder(folder ? target : parent, 0700, e);
	if (rc || folder)
		return rc;
	int fd CLEANUP(oci_fd_done) = open(target, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	return fd < 0 ? err_set_errno(e, errno, "cannot create %s", target) : 0;
}

/* What the volume's path leads to now is mounted where no container can write, and the runtime is
 * given that place: the path itself may lead out of the volume a moment later. */
static int sub_path(const char *folder, const char *path, const char *target, struct err *e)
{
	int root CLEANUP(oci_fd_done) = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_set_errno(e, errno, "cannot open the volume %s", folder);
	int fd CLEANUP(oci_fd_done) = open_inside(root, path, O_PATH);
	if (fd < 0 && errno == ENOENT) {
		make_inside(root, path);
		fd = open_inside(root, path, O_PATH);
	}
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(e, errno, "subPath %s does not lead into its volume", path);
	int rc = make_target(target, S_ISDIR(st.st_mode), e);
	if (rc)
		return rc;
	char source[64];
	snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0 ||
		mount(NULL, target, NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		return err_set_errno(e, errno, "cannot mount the subPath %s at %s", path, target);
	return 0;
}

void volumes_unmount(const char *run_folder, const char *container_id)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format(SUB_PATHS "/%s", run_folder, container_id);
	oci_remove_tree(folder);
}

void volumes_sweep(const char *run_folder, const struct map *containers)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format(SUB_PATHS, run_folder);
	DIR *list = opendir(folder);
	struct dirent *entry;
	while (list && (entry = readdir(list)))
		if (entry->d_name[0] != '.' && !map_has(containers, entry->d_name))
			volumes_unmount(run_folder, entry->d_name);
	if (list)
		closedir(list);
}

static int mount_one(const struct volumes *v, const json_t *mount, const json_t *volume,
	json_t *mounts, struct err *e)
{
	const json_t *host = json_at(volume, "hostPath");
	char *source CLEANUP(mem_free_ptr) =
		host ? mem_dup_string(json_text(host, "", "path")) : volume_folder(v, volume);
	const char *sub = json_text(mount, "", "subPath");
	if (*sub) {
		char *target CLEANUP(mem_free_ptr) = mem_format(SUB_PATHS "/%s/%zu", v->run_folder,
			v->container_id, json_array_size(mounts));
		int rc = sub_path(source, sub, target, e);
		if (rc)
			return rc;
		free(source);
		source = take_ptr(target);
	}
	bool files = !host && !json_at(volume, "emptyDir");
	bool read_only = files || json_bool(mount, false, "readOnly");
	json_array_append_new(mounts,
		json_pack("{s:s,s:s,s:s,s:[s,s,s]}", "destination",
			json_text(mount, "", "mountPath"), "type", "bind", "source", source,
			"options", "rbind", "rprivate", read_only ? "ro" : "rw"));
	return 0;
}

int volumes_mount(const struct volumes *v, const json_t *container, json_t *mounts, struct err *e)
{
	size_t i, j;
	json_t *mount, *volume;
	json_array_foreach (json_at(container, "volumeMounts"), i, mount) {
		const char *name = json_text(mount, "", "name");
		bool found = false;
		json_array_foreach (json_at(v->pod, "spec", "volumes"), j, volume) {
			if (!str_equal(json_text(volume, "", "name"), name))
				continue;
			found = true;
			int rc = mount_one(v, mount, volume, mounts, e);
			if (rc)
				return rc;
		}
		if (!found)
			return err_set(e, ERR_INVALID, "the pod has no volume \"%s\"", name);
	}
	return 0;
}

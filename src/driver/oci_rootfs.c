/* A container's root: image layers under overlayfs, and who the users in it are. Blocks. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"
#include "sys/inside.h"

#define OPTIONS_MAX 4000 /* mount(2) takes a page of options */
#define LAYERS_MAX 128

/* ---- mounting ---- */

static int mount_overlay(const char *rootfs, const char *options, struct err *e)
{
	/* volatile: the upper folder is thrown away with the container, so nothing need be synced
	 */
	char *with CLEANUP(mem_free_ptr) = mem_format("%s,volatile", options);
	if (mount("overlay", rootfs, "overlay", 0, with) == 0 ||
		(errno == EINVAL && mount("overlay", rootfs, "overlay", 0, options) == 0))
		return 0;
	return err_set_errno(e, errno, "cannot mount the image on %s", rootfs);
}

static char *overlay_options(const char *layer_folder, const char *const *lower, size_t count)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	buf_printf(&b, "upperdir=%s/upper,workdir=%s/work,lowerdir=", layer_folder, layer_folder);
	for (size_t i = count; i > 0; i--)
		buf_printf(&b, "%s%s", lower[i - 1], i > 1 ? ":" : "");
	return buf_take(&b, NULL);
}

/* Too many layers for a page, or characters that options cannot hold: by descriptors, whose names
 * are short. */
static int mount_by_descriptors(const char *rootfs, const char *layer_folder,
	const char *const *layers, size_t count, struct err *e)
{
	int fds[LAYERS_MAX];
	char names[LAYERS_MAX][32];
	const char *lower[LAYERS_MAX];
	size_t opened = 0;
	int rc = 0;
	for (; opened < count && !rc; opened++) {
		fds[opened] = open(layers[opened], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[opened] < 0) {
			rc = err_set_errno(e, errno, "cannot open the layer %s", layers[opened]);
			break;
		}
		snprintf(names[opened], sizeof(names[0]), "/proc/self/fd/%d", fds[opened]);
		lower[opened] = names[opened];
	}
	if (!rc) {
		char *options CLEANUP(mem_free_ptr) = overlay_options(layer_folder, lower, count);
		rc = mount_overlay(rootfs, options, e);
	}
	while (opened > 0)
		close(fds[--opened]);
	return rc;
}

int oci_rootfs_mount(const char *rootfs, const char *layer_folder, const char *const *layers,
	struct err *e)
{
	size_t count = 0;
	bool plain = true;
	for (; layers[count]; count++)
		plain = plain && !strpbrk(layers[count], ":,\\");
	if (!count || count > LAYERS_MAX)
		return err_set(e, ERR_INVALID, "an image of %zu layers cannot be mounted", count);
	const char *const folders[] = {"upper", "work"};
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char *path CLEANUP(mem_free_ptr) = mem_format("%s/%s", layer_folder, folders[i]);
		int rc = oci_make_folder(path, 0755, e);
		if (rc)
			return rc;
	}
	int rc = oci_make_folder(rootfs, 0755, e);
	if (rc)
		return rc;
	char *options CLEANUP(mem_free_ptr) = overlay_options(layer_folder, layers, count);
	if (plain && strlen(options) < OPTIONS_MAX)
		return mount_overlay(rootfs, options, e);
	return mount_by_descriptors(rootfs, layer_folder, layers, count, e);
}

/* ---- users ---- */

/* A file of the root, never one of the host that a link in the image points to. */
static FILE *open_in_root(const char *rootfs, const char *path)
{
	int root CLEANUP(oci_fd_done) = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = root < 0 ? -1 : inside_open_file(root, path, RESOLVE_IN_ROOT);
	struct stat st;
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_size > 1 << 20)) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? NULL : fdopen(fd, "re");
}

static bool all_digits(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static bool find_passwd(const char *rootfs, const char *user, struct oci_user *u, char *ret_name)
{
	FILE *file = open_in_root(rootfs, "etc/passwd");
	bool number = all_digits(user), found = false;
	struct passwd *entry;
	while (file && !found && (entry = fgetpwent(file))) {
		found = str_equal(entry->pw_name, user) ||
			(number && entry->pw_uid == strtoul(user, NULL, 10));
		if (!found)
			continue;
		u->uid = entry->pw_uid;
		u->gid = entry->pw_gid;
		(void)str_copy(u->home, sizeof(u->home), entry->pw_dir);
		(void)str_copy(ret_name, 64, entry->pw_name);
	}
	if (file)
		fclose(file);
	return found;
}

/* The group's number; with name also all groups that have the user as a member. */
static bool find_groups(const char *rootfs, const char *group, const char *member,
	struct oci_user *u)
{
	FILE *file = open_in_root(rootfs, "etc/group");
	bool found = false;
	struct group *entry;
	while (file && (entry = fgetgrent(file))) {
		if (*group && str_equal(entry->gr_name, group)) {
			u->gid = entry->gr_gid;
			found = true;
		}
		for (char **m = entry->gr_mem; *member && *m; m++)
			if (str_equal(*m, member) && u->group_count < ARRAY_SIZE(u->groups))
				u->groups[u->group_count++] = entry->gr_gid;
	}
	if (file)
		fclose(file);
	return found;
}

int oci_user_find(const char *rootfs, const char *text, struct oci_user *u, struct err *e)
{
	char user[64], name[64] = "";
	*u = (struct oci_user){.home = "/"};
	const char *colon = strchr(text, ':');
	const char *group = colon ? colon + 1 : "";
	snprintf(user, sizeof(user), "%.*s", (int)(colon ? colon - text : (long)strlen(text)),
		text);
	bool found = find_passwd(rootfs, *user ? user : "0", u, name);
	if (!found && *user && !all_digits(user))
		return err_set(e, ERR_NOT_FOUND, "the image has no user \"%s\" in /etc/passwd",
			user);
	if (!found && *user)
		u->uid = (uint32_t)strtoul(user, NULL, 10);
	if (!found && u->uid == 0)
		(void)str_copy(u->home, sizeof(u->home), "/root");
	bool has_group = find_groups(rootfs, all_digits(group) ? "" : group, name, u);
	if (all_digits(group))
		u->gid = (uint32_t)strtoul(group, NULL, 10);
	else if (*group && !has_group)
		return err_set(e, ERR_NOT_FOUND, "the image has no group \"%s\" in /etc/group",
			group);
	return 0;
}

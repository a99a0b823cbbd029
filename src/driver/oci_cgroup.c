/* Control groups of both versions: numbers out of them, and their end. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

bool oci_cgroup_is_v2(void)
{
	struct statfs fs;
	return statfs(CGROUP_ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Calls cb with the folder of the cgroup in each hierarchy: one with v2, about ten with v1. */
static void each_hierarchy(const char *cgroup, void (*cb)(const char *folder, void *arg), void *arg)
{
	if (oci_cgroup_is_v2()) {
		char *path CLEANUP(mem_free_ptr) = mem_format(CGROUP_ROOT "%s", cgroup);
		cb(path, arg);
		return;
	}
	DIR *root = opendir(CGROUP_ROOT);
	struct dirent *entry;
	while (root && (entry = readdir(root))) {
		if (entry->d_name[0] == '.' || entry->d_type == DT_LNK)
			continue;
		char *path CLEANUP(mem_free_ptr) =
			mem_format(CGROUP_ROOT "/%s%s", entry->d_name, cgroup);
		cb(path, arg);
	}
	if (root)
		closedir(root);
}

static char *cgroup_file(const char *controller, const char *cgroup, const char *file)
{
	if (oci_cgroup_is_v2())
		return mem_format(CGROUP_ROOT "%s/%s", cgroup, file);
	return mem_format(CGROUP_ROOT "/%s%s/%s", controller, cgroup, file);
}

/* The number behind a word at the beginning of a line; with word "" the first number. -1: none. */
static int64_t cgroup_number(const char *path, const char *word)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	if (oci_read_file(path, &b, NULL))
		return -1;
	size_t size = strlen(word);
	for (const char *line = buf_text(&b); line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, size) == 0 && (!size || line[size] == ' '))
			return strtoll(line + size, NULL, 10);
	}
	return -1;
}

bool oci_cgroup_oom_killed(const char *cgroup)
{
	bool v2 = oci_cgroup_is_v2();
	char *path CLEANUP(mem_free_ptr) =
		cgroup_file("memory", cgroup, v2 ? "memory.events" : "memory.oom_control");
	return cgroup_number(path, "oom_kill") > 0;
}

int oci_cgroup_stats(const char *cgroup, int64_t *ret_cpu_ns, int64_t *ret_memory_bytes,
	struct err *e)
{
	bool v2 = oci_cgroup_is_v2();
	char *cpu CLEANUP(mem_free_ptr) =
		cgroup_file("cpuacct", cgroup, v2 ? "cpu.stat" : "cpuacct.usage");
	char *memory CLEANUP(mem_free_ptr) =
		cgroup_file("memory", cgroup, v2 ? "memory.current" : "memory.usage_in_bytes");
	char *stat CLEANUP(mem_free_ptr) = cgroup_file("memory", cgroup, "memory.stat");
	int64_t time = cgroup_number(cpu, v2 ? "usage_usec" : "");
	int64_t usage = cgroup_number(memory, "");
	int64_t inactive = cgroup_number(stat, v2 ? "inactive_file" : "total_inactive_file");
	if (time < 0 || usage < 0)
		return err_set(e, ERR_NOT_FOUND, "the cgroup %s has no statistics", cgroup);
	*ret_cpu_ns = v2 ? time * 1000 : time;
	*ret_memory_bytes = inactive > 0 && inactive < usage ? usage - inactive : usage;
	return 0;
}

static void write_number(const char *path, int64_t number)
{
	int fd CLEANUP(oci_fd_done) = open(path, O_WRONLY | O_CLOEXEC);
	char text[32];
	int size = snprintf(text, sizeof(text), "%lld", (long long)number);
	if (fd >= 0 && write(fd, text, (size_t)size) < 0)
		return; /* gone meanwhile */
}

void oci_cgroup_enter(const char *cgroup, int pid)
{
	/* Where processes are counted and where service managers look; the others only limit. */
	static const char *const v1[] = {"memory", "systemd", "unified"};
	size_t count = oci_cgroup_is_v2() ? 1 : ARRAY_SIZE(v1);
	for (size_t i = 0; i < count; i++) {
		char *procs CLEANUP(mem_free_ptr) = cgroup_file(v1[i], cgroup, "cgroup.procs");
		char *folder CLEANUP(mem_free_ptr) = mem_dup_string(procs);
		*strrchr(folder, '/') = '\0';
		if (oci_make_folder(folder, 0755, NULL) == 0)
			write_number(procs, pid);
	}
}

static void kill_listed(const char *procs)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	if (oci_read_file(procs, &b, NULL))
		return;
	char *line, *rest = b.data;
	while ((line = strsep(&rest, "\n")) && isdigit((unsigned char)*line))
		(void)kill(atoi(line), SIGKILL);
}

/* arg: a bool, whether what is in it is killed first. */
static void remove_folder(const char *path, void *arg)
{
	const bool *kills = arg;
	if (*kills) {
		char *procs CLEANUP(mem_free_ptr) = mem_format("%s/cgroup.procs", path);
		kill_listed(procs);
	}
	DIR *folder = opendir(path);
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		char *inner CLEANUP(mem_free_ptr) = mem_format("%s/%s", path, entry->d_name);
		remove_folder(inner, arg);
	}
	if (folder)
		closedir(folder);
	(void)rmdir(path);
}

bool oci_cgroup_has_processes(const char *cgroup)
{
	char *path CLEANUP(mem_free_ptr) = cgroup_file("pids", cgroup, "cgroup.procs");
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	return oci_read_file(path, &b, NULL) == 0 && b.size > 0;
}

static void note_folder(const char *path, void *arg)
{
	if (access(path, F_OK) == 0)
		*(bool *)arg = true;
}

bool oci_cgroup_exists(const char *cgroup)
{
	bool found = false;
	each_hierarchy(cgroup, note_folder, &found);
	return found;
}

struct each_child {
	void (*each)(void *arg, const char *name);
	void *arg;
};

static void each_child(const char *path, void *arg)
{
	const struct each_child *call = arg;
	DIR *folder = opendir(path);
	struct dirent *entry;
	while (folder && (entry = readdir(folder)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			call->each(call->arg, entry->d_name);
	if (folder)
		closedir(folder);
}

void oci_cgroup_children(const char *cgroup, void (*each)(void *arg, const char *name), void *arg)
{
	struct each_child call = {each, arg};
	each_hierarchy(cgroup, each_child, &call);
}

void oci_cgroup_remove(const char *cgroup)
{
	bool kills = false;
	each_hierarchy(cgroup, remove_folder, &kills);
}

/* A group of version 1 does not tell when its last process is gone, so that it is asked again. */
void oci_cgroup_end(const char *cgroup)
{
	const struct timespec pause = {.tv_nsec = OCI_END_STEP_MS * 1000000L};
	bool kills = false;
	for (int left_ms = OCI_END_MOST_MS; left_ms > 0; left_ms -= OCI_END_STEP_MS) {
		each_hierarchy(cgroup, remove_folder, &kills);
		if (!oci_cgroup_exists(cgroup))
			return;
		(void)nanosleep(&pause, NULL);
		kills = true;
	}
}

void oci_cgroup_kill(const char *cgroup)
{
	char *path CLEANUP(mem_free_ptr) = cgroup_file("pids", cgroup, "cgroup.procs");
	kill_listed(path);
}

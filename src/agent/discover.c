/* What the machine has, from its files; so the simulator and tests give other files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/mem.h"
#include "base/str.h"

#define FILE_MAX ((size_t)1 << 20)

/* The file as text; "" when it cannot be read. */
static void read_text(struct fs *fs, const char *path, struct buf *ret_text)
{
	buf_clear(ret_text);
	ret_text->limit = FILE_MAX;
	if (fs_read(fs, path, ret_text, NULL) < 0)
		buf_clear(ret_text);
	while (ret_text->size > 0 && ret_text->data[ret_text->size - 1] == '\n')
		ret_text->data[--ret_text->size] = '\0';
}

static void read_word(struct fs *fs, const char *path, char *ret_word, size_t size)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	read_text(fs, path, &b);
	snprintf(ret_word, size, "%.*s", (int)strcspn(buf_text(&b), "\n "), buf_text(&b));
}

/* "0-3,8,10-11" has seven. */
static int64_t count_list(const char *text)
{
	int64_t count = 0;
	while (*text) {
		char *end;
		long first = strtol(text, &end, 10);
		if (end == text)
			break;
		long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
		if (last >= first && last - first < 100000)
			count += last - first + 1;
		text = *end == ',' ? end + 1 : end;
	}
	return count;
}

/* ---- control groups ---- */

/* The path of one controller ("" for v2) in /proc/self/cgroup, "ID:CONTROLLERS:PATH". */
static bool cgroup_path(const char *text, const char *controller, char *ret_path, size_t size)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *names = strchr(line, ':');
		const char *path = names ? strchr(names + 1, ':') : NULL;
		if (!path)
			return false;
		char list[128];
		snprintf(list, sizeof(list), ",%.*s,", (int)(path - names - 1), names + 1);
		char wanted[64];
		snprintf(wanted, sizeof(wanted), ",%s,", controller);
		bool v2 = !*controller && path == names + 1;
		if (v2 || (*controller && strstr(list, wanted))) {
			snprintf(ret_path, size, "%.*s", (int)strcspn(path + 1, "\n"), path + 1);
			return true;
		}
	}
	return false;
}

/* The smallest limit from the agent's own group up to the root: limits nest. 0: none. */
static int64_t nested_limit(struct fs *fs, const char *mount, const char *path, const char *file)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	CLEANUP(mem_free_ptr) char *at = mem_dup_string(path);
	int64_t limit = 0;
	for (;;) {
		CLEANUP(mem_free_ptr) char *name = mem_format("%s%s/%s", mount, at, file);
		int64_t own;
		read_text(fs, name, &b);
		/* v1 says "no limit" with a number close to 2^63, v2 with "max". */
		if (str_to_int64(buf_text(&b), "limit", &own, NULL) == 0 && own > 0 &&
			own < INT64_MAX / 2 && (limit == 0 || own < limit))
			limit = own;
		char *slash = strrchr(at, '/');
		if (!slash || !*at)
			return limit;
		*slash = '\0';
	}
}

static bool has_file(struct fs *fs, const char *path)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(FILE_MAX);
	return fs_read(fs, path, &b, NULL) == 0;
}

static void discover_cgroup(struct fs *fs, struct agent_facts *f, int64_t *ret_limit)
{
	CLEANUP(buf_done) struct buf own = BUF_INIT;
	read_text(fs, "/proc/self/cgroup", &own);
	*ret_limit = 0;
	if (has_file(fs, "/sys/fs/cgroup/cgroup.controllers")) {
		snprintf(f->cgroup_version, sizeof(f->cgroup_version), "v2");
		if (cgroup_path(buf_text(&own), "", f->cgroup, sizeof(f->cgroup)))
			*ret_limit = nested_limit(fs, "/sys/fs/cgroup", f->cgroup, "memory.max");
		return;
	}
	bool hybrid = has_file(fs, "/sys/fs/cgroup/unified/cgroup.controllers");
	snprintf(f->cgroup_version, sizeof(f->cgroup_version), "%s", hybrid ? "hybrid" : "v1");
	if (cgroup_path(buf_text(&own), "memory", f->cgroup, sizeof(f->cgroup)))
		*ret_limit = nested_limit(fs, "/sys/fs/cgroup/memory", f->cgroup,
			"memory.limit_in_bytes");
}

/* ---- the rest ---- */

static int64_t memory_total(struct fs *fs)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	long long kib = 0;
	read_text(fs, "/proc/meminfo", &b);
	const char *line = strstr(buf_text(&b), "MemTotal:");
	if (!line || sscanf(line, "MemTotal: %lld kB", &kib) != 1)
		return 0;
	return kib * 1024;
}

static void read_os_image(struct fs *fs, struct agent_facts *f)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	read_text(fs, "/etc/os-release", &b);
	const char *line = strstr(buf_text(&b), "PRETTY_NAME=");
	if (!line)
		return;
	line += strlen("PRETTY_NAME=");
	line += *line == '"';
	snprintf(f->os_image, sizeof(f->os_image), "%.*s", (int)strcspn(line, "\"\n"), line);
}

static const char *architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__arm__)
	return "arm";
#elif defined(__riscv) && __riscv_xlen == 64
	return "riscv64";
#else
	return "unknown";
#endif
}

void agent_discover(struct fs *fs, const char *state_folder, struct agent_facts *ret_facts)
{
	struct agent_facts f = {0};
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	int64_t limit;
	read_text(fs, "/sys/devices/system/cpu/online", &b);
	f.cpu_milli = count_list(buf_text(&b)) * 1000;
	f.memory_bytes = memory_total(fs);
	discover_cgroup(fs, &f, &limit);
	if (limit > 0 && (f.memory_bytes == 0 || limit < f.memory_bytes))
		f.memory_bytes = limit;
	int64_t disk = fs_free_bytes(fs, state_folder);
	f.disk_bytes = disk > 0 ? disk : 0;
	snprintf(f.architecture, sizeof(f.architecture), "%s", architecture());
	read_word(fs, "/proc/sys/kernel/osrelease", f.kernel, sizeof(f.kernel));
	read_word(fs, "/etc/machine-id", f.machine_id, sizeof(f.machine_id));
	read_word(fs, "/proc/sys/kernel/random/boot_id", f.boot_id, sizeof(f.boot_id));
	read_os_image(fs, &f);
	*ret_facts = f;
}

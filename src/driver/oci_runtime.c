/* Programs that the engine calls: the runtime and conmon. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"

extern char **environ;

size_t oci_runtime_argv(const struct oci *o, const struct oci_runtime *runtime, const char *cgroup,
	const char **argv)
{
	size_t n = 0;
	if (runtime->wrapped)
		argv[n++] = o->wrapper;
	argv[n++] = runtime->path;
	if (runtime->wrapped)
		argv[n++] = cgroup;
	argv[n++] = "--root";
	argv[n++] = o->runtime_root;
	return n;
}

/* The signals that our threads block or ignore are none of the child's business. */
static void spawn_signals(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
}

int oci_spawn(const struct oci_spawn *spec, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	spawn_signals(&attributes);
	posix_spawnattr_setflags(&attributes,
		(short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
			(spec->new_session ? POSIX_SPAWN_SETSID : 0)));
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	for (int i = 0; i < spec->fd_count; i++)
		posix_spawn_file_actions_adddup2(&actions, spec->fds[i], 3 + i);
	if (spec->cwd)
		posix_spawn_file_actions_addchdir_np(&actions, spec->cwd);
	/* Also what a library, or whoever started us, left open without the mark. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	int rc = posix_spawnp(ret_pid, spec->argv[0], &actions, &attributes,
		(char *const *)(uintptr_t)spec->argv,
		spec->env ? (char *const *)(uintptr_t)spec->env : environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -rc;
}

int oci_wait(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int oci_command(const char *const *argv)
{
	const struct oci_spawn spec = {.argv = argv};
	pid_t pid;
	int rc = oci_spawn(&spec, &pid);
	return rc ? rc : oci_wait(pid);
}

int oci_runtime_delete(const struct oci *o, const struct oci_runtime *runtime, const char *id)
{
	const char *argv[OCI_RUNTIME_ARGS + 4];
	size_t n = oci_runtime_argv(o, runtime, "-", argv);
	argv[n++] = "delete";
	argv[n++] = "--force";
	argv[n++] = id;
	argv[n] = NULL;
	return oci_command(argv);
}

/* ---- what goes on without us ---- */

/* One argument is the id, another our folder of the runtime's state: conmon has both, and so has
 * the runtime, in whatever process it goes on. */
static bool is_maker(const struct oci *o, const char *proc, const char *id)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("/proc/%s/cmdline", proc);
	struct buf line CLEANUP(buf_done) = BUF_INIT;
	bool has_id = false, has_root = false;
	if (oci_read_file(path, &line, NULL) || !line.size)
		return false;
	for (const char *at = line.data; at < line.data + line.size; at += strlen(at) + 1) {
		has_id = has_id || str_equal(at, id);
		has_root = has_root || str_equal(at, o->runtime_root);
	}
	return has_id && has_root;
}

static bool kill_makers(const struct oci *o, const char *id)
{
	bool any = false;
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	while (folder && (entry = readdir(folder)))
		if (isdigit((unsigned char)entry->d_name[0]) && is_maker(o, entry->d_name, id)) {
			(void)kill(atoi(entry->d_name), SIGKILL);
			any = true;
		}
	if (folder)
		closedir(folder);
	return any;
}

void oci_runtime_end_makers(const struct oci *o, const char *id)
{
	const struct timespec pause = {.tv_nsec = OCI_END_STEP_MS * 1000000L};
	for (int left_ms = OCI_END_MOST_MS; left_ms > 0 && kill_makers(o, id);
		left_ms -= OCI_END_STEP_MS)
		(void)nanosleep(&pause, NULL);
}

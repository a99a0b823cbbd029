/*
 * continuo-fence SOCKET CGROUP UNTIL_MS: kills everything in a pod's control group once
 * CLOCK_BOOTTIME passes a deadline, which only the agent can move, by the socket. It outlives the
 * agent. See src/agent/fences.h for what is said on the socket.
 *
 * Exits with 0 when the fence stands (it goes on in the background), else with 1 and a reason. No
 * library beyond libc, no memory from the heap: one of these lies beside each handover pod.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/fence_core.h"

#define ROOT "/sys/fs/cgroup"
#define PATH_SIZE 1024
#define DEPTH_MAX 8
#define AGAIN_NS (FENCE_AGAIN_MS * 1000000)

struct fence {
	const char *path, *cgroup;
	struct stat own; /* the socket's file: who finds another there was replaced */
	int listener, timer;
	int agents[FENCE_AGENTS_MAX];
	char lines[FENCE_AGENTS_MAX][FENCE_LINE_SIZE];
	struct fence_core core;
	int gone;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- killing ---- */

static bool write_text(const char *folder, const char *file, const char *text)
{
	char path[PATH_SIZE];
	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return false;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = write(fd, text, strlen(text)) > 0;
	close(fd);
	return ok;
}

static void kill_listed(const char *folder)
{
	char path[PATH_SIZE], text[4096];
	if (snprintf(path, sizeof(path), "%s/cgroup.procs", folder) >= (int)sizeof(path))
		return;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t size;
	int64_t pid = 0;
	while ((size = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < size; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			if (pid > 1)
				(void)kill((pid_t)pid, SIGKILL);
			pid = 0;
		}
	close(fd);
}

/* Frozen first, so that nothing forks between the reading and the killing. */
static void kill_tree(const char *folder, int depth)
{
	DIR *d = depth < DEPTH_MAX ? opendir(folder) : NULL;
	if (!d)
		return;
	bool frozen = write_text(folder, "freezer.state", "FROZEN");
	kill_listed(folder);
	for (struct dirent *x; (x = readdir(d));) {
		char inner[PATH_SIZE];
		if (x->d_type == DT_DIR && x->d_name[0] != '.' &&
			snprintf(inner, sizeof(inner), "%s/%s", folder, x->d_name) <
				(int)sizeof(inner))
			kill_tree(inner, depth + 1);
	}
	closedir(d);
	if (frozen)
		(void)write_text(folder, "freezer.state", "THAWED");
}

/* v2, the v2 part of a hybrid host, v1. Whether the group is there in any of them. It stays frozen:
 * what was being started when the lease ended enters it and never runs, and dies in the next round.
 */
static bool kill_all(const char *cgroup)
{
	static const char *const v2[] = {"", "/unified"};
	static const char *const v1[] = {"/freezer", "/pids", "/memory", "/systemd"};
	char folder[PATH_SIZE];
	bool there = false;
	for (size_t i = 0; i < sizeof(v2) / sizeof(v2[0]); i++) {
		snprintf(folder, sizeof(folder), ROOT "%s%s", v2[i], cgroup);
		(void)write_text(folder, "cgroup.freeze", "1"); /* no hindrance to the killing */
		there |= write_text(folder, "cgroup.kill", "1");
	}
	for (size_t i = 0; i < sizeof(v1) / sizeof(v1[0]); i++) {
		snprintf(folder, sizeof(folder), ROOT "%s%s", v1[i], cgroup);
		there |= access(folder, F_OK) == 0;
		kill_tree(folder, 0);
		(void)write_text(folder, "freezer.state", "FROZEN");
	}
	return there;
}

/* ---- the deadline ---- */

static void set_timer(struct fence *f)
{
	struct itimerspec t = {.it_value = {.tv_sec = (time_t)(f->core.until_ms / 1000),
				       .tv_nsec = (long)(f->core.until_ms % 1000) * 1000000 + 1}};
	if (f->core.fired) {
		t.it_interval.tv_nsec = AGAIN_NS;
		t.it_value.tv_sec = 0;
		t.it_value.tv_nsec = AGAIN_NS;
	}
	if (timerfd_settime(f->timer, f->core.fired ? 0 : TFD_TIMER_ABSTIME, &t, NULL) < 0)
		abort();
}

static void say(const struct fence *f, int fd)
{
	char line[FENCE_LINE_SIZE];
	size_t size = fence_core_say(&f->core, line);
	(void)!send(fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_deadline(struct fence *f)
{
	uint64_t count;
	(void)!read(f->timer, &count, sizeof(count));
	bool first = !f->core.fired;
	if (!fence_core_due(&f->core, now_ms())) {
		set_timer(f);
		return;
	}
	struct stat there;
	if (stat(f->path, &there) == 0 &&
		(there.st_ino != f->own.st_ino || there.st_ctim.tv_sec != f->own.st_ctim.tv_sec ||
			there.st_ctim.tv_nsec != f->own.st_ctim.tv_nsec))
		exit(0);
	f->gone = kill_all(f->cgroup) ? 0 : f->gone + 1;
	if (first) {
		set_timer(f);
		for (int i = 0; i < FENCE_AGENTS_MAX; i++)
			if (f->agents[i] >= 0)
				say(f, f->agents[i]);
	}
	if (f->gone > FENCE_GONE_ROUNDS)
		exit(0);
}

/* ---- the agent ---- */

static void obey(struct fence *f, const char *line)
{
	enum fence_word word = fence_core_obey(&f->core, line, now_ms());
	if (word == FENCE_QUIT)
		exit(0);
	if (word == FENCE_LATER)
		set_timer(f);
}

static void on_bytes(struct fence *f, int i)
{
	char bytes[64];
	ssize_t size = recv(f->agents[i], bytes, sizeof(bytes), MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		close(f->agents[i]);
		f->agents[i] = -1;
		return;
	}
	for (ssize_t k = 0; k < size;) {
		bool whole;
		k += (ssize_t)fence_core_take(f->lines[i], bytes + k, (size_t)(size - k), &whole);
		if (whole) {
			obey(f, f->lines[i]);
			f->lines[i][0] = '\0';
		}
	}
}

static void on_agent(struct fence *f)
{
	int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (int i = 0; i < FENCE_AGENTS_MAX; i++)
		if (f->agents[i] < 0) {
			f->agents[i] = fd;
			f->lines[i][0] = '\0';
			say(f, fd);
			return;
		}
	close(fd);
}

static void guard(struct fence *f)
{
	for (;;) {
		struct pollfd fds[2 + FENCE_AGENTS_MAX] = {
			{.fd = f->timer, .events = POLLIN}, {.fd = f->listener, .events = POLLIN}};
		for (int i = 0; i < FENCE_AGENTS_MAX; i++)
			fds[2 + i] = (struct pollfd){.fd = f->agents[i], .events = POLLIN};
		if (poll(fds, 2 + FENCE_AGENTS_MAX, -1) < 0)
			continue;
		/* The deadline first: what came after it is too late. */
		if (fds[0].revents || now_ms() >= f->core.until_ms)
			on_deadline(f);
		for (int i = 0; i < FENCE_AGENTS_MAX; i++)
			if (fds[2 + i].revents && f->agents[i] >= 0)
				on_bytes(f, i);
		if (fds[1].revents)
			on_agent(f);
	}
}

/* ---- start ---- */

static int fail(const char *what)
{
	fprintf(stderr, "continuo-fence: %s: %s\n", what, strerror(errno));
	return 1;
}

static int listen_on(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	(void)unlink(path);
	umask(077);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, FENCE_AGENTS_MAX) < 0)
		return -1;
	return fd;
}

/* Nothing of the agent's stays open, and signals to it do not reach here. */
static void leave(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	setsid();
	(void)!chdir("/");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

int main(int argc, char **argv)
{
	if (argc != 4 || argv[2][0] != '/' || strlen(argv[2]) > PATH_SIZE / 2 ||
		strstr(argv[2], "..")) {
		fprintf(stderr, "usage: continuo-fence SOCKET CGROUP UNTIL_MS\n");
		return 2;
	}
	struct fence f = {.path = argv[1], .cgroup = argv[2], .core.until_ms = atoll(argv[3])};
	for (int i = 0; i < FENCE_AGENTS_MAX; i++)
		f.agents[i] = -1;
	f.listener = listen_on(argv[1]);
	if (f.listener < 0 || stat(f.path, &f.own) < 0)
		return fail(argv[1]);
	f.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f.timer < 0)
		return fail("timerfd");
	set_timer(&f);
	pid_t child = fork();
	if (child < 0)
		return fail("fork");
	if (child > 0)
		return 0;
	leave();
	guard(&f);
}

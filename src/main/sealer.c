#include "main/sealer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/str.h"

#define WAIT_MS 5000
#define LOOK_AGAIN_MS 100
#define DEADLINE_MS 20000
#define MESSAGE_MAX 1024

extern char **environ;

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- one run of the program ---- */

struct child {
	int in[2], out[2], err[2];
	pid_t pid;
	struct buf *output;
	struct buf message;
};

static void child_done(struct child *c)
{
	for (int i = 0; i < 2; i++) {
		close_fd(&c->in[i]);
		close_fd(&c->out[i]);
		close_fd(&c->err[i]);
	}
	buf_done(&c->message);
}

/* What is sent fits into the pipe, and is there before anybody reads it: writing cannot block. */
static int open_pipes(struct child *c, const void *input, size_t size, struct err *e)
{
	if (pipe2(c->in, O_CLOEXEC) < 0 || pipe2(c->out, O_CLOEXEC) < 0 ||
		pipe2(c->err, O_CLOEXEC) < 0)
		return err_set_errno(e, errno, "cannot make pipes for continuo-seal");
	if (write(c->in[1], input, size) != (ssize_t)size)
		return err_set_errno(e, errno, "cannot write to continuo-seal");
	close_fd(&c->in[1]);
	return 0;
}

static int spawn(struct child *c, const struct sealer *s, const char *verb, struct err *e)
{
	const char *argv[] = {s->program, verb, s->tcti ? "--tcti" : NULL, s->tcti, NULL};
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, c->in[0], 0);
	posix_spawn_file_actions_adddup2(&files, c->out[1], 1);
	posix_spawn_file_actions_adddup2(&files, c->err[1], 2);
	int r = posix_spawn(&c->pid, s->program, &files, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	close_fd(&c->in[0]);
	close_fd(&c->out[1]);
	close_fd(&c->err[1]);
	if (r == ENOENT)
		return err_set(e, ERR_UNSUPPORTED, "%s is not installed", s->program);
	return r ? err_set_errno(e, r, "cannot start %s", s->program) : 0;
}

static void read_some(int *fd, struct buf *to)
{
	unsigned char piece[1024];
	ssize_t got = read(*fd, piece, sizeof(piece));
	if (got > 0)
		buf_append(to, piece, (size_t)got);
	else if (got == 0 || errno != EINTR)
		close_fd(fd);
	explicit_bzero(piece, sizeof(piece));
}

/* Until both ends are closed. false: the time is over. */
static bool read_all(struct child *c, int64_t until_ms)
{
	while (c->out[0] >= 0 || c->err[0] >= 0) {
		struct pollfd polled[] = {
			{.fd = c->out[0], .events = POLLIN}, {.fd = c->err[0], .events = POLLIN}};
		int64_t left_ms = until_ms - now_ms();
		if (left_ms <= 0)
			return false;
		if (poll(polled, 2, (int)left_ms) <= 0)
			continue;
		if (polled[0].revents)
			read_some(&c->out[0], c->output);
		if (polled[1].revents)
			read_some(&c->err[0], &c->message);
	}
	return true;
}

static int end(struct child *c, bool in_time, int *ret_status, struct err *e)
{
	if (!in_time)
		kill(c->pid, SIGKILL);
	pid_t got;
	while ((got = waitpid(c->pid, ret_status, 0)) < 0 && errno == EINTR)
		continue;
	if (!in_time)
		return err_set(e, ERR_UNAVAILABLE, "the TPM did not answer in time");
	if (got < 0)
		return err_set_errno(e, errno, "continuo-seal cannot be waited for");
	return buf_check(c->output, "what continuo-seal gave", e);
}

static int judge(const struct child *c, int status, struct err *e)
{
	static const struct {
		int status;
		enum err_code code;
	} codes[] = {{3, ERR_UNAVAILABLE}, {4, ERR_BUSY}, {5, ERR_CORRUPT}};
	if (WIFSIGNALED(status))
		return err_set(e, ERR_INTERNAL, "continuo-seal was ended by signal %d",
			WTERMSIG(status));
	if (WEXITSTATUS(status) == 0)
		return 0;
	enum err_code code = ERR_IO;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].status == WEXITSTATUS(status))
			code = codes[i].code;
	const char *text = c->message.size ? buf_text(&c->message) : "continuo-seal said nothing";
	return err_set(e, code, "%.*s", (int)strcspn(text, "\n"), text);
}

static int run(const struct sealer *s, const char *verb, const void *input, size_t size,
	struct buf *ret_output, struct err *e)
{
	CLEANUP(child_done)
	struct child c = {.in = {-1, -1}, .out = {-1, -1}, .err = {-1, -1}, .output = ret_output};
	c.message = BUF_INIT_LIMIT(MESSAGE_MAX);
	int status = 0;
	int r = open_pipes(&c, input, size, e);
	if (r == 0)
		r = spawn(&c, s, verb, e);
	if (r < 0)
		return r;
	bool in_time = read_all(&c, now_ms() + (s->deadline_ms ? s->deadline_ms : DEADLINE_MS));
	r = end(&c, in_time, &status, e);
	return r < 0 ? r : judge(&c, status, e);
}

/* Most small machines have no TPM: no program is started to find that out. */
static int ask(const struct sealer *s, const char *verb, const void *input, size_t size,
	struct buf *ret_output, struct err *e)
{
	if (!s->tcti && access(SEALER_DEVICE, F_OK) < 0)
		return err_set(e, ERR_UNAVAILABLE, "this machine has no " SEALER_DEVICE);
	return run(s, verb, input, size, ret_output, e);
}

/* ---- for the agent ---- */

static int seal(void *context, const unsigned char key[static DATA_KEY_SIZE], struct buf *ret_blob,
	struct err *e)
{
	int r = ask(context, "seal", key, DATA_KEY_SIZE, ret_blob, e);
	if (r == 0 && ret_blob->size == 0)
		r = err_set(e, ERR_INTERNAL, "continuo-seal gave nothing");
	return r;
}

static int unseal(void *context, const struct buf *blob,
	unsigned char ret_key[static DATA_KEY_SIZE], struct err *e)
{
	const struct sealer *s = context;
	CLEANUP(buf_done) struct buf key = BUF_INIT_LIMIT(DATA_KEY_SIZE);
	int64_t until_ms = now_ms() + (s->wait_ms ? s->wait_ms : WAIT_MS);
	int r = ask(s, "unseal", blob->data, blob->size, &key, e);
	while (r == -ERR_UNAVAILABLE && now_ms() < until_ms) {
		struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};
		nanosleep(&pause, NULL);
		buf_clear(&key);
		r = ask(s, "unseal", blob->data, blob->size, &key, e);
	}
	if (r == 0 && key.size != DATA_KEY_SIZE)
		r = err_set(e, ERR_CORRUPT, "the TPM gave %zu bytes back, not %d", key.size,
			DATA_KEY_SIZE);
	if (r == 0)
		memcpy(ret_key, key.data, DATA_KEY_SIZE);
	if (key.data)
		explicit_bzero(key.data, key.size);
	return r;
}

struct agent_sealer sealer_of(struct sealer *s)
{
	return (struct agent_sealer){seal, unseal, s};
}

#include "sys/process.h"

#include <errno.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/loop_uv_private.h"

#define OUTPUT_MAX ((size_t)1 << 20)

struct process {
	struct list link; /* in uv_impl.processes */
	uv_process_t uv;
	uv_pipe_t pipes[3]; /* stdin, stdout, stderr */
	bool has_pipe[3];
	int handles; /* not yet closed; memory goes with the last */
	bool forgotten, exited, ended;
	struct process_spec spec; /* callbacks only: its strings are not kept */
	int status;
};

struct input_request {
	uv_write_t uv;
	char data[];
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct process *p = handle->data;
	if (--p->handles == 0)
		free(p);
}

static void close_pipe(struct process *p, int i)
{
	if (!p->has_pipe[i])
		return;
	p->has_pipe[i] = false;
	uv_close((uv_handle_t *)&p->pipes[i], on_handle_closed);
}

static void close_all(struct process *p)
{
	if (p->ended)
		return;
	p->ended = true;
	list_remove(&p->link);
	for (int i = 0; i < 3; i++)
		close_pipe(p, i);
	uv_close((uv_handle_t *)&p->uv, on_handle_closed);
}

static void deliver(struct process *p, int i, const char *data, size_t size)
{
	void (*cb)(void *, const char *, size_t) = i == 1 ? p->spec.on_stdout : p->spec.on_stderr;
	if (cb && !p->forgotten && size > 0)
		cb(p->spec.arg, data, size);
}

static void on_output(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
	struct process *p = stream->data;
	int i = stream == (uv_stream_t *)&p->pipes[1] ? 1 : 2;
	if (size > 0)
		deliver(p, i, buffer->base, (size_t)size);
	else if (size < 0)
		close_pipe(p, i);
}

/* What the child wrote before its exit is in the socket now. Grandchildren (conmon) may hold the
 * other end for as long as they live, so the end of file cannot be awaited. */
static void drain(struct process *p, int i)
{
	uv_os_fd_t fd;
	if (!p->has_pipe[i] || uv_fileno((uv_handle_t *)&p->pipes[i], &fd) < 0)
		return;
	char block[8192];
	size_t total = 0;
	ssize_t got;
	while (total < OUTPUT_MAX && (got = read(fd, block, sizeof(block))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		deliver(p, i, block, (size_t)got);
		total += (size_t)got;
	}
}

static void on_child_exit(uv_process_t *handle, int64_t exit_status, int signal)
{
	struct process *p = handle->data;
	p->exited = true;
	p->status = signal ? -signal : (int)exit_status;
	drain(p, 1);
	drain(p, 2);
	void (*cb)(void *, int) = p->forgotten ? NULL : p->spec.on_exit;
	void *arg = p->spec.arg;
	int status = p->status;
	p->forgotten = true;
	close_all(p);
	if (cb)
		cb(arg, status);
}

static void open_pipe(struct process *p, struct uv_impl *u, int i, bool want,
	uv_stdio_container_t *stdio)
{
	stdio[i].flags = UV_IGNORE; /* /dev/null */
	if (!want)
		return;
	uv_pipe_init(&u->uv, &p->pipes[i], 0);
	p->pipes[i].data = p;
	p->has_pipe[i] = true;
	p->handles++;
	stdio[i].flags = UV_CREATE_PIPE | (i == 0 ? UV_READABLE_PIPE : UV_WRITABLE_PIPE);
	stdio[i].data.stream = (uv_stream_t *)&p->pipes[i];
}

static void read_output(struct process *p)
{
	for (int i = 1; i <= 2; i++)
		if (p->has_pipe[i])
			uv_read_start((uv_stream_t *)&p->pipes[i], uv_impl_buffer, on_output);
}

static void start_io(struct process *p, const struct process_spec *spec)
{
	read_output(p);
	if (!p->has_pipe[0])
		return;
	if (spec->input)
		process_write(p, spec->input, spec->input_size);
	if (!spec->keep_stdin)
		process_end_input(p);
}

int process_start(struct loop *l, const struct process_spec *spec, struct process **ret_process,
	struct err *e)
{
	struct uv_impl *u = uv_impl_of(l);
	struct process *p = mem_new(struct process);
	p->spec = *spec;
	p->handles = 1;
	p->uv.data = p;
	list_append(&u->processes, &p->link);
	uv_stdio_container_t stdio[3] = {0};
	open_pipe(p, u, 0, spec->input || spec->keep_stdin, stdio);
	open_pipe(p, u, 1, spec->on_stdout != NULL, stdio);
	open_pipe(p, u, 2, spec->on_stderr != NULL, stdio);
	uv_process_options_t options = {
		.exit_cb = on_child_exit,
		.file = spec->argv[0],
		.args = (char **)spec->argv,
		.env = (char **)spec->env,
		.cwd = spec->cwd,
		.flags = spec->new_session ? UV_PROCESS_DETACHED : 0,
		.stdio_count = 3,
		.stdio = stdio,
	};
	/* Also what a library, or whoever started us, left open without the mark. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	int r = uv_spawn(&u->uv, &p->uv, &options);
	if (r < 0) {
		p->forgotten = true;
		close_all(p);
		return err_set(e, r == UV_ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot start %s: %s",
			spec->argv[0], uv_strerror(r));
	}
	start_io(p, spec);
	if (ret_process)
		*ret_process = p;
	return 0;
}

pid_t process_pid(const struct process *p)
{
	return p->uv.pid;
}

void process_kill(struct process *p, int signal)
{
	if (!p->exited)
		uv_process_kill(&p->uv, signal);
}

static void on_input_written(uv_write_t *request, int status)
{
	(void)status; /* a child that reads no more is its own affair: its exit tells */
	struct process *p = request->handle->data;
	free(CONTAINER_OF(request, struct input_request, uv));
	if (p->has_pipe[0] && !p->forgotten && p->spec.on_drained && process_queued(p) == 0)
		p->spec.on_drained(p->spec.arg);
}

void process_write(struct process *p, const void *data, size_t size)
{
	if (!p->has_pipe[0] || size == 0)
		return;
	struct input_request *w = mem_alloc(sizeof(*w) + size);
	memcpy(w->data, data, size);
	uv_buf_t buffer = {.base = w->data, .len = size};
	if (uv_write(&w->uv, (uv_stream_t *)&p->pipes[0], &buffer, 1, on_input_written) < 0)
		free(w);
}

static void on_input_ended(uv_shutdown_t *request, int status)
{
	struct process *p = request->data;
	free(request);
	if (status != UV_ECANCELED)
		close_pipe(p, 0);
}

void process_end_input(struct process *p)
{
	if (!p->has_pipe[0])
		return;
	uv_shutdown_t *request = mem_new(uv_shutdown_t);
	request->data = p;
	if (uv_shutdown(request, (uv_stream_t *)&p->pipes[0], on_input_ended) < 0)
		free(request);
}

size_t process_queued(const struct process *p)
{
	return p->has_pipe[0] ? uv_stream_get_write_queue_size((const uv_stream_t *)&p->pipes[0])
			      : 0;
}

void process_pause(struct process *p, bool paused)
{
	if (!paused) {
		read_output(p);
		return;
	}
	for (int i = 1; i <= 2; i++)
		if (p->has_pipe[i])
			uv_read_stop((uv_stream_t *)&p->pipes[i]);
}

void process_forget(struct process *p)
{
	p->forgotten = true;
	process_pause(p, false); /* its output is still read, so that it does not block */
}

void process_drop_all(struct uv_impl *u)
{
	LIST_EACH (&u->processes, link) {
		struct process *p = LIST_ITEM(link, struct process, link);
		p->forgotten = true;
		close_all(p);
	}
}

/* ---- run to the end ---- */

struct run {
	struct buf out, err;
	void (*done)(void *arg, const struct process_result *r);
	void *arg;
};

static void keep(struct buf *b, const char *data, size_t size)
{
	size_t room = OUTPUT_MAX - b->size;
	buf_append(b, data, size < room ? size : room);
}

static void on_run_stdout(void *arg, const char *data, size_t size)
{
	keep(&((struct run *)arg)->out, data, size);
}

static void on_run_stderr(void *arg, const char *data, size_t size)
{
	keep(&((struct run *)arg)->err, data, size);
}

static void run_free(struct run *run)
{
	buf_done(&run->out);
	buf_done(&run->err);
	free(run);
}

static void on_run_exit(void *arg, int status)
{
	struct run *run = arg;
	struct process_result result = {
		.status = status,
		.out = buf_text(&run->out),
		.out_size = run->out.size,
		.err_text = buf_text(&run->err),
	};
	run->done(run->arg, &result);
	run_free(run);
}

int process_run(struct loop *l, const char *const *argv, const char *input, size_t input_size,
	void (*done)(void *arg, const struct process_result *r), void *arg, struct err *e)
{
	struct run *run = mem_new(struct run);
	run->done = done;
	run->arg = arg;
	struct process_spec spec = {
		.argv = argv,
		.input = input,
		.input_size = input_size,
		.on_stdout = on_run_stdout,
		.on_stderr = on_run_stderr,
		.on_exit = on_run_exit,
		.arg = run,
	};
	int r = process_start(l, &spec, NULL, e);
	if (r < 0)
		run_free(run);
	return r;
}

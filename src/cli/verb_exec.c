#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/targets.h"
#include "sys/loop_uv.h"
#include "wire/wire.h"

#define INPUT_SIZE 65536

struct exec {
	struct client *client;
	const char *container;
	bool input;
	struct http_call *call;
	int status; /* HTTP */
	struct buf refusal;
	struct wire_reader reader;
	int exit_code;
	bool finished; /* the last frame came */
	bool done;
	int result;
	struct err e;
	/* Of the job that reads stdin: */
	char *data;
	ssize_t size;
};

/* ---- our input to the command: a job reads, since stdin may be a file, a pipe or a terminal ----
 */

static void read_input(struct exec *x);

static void input_work(void *arg)
{
	struct exec *x = arg;
	do
		x->size = read(STDIN_FILENO, x->data, INPUT_SIZE);
	while (x->size < 0 && errno == EINTR);
}

static void input_done(void *arg)
{
	struct exec *x = arg;
	if (x->done)
		return;
	if (x->size <= 0) {
		http_call_end(x->call);
		return;
	}
	http_call_write(x->call, x->data, (size_t)x->size);
	if (http_call_queued(x->call) == 0)
		read_input(x);
	/* else on_drained goes on */
}

static void read_input(struct exec *x)
{
	x->size = -1;
	loop_job(client_loop(x->client), input_work, input_done, x);
}

/* ---- what the command writes ---- */

static int on_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	struct exec *x = arg;
	if (channel == WIRE_END) {
		x->finished = true;
		return wire_parse_end(data, size, &x->exit_code, e);
	}
	FILE *out = channel == WIRE_STDERR ? stderr : stdout;
	if (fwrite(data, 1, size, out) != size || fflush(out) != 0)
		return err_set(e, ERR_IO, "cannot write what the command wrote");
	return 0;
}

static void finish(struct exec *x, int result)
{
	if (x->done)
		return;
	x->done = true;
	x->result = result;
	loop_uv_stop(client_loop(x->client));
}

static void on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	((struct exec *)arg)->status = status;
	client_print_warnings(headers, header_count);
}

static void on_body(void *arg, const uint8_t *data, size_t size)
{
	struct exec *x = arg;
	if (x->status >= 400) {
		buf_append(&x->refusal, data, size);
		return;
	}
	int r = wire_read_frames(&x->reader, data, size, on_frame, x, &x->e);
	if (r < 0 || x->finished)
		finish(x, r);
}

static void on_done(void *arg, const struct err *e)
{
	struct exec *x = arg;
	int r = 0;
	if (x->done)
		return;
	if (e) {
		x->e = *e;
		r = client_explain(x->client, &x->e);
	} else if (x->status >= 400) {
		r = client_status_error(x->status, buf_text(&x->refusal), x->refusal.size, &x->e);
	} else if (!x->finished) {
		r = err_set(&x->e, ERR_CLOSED, "the connection ended before the command did");
	}
	finish(x, r);
}

static void on_drained(void *arg)
{
	struct exec *x = arg;
	if (x->input && !x->done && x->size > 0)
		read_input(x);
}

static const struct http_call_events events = {.on_response = on_response,
	.on_body = on_body,
	.on_done = on_done,
	.on_drained = on_drained};

static void make_path(const struct exec *x, const char *pod, const cli_words *command,
	struct buf *path)
{
	client_path(&kind_pod, client_namespace(x->client), pod, path);
	buf_printf(path, "/exec?stdin=%s", x->input ? "true" : "false");
	for (size_t i = 0; i < command->count; i++) {
		buf_append_string(path, "&command=");
		client_escape(path, command->items[i]);
	}
	if (x->container) {
		buf_append_string(path, "&container=");
		client_escape(path, x->container);
	}
}

static int run(struct exec *x, const char *pod, const cli_words *command, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	make_path(x, pod, command, &path);
	struct http_header headers[CLIENT_HEADERS];
	struct http_call_spec spec = {.method = "POST",
		.path = path.data,
		.headers = headers,
		.header_count = client_headers(x->client, NULL, headers),
		.content_type = x->input ? "application/octet-stream" : NULL,
		.streaming = x->input};
	x->call = http_call_start(client_http(x->client), &spec, &events, x);
	if (x->input) {
		x->data = mem_alloc(INPUT_SIZE);
		read_input(x);
	}
	while (!x->done)
		loop_uv_run(client_loop(x->client));
	if (x->result < 0)
		*e = x->e;
	return x->result;
}

int verb_exec(int argc, char **argv)
{
	static struct exec x; /* outlives this function: a job may still wait for input */
	struct cli_common common = {0};
	const struct cli_option options[] = {
		{'c', "container", CLI_TEXT, &x.container, "NAME",
			"which one, when the pod has several"},
		{'i', "stdin", CLI_FLAG, &x.input, NULL,
			"our standard input becomes the command's"},
	};
	const struct cli_usage usage = {
		.synopsis = "exec POD | KIND/NAME [options] -- COMMAND [ARGUMENT...]",
		.text = "Runs a command in a container that runs, and ends with its exit status. "
			"There is no "
			"terminal (-t).\n\n"
			"  continuo exec web-1 -- ls /etc\n"
			"  continuo exec deployment/web -- ls /etc\n"
			"  tar c folder | continuo exec -i web-1 -c main -- tar x -C /data\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	char pod[256];
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && (args.words.count != 1 || args.rest.count == 0))
		r = err_set(&e, ERR_USAGE, "say where and what: continuo exec POD -- COMMAND");
	if (r == 0)
		r = client_new(&common, &x.client, &e);
	if (r == 0)
		r = targets_pod(x.client, args.words.items[0], pod, &e);
	if (r == 0)
		r = run(&x, pod, &args.rest, &e);
	int status = r < 0 ? cli_fail(&e) : x.exit_code;
	/* A job may be blocked in read(2) for ever, so the loop cannot be waited for. */
	fflush(NULL);
	if (x.data)
		_exit(status);
	http_call_free(x.call);
	client_free(x.client);
	wire_reader_done(&x.reader);
	buf_done(&x.refusal);
	return status;
}

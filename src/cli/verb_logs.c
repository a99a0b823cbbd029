#include <stdio.h>
#include <string.h>

#include "cli/targets.h"
#include "wire/wire.h"

struct logs {
	const char *container;
	bool follow, previous, timestamps;
	int64_t tail, since_s; /* -1: all */
	struct wire_reader reader;
	bool finished; /* the last frame came */
};

static int on_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	int unused;
	if (channel == WIRE_END) {
		((struct logs *)arg)->finished = true;
		return wire_parse_end(data, size, &unused, e);
	}
	if (fwrite(data, 1, size, stdout) != size || fflush(stdout) != 0)
		return err_set(e, ERR_IO, "cannot write to the standard output");
	return 0;
}

static int on_data(void *arg, const char *data, size_t size, struct err *e)
{
	struct logs *l = arg;
	return wire_read_frames(&l->reader, data, size, on_frame, l, e);
}

static void make_path(const struct logs *l, const struct client *c, const char *pod,
	struct buf *path)
{
	client_path(&kind_pod, client_namespace(c), pod, path);
	buf_printf(path, "/log?follow=%s", l->follow ? "true" : "false");
	if (l->container) {
		buf_append_string(path, "&container=");
		client_escape(path, l->container);
	}
	if (l->previous)
		buf_append_string(path, "&previous=true");
	if (l->timestamps)
		buf_append_string(path, "&timestamps=true");
	if (l->tail >= 0)
		buf_printf(path, "&tailLines=%lld", (long long)l->tail);
	if (l->since_s >= 0)
		buf_printf(path, "&sinceSeconds=%lld", (long long)l->since_s);
}

int verb_logs(int argc, char **argv)
{
	struct logs l = {.tail = -1, .since_s = -1};
	struct cli_common common = {0};
	const struct cli_option options[] = {
		{'c', "container", CLI_TEXT, &l.container, "NAME",
			"which one, when the pod has several"},
		{'f', "follow", CLI_FLAG, &l.follow, NULL, "go on with what it writes"},
		{'p', "previous", CLI_FLAG, &l.previous, NULL,
			"of the run before the last restart"},
		{0, "tail", CLI_NUMBER, &l.tail, "LINES", "the last lines only"},
		{0, "since-seconds", CLI_NUMBER, &l.since_s, "SECONDS", "what is not older"},
		{0, "timestamps", CLI_FLAG, &l.timestamps, NULL, "when each line was written"},
	};
	const struct cli_usage usage = {.synopsis = "logs POD | KIND/NAME [options]",
		.text = "Shows what a container wrote to its standard output and error. For a "
			"deployment, "
			"replica set or service: of one of its pods.\n\n"
			"  continuo logs web-1 -c proxy --tail 100 -f\n"
			"  continuo logs deployment/web\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(client_done) struct client *c = NULL;
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	struct err e = ERR_INIT;
	char pod[256];
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count == 2 && !l.container)
		l.container = args.words.items[1];
	else if (r == 0 && args.words.count != 1)
		r = err_set(&e, ERR_USAGE, "say which pod: continuo logs POD");
	if (r == 0)
		r = client_new(&common, &c, &e);
	if (r == 0)
		r = targets_pod(c, args.words.items[0], pod, &e);
	if (r == 0) {
		make_path(&l, c, pod, &path);
		r = client_stream(c, path.data, WIRE_FRAMES_TYPE ", application/json", on_data, &l,
			&e);
		if (r == 0 && !l.finished)
			r = err_set(&e, ERR_CLOSED, "the connection ended before the logs did");
		wire_reader_done(&l.reader);
	}
	return r < 0 ? cli_fail(&e) : 0;
}

#include "openb/openb_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

char bench_file[] = "/tmp/openb-test-XXXXXX";

int bench_put_file(void **state)
{
	(void)state;
	int fd = mkstemp(bench_file);
	return fd < 0 ? -1 : close(fd);
}

int bench_drop_file(void **state)
{
	(void)state;
	return unlink(bench_file);
}

const char *bench_write(const char *text)
{
	FILE *f = fopen(bench_file, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return bench_file;
}

struct openb_trace bench_trace(const char *nodes, const char *pods)
{
	struct openb_trace t = OPENB_TRACE_INIT;
	struct err e = ERR_INIT;
	if (openb_trace_read_nodes(&t, bench_write(nodes), &e) ||
		openb_trace_read_pods(&t, bench_write(pods), &e))
		fail_msg("%s", e.text);
	return t;
}

void bench_add_pods(struct buf *b, int count, const char *row)
{
	for (int i = 0; i < count; i++)
		buf_printf(b, "%s\n", row);
}

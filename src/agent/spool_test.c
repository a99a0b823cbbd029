/* What happened on an island, on real files over virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/spool.h"
#include "base/mem.h"
#include "net/test_loop.h"

static const unsigned char key[32] = {7};

/* Real files, until they are told to fail. */
struct faulty {
	struct fs fs;
	enum err_code refuse; /* 0: none */
	int writes;
};

struct world {
	struct loop *l;
	struct log log;
	struct buf said;
	struct faulty files;
	struct agent_reports reports;
	struct agent_spool *spool;
	char folder[64];
	uint64_t last_id;
	int64_t limit_bytes;
};

static int faulty_write(struct fs *fs, const char *path, const void *data, size_t size, mode_t mode,
	struct err *e)
{
	struct faulty *f = CONTAINER_OF(fs, struct faulty, fs);
	f->writes++;
	if (f->refuse)
		return err_set(e, f->refuse, "no room for %s", path);
	return fs_write_atomic(fs_real(), path, data, size, mode, e);
}

static int faulty_read(struct fs *fs, const char *path, struct buf *data, struct err *e)
{
	(void)fs;
	return fs_read(fs_real(), path, data, e);
}

static int faulty_remove(struct fs *fs, const char *path, struct err *e)
{
	(void)fs;
	return fs_remove(fs_real(), path, e);
}

static int faulty_make_folders(struct fs *fs, const char *path, mode_t mode, struct err *e)
{
	(void)fs;
	return fs_make_folders(fs_real(), path, mode, e);
}

static int faulty_list(struct fs *fs, const char *path, fs_list_cb *cb, void *arg, struct err *e)
{
	(void)fs;
	return fs_list(fs_real(), path, cb, arg, e);
}

static const struct fs_ops faulty_ops = {.read = faulty_read,
	.write_atomic = faulty_write,
	.remove = faulty_remove,
	.make_folders = faulty_make_folders,
	.list = faulty_list};

static void on_news(void *arg)
{
	struct world *w = arg;
	if (w->spool)
		agent_spool_news(w->spool);
}

static int64_t clock_ms(void *arg)
{
	return loop_wall_ms(((struct world *)arg)->l);
}

static uint64_t new_id(void *arg)
{
	return ++((struct world *)arg)->last_id;
}

static int64_t log_wall(void *context)
{
	(void)context;
	return 0;
}

static void note_line(void *context, const char *line)
{
	buf_append_string(&((struct world *)context)->said, line);
}

static void note_over(void *arg, const char *of, const char *uid)
{
	buf_printf(&((struct world *)arg)->said, "over %s %s\n", of, uid);
}

static void begin_life(struct world *w)
{
	const struct agent_reports_config reports = {.on_news = on_news,
		.on_acked = on_news,
		.clock_ms = clock_ms,
		.new_id = new_id,
		.arg = w};
	agent_reports_init(&w->reports, &reports);
	struct agent_spool_config config = {.loop = w->l,
		.log = &w->log,
		.fs = &w->files.fs,
		.state_folder = w->folder,
		.key = key,
		.limit_bytes = w->limit_bytes,
		.reports = &w->reports,
		.on_over = note_over,
		.arg = w};
	w->spool = agent_spool_new(&config);
}

static void end_life(struct world *w)
{
	agent_spool_free(take_ptr(w->spool));
	agent_reports_done(&w->reports);
	test_loop_run(w->l, 100);
}

static int set_up(void **state)
{
	struct world *w = mem_new(struct world);
	snprintf(w->folder, sizeof(w->folder), "/tmp/continuo-spool-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	w->l = test_loop_new();
	w->log = (struct log){.level = LOG_INFO,
		.role = "agent",
		.wall_ms = log_wall,
		.write = note_line,
		.context = w};
	w->files.fs.ops = &faulty_ops;
	begin_life(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	char command[100];
	end_life(w);
	snprintf(command, sizeof(command), "rm -rf %s", w->folder);
	test_loop_free(w->l);
	buf_done(&w->said);
	free(w);
	return system(command);
}

static void event(struct world *w, int number)
{
	char message[64];
	snprintf(message, sizeof(message), "number %d", number);
	agent_reports_event(&w->reports, "core/pods/default/p", "u", true, "BackOff", message);
}

/* What would go up now, and is then acknowledged. */
static void send_now(struct world *w, struct buf *ret_lines)
{
	agent_reports_collect(&w->reports, ret_lines);
	agent_reports_ack(&w->reports);
	test_loop_run(w->l, 50);
}

static int count_files(void *arg, const char *name, bool is_folder)
{
	(void)name;
	(void)is_folder;
	++*(int *)arg;
	return 0;
}

static int files_of(struct world *w)
{
	int count = 0;
	CLEANUP(mem_free_ptr) char *folder = mem_format("%s/spool", w->folder);
	(void)!fs_list(fs_real(), folder, count_files, &count, NULL);
	return count;
}

static void expect_said(struct world *w, const char *words)
{
	if (!strstr(buf_text(&w->said), words))
		fail_msg("the log does not say \"%s\": %s", words, buf_text(&w->said));
}

static void it_survives_the_agent_s_death(void **state)
{
	struct world *w = *state;
	struct buf lines CLEANUP(buf_done) = BUF_INIT;
	int64_t at_ms = loop_wall_ms(w->l);
	agent_reports_status(&w->reports, "core/pods/default/p", "u", "{\"phase\":\"Running\"}");
	agent_reports_status(&w->reports, "core/pods/default/q", "v", "{\"phase\":\"Failed\"}");
	event(w, 1);
	event(w, 2);
	test_loop_run(w->l, 1500);
	assert_int_equal(w->files.writes, 2); /* "status" and "open" */
	end_life(w);
	test_loop_run(w->l, 3600000);
	begin_life(w);
	expect_said(w, "over core/pods/default/q v");
	assert_null(strstr(buf_text(&w->said), "over core/pods/default/p"));
	agent_spool_session(w->spool, true, "core/nodes/n");
	send_now(w, &lines);
	char first[64];
	snprintf(first, sizeof(first), "\"first_ms\":%lld,", (long long)at_ms);
	assert_non_null(strstr(buf_text(&lines), first));
	const char *one = strstr(buf_text(&lines), "number 1"),
		   *two = strstr(buf_text(&lines), "number 2");
	assert_true(one && two && one < two);
	assert_non_null(strstr(buf_text(&lines), "\"status\":{\"phase\":\"Running\"}"));
	assert_int_equal(files_of(w), 0);
	assert_int_equal(w->files.writes, 2);
}

static void nothing_is_readable_on_disk(void **state)
{
	struct world *w = *state;
	event(w, 1);
	test_loop_run(w->l, 1500);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/spool/open", w->folder);
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	assert_int_equal(fs_read(fs_real(), path, &b, NULL), 0);
	assert_null(memmem(b.data, b.size, "BackOff", 7));
}

static void nothing_is_written_during_a_session(void **state)
{
	struct world *w = *state;
	agent_spool_session(w->spool, true, "core/nodes/n");
	for (int i = 0; i < 600; i++)
		event(w, i);
	test_loop_run(w->l, 60000);
	assert_int_equal(w->files.writes, 0);
}

static void a_stream_of_news_costs_few_writes(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 300; i++) { /* five minutes */
		event(w, 1);
		test_loop_run(w->l, 1000);
		agent_spool_session(w->spool, false, "core/nodes/n"); /* it tries to connect */
	}
	assert_true(w->files.writes > 0);
	if (w->files.writes > 40)
		fail_msg("%d writes", w->files.writes);
}

static void send_all(struct world *w, struct buf *ret_lines)
{
	for (int i = 0; i < 3000 && !(agent_reports_empty(&w->reports) && files_of(w) == 0); i++) {
		send_now(w, ret_lines);
		test_loop_run(w->l, 1000);
	}
}

static void many_events_go_up_in_order(void **state)
{
	struct world *w = *state;
	struct buf lines CLEANUP(buf_done) = BUF_INIT;
	for (int i = 0; i < 1500; i++) {
		event(w, i);
		if (i % 10 == 0)
			test_loop_run(w->l, 300);
	}
	test_loop_run(w->l, 11000);
	assert_int_equal(w->reports.dropped, 0);
	assert_true(w->reports.event_count <= 300); /* the others are on disk only */
	end_life(w);
	begin_life(w);
	agent_spool_session(w->spool, true, "core/nodes/n");
	int64_t began_ms = loop_now_ms(w->l);
	send_all(w, &lines);
	int64_t took_s = (loop_now_ms(w->l) - began_ms) / 1000;
	int expected = 0;
	for (const char *at = buf_text(&lines); (at = strstr(at, "number ")); at++)
		assert_int_equal(atoi(at + 7), expected++);
	assert_int_equal(expected, 1500);
	assert_int_equal(files_of(w), 0);
	assert_true(took_s * 5 + 1000 > 1500); /* as fast as the server takes them, no faster */
}

static void a_part_is_kept_until_all_of_it_arrived(void **state)
{
	struct world *w = *state;
	struct buf lines CLEANUP(buf_done) = BUF_INIT;
	for (int i = 0; i < 300; i++)
		event(w, i);
	test_loop_run(w->l, 3000);
	agent_spool_session(w->spool, true, "core/nodes/n");
	test_loop_run(w->l, 100);
	agent_reports_collect(&w->reports, &lines);
	assert_non_null(strstr(buf_text(&lines), "number 0\""));
	agent_reports_nack(&w->reports); /* the session ends, and then the agent */
	agent_spool_session(w->spool, false, "core/nodes/n");
	end_life(w);
	begin_life(w);
	agent_spool_session(w->spool, true, "core/nodes/n");
	struct buf again CLEANUP(buf_done) = BUF_INIT;
	test_loop_run(w->l, 100);
	agent_reports_collect(&w->reports, &again);
	assert_int_equal(strncmp(buf_text(&again), buf_text(&lines), 300), 0); /* ids too */
	agent_reports_nack(&w->reports);
}

static void over_the_limit_the_oldest_are_dropped_and_that_is_told(void **state)
{
	struct world *w = *state;
	struct buf lines CLEANUP(buf_done) = BUF_INIT;
	end_life(w);
	w->limit_bytes = SPOOL_BYTES_MIN;
	begin_life(w);
	for (int i = 0; i < 2000; i++) {
		event(w, i);
		if (i % 10 == 0)
			test_loop_run(w->l, 300);
	}
	test_loop_run(w->l, 11000);
	char command[200];
	snprintf(command, sizeof(command), "test $(cat %s/spool/* | wc -c) -le 65536", w->folder);
	assert_int_equal(system(command), 0);
	end_life(w);
	begin_life(w);
	agent_spool_session(w->spool, true, "core/nodes/n");
	send_all(w, &lines);
	const char *told = strstr(buf_text(&lines), "\"EventsDropped\"");
	assert_non_null(told);
	assert_null(strstr(told + 1, "\"EventsDropped\""));
	int dropped = atoi(strstr(told, "\"message\":\"") + 11), arrived = 0, last = -1;
	for (const char *at = buf_text(&lines); (at = strstr(at, "number ")); at++, arrived++)
		last = atoi(at + 7);
	assert_int_equal(dropped + arrived, 2000);
	assert_int_equal(last, 1999);
	expect_said(w, "events_dropped");
}

static void a_full_disk_loses_nothing(void **state)
{
	struct world *w = *state;
	struct buf lines CLEANUP(buf_done) = BUF_INIT;
	w->files.refuse = ERR_NO_SPACE;
	for (int i = 0; i < 500; i++) {
		event(w, i);
		test_loop_run(w->l, 1000);
	}
	expect_said(w, "spool_not_written");
	expect_said(w, "action=kept_in_memory");
	const char *first = strstr(buf_text(&w->said), "spool_not_written");
	assert_null(strstr(first + 1, "spool_not_written")); /* one line */
	w->files.refuse = 0;
	test_loop_run(w->l, 12000);
	expect_said(w, "spool_written");
	end_life(w);
	begin_life(w);
	agent_spool_session(w->spool, true, "core/nodes/n");
	send_all(w, &lines);
	int arrived = 0;
	for (const char *at = buf_text(&lines); (at = strstr(at, "number ")); at++)
		arrived++;
	assert_int_equal(arrived, 500);
}

static void damage(struct world *w, const char *what)
{
	char command[200];
	snprintf(command, sizeof(command), "for f in %s/spool/%s; do echo x >$f; done", w->folder,
		what);
	assert_int_equal(system(command), 0);
}

static void what_is_damaged_is_told_and_passed_by(void **state)
{
	struct world *w = *state;
	struct buf lines CLEANUP(buf_done) = BUF_INIT;
	for (int i = 0; i < 300; i++)
		event(w, i);
	agent_reports_status(&w->reports, "core/pods/default/p", "u", "{\"phase\":\"Failed\"}");
	test_loop_run(w->l, 3000);
	event(w, 300);
	test_loop_run(w->l, 12000);
	end_life(w);
	damage(w, "0*");
	damage(w, "status");
	begin_life(w);
	agent_spool_session(w->spool, true, "core/nodes/n");
	send_all(w, &lines);
	assert_non_null(strstr(buf_text(&lines), "number 300"));
	assert_null(strstr(buf_text(&lines), "number 0\""));
	assert_non_null(strstr(buf_text(&lines), "\"300 events")); /* dropped, and told */
	expect_said(w, "spool_damaged");
	expect_said(w, "action=removed");
	assert_int_equal(files_of(w), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(it_survives_the_agent_s_death),
		TEST(nothing_is_readable_on_disk),
		TEST(nothing_is_written_during_a_session),
		TEST(a_stream_of_news_costs_few_writes),
		TEST(many_events_go_up_in_order),
		TEST(a_part_is_kept_until_all_of_it_arrived),
		TEST(over_the_limit_the_oldest_are_dropped_and_that_is_told),
		TEST(a_full_disk_loses_nothing),
		TEST(what_is_damaged_is_told_and_passed_by),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/reports.h"
#include "codec/json.h"

static int news;

static int64_t clock_ms;
static uint64_t last_id;

static void on_news(void *arg)
{
	(void)arg;
	news++;
}

static void on_acked(void *arg)
{
	(void)arg;
}

static int64_t read_clock(void *arg)
{
	(void)arg;
	return clock_ms;
}

static uint64_t new_id(void *arg)
{
	(void)arg;
	return ++last_id;
}

static void begin(struct agent_reports *r)
{
	static const struct agent_reports_config config = {
		.on_news = on_news, .on_acked = on_acked, .clock_ms = read_clock, .new_id = new_id};
	agent_reports_init(r, &config);
}

static void test_the_newest_status_counts(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	agent_reports_status(&r, "k", "u", "{\"phase\":\"Pending\"}");
	agent_reports_status(&r, "k", "u", "{\"phase\":\"Running\"}");
	agent_reports_collect(&r, &b);
	assert_string_equal(buf_text(&b), "{\"type\":\"status\",\"key\":\"k\",\"uid\":\"u\","
					  "\"status\":{\"phase\":\"Running\"}}\n");
	agent_reports_ack(&r);
	assert_false(agent_reports_waiting(&r));
	buf_done(&b);
	agent_reports_done(&r);
}

static void test_an_ack_passes_newer_news_by(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	agent_reports_status(&r, "k", "u", "{\"a\":1}");
	agent_reports_collect(&r, &b);
	agent_reports_status(&r, "k", "u", "{\"a\":2}");
	agent_reports_ack(&r);
	assert_true(agent_reports_waiting(&r));
	buf_clear(&b);
	agent_reports_collect(&r, &b);
	assert_non_null(strstr(buf_text(&b), "{\"a\":2}"));
	agent_reports_nack(&r);
	assert_true(agent_reports_waiting(&r));
	buf_done(&b);
	agent_reports_done(&r);
}

static void test_nothing_follows_gone(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	agent_reports_gone(&r, "k", "u");
	agent_reports_status(&r, "k", "u", "{}");
	agent_reports_collect(&r, &b);
	assert_null(strstr(buf_text(&b), "status"));
	agent_reports_forget(&r, "u");
	assert_int_equal(r.lines.count, 0);
	buf_done(&b);
	agent_reports_done(&r);
}

static void event(struct agent_reports *r, int number)
{
	char reason[32];
	snprintf(reason, sizeof(reason), "R%d", number);
	agent_reports_event(r, "k", "u", true, reason, "line\n\"quoted\"");
}

static void test_events_are_bounded_and_escaped(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	for (int i = 0; i < REPORTS_EVENTS_MAX + 10; i++)
		event(&r, i);
	assert_int_equal(r.event_count, REPORTS_EVENTS_MAX);
	assert_int_equal(r.dropped, 10);
	agent_reports_collect(&r, &b);
	assert_non_null(strstr(buf_text(&b), "\"line\\n\\\"quoted\\\"\""));
	agent_reports_ack(&r);
	event(&r, 0);
	assert_int_equal(r.event_count, 1);
	buf_done(&b);
	agent_reports_done(&r);
}

static void test_text_that_is_no_utf8_spoils_no_line(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	agent_reports_event(&r, "k", "u", true, "Unhealthy", "\351t\351");
	agent_reports_collect(&r, &b);
	json_t *line = NULL;
	assert_int_equal(json_decode(b.data, b.size, &line, NULL), 0);
	assert_string_equal(json_text(line, "", "message"), "\xef\xbf\xbdt\xef\xbf\xbd");
	json_decref(line);
	buf_done(&b);
	agent_reports_done(&r);
}

static void test_equal_events_are_counted_until_they_are_sent(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	clock_ms = 1000;
	event(&r, 1);
	clock_ms = 5000;
	event(&r, 1);
	event(&r, 2);
	agent_reports_collect(&r, &b);
	assert_non_null(strstr(buf_text(&b), "\"first_ms\":1000,\"last_ms\":5000,\"count\":2}\n"));
	assert_int_equal(r.event_count, 2);
	/* The server may have it: what is new is another line, and the first comes again as it was.
	 */
	event(&r, 1);
	assert_int_equal(r.event_count, 3);
	agent_reports_nack(&r);
	char *first = buf_take(&b, NULL);
	agent_reports_collect(&r, &b);
	assert_int_equal(strncmp(buf_text(&b), first, strlen(first)), 0);
	agent_reports_ack(&r);
	assert_true(agent_reports_empty(&r));
	free(first);
	buf_done(&b);
	agent_reports_done(&r);
}

static void test_events_leave_for_the_spool_and_come_back_first(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT, lines = BUF_INIT;
	event(&r, 1);
	agent_reports_write_events(&r, true, &lines);
	event(&r, 2);
	agent_reports_left(&r, true);
	assert_int_equal(r.event_count, 1);
	r.hold = true;
	agent_reports_collect(&r, &b);
	assert_int_equal(b.size, 0);
	agent_reports_take_events(&r, buf_text(&lines), true);
	agent_reports_collect(&r, &b);
	assert_string_equal(buf_text(&b), buf_text(&lines));
	buf_clear(&b);
	agent_reports_ack(&r);
	r.hold = false;
	agent_reports_collect(&r, &b);
	assert_non_null(strstr(buf_text(&b), "\"R2\""));
	buf_done(&b);
	buf_done(&lines);
	agent_reports_done(&r);
}

static void test_a_batch_is_bounded(void **state)
{
	(void)state;
	struct agent_reports r;
	begin(&r);
	struct buf b = BUF_INIT;
	static char text[300000];
	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 10; i++)
		agent_reports_event(&r, "k", i % 2 ? "u" : "v", i > 4, i % 3 ? "Large" : "Larger",
			text);
	agent_reports_collect(&r, &b);
	assert_true(b.size <= REPORTS_BATCH_MAX);
	agent_reports_ack(&r);
	assert_true(agent_reports_waiting(&r));
	buf_done(&b);
	agent_reports_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_newest_status_counts),
		cmocka_unit_test(test_an_ack_passes_newer_news_by),
		cmocka_unit_test(test_nothing_follows_gone),
		cmocka_unit_test(test_events_are_bounded_and_escaped),
		cmocka_unit_test(test_text_that_is_no_utf8_spoils_no_line),
		cmocka_unit_test(test_equal_events_are_counted_until_they_are_sent),
		cmocka_unit_test(test_events_leave_for_the_spool_and_come_back_first),
		cmocka_unit_test(test_a_batch_is_bounded),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

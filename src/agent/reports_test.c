#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/reports.h"

static int news;

static void on_news(void *arg)
{
	(void)arg;
	news++;
}

static void test_the_newest_status_counts(void **state)
{
	(void)state;
	struct agent_reports r;
	agent_reports_init(&r, on_news, NULL);
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
	agent_reports_init(&r, on_news, NULL);
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
	agent_reports_init(&r, on_news, NULL);
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

static void test_events_are_bounded_and_escaped(void **state)
{
	(void)state;
	struct agent_reports r;
	agent_reports_init(&r, on_news, NULL);
	struct buf b = BUF_INIT;
	for (int i = 0; i < REPORTS_EVENTS_MAX + 10; i++)
		agent_reports_event(&r, "k", "u", true, "BackOff", "line\n\"quoted\"");
	assert_int_equal(r.lines.count, REPORTS_EVENTS_MAX);
	agent_reports_collect(&r, &b);
	assert_non_null(strstr(buf_text(&b), "\"line\\n\\\"quoted\\\"\""));
	agent_reports_ack(&r);
	agent_reports_event(&r, "k", "u", false, "Pulled", "");
	assert_int_equal(r.lines.count, 1);
	buf_done(&b);
	agent_reports_done(&r);
}

static void test_a_batch_is_bounded(void **state)
{
	(void)state;
	struct agent_reports r;
	agent_reports_init(&r, on_news, NULL);
	struct buf b = BUF_INIT;
	static char text[300000];
	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 10; i++)
		agent_reports_event(&r, "k", "u", false, "Large", text);
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
		cmocka_unit_test(test_a_batch_is_bounded),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

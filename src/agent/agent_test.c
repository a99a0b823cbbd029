/* A whole agent, and what it says to its server. */
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_private.h"
#include "agent/world_test.h"

/* ---- tests ---- */

static void test_a_pod_comes_and_goes(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "\"continuo.dev/tier\":\"edge\""));
	test_loop_run(w->l, 100);
	assert_int_equal(w->peers, 1); /* not ourselves */
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"podIP\":\"10.42.1.2\"");
	await_report(w, "\"phase\":\"Running\"");
	await_report(w, "\"hostIP\":\"10.0.0.11\"");
	feed_line(w, POD("a", DELETED, "8"));
	await_report(w, "{\"type\":\"gone\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	feed_line(w, "{\"type\":\"delete\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	test_loop_run(w->l, 1000);
	assert_int_equal(w->attached, 0);
	world_free(w);
}

static void test_what_the_slice_lacks_is_stopped_after_the_bookmark(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	feed_line(w, "{\"type\":\"delete\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	test_loop_run(w->l, 1000);
	assert_int_equal(w->attached, 0);
	assert_null(strstr(buf_text(&w->reports), "\"gone\"")); /* nobody waits for it */
	world_free(w);
}

static void test_secrets_are_sealed_on_disk(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, SECRET);
	test_loop_run(w->l, 1000);
	char command[200];
	snprintf(command, sizeof(command),
		"test -s %s/slice && ! grep -rq -e aHVzaGh1c2g -e hushhush "
		"%s",
		w->folder, w->folder);
	assert_int_equal(system(command), 0);
	world_free(w);
}

static bool has_two_sessions(void *arg)
{
	return ((struct world *)arg)->sessions == 2 && is_connected(arg);
}

static void test_silence_is_noticed_and_reports_are_kept(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	int64_t before = loop_now_ms(w->l);
	w->deaf = true;
	test_loop_run(w->l, 2500);
	assert_int_equal(w->sessions, 1);
	w->deaf = false;
	assert_true(test_loop_until(w->l, has_two_sessions, w, LIMIT_MS));
	assert_true(loop_now_ms(w->l) - before < 6000);
	world_free(w);
}

/* TCP would need six seconds to find out; a node of the edge is given four. */
static void test_a_blackout_of_three_seconds_is_over_soon(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	test_loop_run(w->l, 1234);
	int64_t before = loop_now_ms(w->l);
	((struct test_loop *)w->l)->black = true;
	test_loop_run(w->l, 3000);
	assert_int_equal(w->sessions, 1);
	((struct test_loop *)w->l)->black = false;
	assert_true(test_loop_until(w->l, has_two_sessions, w, LIMIT_MS));
	assert_true(loop_now_ms(w->l) - before <= 3350);
	world_free(w);
}

static void test_after_a_long_blackout_the_session_is_soon_back(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	((struct test_loop *)w->l)->black = true;
	test_loop_run(w->l, 3600000);
	((struct test_loop *)w->l)->black = false;
	int64_t before = loop_now_ms(w->l);
	assert_true(test_loop_until(w->l, has_two_sessions, w, LIMIT_MS));
	assert_true(loop_now_ms(w->l) - before <= 1000);
	world_free(w);
}

static void test_a_report_that_failed_comes_again(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	w->refuse_reports = 5; /* its disk is full for a while */
	int64_t before = loop_now_ms(w->l);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	assert_int_equal(w->refuse_reports, 0);
	assert_true(loop_now_ms(w->l) - before >= 1000); /* it was not asked again and again */
	assert_int_equal(w->sessions, 1);
	expect_said(w, "event=report_deferred");
	world_free(w);
}

/* Its feed is served all the same: that must not go round in circles. */
static void test_a_node_whose_reports_are_forbidden_backs_off(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	w->refuse_reports = 1000000;
	w->refuse_with = 403;
	feed_line(w, POD("a", "", "7"));
	test_loop_run(w->l, 60000);
	assert_in_range(w->sessions, 3, 20);
	w->refuse_reports = 0;
	await_report(w, "\"phase\":\"Running\""); /* nothing was dropped */
	int sessions = w->sessions;
	test_loop_run(w->l, 10000);
	assert_int_equal(w->sessions, sessions);
	world_free(w);
}

static void test_server_goes_and_comes(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	server_down(w);
	test_loop_run(w->l, 30000);
	assert_false(agent_connected(w->agent));
	server_up(w);
	int64_t before = loop_now_ms(w->l);
	await_connection(w);
	assert_true(loop_now_ms(w->l) - before <= 5100);
	world_free(w);
}

static void test_idle_writes_nothing(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	test_loop_run(w->l, 2000);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	agent_metrics(w->agent, &b);
	CLEANUP(mem_free_ptr)
	char *before = mem_dup_string(strstr(buf_text(&b), "continuo_agent_slice_writes_total "));
	before[strcspn(before, "\n")] = '\0';
	test_loop_run(w->l, 600000);
	buf_clear(&b);
	agent_metrics(w->agent, &b);
	assert_non_null(strstr(buf_text(&b), before));
	assert_true(w->heartbeats > 500);
	world_free(w);
}

static bool call_ended(void *arg)
{
	return strstr(buf_text(&((struct world *)arg)->call_frames), "3:") != NULL;
}

static void test_reverse_calls(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	feed_line(w, "{\"type\":\"call\",\"id\":4,\"verb\":\"logs\",\"pod\":\"uid-a\",\"query\":{"
		     "\"follow\":\"false\",\"tailLines\":\"10\"}}");
	assert_true(test_loop_until(w->l, call_ended, w, LIMIT_MS));
	assert_string_equal(buf_text(&w->call_frames), "1:fake\n|3:{\"exit\":0}|");
	buf_clear(&w->call_frames);
	feed_line(w, "{\"type\":\"call\",\"id\":5,\"verb\":\"exec\",\"pod\":\"nobody\",\"query\":{"
		     "\"command\":[\"true\"]}}");
	assert_true(test_loop_until(w->l, call_ended, w, LIMIT_MS));
	assert_non_null(strstr(buf_text(&w->call_frames), "\"reason\":\"NotFound\""));
	buf_clear(&w->call_frames);
	feed_line(w, "{\"type\":\"call\",\"id\":6,\"verb\":\"dance\",\"pod\":\"uid-a\"}");
	assert_true(test_loop_until(w->l, call_ended, w, LIMIT_MS));
	assert_non_null(strstr(buf_text(&w->call_frames), "dance"));
	world_free(w);
}

/* Pods that would only wait for it are to go elsewhere. */
static void test_an_engine_that_goes_takes_no_pods_until_it_is_back(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	w->engine_away = true;
	await_report(w, "\"pods\":\"0\"");
	buf_clear(&w->reports);
	w->engine_away = false;
	await_report(w, "\"pods\":\"110\"");
	world_free(w);
}

static void test_a_refused_node_goes_on_running_pods(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	w->refuse_feed = 403;
	http_request_free(take_ptr(w->feed));
	test_loop_run(w->l, 30000);
	assert_false(agent_connected(w->agent));
	assert_int_equal(w->attached, 1);
	w->refuse_feed = 0;
	test_loop_run(w->l, 61000);
	assert_true(agent_connected(w->agent));
	world_free(w);
}

/* ---- joining ---- */

static char token_text[PKI_TOKEN_MAX];

static void prepare_join(struct world *w)
{
	char pin[65];
	struct pki_token token;
	const unsigned char random[24] = {1, 2, 3};
	w->proves_identity = false;
	assert_int_equal(pki_ca_new("test", loop_wall_ms(w->l), &w->ca, NULL), 0);
	assert_int_equal(pki_pin(w->ca.certificate_pem, pin, NULL), 0);
	pki_token_new(random, pin, &token);
	pki_token_format(&token, token_text);
	w->token = token_text;
}

static void test_join_then_restart_without_token(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	w->node_name = "";
	agent_up(w);
	await_connection(w);
	assert_string_equal(agent_node_name(w->agent), "n1");
	agent_down(w);
	w->token = NULL;
	agent_up(w);
	await_connection(w);
	assert_int_equal(w->joins, 1);
	char command[160];
	snprintf(command, sizeof(command), "test $(stat -c %%a %s/identity.json) = 600", w->folder);
	assert_int_equal(system(command), 0);
	world_free(w);
}

static bool has_fatal(void *arg)
{
	return ((struct world *)arg)->fatal.code != ERR_OK;
}

static void test_a_ca_that_is_not_pinned_is_not_taken(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	pki_pair_done(&w->ca);
	assert_int_equal(pki_ca_new("test", loop_wall_ms(w->l), &w->ca, NULL), 0);
	agent_up(w);
	test_loop_run(w->l, 60000);
	assert_true(w->joins > 1);
	assert_string_equal(agent_node_name(w->agent), "");
	world_free(w);
}

static void test_no_token_and_a_used_token(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct err e = ERR_INIT;
	prepare_join(w);
	w->token = NULL;
	assert_int_equal(agent_try(w, &e), -ERR_USAGE);
	w->token = "rubbish";
	assert_true(agent_try(w, &e) < 0);
	char used[PKI_TOKEN_MAX];
	snprintf(used, sizeof(used), "%s", token_text);
	memcpy(strchr(used, '.') + 1, "used", 4);
	w->token = used;
	agent_up(w);
	assert_true(test_loop_until(w->l, has_fatal, w, LIMIT_MS));
	assert_non_null(strstr(w->fatal.text, "used already"));
	world_free(w);
}

static bool has_renewed(void *arg)
{
	struct world *w = arg;
	return w->renewals == 1 && w->sessions == 2 && is_connected(arg);
}

static void test_certificate_is_renewed_at_half_of_its_life(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, PKI_NODE_LIFE_MS / 2 - 20 * 60 * 1000);
	assert_int_equal(w->renewals, 0);
	assert_true(test_loop_until(w->l, has_renewed, w, 40 * 60 * 1000));
	assert_int_equal(w->attached, 1); /* the pod did not notice */
	world_free(w);
}

static void test_short_lives_do_not_renew_for_ever(void **state)
{
	(void)state;
	struct world *w = world_new();
	prepare_join(w);
	w->life_ms = 60000;
	agent_up(w);
	await_connection(w);
	test_loop_run(w->l, 300000);
	assert_in_range(w->renewals, 9, 11);
	world_free(w);
}

#define KEEP ",\"annotations\":{\"continuo.dev/singleton\":\"keep\"}"
#define SLOW(name)                                                                                 \
	"{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"      \
	"\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"uid-" name                      \
	"\",\"resourceVersion\":\"7\""                                                             \
	"},\"spec\":{\"nodeName\":\"n1\",\"terminationGracePeriodSeconds\":10,\"containers\":[{"   \
	"\"name\":\"c\",\"image\":\"i:1\"" SCRIPT("trap '' TERM; sleep 1000") "}]}}}"

/* Its successor runs as soon as it is known to be gone: no boot may bring it back then. */
static void test_what_is_said_to_be_gone_is_off_the_disk(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", KEEP, "7"));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, 1000);
	/* The slice cannot be written. */
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/slice", w->folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	feed_line(w, POD("a", KEEP DELETED, "8"));
	test_loop_run(w->l, 45000);
	expect_said(w, "event=pod_stopped");
	assert_null(strstr(buf_text(&w->reports), "\"type\":\"gone\""));
	assert_int_equal(rmdir(path), 0);
	await_report(w, "\"type\":\"gone\"");
	reboot_on_an_island(w);
	assert_int_equal(w->attached, 0);
	world_free(w);
}

static bool has_stopped(void *arg)
{
	return strstr(buf_text(&((struct world *)arg)->said), "event=pod_stopped");
}

static void test_a_pod_is_failed_when_nothing_of_it_runs(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, SLOW("a"));
	await_report(w, "\"phase\":\"Running\"");
	assert_true(agent_pods_fail(w->agent->pods, "uid-a", "DeviceLost", "it went"));
	await_report(w, "DeviceLost"); /* the event */
	test_loop_run(w->l, 5000);
	assert_false(has_stopped(w));
	assert_null(strstr(buf_text(&w->reports), "\"phase\":\"Failed\""));
	assert_true(test_loop_until(w->l, has_stopped, w, LIMIT_MS));
	await_report(w, "\"phase\":\"Failed\"");
	world_free(w);
}

static void test_a_damaged_state_folder_says_what_to_do(void **state)
{
	(void)state;
	static const struct {
		const char *file, *text, *advice;
	} rows[] = {
		{"version", "", "remove it, unless a newer agent"},
		{"version", "\033[31m", "remove it, unless a newer agent"},
		{"version",
			"0000000000000000000000000000000000000000000000000000000000000000000000",
			"remove it, unless a newer agent"},
		{"identity.json", "", "join again with a new token"},
		{"identity.json", "{\"node\": \"n1\"}", "join again with a new token"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world *w = world_new();
		CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", w->folder, rows[i].file);
		FILE *file = fopen(path, "w");
		assert_non_null(file);
		fputs(rows[i].text, file);
		fclose(file);
		w->proves_identity = false;
		struct err e = ERR_INIT;
		assert_int_equal(agent_try(w, &e), -ERR_CORRUPT);
		if (!strstr(e.text, rows[i].advice))
			fail_msg("%s \"%s\": %s", rows[i].file, rows[i].text, e.text);
		world_free(w);
	}
}

/* A container that was adopted may be what holds the name server's port. */
static void test_an_adopted_pod_does_not_wait_for_the_network(void **state)
{
	(void)state;
	struct world *w = world_new();
	w->port_taken = true;
	w->adopts = "docker";
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	feed_line(w, POD("b", ",\"annotations\":{\"continuo.dev/adopted\":\"docker\"}", "8"));
	test_loop_run(w->l, 1000);
	expect_said(w, "network_not_open");
	expect_said(w, "event=pod_starting pod=default/b");
	assert_null(strstr(buf_text(&w->said), "event=pod_starting pod=default/a"));
	world_free(w);
}

/* Its program is not there: it would run without anybody to end it. */
static void test_no_handover_without_a_fence(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "\"continuo.dev/fence\":\"none\""));
	feed_line(w, POD("a", ",\"annotations\":{\"continuo.dev/singleton\":\"handover\"}", "7"));
	await_report(w, "\"reason\":\"NoFence\"");
	await_report(w, "\"phase\":\"Failed\"");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_handover_without_a_fence),
		cmocka_unit_test(test_a_damaged_state_folder_says_what_to_do),
		cmocka_unit_test(test_an_adopted_pod_does_not_wait_for_the_network),
		cmocka_unit_test(test_what_is_said_to_be_gone_is_off_the_disk),
		cmocka_unit_test(test_a_pod_is_failed_when_nothing_of_it_runs),
		cmocka_unit_test(test_a_pod_comes_and_goes),
		cmocka_unit_test(test_what_the_slice_lacks_is_stopped_after_the_bookmark),
		cmocka_unit_test(test_secrets_are_sealed_on_disk),
		cmocka_unit_test(test_silence_is_noticed_and_reports_are_kept),
		cmocka_unit_test(test_an_engine_that_goes_takes_no_pods_until_it_is_back),
		cmocka_unit_test(test_a_blackout_of_three_seconds_is_over_soon),
		cmocka_unit_test(test_after_a_long_blackout_the_session_is_soon_back),
		cmocka_unit_test(test_a_report_that_failed_comes_again),
		cmocka_unit_test(test_a_node_whose_reports_are_forbidden_backs_off),
		cmocka_unit_test(test_server_goes_and_comes),
		cmocka_unit_test(test_idle_writes_nothing),
		cmocka_unit_test(test_reverse_calls),
		cmocka_unit_test(test_a_refused_node_goes_on_running_pods),
		cmocka_unit_test(test_join_then_restart_without_token),
		cmocka_unit_test(test_a_ca_that_is_not_pinned_is_not_taken),
		cmocka_unit_test(test_no_token_and_a_used_token),
		cmocka_unit_test(test_certificate_is_renewed_at_half_of_its_life),
		cmocka_unit_test(test_short_lives_do_not_renew_for_ever),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A whole agent without its server: what it starts from the disk, and what it then tells. */
#include "agent/agent_private.h"
#include "agent/world_test.h"

static bool image_is_used(struct world *w, const char *name)
{
	CLEANUP(agent_used_images_done) struct agent_used_images used = {0};
	agent_pods_images(w->agent->pods, &used);
	bool found = false;
	VEC_EACH (&used, char *, image)
		found |= strcmp(*image, name) == 0;
	return found;
}

static void test_a_namespace_may_keep_its_secrets_from_the_disk(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, NAMESPACE);
	feed_line(w, SECRET);
	feed_line(w, POD_OF("a", "uid-a", ",\"envFrom\":[{\"secretRef\":{\"name\":\"s\"}}]"));
	feed_line(w, POD("b", "", "8"));
	await_report(w, "\"uid\":\"uid-a\",\"status\":{\"phase\":\"Running\"");
	reboot_on_an_island(w);
	assert_int_equal(w->attached, 1); /* b */
	expect_said(w, "secret_not_cached");
	assert_true(image_is_used(w, "i:1")); /* and may not be had again soon */
	server_up(w);
	await_connection(w);
	assert_null(strstr(buf_text(&w->hello), "core/secrets/default/s"));
	await_report(w, "\"reason\":\"SecretNotCached\"");
	await_report(w, "Secret \\\"s\\\" is not on this machine");
	/* The bookmark came and the Secret did not: it is gone, which is the driver's affair. */
	await_report(w, "\"uid\":\"uid-a\",\"status\":{\"phase\":\"Pending\"");
	assert_true(w->attached >= 1);
	world_free(w);
}

static void test_a_pod_that_ended_stays_so_over_a_reboot_on_an_island(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD_OF("a", "uid-a", SCRIPT("exit 0")));
	await_report(w, "\"phase\":\"Succeeded\"");
	assert_false(image_is_used(w, "i:1"));
	reboot_on_an_island(w);
	assert_null(strstr(buf_text(&w->said), "pod_starting"));
	assert_false(image_is_used(w, "i:1"));
	world_free(w);
}

/* The driver does not know it any more, but has its log and its files. */
static void test_what_a_pod_left_before_a_boot_is_read_and_removed(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD_OF("a", "uid-a", SCRIPT("exit 0")));
	await_report(w, "\"phase\":\"Succeeded\"");
	reboot_on_an_island(w);
	server_up(w);
	buf_append_string(&w->feed_script, POD_OF("a", "uid-a", SCRIPT("exit 0")) "\n");
	await_connection(w);
	feed_line(w,
		"{\"type\":\"call\",\"id\":4,\"verb\":\"logs\",\"pod\":\"uid-a\",\"query\":{}}");
	test_loop_run(w->l, 1000);
	expect_said(w, "told=logs uid=uid-a container=c\n");
	expect_said(w, "told=keep_only uid=uid-a\n");
	assert_null(strstr(buf_text(&w->said), "told=forget"));
	feed_line(w, "{\"type\":\"delete\",\"key\":\"core/pods/default/a\",\"uid\":\"uid-a\"}");
	test_loop_run(w->l, 1000);
	expect_said(w, "told=forget uid=uid-a\n");
	world_free(w);
}

/* While the node was away its pod was deleted, and another has its name. */
static void test_an_old_uid_is_stopped_and_said_so(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, 1000);
	buf_clear(&w->reports);
	feed_line(w, "{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\","
		     "\"metadata\":{"
		     "\"name\":\"a\",\"namespace\":\"default\",\"uid\":\"uid-new\","
		     "\"resourceVersion\":\"9\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},"
		     "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"i:"
		     "1\"}]}}}");
	await_report(w, "\"uid\":\"uid-new\",\"status\":{\"phase\":\"Running\"");
	test_loop_run(w->l, 2000);
	assert_int_equal(w->attached, 1);
	expect_said(w, "why=another_pod_has_its_name");
	assert_null(strstr(buf_text(&w->reports), "\"uid-a\",\"status\""));
	world_free(w);
}

static void test_what_happened_on_an_island_is_told_after_a_reboot(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD_OF("a", "uid-a", SCRIPT("sleep 30; exit 3")));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, 1000);
	server_down(w);
	test_loop_run(w->l, 60000); /* it fails there */
	buf_clear(&w->reports);
	agent_down(w);
	agent_up(w);
	test_loop_run(w->l, 3000);
	server_up(w);
	await_connection(w);
	await_report(w, "\"exitCode\":3");
	test_loop_run(w->l, 1000);
	char command[128];
	snprintf(command, sizeof(command), "test -z \"$(ls %s/spool)\"", w->folder);
	assert_int_equal(system(command), 0);
	world_free(w);
}

/* The agent died before it wrote what it had to say; that the pod ended is in the slice. */
static void test_an_end_that_was_not_kept_is_told_as_unknown(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD_OF("a", "uid-a", SCRIPT("sleep 30; exit 3")));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, 1000);
	server_down(w);
	test_loop_run(w->l, 60000);
	buf_clear(&w->reports);
	agent_down(w);
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s/spool", w->folder);
	assert_int_equal(system(command), 0);
	agent_up(w);
	server_up(w);
	await_connection(w);
	await_report(w, "ContainerStatusUnknown");
	world_free(w);
}

static void test_pods_start_from_disk_without_a_server(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	await_report(w, "\"phase\":\"Running\"");
	test_loop_run(w->l, 1000); /* the slice is written some time after the change */
	agent_down(w);
	server_down(w);
	w->attached = 0;
	w->opens = 0;
	agent_up(w);
	test_loop_run(w->l, 2000);
	assert_int_equal(w->opens, 1);
	assert_int_equal(w->attached, 1);
	assert_false(agent_connected(w->agent));
	buf_clear(&w->reports);
	server_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "[\"core/pods/default/a\",\"uid-a\",7]"));
	assert_non_null(strstr(buf_text(&w->hello), "\"epoch\":\"e1\""));
	await_report(w, "\"phase\":\"Running\"");
	world_free(w);
}

static void test_newer_state_is_refused(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/version", w->folder);
	assert_int_equal(fs_write_atomic(fs_real(), path, "2\n", 2, 0600, &e), 0);
	assert_int_equal(agent_try(w, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, w->folder));
	world_free(w);
}

static void test_damaged_slice_is_fetched_again(void **state)
{
	(void)state;
	struct world *w = world_new();
	agent_up(w);
	await_connection(w);
	feed_line(w, POD("a", "", "7"));
	test_loop_run(w->l, 1000);
	agent_down(w);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/slice", w->folder);
	assert_int_equal(fs_write_atomic(fs_real(), path, "garbage", 7, 0600, NULL), 0);
	agent_up(w);
	await_connection(w);
	assert_non_null(strstr(buf_text(&w->hello), "\"held\":[]"));
	expect_said(w, "slice_damaged");
	expect_said(w, path);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_namespace_may_keep_its_secrets_from_the_disk),
		cmocka_unit_test(test_a_pod_that_ended_stays_so_over_a_reboot_on_an_island),
		cmocka_unit_test(test_what_a_pod_left_before_a_boot_is_read_and_removed),
		cmocka_unit_test(test_an_old_uid_is_stopped_and_said_so),
		cmocka_unit_test(test_what_happened_on_an_island_is_told_after_a_reboot),
		cmocka_unit_test(test_an_end_that_was_not_kept_is_told_as_unknown),
		cmocka_unit_test(test_pods_start_from_disk_without_a_server),
		cmocka_unit_test(test_newer_state_is_refused),
		cmocka_unit_test(test_damaged_slice_is_fetched_again),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

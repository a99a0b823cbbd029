#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "device/device.h"

static const struct device_rule rules[] = {
	{.name = "cam", .count = 1}, {.name = "gpu", .count = 2}};

/* Devices as "RULE PATH MAJOR:MINOR;..." */
static void set_found(struct device_pool *p, const char *text)
{
	struct device_list list = {0};
	while (*text) {
		char path[64];
		struct device d = {.node.type = 'c'};
		assert_int_equal(sscanf(text, "%zu %63s %u:%u", &d.rule, path, &d.node.major,
					 &d.node.minor),
			4);
		d.path = mem_dup_string(path);
		vec_push(&list.items, d);
		text += strcspn(text, ";");
		text += *text == ';';
	}
	device_pool_update(p, &list);
}

static int take(struct device_pool *p, const char *uid, const char *name, int64_t amount)
{
	const struct device_need need = {name, amount};
	bool news;
	return device_pool_take(p, uid, &need, 1, &news, NULL);
}

/* "PATH PATH ..." of what a pod has. */
static const char *paths_of(const struct device_pool *p, const char *uid)
{
	static char text[256];
	const struct device_grants *grants = device_pool_grants(p, uid);
	text[0] = '\0';
	for (size_t i = 0; grants && i < grants->items.count; i++) {
		strcat(text, i ? " " : "");
		strcat(text, grants->items.items[i].path);
	}
	return text;
}

#define THREE "0 /dev/a 81:0;0 /dev/b 81:1;0 /dev/c 81:2"

static void pods_get_distinct_devices(void **state)
{
	(void)state;
	struct device_pool p;
	struct err e = ERR_INIT;
	bool news;
	device_pool_init(&p, rules, 2);
	set_found(&p, THREE);
	assert_int_equal(device_pool_capacity(&p, "cam"), 3);
	assert_int_equal(take(&p, "u1", "cam", 1), 0);
	assert_int_equal(take(&p, "u2", "cam", 2), 0);
	assert_string_equal(paths_of(&p, "u1"), "/dev/a");
	assert_string_equal(paths_of(&p, "u2"), "/dev/b /dev/c");
	const struct device_need need = {"cam", 1};
	assert_int_equal(device_pool_take(&p, "u3", &need, 1, &news, &e), -ERR_NOT_FOUND);
	assert_string_equal(e.text,
		"1 of continuo.dev/cam wanted, but only 0 of the 3 here are free");
	assert_null(device_pool_grants(&p, "u3"));
	assert_int_equal(device_pool_take(&p, "u1", &need, 1, &news, &e), 0);
	assert_false(news); /* it has it */
	assert_true(device_pool_drop(&p, "u2"));
	assert_false(device_pool_drop(&p, "u2"));
	assert_int_equal(take(&p, "u3", "cam", 1), 0);
	assert_string_equal(paths_of(&p, "u3"), "/dev/b");
	device_pool_done(&p);
}

static void all_or_nothing(void **state)
{
	(void)state;
	struct device_pool p;
	bool news;
	device_pool_init(&p, rules, 2);
	set_found(&p, THREE ";1 /dev/g 1:1");
	const struct device_need needs[] = {{"cam", 1}, {"gpu", 3}}, none = {"what", 1};
	assert_int_equal(device_pool_take(&p, "u1", needs, 2, &news, NULL), -ERR_NOT_FOUND);
	assert_false(news);
	assert_null(device_pool_grants(&p, "u1"));
	assert_int_equal(device_pool_take(&p, "u1", &none, 1, &news, NULL), -ERR_NOT_FOUND);
	assert_int_equal(take(&p, "u1", "cam", 3), 0); /* all are free again */
	device_pool_done(&p);
}

static void shared_devices_are_spread(void **state)
{
	(void)state;
	struct device_pool p;
	device_pool_init(&p, rules, 2);
	set_found(&p, "1 /dev/g 1:1;1 /dev/h 1:2");
	assert_int_equal(device_pool_capacity(&p, "gpu"), 4);
	assert_int_equal(take(&p, "u1", "gpu", 2), 0);
	assert_string_equal(paths_of(&p, "u1"), "/dev/g /dev/h"); /* two, not one twice */
	assert_int_equal(take(&p, "u2", "gpu", 1), 0);
	assert_int_equal(take(&p, "u3", "gpu", 1), 0);
	assert_string_equal(paths_of(&p, "u2"), "/dev/g");
	assert_string_equal(paths_of(&p, "u3"), "/dev/h");
	assert_int_equal(take(&p, "u4", "gpu", 1), -ERR_NOT_FOUND);
	device_pool_drop(&p, "u2");
	device_pool_drop(&p, "u1");
	set_found(&p, "1 /dev/h 1:2");
	device_pool_drop(&p, "u3");
	assert_int_equal(take(&p, "u5", "gpu", 2), 0);
	assert_string_equal(paths_of(&p, "u5"), "/dev/h /dev/h"); /* when there is but one */
	device_pool_done(&p);
}

static void what_is_gone_is_lost(void **state)
{
	(void)state;
	struct device_pool p;
	device_pool_init(&p, rules, 2);
	set_found(&p, THREE);
	assert_int_equal(take(&p, "u1", "cam", 2), 0);
	assert_null(device_pool_lost(&p, "u1"));
	set_found(&p, "0 /dev/a 81:0;0 /dev/c 81:2");
	const struct device_grant *g = device_pool_lost(&p, "u1");
	assert_non_null(g);
	assert_string_equal(g->path, "/dev/b");
	assert_int_equal(take(&p, "u2", "cam", 1), 0);
	assert_string_equal(paths_of(&p, "u2"), "/dev/c"); /* a is u1's still */
	set_found(&p, "0 /dev/a 81:0;0 /dev/b 81:7;0 /dev/c 81:2");
	assert_non_null(device_pool_lost(&p, "u1")); /* back under another number */
	set_found(&p, THREE);
	assert_null(device_pool_lost(&p, "u1"));
	set_found(&p, "0 /dev/b 81:1;0 /dev/d 81:3;0 /dev/c 81:2");
	assert_int_equal(take(&p, "u1", "cam", 2), 0); /* it is started again */
	assert_string_equal(paths_of(&p, "u1"), "/dev/b /dev/d");
	assert_null(device_pool_lost(&p, "u1"));
	device_pool_done(&p);
}

static void grants_outlive_restarts_and_boots(void **state)
{
	(void)state;
	struct device_pool p, q;
	struct err e = ERR_INIT;
	device_pool_init(&p, rules, 2);
	set_found(&p, THREE);
	assert_int_equal(take(&p, "u0", "cam", 1), 0);
	assert_int_equal(take(&p, "u1", "cam", 1), 0);
	device_pool_drop(&p, "u0");
	CLEANUP(mem_free_ptr) char *text = device_pool_encode(&p, "boot-1");
	device_pool_done(&p);

	device_pool_init(&q, rules, 2);
	assert_int_equal(device_pool_decode(&q, text, strlen(text), "boot-1", &e), 0);
	assert_string_equal(paths_of(&q, "u1"), "/dev/b");
	assert_non_null(device_pool_lost(&q, "u1")); /* nothing was found yet */
	device_pool_done(&q);

	device_pool_init(&q, rules, 2);
	assert_int_equal(device_pool_decode(&q, text, strlen(text), "boot-2", &e), 0);
	set_found(&q, "0 /dev/a 82:0;0 /dev/b 82:1"); /* other numbers */
	assert_null(device_pool_lost(&q, "u1"));
	assert_int_equal(take(&q, "u2", "cam", 1), 0);
	assert_string_equal(paths_of(&q, "u2"), "/dev/a"); /* b waits for u1 */
	assert_int_equal(take(&q, "u1", "cam", 1), 0);
	assert_string_equal(paths_of(&q, "u1"), "/dev/b");
	assert_int_equal(device_pool_grants(&q, "u1")->items.items[0].node.major, 82);
	device_pool_done(&q);

	device_pool_init(&q, rules, 2);
	assert_int_equal(device_pool_decode(&q, "{}", 2, "b", &e), -ERR_CORRUPT);
	assert_int_equal(device_pool_decode(&q, text, strlen(text) - 9, "b", &e), -ERR_CORRUPT);
	assert_int_equal(q.pods.count, 0);
	device_pool_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pods_get_distinct_devices),
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test(shared_devices_are_spread),
		cmocka_unit_test(what_is_gone_is_lost),
		cmocka_unit_test(grants_outlive_restarts_and_boots),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

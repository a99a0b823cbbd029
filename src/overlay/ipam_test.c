#include "overlay/ipam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static struct ipv4_range range_of(const char *text)
{
	struct ipv4_range r;
	assert_int_equal(ipv4_range_parse(text, "range", &r, NULL), 0);
	return r;
}

static void pool_done(struct ipam *p)
{
	ipam_done(p);
}

static uint32_t take(struct ipam *p, const char *uid)
{
	uint32_t address = 0;
	bool is_new;
	assert_int_equal(ipam_take(p, uid, &address, &is_new, NULL), 0);
	return address;
}

static void gives_all_but_the_reserved(void **state)
{
	(void)state;
	struct ipam p CLEANUP(pool_done);
	assert_int_equal(ipam_init(&p, range_of("10.42.3.0/29"), NULL), 0);
	assert_int_equal(ipam_capacity(&p), 5);
	for (uint32_t i = 0; i < 5; i++) {
		char uid[8];
		snprintf(uid, sizeof(uid), "pod%u", i);
		assert_int_equal(take(&p, uid), 0x0a2a0302 + i);
	}
	struct err e;
	uint32_t address;
	bool is_new;
	assert_int_equal(ipam_take(&p, "more", &address, &is_new, &e), -ERR_UNAVAILABLE);
	assert_true(strstr(e.text, "10.42.3.0/29"));
	assert_int_equal(take(&p, "pod3"), 0x0a2a0305);
}

static void reuses_the_released_last(void **state)
{
	(void)state;
	struct ipam p CLEANUP(pool_done);
	assert_int_equal(ipam_init(&p, range_of("10.42.3.0/29"), NULL), 0);
	uint32_t a = take(&p, "a"), b = take(&p, "b");
	assert_true(ipam_release(&p, "a"));
	assert_false(ipam_release(&p, "a"));
	assert_int_equal(take(&p, "c"), b + 1);
	assert_int_equal(take(&p, "d"), b + 2);
	assert_int_equal(take(&p, "e"), b + 3);
	assert_int_equal(take(&p, "f"), a);
}

static void survives_its_text(void **state)
{
	(void)state;
	struct ipam p CLEANUP(pool_done), q CLEANUP(pool_done);
	struct buf text CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT;
	assert_int_equal(ipam_init(&p, range_of("10.42.3.0/24"), NULL), 0);
	assert_int_equal(ipam_init(&q, range_of("10.42.3.0/24"), NULL), 0);
	take(&p, "a");
	uint32_t b = take(&p, "b");
	ipam_release(&p, "a");
	ipam_encode(&p, &text);
	assert_int_equal(ipam_decode(&q, buf_text(&text), NULL), 0);
	ipam_encode(&q, &again);
	assert_string_equal(buf_text(&again), buf_text(&text));
	assert_int_equal(take(&q, "b"), b);
	assert_int_equal(take(&q, "c"), b + 1);
}

static void drops_leases_of_another_range(void **state)
{
	(void)state;
	struct ipam p CLEANUP(pool_done);
	assert_int_equal(ipam_init(&p, range_of("10.42.9.0/24"), NULL), 0);
	assert_int_equal(ipam_decode(&p,
				 "continuo leases 1\nnext 10.42.3.4\n10.42.3.2 a\n10.42.9.7 b\n"
				 "10.42.9.1 gateway\nend 3\n",
				 NULL),
		0);
	assert_int_equal(p.by_uid.count, 1);
	assert_int_equal(take(&p, "a"), 0x0a2a0902);
	assert_int_equal(take(&p, "b"), 0x0a2a0907);
}

static void names_the_line_that_is_wrong(void **state)
{
	(void)state;
	const char *wrong[] = {"", "continuo leases 2\nend 0\n",
		"continuo leases 1\n10.42.3.2 a\nend 2\n", "continuo leases 1\n10.42.3.2 a\n",
		"continuo leases 1\n10.42.3.2 a\n10.42.3.2 b\nend 2\n",
		"continuo leases 1\n10.42.3.2 a\n10.42.3.3 a\nend 2\n",
		"continuo leases 1\n10.42.3.x a\nend 1\n",
		"continuo leases 1\nend 0\n10.42.3.4 a\n", "continuo leases 1\n10.42.3.2\nend 1\n"};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct ipam p CLEANUP(pool_done);
		struct err e = ERR_INIT;
		assert_int_equal(ipam_init(&p, range_of("10.42.3.0/24"), NULL), 0);
		assert_int_equal(ipam_decode(&p, wrong[i], &e), -ERR_CORRUPT);
		assert_true(strstr(e.text, "line"));
		assert_int_equal(p.by_uid.count, 0);
		assert_int_equal(take(&p, "a"), 0x0a2a0302);
	}
}

static void refuses_uids_that_break_the_text(void **state)
{
	(void)state;
	struct ipam p CLEANUP(pool_done);
	uint32_t address;
	bool is_new;
	assert_int_equal(ipam_init(&p, range_of("10.42.3.0/24"), NULL), 0);
	assert_int_equal(ipam_take(&p, "", &address, &is_new, NULL), -ERR_INVALID);
	assert_int_equal(ipam_take(&p, "a b", &address, &is_new, NULL), -ERR_INVALID);
	assert_int_equal(ipam_take(&p, "a\nb", &address, &is_new, NULL), -ERR_INVALID);
}

static void parses_addresses_and_ranges(void **state)
{
	(void)state;
	struct ipv4_range r;
	char text[IPV4_TEXT_SIZE];
	assert_int_equal(ipv4_range_parse("10.43.0.0/16", "x", &r, NULL), 0);
	assert_string_equal(ipv4_format(r.first, text), "10.43.0.0");
	assert_true(ipv4_range_has(r, 0x0a2bffff));
	assert_false(ipv4_range_has(r, 0x0a2c0000));
	const char *wrong[] = {"", "10.43.0.0", "10.43.0.0/", "10.43.0.0/33", "10.43.0.1/24",
		"10.43.0/16", "x/16", "1000.1000.1000.1000.1000/8", "10.43.0.0/16 "};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(ipv4_range_parse(wrong[i], "x", &r, NULL), -ERR_INVALID);
	assert_int_equal(ipv4_range_parse(NULL, "x", &r, NULL), -ERR_INVALID);
}

static void what_an_interface_says_wins(void **state)
{
	(void)state;
	struct ipam p CLEANUP(pool_done);
	uint32_t address;
	assert_int_equal(ipam_init(&p, range_of("10.42.3.0/24"), NULL), 0);
	uint32_t a = take(&p, "a"), b = take(&p, "b");
	assert_int_equal(ipam_adopt(&p, "a", a, NULL), 0);
	assert_int_equal(ipam_adopt(&p, "c", b, NULL), 0); /* b's was given to c */
	assert_false(ipam_find(&p, "b", &address));
	assert_int_equal(ipam_adopt(&p, "a", b + 5, NULL), 0); /* and a has moved */
	assert_int_equal(take(&p, "a"), b + 5);
	assert_int_equal(p.by_uid.count, 2);
	assert_int_equal(take(&p, "d"), b + 6);
	assert_int_equal(ipam_adopt(&p, "e", ipam_gateway(&p), NULL), -ERR_INVALID);
	assert_int_equal(ipam_adopt(&p, "", b + 9, NULL), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_all_but_the_reserved),
		cmocka_unit_test(reuses_the_released_last),
		cmocka_unit_test(survives_its_text),
		cmocka_unit_test(drops_leases_of_another_range),
		cmocka_unit_test(names_the_line_that_is_wrong),
		cmocka_unit_test(refuses_uids_that_break_the_text),
		cmocka_unit_test(what_an_interface_says_wins),
		cmocka_unit_test(parses_addresses_and_ranges),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

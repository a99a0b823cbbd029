#include "agent/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/test_loop.h"
#include "pki/pki.h"

#define HOUR ((int64_t)3600 * 1000)
#define THEN ((int64_t)1790000000000)

static void jumps_of_the_machine_change_nothing(void **state)
{
	struct loop *l = test_loop_new();
	struct test_loop *t = (struct test_loop *)l;
	struct agent_clock c;
	(void)state;
	t->wall_ms = THEN;
	agent_clock_init(&c, l);
	t->wall_ms += 5 * HOUR;
	assert_int_equal(agent_clock_ms(&c), THEN + t->now_ms);
	t->wall_ms -= 50 * HOUR;
	test_loop_run(l, HOUR);
	assert_int_equal(agent_clock_ms(&c), THEN + t->now_ms);
	test_loop_free(l);
}

static void a_server_is_believed_down_to_the_floor(void **state)
{
	struct loop *l = test_loop_new();
	struct test_loop *t = (struct test_loop *)l;
	struct agent_clock c;
	(void)state;
	t->wall_ms = 0; /* 1970 */
	agent_clock_init(&c, l);
	assert_int_equal(agent_clock_floor_ms(&c), 0);
	agent_clock_raise(&c, THEN);
	agent_clock_raise(&c, THEN - HOUR);
	assert_int_equal(agent_clock_floor_ms(&c), THEN);
	assert_int_equal(agent_clock_ms(&c), THEN);
	agent_clock_set(&c, THEN + HOUR);
	assert_int_equal(agent_clock_floor_ms(&c), -1);
	assert_int_equal(agent_clock_ms(&c), THEN + HOUR);
	test_loop_run(l, HOUR);
	assert_int_equal(agent_clock_ms(&c), THEN + 2 * HOUR);
	agent_clock_set(&c, THEN - HOUR);
	assert_int_equal(agent_clock_ms(&c), THEN);
	test_loop_free(l);
}

static void the_own_certificate_says_what_is_over(void **state)
{
	struct loop *l = test_loop_new();
	struct agent_clock c;
	struct pki_pair ca = {0}, own = {0};
	const struct pki_subject node = {
		.use = PKI_NODE, .common_name = "system:node:n1", .life_ms = PKI_NODE_LIFE_MS};
	(void)state;
	assert_int_equal(pki_ca_new("example", THEN - HOUR, &ca, NULL), 0);
	assert_int_equal(pki_issue(&ca, &node, THEN, &own, NULL), 0);
	((struct test_loop *)l)->wall_ms = 0;
	agent_clock_init(&c, l);
	agent_clock_raise_by(&c, NULL);
	agent_clock_raise_by(&c, "nonsense");
	assert_int_equal(agent_clock_floor_ms(&c), 0);
	agent_clock_raise_by(&c, own.certificate_pem);
	assert_int_equal(agent_clock_floor_ms(&c), THEN);
	pki_pair_done(&own);
	pki_pair_done(&ca);
	test_loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jumps_of_the_machine_change_nothing),
		cmocka_unit_test(a_server_is_believed_down_to_the_floor),
		cmocka_unit_test(the_own_certificate_says_what_is_over),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

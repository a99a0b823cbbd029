/* Counts by node against an array: thousands of nodes that come and go, in clusters that collide.
 */
#include "base/rand.h"
#include "place/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NODES 5000

static void counts_are_an_array(void **state)
{
	(void)state;
	static uint32_t wanted[NODES];
	struct node_counts c = {0};
	struct rand rand;
	uint32_t used = 0;
	rand_init(&rand, 1);
	memset(wanted, 0, sizeof(wanted));
	for (int i = 0; i < 300000; i++) {
		/* It fills for a while and then empties. */
		bool filling = i / 50000 % 2 == 0;
		uint32_t node = (uint32_t)rand_below(&rand, NODES);
		bool more = wanted[node] == 0 || rand_below(&rand, 4) < (filling ? 3u : 1u);
		if (wanted[node] == 0 && !filling)
			continue;
		used -= wanted[node] > 0;
		wanted[node] += more ? 1 : (uint32_t)-1;
		used += wanted[node] > 0;
		assert_int_equal(place_counts_add(&c, node, more ? 1 : -1), wanted[node]);
		assert_int_equal(c.used, used);
		uint32_t other = (uint32_t)rand_below(&rand, NODES);
		assert_int_equal(place_counts_get(&c, other), wanted[other]);
	}
	for (uint32_t i = 0; i < NODES; i++)
		assert_int_equal(place_counts_get(&c, i), wanted[i]);
	place_counts_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(counts_are_an_array)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

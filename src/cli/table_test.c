#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/table.h"

static void plain_is(const char *text, const char *wanted)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT;
	table_plain(text, &plain);
	assert_string_equal(buf_text(&plain), wanted);
}

static void test_plain(void **state)
{
	(void)state;
	plain_is("", "");
	plain_is("Gr\xc3\xbc\xc3\x9f"
		 "e, \xe2\x82\xac",
		"Gr\xc3\xbc\xc3\x9f"
		"e, \xe2\x82\xac");
	plain_is("\033]0;title\a\033[2J", "^[]0;title^G^[[2J");
	plain_is("one\r\n\ttwo\x7f", "one   two^?");
	plain_is("\xc2\x9b"
		 "31m",
		"\xef\xbf\xbd"
		"31m");
	plain_is("cut \xc2", "cut \xc2");
}

/* What a container made up stays in its cell. */
static void test_hostile_cell(void **state)
{
	char *text = NULL;
	size_t size = 0;
	(void)state;
	CLEANUP(table_done) struct table t = {.columns = 2};
	FILE *out = open_memstream(&text, &size);
	table_add(&t, "a\nfaked   row");
	table_add(&t, "\033[1A\033[2K");
	table_add(&t, "b");
	table_add(&t, NULL);
	table_print(&t, true, out);
	fclose(out);
	assert_string_equal(text, "a faked   row   ^[[1A^[[2K\n"
				  "b               <none>\n");
	free(text);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_hostile_cell)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/base64.h"

static void encodes(void **state UNUSED)
{
	/* RFC 4648 section 10 */
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(buf_done)
		struct buf text = BUF_INIT;
		CLEANUP(buf_done)
		struct buf data = BUF_INIT;
		base64_encode(rows[i][0], strlen(rows[i][0]), &text);
		assert_string_equal(buf_text(&text), rows[i][1]);
		assert_int_equal(base64_decode(rows[i][1], strlen(rows[i][1]), &data, NULL), 0);
		assert_string_equal(buf_text(&data), rows[i][0]);
	}
}

static void url_alphabet(void **state UNUSED)
{
	CLEANUP(buf_done)
	struct buf text = BUF_INIT;
	CLEANUP(buf_done)
	struct buf data = BUF_INIT;
	base64url_encode("\xfb\xff\xfe\x01", 4, &text);
	assert_string_equal(buf_text(&text), "-__-AQ");
	assert_int_equal(base64url_decode("-__-AQ", 6, &data, NULL), 0);
	assert_memory_equal(data.data, "\xfb\xff\xfe\x01", 4);
}

static void refuses(void **state UNUSED)
{
	static const char *const bad[] = {"Zg=", "Z===", "====", "Zm9v\n", "Z*==", "Zh==", "-_-_"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(buf_done)
		struct buf data = BUF_INIT;
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &data, NULL), -ERR_DECODE);
	}
	CLEANUP(buf_done)
	struct buf data = BUF_INIT;
	assert_int_equal(base64url_decode("Zg==", 4, &data, NULL), -ERR_DECODE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(encodes),
		cmocka_unit_test(url_alphabet), cmocka_unit_test(refuses)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "model/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"

static void reads(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t milli, units;
	} rows[] = {{"0", 0, 0}, {"1", 1000, 1}, {"100m", 100, 1}, {"1.5", 1500, 2}, {".5", 500, 1},
		{"1.", 1000, 1}, {"1u", 1, 1}, {"1n", 1, 1}, {"1001n", 1, 1},
		{"64Mi", 67108864000, 67108864}, {"1.5Gi", 1610612736000, 1610612736},
		{"2k", 2000000, 2000}, {"1e3", 1000000, 1000}, {"12E-1", 1200, 2},
		{"1E", 0, 1000000000000000000}, {"4Ei", 0, 4611686018427387904},
		{"-1500m", -1500, -2}, {"+3", 3000, 3}, {"0.0000000001", 1, 1},
		{"000000000000000000000000000001", 1000, 1}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t milli = 0, units = 0;
		struct err e = ERR_INIT;
		if (rows[i].milli && quantity_milli(rows[i].text, &milli, &e) < 0)
			fail_msg("%s: %s", rows[i].text, e.text);
		assert_int_equal(quantity_units(rows[i].text, &units, &e), 0);
		assert_int_equal(milli, rows[i].milli);
		assert_int_equal(units, rows[i].units);
	}
}

static void refuses(void **state UNUSED)
{
	static const char *const bad[] = {"", "m", "1.2.3", "1 ", " 1", "1Kb", "1ki", "0x10", "1e",
		"1e1.5", "--1", "abc", "1mm", "1e+-3"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int64_t value = 7;
		assert_int_equal(quantity_milli(bad[i], &value, NULL), -ERR_DECODE);
		assert_int_equal(value, 7);
	}
	int64_t value;
	assert_int_equal(quantity_units("8Ei", &value, NULL), -ERR_INVALID);
	assert_int_equal(quantity_units("1e60", &value, NULL), -ERR_INVALID);
	assert_int_equal(quantity_milli("4Ei", &value, NULL), -ERR_INVALID);
	assert_int_equal(quantity_units("99999999999999999999999999999999999999999", &value, NULL),
		-ERR_INVALID);
}

static void canonical(void **state UNUSED)
{
	static const char *const rows[][2] = {{"1000m", "1"}, {"0.5", "500m"}, {"1024Mi", "1Gi"},
		{"1.5Gi", "1536Mi"}, {"1000", "1k"}, {"1500", "1500"}, {"0", "0"},
		{"512Ki", "512Ki"}, {"0.5Ki", "512"}, {"1e3", "1e3"}, {"100e-3", "100e-3"},
		{"12e0", "12"}, {"0.0001u", "1n"}, {"-0.5", "-500m"},
		{"7999999999.000000001", "7999999999000000001n"},
		{"79999999999.000000001", "79999999999000000001n"}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[QUANTITY_TEXT_SIZE];
		assert_int_equal(quantity_canonical(rows[i][0], text, NULL), 0);
		assert_string_equal(text, rows[i][1]);
	}
}

static void formats(void **state UNUSED)
{
	char text[32];
	quantity_format_milli(250, text);
	assert_string_equal(text, "250m");
	quantity_format_milli(2000, text);
	assert_string_equal(text, "2");
	quantity_format_bytes(64 << 20, text);
	assert_string_equal(text, "64Mi");
	quantity_format_bytes(1000, text);
	assert_string_equal(text, "1000");
	quantity_format_bytes(INT64_MAX, text);
	assert_string_equal(text, "9223372036854775807");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(refuses),
		cmocka_unit_test(canonical), cmocka_unit_test(formats)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

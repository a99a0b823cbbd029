#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "image/image.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct good {
	const char *text, *host, *repository, *tag, *digest, *whole;
};

static void names_are_completed(void **state)
{
	(void)state;
	static const struct good rows[] = {
		{"nginx", "docker.io", "library/nginx", "latest", "",
			"docker.io/library/nginx:latest"},
		{"nginx:1.25", "docker.io", "library/nginx", "1.25", "",
			"docker.io/library/nginx:1.25"},
		{"bitnami/redis", "docker.io", "bitnami/redis", "latest", "",
			"docker.io/bitnami/redis:latest"},
		{"index.docker.io/nginx", "docker.io", "library/nginx", "latest", "",
			"docker.io/library/nginx:latest"},
		{"host:5000/a/b:tag@sha256:" HEX64, "host:5000", "a/b", "tag", "sha256:" HEX64,
			"host:5000/a/b:tag@sha256:" HEX64},
		{"localhost/x", "localhost", "x", "latest", "", "localhost/x:latest"},
		{"10.0.0.1:80/x__y-z.w", "10.0.0.1:80", "x__y-z.w", "latest", "",
			"10.0.0.1:80/x__y-z.w:latest"},
		{"[::1]:5000/x", "[::1]:5000", "x", "latest", "", "[::1]:5000/x:latest"},
		{"a.example/x@sha256:" HEX64, "a.example", "x", "", "sha256:" HEX64,
			"a.example/x@sha256:" HEX64},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct image_reference r;
		struct err e = ERR_INIT;
		assert_int_equal(image_reference_parse(rows[i].text, &r, &e), 0);
		assert_string_equal(r.host, rows[i].host);
		assert_string_equal(r.repository, rows[i].repository);
		assert_string_equal(r.tag, rows[i].tag);
		assert_string_equal(r.digest, rows[i].digest);
		char whole[IMAGE_REFERENCE_SIZE];
		image_reference_format(&r, whole);
		assert_string_equal(whole, rows[i].whole);
	}
}

static void wrong_names_are_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {"", ":", "Nginx", "a//b", "/a", "a/", "a:", "a:-x",
		"a:.x", "a b", "a___b", "a..b", "a@sha256:12", "a@md5:" HEX64, "host:port/a",
		"host:/a", "-host.x/a", "a:b:c/d", "[::1/x", "x.example/A", "a/../b", "a\n",
		"a:t\n", "http://a/b"};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct image_reference r;
		struct err e = ERR_INIT;
		if (image_reference_parse(rows[i], &r, &e) != -ERR_INVALID)
			fail_msg("\"%s\" was taken", rows[i]);
		assert_true(strlen(e.text) > 0);
	}
}

static void lengths_are_bounded(void **state)
{
	(void)state;
	char text[600];
	memset(text, 'a', sizeof(text));
	struct image_reference r;
	text[599] = '\0';
	assert_int_equal(image_reference_parse(text, &r, NULL), -ERR_INVALID);
	text[256] = '\0';
	assert_int_equal(image_reference_parse(text, &r, NULL), -ERR_INVALID);
	/* "docker.io/library/" comes before it, and all of it must still fit. */
	text[237] = '\0';
	assert_int_equal(image_reference_parse(text, &r, NULL), 0);
	assert_int_equal(strlen(r.repository), 245);
	text[237] = 'a';
	text[238] = '\0';
	assert_int_equal(image_reference_parse(text, &r, NULL), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_completed),
		cmocka_unit_test(wrong_names_are_refused),
		cmocka_unit_test(lengths_are_bounded),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

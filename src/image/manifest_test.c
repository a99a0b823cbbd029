#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "image/manifest.h"

#define DIGEST(c) "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define A DIGEST("aa")
#define B DIGEST("bb")
#define C DIGEST("cc")
#define CONFIG "\"config\":{\"digest\":\"" A "\",\"size\":10}"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":\"" B "\",\"size\":20}"
#define OCI_LAYER LAYER("application/vnd.oci.image.layer.v1.tar+zstd")

static const struct manifest_platform arm = {"arm", "v7"};
static struct manifest parsed;

static int parse_for(const char *text, const struct manifest_platform *p, struct err *e)
{
	return manifest_parse(text, strlen(text), p, &parsed, e);
}

static int parse(const char *text, struct err *e)
{
	static const struct manifest_platform amd64 = {"amd64", ""};
	return parse_for(text, &amd64, e);
}

static void images_are_read(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[" OCI_LAYER
			       "," LAYER("application/vnd.docker.image.rootfs.diff.tar.gzip") "]}",
				 NULL),
		0);
	assert_false(parsed.is_index);
	assert_string_equal(parsed.config.digest, A);
	assert_int_equal(parsed.layer_count, 2);
	assert_string_equal(parsed.layers[1].digest, B);
	assert_int_equal(parsed.layers[1].size, 20);
	assert_int_equal(parse("{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", NULL), 0);
}

#define ENTRY(d, os, arch, variant)                                                                \
	"{\"digest\":\"" d "\",\"size\":5,\"platform\":{\"os\":\"" os                              \
	"\",\"architecture\":\"" arch "\"" variant "}}"
#define VARIANT(v) ",\"variant\":\"" v "\""
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static void indexes_are_chosen_from_by_platform(void **state)
{
	(void)state;
	const char *text = INDEX(ENTRY(A, "windows", "amd64", "") "," ENTRY(B, "linux", "arm64",
		VARIANT("v8")) "," ENTRY(C, "linux", "amd64", ""));
	assert_int_equal(parse(text, NULL), 0);
	assert_true(parsed.is_index);
	assert_string_equal(parsed.chosen.digest, C);
	text = INDEX(ENTRY(A, "linux", "arm", VARIANT("v5")) "," ENTRY(B, "linux", "arm",
		VARIANT("v6")) "," ENTRY(C, "linux", "arm", VARIANT("v8")));
	assert_int_equal(parse_for(text, &arm, NULL), 0);
	assert_string_equal(parsed.chosen.digest, B);
	struct err e = ERR_INIT;
	assert_int_equal(parse(text, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "linux/amd64"));
	assert_non_null(strstr(e.text, "linux/arm,"));
	/* v3 of amd64 needs more than every amd64 machine has. */
	text = INDEX(ENTRY(A, "linux", "amd64", VARIANT("v3")));
	assert_int_equal(parse(text, NULL), -ERR_NOT_FOUND);
}

struct bad {
	const char *text;
	int rc;
};

static void garbage_is_named(void **state)
{
	(void)state;
	static const struct bad rows[] = {
		{"", -ERR_PROTOCOL},
		{"<html>", -ERR_PROTOCOL},
		{"[]", -ERR_PROTOCOL},
		{"{}", -ERR_PROTOCOL},
		{"{\"schemaVersion\":1}", -ERR_UNSUPPORTED},
		{"{\"schemaVersion\":2,\"mediaType\":\"text/x\"}", -ERR_UNSUPPORTED},
		{"{\"schemaVersion\":2,\"layers\":[]}", -ERR_PROTOCOL},
		{"{\"schemaVersion\":2," CONFIG "}", -ERR_PROTOCOL},
		{"{\"schemaVersion\":2," CONFIG ",\"layers\":[1]}", -ERR_UNSUPPORTED},
		{"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER("x+encrypted") "]}",
			-ERR_UNSUPPORTED},
		{"{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		 "\",\"size\":-1},\"layers\":[]}",
			-ERR_PROTOCOL},
		{"{\"schemaVersion\":2,\"config\":{\"digest\":\"" A
		 "\",\"size\":9000000000},\"layers\":[]}",
			-ERR_TOO_LARGE},
		{"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:../../etc\",\"size\":1},"
		 "\"layers\":[]}",
			-ERR_PROTOCOL},
		{"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha512:aa\",\"size\":1},\"layers\":"
		 "[]}",
			-ERR_UNSUPPORTED},
		{"{\"schemaVersion\":2,\"manifests\":{}}", -ERR_PROTOCOL},
		{INDEX(""), -ERR_NOT_FOUND},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = ERR_INIT;
		int rc = parse(rows[i].text, &e);
		if (rc != rows[i].rc)
			fail_msg("%s gave %d (%s) instead of %d", rows[i].text, rc, e.text,
				rows[i].rc);
	}
}

static void counts_are_bounded(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	buf_append_string(&text, "{\"schemaVersion\":2," CONFIG ",\"layers\":[" OCI_LAYER);
	for (int i = 0; i < MANIFEST_LAYERS_MAX; i++)
		buf_append_string(&text, "," OCI_LAYER);
	buf_append_string(&text, "]}");
	assert_int_equal(parse(buf_text(&text), NULL), -ERR_TOO_LARGE);
	buf_done(&text);
}

static void configs_must_fit_their_manifest(void **state)
{
	(void)state;
	static struct manifest m = {.layer_count = 1};
	static const char id[] = "sha256:"
				 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char text[200];
	snprintf(text, sizeof(text), "{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", id);
	assert_int_equal(manifest_check_config(&m, text, strlen(text), NULL), 0);
	assert_string_equal(m.layers[0].diff_id, id);
	static const char bad[] = "{\"rootfs\":{\"diff_ids\":[\"a\"]}}";
	assert_int_equal(manifest_check_config(&m, bad, strlen(bad), NULL), -ERR_PROTOCOL);
	m.layer_count = 2;
	assert_int_equal(manifest_check_config(&m, text, strlen(text), NULL), -ERR_PROTOCOL);
	m.layer_count = 0;
	assert_int_equal(manifest_check_config(&m, "[]", 2, NULL), -ERR_PROTOCOL);
	assert_int_equal(manifest_check_config(&m, "x", 1, NULL), -ERR_PROTOCOL);
}

static void machines_have_platforms(void **state)
{
	(void)state;
	struct manifest_platform p;
	manifest_platform_of("x86_64", &p);
	assert_string_equal(p.architecture, "amd64");
	manifest_platform_of("armv7l", &p);
	assert_string_equal(p.architecture, "arm");
	assert_string_equal(p.variant, "v7");
	manifest_platform_of("riscv64", &p);
	assert_string_equal(p.architecture, "riscv64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_are_read),
		cmocka_unit_test(indexes_are_chosen_from_by_platform),
		cmocka_unit_test(garbage_is_named),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(configs_must_fit_their_manifest),
		cmocka_unit_test(machines_have_platforms),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

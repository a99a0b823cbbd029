#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/patch.h"
#include "model/model.h"

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *json = text ? json_loads(text, 0, &why) : NULL;
	if (text && !json)
		fail_msg("%s: %s", text, why.text);
	return json;
}

static void check(const char *last, const char *modified, const char *current, const char *patch)
{
	CLEANUP(json_done) json_t *a = parse(last);
	CLEANUP(json_done) json_t *b = parse(modified);
	CLEANUP(json_done) json_t *c = parse(current);
	CLEANUP(json_done) json_t *expected = parse(patch);
	CLEANUP(json_done) json_t *made = patch_three_way(a, b, c);
	if (json_equal(made, expected))
		return;
	CLEANUP(mem_free_ptr) char *text = json_encode_string(made);
	fail_msg("made %s, not %s", text, patch);
}

static void nothing_to_do_is_an_empty_patch(void **state)
{
	(void)state;
	check("{\"a\":1}", "{\"a\":1}", "{\"a\":1,\"b\":2}", "{}");
	check(NULL, "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"c\",\"d\":1},\"e\":2}", "{}");
}

static void what_the_manifest_says_is_set(void **state)
{
	(void)state;
	check(NULL, "{\"a\":2}", "{\"a\":1}", "{\"a\":2}");
	check(NULL, "{\"a\":{\"b\":2}}", "{\"a\":{\"b\":1,\"c\":1}}", "{\"a\":{\"b\":2}}");
	check(NULL, "{\"a\":{\"b\":2}}", "{}", "{\"a\":{\"b\":2}}");
	check(NULL, "{\"a\":{\"b\":2}}", "{\"a\":7}", "{\"a\":{\"b\":2}}");
	/* changed by somebody else meanwhile: the manifest wins */
	check("{\"a\":1}", "{\"a\":1}", "{\"a\":5}", "{\"a\":1}");
}

static void what_it_no_longer_says_is_removed(void **state)
{
	(void)state;
	check("{\"a\":1,\"b\":2}", "{\"a\":1}", "{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":null}");
	check("{\"m\":{\"a\":1,\"b\":2}}", "{\"m\":{\"a\":1}}", "{\"m\":{\"a\":1,\"b\":2,\"c\":3}}",
		"{\"m\":{\"b\":null}}");
	/* gone already */
	check("{\"a\":1,\"b\":2}", "{\"a\":1}", "{\"a\":1}", "{}");
	/* never ours */
	check("{\"a\":1}", "{\"a\":1}", "{\"a\":1,\"c\":3}", "{}");
	/* said as null */
	check(NULL, "{\"a\":null}", "{\"a\":1}", "{\"a\":null}");
	check(NULL, "{\"a\":null}", "{}", "{}");
}

static void lists_are_replaced_whole_or_left_alone(void **state)
{
	(void)state;
	/* the server's defaults within items are no difference */
	check("{\"l\":[{\"n\":\"a\"}]}", "{\"l\":[{\"n\":\"a\"}]}",
		"{\"l\":[{\"n\":\"a\",\"d\":1}]}", "{}");
	check(NULL, "{\"l\":[{\"n\":\"a\"}]}", "{\"l\":[{\"n\":\"a\",\"d\":1}]}", "{}");
	/* but something taken out of an item is */
	check("{\"l\":[{\"n\":\"a\",\"d\":1}]}", "{\"l\":[{\"n\":\"a\"}]}",
		"{\"l\":[{\"n\":\"a\",\"d\":1}]}", "{\"l\":[{\"n\":\"a\"}]}");
	check("{\"l\":[1,2]}", "{\"l\":[1]}", "{\"l\":[1,2]}", "{\"l\":[1]}");
	check("{\"l\":[1]}", "{\"l\":[2]}", "{\"l\":[1]}", "{\"l\":[2]}");
	check("{\"l\":[1]}", "{}", "{\"l\":[1]}", "{\"l\":null}");
}

/* Applying the patch and making it again gives nothing: over many random documents. */
static json_t *random_document(uint64_t *seed, int depth)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	unsigned pick = (unsigned)(*seed >> 33);
	if (depth == 0 || pick % 4 == 0)
		return json_integer(pick % 3);
	if (pick % 4 == 1) {
		json_t *list = json_array();
		for (unsigned i = 0; i < pick / 4 % 3; i++)
			json_array_append_new(list, random_document(seed, depth - 1));
		return list;
	}
	json_t *object = json_object();
	for (unsigned i = 0; i < 4; i++) {
		char key[2] = {(char)('a' + i), '\0'};
		if (pick >> (8 + i) & 1)
			json_object_set_new(object, key, random_document(seed, depth - 1));
	}
	return object;
}

static json_t *random_object(uint64_t *seed)
{
	json_t *object = json_object();
	json_object_set_new(object, "x", random_document(seed, 4));
	json_object_set_new(object, "y", random_document(seed, 4));
	return object;
}

static void a_patch_converges(void **state)
{
	(void)state;
	uint64_t seed = 42;
	for (int i = 0; i < 3000; i++) {
		CLEANUP(json_done) json_t *last = random_object(&seed);
		CLEANUP(json_done) json_t *modified = random_object(&seed);
		CLEANUP(json_done) json_t *current = random_object(&seed);
		CLEANUP(json_done) json_t *patch = patch_three_way(last, modified, current);
		model_merge_patch(current, patch);
		CLEANUP(json_done) json_t *again = patch_three_way(modified, modified, current);
		if (json_object_size(again) == 0)
			continue;
		CLEANUP(mem_free_ptr) char *text = json_encode_string(again);
		fail_msg("round %d still wants %s", i, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_do_is_an_empty_patch),
		cmocka_unit_test(what_the_manifest_says_is_set),
		cmocka_unit_test(what_it_no_longer_says_is_removed),
		cmocka_unit_test(lists_are_replaced_whole_or_left_alone),
		cmocka_unit_test(a_patch_converges),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

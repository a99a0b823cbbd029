#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

static const struct label labels[] = {{"app", "web"}, {"tier", "edge"}, {"weight", "10"}};

static bool matches(const char *text)
{
	struct selector *s = NULL;
	struct err e = ERR_INIT;
	if (selector_parse(text, &s, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	bool result = selector_matches(s, labels, ARRAY_SIZE(labels));
	selector_free(s);
	return result;
}

static void from_text(void **state UNUSED)
{
	static const char *const yes[] = {"", "app=web", "app==web", "app = web , tier=edge",
		"tier!=cloud", "none!=x", "app in (db,web)", "app in (web)",
		"app notin (db, cache)", "none notin (a)", "app", "!none", "weight>9", "weight<11",
		"none notin (a),app"};
	static const char *const no[] = {"app=db", "tier!=edge", "app in (db)", "app notin (web)",
		"none", "!app", "weight>10", "app>1", "none=", "app=web,tier=cloud"};
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!matches(yes[i]))
			fail_msg("\"%s\" should match", yes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (matches(no[i]))
			fail_msg("\"%s\" should not match", no[i]);
	assert_true(selector_matches(NULL, labels, 3));
}

static void bad_text(void **state UNUSED)
{
	static const char *const bad[] = {"=web", "app=web tier", "app in web", "app in (web", ",",
		"app,", "app>x", "!", "a=b=c", "(a)"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct selector *s = NULL;
		if (selector_parse(bad[i], &s, NULL) != -ERR_DECODE)
			fail_msg("\"%s\" should be refused", bad[i]);
		assert_null(s);
	}
}

static int from(const char *text, struct selector **ret_selector)
{
	CLEANUP(json_done)
	json_t *json = NULL;
	assert_int_equal(json_decode(text, strlen(text), &json, NULL), 0);
	return selector_from_json(json, ret_selector, NULL);
}

static void from_objects(void **state UNUSED)
{
	struct selector *s = NULL;
	assert_int_equal(from("{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":"
			      "\"tier\",\"operator\":"
			      "\"In\",\"values\":[\"edge\"]},{\"key\":\"x\",\"operator\":"
			      "\"DoesNotExist\"}]}",
				 &s),
		0);
	assert_true(selector_matches(s, labels, 3));
	assert_false(selector_matches(s, labels, 1));
	selector_free(s);
	assert_int_equal(from("{}", &s), 0);
	assert_true(selector_matches(s, labels, 3));
	selector_free(s);
	s = NULL;
	assert_int_equal(from("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Near\"}]}", &s),
		-ERR_DECODE);
	assert_int_equal(from("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}", &s),
		-ERR_DECODE);
	assert_null(s);
}

static bool field_matches(const char *text, const struct object *o)
{
	struct field_selector *s = NULL;
	struct err e = ERR_INIT;
	if (field_selector_parse(text, &s, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	bool result = field_selector_matches(s, o);
	field_selector_free(s);
	return result;
}

static void fields(void **state UNUSED)
{
	const char *text = "{\"metadata\":{\"name\":\"e1\",\"namespace\":\"d\"},\"type\":"
			   "\"Warning\",\"involvedObject\":{"
			   "\"kind\":\"Pod\",\"name\":\"p\"}}";
	CLEANUP(json_done)
	json_t *json = NULL;
	assert_int_equal(json_decode(text, strlen(text), &json, NULL), 0);
	CLEANUP(object_done)
	struct object *o = NULL;
	assert_int_equal(object_from_json(&kind_event, json, &o, NULL), 0);
	assert_true(field_matches("metadata.name=e1", o));
	assert_true(field_matches("metadata.name==e1,metadata.namespace!=x", o));
	assert_false(field_matches("metadata.name!=e1", o));
	assert_true(field_matches("involvedObject.name=p,type=Warning", o));
	assert_false(field_matches("involvedObject.kind=Node", o));
	assert_true(field_matches("spec.nodeName=", o));
	assert_true(field_matches("", o));
	struct field_selector *s = NULL;
	assert_int_equal(field_selector_parse("spec.color=red", &s, NULL), -ERR_DECODE);
	assert_int_equal(field_selector_parse("metadata.name", &s, NULL), -ERR_DECODE);
	assert_int_equal(field_selector_parse("metadata.name!e", &s, NULL), -ERR_DECODE);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(from_text), cmocka_unit_test(bad_text),
		cmocka_unit_test(from_objects), cmocka_unit_test(fields)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

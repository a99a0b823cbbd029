#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/model.h"

static json_t *parse(const char *text)
{
	struct err e = ERR_INIT;
	json_t *json = NULL;
	if (json_decode(text, strlen(text), &json, &e) < 0)
		fail_msg("%s", e.text);
	return json;
}

static struct object *make(const struct kind *k, const char *text)
{
	CLEANUP(json_done)
	json_t *json = parse(text);
	struct err e = ERR_INIT;
	struct object *o = NULL;
	if (object_from_json(k, json, &o, &e) < 0)
		fail_msg("%s", e.text);
	return o;
}

static const char pod_text[] =
	"{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"status\":\"True\",\"type\":"
	"\"Ready\"}]},"
	"\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"resources\":{\"requests\":{\"cpu\":"
	"\"100m\","
	"\"memory\":\"64Mi\"}},\"name\":\"c\"}],\"initContainers\":[{\"name\":\"i\",\"resources\":{"
	"\"requests\":{\"cpu\":\"1\"}}}]},\"metadata\":{\"labels\":{\"z\":\"1\",\"a\":\"2\"},"
	"\"resourceVersion\":\"7\",\"managedFields\":[{}],\"namespace\":\"d\",\"name\":\"p\","
	"\"uid\":\"u\","
	"\"creationTimestamp\":\"2026-11-22T18:45:40Z\",\"generation\":3,\"ownerReferences\":[{"
	"\"uid\":"
	"\"x\"},{\"uid\":\"o\",\"controller\":true}],\"finalizers\":[\"f\"]},\"kind\":\"Pod\"}";

static void blob_is_in_schema_order(void **state UNUSED)
{
	CLEANUP(object_done)
	struct object *o = make(&kind_pod, pod_text);
	assert_string_equal(o->blob,
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\","
		"\"namespace\":\"d\","
		"\"uid\":\"u\",\"generation\":3,\"creationTimestamp\":\"2026-11-22T18:45:40Z\","
		"\"labels\":{\"z\":\"1\",\"a\":\"2\"},\"ownerReferences\":[{\"uid\":\"x\"},{"
		"\"uid\":\"o\","
		"\"controller\":true}],\"finalizers\":[\"f\"]},\"spec\":{\"initContainers\":[{"
		"\"name\":\"i\","
		"\"resources\":{\"requests\":{\"cpu\":\"1\"}}}],\"containers\":[{\"name\":\"c\","
		"\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}}}],"
		"\"nodeName\":\"n1\"},"
		"\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
		"\"True\"}]}}");
	assert_int_equal(o->blob_size, strlen(o->blob));
}

static void record_is_filled(void **state UNUSED)
{
	CLEANUP(object_done)
	struct object *o = make(&kind_pod, pod_text);
	assert_string_equal(o->namespace, "d");
	assert_string_equal(o->name, "p");
	assert_string_equal(o->uid, "u");
	assert_string_equal(o->owner_uid, "o");
	assert_string_equal(o->node, "n1");
	assert_string_equal(o->phase, "Running");
	assert_string_equal(o->generate_name, "");
	assert_int_equal(o->label_count, 2);
	assert_string_equal(o->labels[0].key, "a");
	assert_string_equal(object_label(o, "z"), "1");
	assert_null(object_label(o, "y"));
	assert_int_equal(o->generation, 3);
	assert_int_equal(o->created_ms, 1795373140000);
	assert_int_equal(o->deletion_ms, 0);
	assert_true(o->has_finalizers);
	assert_true(o->ready);
	assert_int_equal(o->cpu_milli, 1000);
	assert_int_equal(o->memory_bytes, 64 << 20);
}

static void clients_see_the_revision(void **state UNUSED)
{
	CLEANUP(object_done)
	struct object *o = make(&kind_configmap,
		"{\"metadata\":{\"name\":\"c\",\"namespace\":\"d\"},\"data\":{\"k\":\"v\"}}");
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	object_write(o, &b);
	assert_string_equal(buf_text(&b), o->blob);
	object_stamp(o, 42, 40);
	buf_clear(&b);
	object_write(o, &b);
	assert_string_equal(buf_text(&b),
		"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"resourceVersion\":"
		"\"42\","
		"\"name\":\"c\",\"namespace\":\"d\"},\"data\":{\"k\":\"v\"}}");
	CLEANUP(json_done)
	json_t *tree = object_tree(o);
	assert_string_equal(json_text(tree, "", "metadata", "resourceVersion"), "42");
}

static void blobs_read_back(void **state UNUSED)
{
	CLEANUP(object_done)
	struct object *o = make(&kind_pod, pod_text);
	CLEANUP(object_done)
	struct object *again = NULL;
	assert_int_equal(object_from_blob(&kind_pod, o->blob, o->blob_size, 9, 8, &again, NULL), 0);
	assert_string_equal(again->blob, o->blob);
	assert_int_equal(again->revision, 9);
	assert_int_equal(again->create_revision, 8);
	assert_string_equal(again->owner_uid, "o");
	struct err e = ERR_INIT;
	struct object *none = NULL;
	assert_int_equal(object_from_blob(&kind_pod, "{\"a\"", 4, 1, 1, &none, &e), -ERR_CORRUPT);
	assert_null(none);
}

static void references_are_counted(void **state UNUSED)
{
	struct object *o = make(&kind_node, "{\"metadata\":{\"name\":\"n\"}}");
	struct object *again = object_ref(o);
	assert_ptr_equal(o, again);
	object_unref(o);
	assert_string_equal(again->name, "n");
	object_unref(again);
	object_unref(NULL);
}

static void refuses(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *nameless = parse("{\"metadata\":{}}");
	struct object *o = NULL;
	assert_int_equal(object_from_json(&kind_node, nameless, &o, NULL), -ERR_INVALID);
	CLEANUP(json_done)
	json_t *large = parse("{\"metadata\":{\"name\":\"c\",\"namespace\":\"d\"},\"data\":{}}");
	char *text = malloc(OBJECT_SIZE_MAX + 1);
	memset(text, 'x', OBJECT_SIZE_MAX);
	text[OBJECT_SIZE_MAX] = '\0';
	json_object_set_new(json_object_get(large, "data"), "k", json_string(text));
	free(text);
	assert_int_equal(object_from_json(&kind_configmap, large, &o, NULL), -ERR_TOO_LARGE);
	assert_null(o);
}

static void keys(void **state UNUSED)
{
	char key[OBJECT_KEY_MAX];
	assert_int_equal(object_key_of(&kind_pod, "d", "p", key, NULL), 0);
	assert_string_equal(key, "core/pods/d/p");
	assert_int_equal(object_key_of(&kind_node, "", "n", key, NULL), 0);
	assert_string_equal(key, "core/nodes//n");
	object_prefix(&kind_deployment, "d", key);
	assert_string_equal(key, "apps/deployments/d/");
	object_prefix(&kind_deployment, NULL, key);
	assert_string_equal(key, "apps/deployments/");
	char name[600];
	memset(name, 'x', sizeof(name));
	name[599] = '\0';
	assert_int_equal(object_key_of(&kind_pod, "d", name, key, NULL), -ERR_INVALID);
}

static void kinds_are_found(void **state UNUSED)
{
	struct kind_registry *r = kind_registry_new();
	assert_ptr_equal(kind_by_plural(r, "apps", "v1", "deployments"), &kind_deployment);
	assert_null(kind_by_plural(r, "apps", "v2", "deployments"));
	assert_null(kind_by_plural(r, "", NULL, "deployments"));
	assert_ptr_equal(kind_by_name(r, "discovery.k8s.io/v1", "EndpointSlice"),
		&kind_endpointslice);
	assert_ptr_equal(kind_by_word(r, "PO"), &kind_pod);
	assert_ptr_equal(kind_by_word(r, "deploy"), &kind_deployment);
	assert_ptr_equal(kind_by_word(r, "no"), &kind_node);
	assert_ptr_equal(kind_by_word(r, "deployments.apps"), &kind_deployment);
	assert_ptr_equal(kind_by_word(r, "deployments.v1.apps"), &kind_deployment);
	assert_null(kind_by_word(r, "deployments.core"));
	size_t at = 0, count = 0;
	while (kind_next(r, &at))
		count++;
	assert_int_equal(count, 12);
	kind_registry_free(r);
}

static void merge_patch(void **state UNUSED)
{
	/* RFC 7386 appendix A, those with objects on both sides */
	static const char *const rows[][3] = {
		{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
		{"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
			"{\"a\":{\"b\":\"d\"}}"},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
		{"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
		{"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(json_done)
		json_t *target = parse(rows[i][0]);
		CLEANUP(json_done)
		json_t *patch = parse(rows[i][1]);
		model_merge_patch(target, patch);
		CLEANUP(mem_free_ptr)
		char *text = json_encode_string(target);
		assert_string_equal(text, rows[i][2]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blob_is_in_schema_order),
		cmocka_unit_test(record_is_filled),
		cmocka_unit_test(clients_see_the_revision),
		cmocka_unit_test(blobs_read_back),
		cmocka_unit_test(references_are_counted),
		cmocka_unit_test(refuses),
		cmocka_unit_test(keys),
		cmocka_unit_test(kinds_are_found),
		cmocka_unit_test(merge_patch),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

static void assert_warning(const struct findings *f, size_t i, const char *text)
{
	if (i >= f->warnings.count)
		fail_msg("no warning \"%s\"", text);
	assert_string_equal(f->warnings.items[i].text, text);
}

static void unknown_fields_are_dropped_and_named(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = parse("{\"metadata\":{\"name\":\"p\",\"colour\":\"red\"},\"spec\":{"
			     "\"containers\":[{\"name\":\"c\","
			     "\"imagee\":\"x\",\"image\":null}]},\"extra\":1}");
	CLEANUP(findings_done)
	struct findings f = {0};
	assert_int_equal(model_prune(&kind_pod, json, false, &f, NULL), 0);
	assert_int_equal(f.warnings.count, 3);
	assert_warning(&f, 0, "unknown field \"metadata.colour\"");
	assert_warning(&f, 1, "unknown field \"spec.containers[0].imagee\"");
	assert_warning(&f, 2, "unknown field \"extra\"");
	CLEANUP(mem_free_ptr)
	char *text = json_encode_string(json);
	assert_string_equal(text,
		"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
}

static void strict_makes_them_errors(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = parse("{\"spec\":{\"replica\":1}}");
	CLEANUP(findings_done)
	struct findings f = {0};
	struct err e = ERR_INIT;
	assert_int_equal(model_prune(&kind_deployment, json, true, &f, &e), 0);
	assert_int_equal(findings_check(&f, &kind_deployment, "d", &e), -ERR_INVALID);
	assert_string_equal(e.text,
		"Deployment.apps \"d\" is invalid: spec.replica: strict decoding "
		"error: unknown field \"spec.replica\"");
}

static void wrong_types_name_the_path(void **state UNUSED)
{
	static const struct {
		const struct kind *kind;
		const char *text, *error;
	} rows[] = {
		{&kind_deployment, "{\"spec\":{\"replicas\":\"three\"}}",
			"Deployment in version \"apps/v1\" cannot be decoded: spec.replicas: "
			"expected an "
			"integer, not a string"},
		{&kind_pod, "{\"spec\":{\"containers\":{}}}",
			"spec.containers: expected a list, not an object"},
		{&kind_pod,
			"{\"spec\":{\"containers\":[{\"env\":[{\"name\":\"A\",\"value\":8080}]}]}}",
			"spec.containers[0].env[0].value: expected a string, not a number"},
		{&kind_pod,
			"{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"lots\"}}}"
			"]}}",
			"spec.containers[0].resources.limits[cpu]: quantities must match"},
		{&kind_secret, "{\"data\":{\"k\":\"*\"}}", "data[k]: illegal base64"},
		{&kind_configmap, "{\"data\":{\"k\":{}}}",
			"data[k]: expected a string, not an object"},
		{&kind_pod, "{\"metadata\":{\"creationTimestamp\":\"yesterday\"}}",
			"metadata.creationTimestamp:"},
		{&kind_pod, "{\"spec\":{\"containers\":[null]}}",
			"spec.containers[0]: expected an object, not null"},
		{&kind_pod, "[]", "Pod must be an object, not a list"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(json_done)
		json_t *json = parse(rows[i].text);
		CLEANUP(findings_done)
		struct findings f = {0};
		struct err e = ERR_INIT;
		assert_int_equal(model_prune(rows[i].kind, json, false, &f, &e), -ERR_DECODE);
		if (!strstr(e.text, rows[i].error))
			fail_msg("\"%s\" does not say \"%s\"", e.text, rows[i].error);
	}
}

static void lists_are_bounded(void **state UNUSED)
{
	CLEANUP(json_done) json_t *json = parse("{\"spec\":{\"containers\":[]}}");
	for (int i = 0; i < 4097; i++)
		json_array_append_new(json_at(json, "spec", "containers"), json_object());
	CLEANUP(findings_done) struct findings f = {0};
	struct err e = ERR_INIT;
	assert_int_equal(model_prune(&kind_pod, json, false, &f, &e), -ERR_TOO_LARGE);
	assert_string_equal(e.text, "spec.containers has 4097 items; at most 4096 are taken");
}

static void values_are_normalised(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = parse(
		"{\"spec\":{\"terminationGracePeriodSeconds\":5.0,\"containers\":[{\"resources\":{"
		"\"limits\":{\"cpu\":2,\"memory\":\"1024Mi\"},\"requests\":{\"cpu\":0.5}}}]}}");
	CLEANUP(findings_done)
	struct findings f = {0};
	assert_int_equal(model_prune(&kind_pod, json, false, &f, NULL), 0);
	CLEANUP(mem_free_ptr)
	char *text = json_encode_string(json);
	assert_string_equal(text,
		"{\"spec\":{\"terminationGracePeriodSeconds\":5,\"containers\":[{\"resources\":{"
		"\"limits\":{\"cpu\":\"2\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"500m\"}}}]}"
		"}");
}

static void support_is_told(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json =
		parse("{\"spec\":{\"serviceAccountName\":\"other\",\"setHostnameAsFQDN\":false,"
		      "\"schedulerName\":"
		      "\"default-scheduler\",\"runtimeClassName\":\"kata\",\"containers\":[]}}");
	CLEANUP(findings_done)
	struct findings f = {0};
	assert_int_equal(model_prune(&kind_pod, json, false, &f, NULL), 0);
	assert_int_equal(f.warnings.count, 1);
	assert_warning(&f, 0,
		"spec.serviceAccountName is stored, but this version does not carry it out");
	assert_int_equal(f.errors.count, 1);
	assert_string_equal(f.errors.items[0].path, "spec.runtimeClassName");
	assert_string_equal(f.errors.items[0].reason, "FieldValueForbidden");
}

static void assert_default(const struct kind *k, const char *from, const char *to)
{
	CLEANUP(json_done)
	json_t *json = parse(from);
	CLEANUP(json_done)
	json_t *wanted = parse(to);
	model_default(k, json);
	if (!json_equal(json, wanted))
		fail_msg("%s", json_encode_string(json));
	model_default(k, json);
	assert_true(json_equal(json, wanted));
}

static void pods_are_defaulted(void **state UNUSED)
{
	assert_default(&kind_pod,
		"{\"spec\":{\"hostNetwork\":true,\"containers\":[{\"name\":\"c\",\"image\":\"r:"
		"5000/a\",\"ports\":["
		"{\"containerPort\":80}],\"livenessProbe\":{\"httpGet\":{\"port\":80}},"
		"\"resources\":{"
		"\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"500m\"}}}],"
		"\"volumes\":[{\"name\":\"v\"},{\"name\":\"c\",\"configMap\":{\"name\":\"x\"}}]}}",
		"{\"spec\":{\"hostNetwork\":true,\"containers\":[{\"name\":\"c\",\"image\":\"r:"
		"5000/a\","
		"\"imagePullPolicy\":\"Always\",\"terminationMessagePath\":\"/dev/"
		"termination-log\","
		"\"terminationMessagePolicy\":\"File\",\"ports\":[{\"containerPort\":80,"
		"\"hostPort\":80,"
		"\"protocol\":\"TCP\"}],\"livenessProbe\":{\"httpGet\":{\"port\":80,\"path\":\"/"
		"\",\"scheme\":"
		"\"HTTP\"},\"timeoutSeconds\":1,\"periodSeconds\":10,\"successThreshold\":1,"
		"\"failureThreshold\":3},\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":"
		"\"1Gi\"},"
		"\"requests\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}}],\"volumes\":[{\"name\":"
		"\"v\","
		"\"emptyDir\":{}},{\"name\":\"c\",\"configMap\":{\"name\":\"x\",\"defaultMode\":"
		"420}}],"
		"\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":"
		"\"ClusterFirst\",\"securityContext\":{},\"schedulerName\":\"default-scheduler\","
		"\"enableServiceLinks\":true},\"status\":{\"phase\":\"Pending\",\"qosClass\":"
		"\"Burstable\"}}");
}

static const char *policy_of(const char *image, json_t **ret_pod)
{
	*ret_pod =
		json_pack("{s:{s:[{s:s,s:s}]}}", "spec", "containers", "name", "c", "image", image);
	model_default(&kind_pod, *ret_pod);
	return json_text(json_array_get(json_at(*ret_pod, "spec", "containers"), 0), "",
		"imagePullPolicy");
}

static void pull_policy_follows_the_tag(void **state UNUSED)
{
	static const char *const rows[][2] = {{"a", "Always"}, {"a:latest", "Always"},
		{"r:5000/a", "Always"}, {"a:1", "IfNotPresent"}, {"r:5000/a:1", "IfNotPresent"},
		{"a@sha256:00", "IfNotPresent"}, {"a:latest@sha256:00", "IfNotPresent"}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(json_done)
		json_t *pod = NULL;
		assert_string_equal(policy_of(rows[i][0], &pod), rows[i][1]);
	}
}

static void other_kinds_are_defaulted(void **state UNUSED)
{
	assert_default(&kind_deployment, "{\"spec\":{}}",
		"{\"spec\":{\"replicas\":1,\"strategy\":{\"type\":\"RollingUpdate\","
		"\"rollingUpdate\":{"
		"\"maxUnavailable\":\"25%\",\"maxSurge\":\"25%\"}},\"revisionHistoryLimit\":10,"
		"\"progressDeadlineSeconds\":600}}");
	assert_default(&kind_deployment, "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}",
		"{\"spec\":{\"replicas\":1,\"strategy\":{\"type\":\"Recreate\"},"
		"\"revisionHistoryLimit\":10,"
		"\"progressDeadlineSeconds\":600}}");
	assert_default(&kind_service,
		"{\"spec\":{\"ports\":[{\"port\":80}],\"clusterIP\":\"None\"}}",
		"{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":80,\"protocol\":\"TCP\"}],"
		"\"clusterIP\":\"None\","
		"\"clusterIPs\":[\"None\"],\"type\":\"ClusterIP\",\"sessionAffinity\":\"None\","
		"\"ipFamilies\":"
		"[\"IPv4\"],\"ipFamilyPolicy\":\"SingleStack\",\"internalTrafficPolicy\":"
		"\"Cluster\"},"
		"\"status\":{\"loadBalancer\":{}}}");
	assert_default(&kind_secret,
		"{\"data\":{\"a\":\"eA==\"},\"stringData\":{\"a\":\"foo\",\"b\":\"\"}}",
		"{\"data\":{\"a\":\"Zm9v\",\"b\":\"\"},\"type\":\"Opaque\"}");
	assert_default(&kind_namespace, "{\"metadata\":{\"name\":\"n\"}}",
		"{\"metadata\":{\"name\":\"n\",\"labels\":{\"kubernetes.io/metadata.name\":\"n\"}},"
		"\"status\":{\"phase\":\"Active\"}}");
}

static void stamps(void **state UNUSED)
{
	static const unsigned char bytes[16] = {
		0, 1, 2, 3, 4, 5, 0xff, 7, 0xff, 9, 10, 11, 12, 13, 14, 15};
	CLEANUP(json_done)
	json_t *json =
		parse("{\"metadata\":{\"generateName\":\"web-\",\"resourceVersion\":\"9\"}}");
	model_stamp_new(json, bytes, 1795373140000);
	CLEANUP(mem_free_ptr)
	char *text = json_encode_string(json);
	assert_string_equal(text,
		"{\"metadata\":{\"generateName\":\"web-\",\"name\":\"web-npqrs\",\"uid\":"
		"\"00010203-0405-4f07-bf09-0a0b0c0d0e0f\",\"generation\":1,\"creationTimestamp\":"
		"\"2026-11-22T18:45:40Z\"}}");
}

static void status_objects(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = parse("{\"spec\":{\"replica\":1,\"x\":2}}");
	CLEANUP(findings_done)
	struct findings f = {0};
	struct err e = ERR_INIT;
	assert_int_equal(model_prune(&kind_replicaset, json, true, &f, &e), 0);
	assert_int_equal(findings_check(&f, &kind_replicaset, "r", &e), -ERR_INVALID);
	CLEANUP(buf_done)
	struct buf b = BUF_INIT;
	model_write_status(&e, &kind_replicaset, "r", &f, &b);
	CLEANUP(json_done)
	json_t *status = parse(buf_text(&b));
	assert_string_equal(json_text(status, "", "reason"), "Invalid");
	assert_int_equal(json_int(status, 0, "code"), 422);
	assert_string_equal(json_text(status, "", "details", "group"), "apps");
	assert_string_equal(json_text(status, "", "details", "kind"), "ReplicaSet");
	assert_int_equal(json_array_size(json_at(status, "details", "causes")), 2);
	buf_clear(&b);
	(void)err_set(&e, ERR_NOT_FOUND, "pods \"p\" not found");
	model_write_status(&e, &kind_pod, "p", NULL, &b);
	assert_string_equal(buf_text(&b),
		"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
		"\"message\":\"pods \\\"p\\\" not "
		"found\",\"reason\":\"NotFound\",\"details\":{\"name\":\"p\","
		"\"kind\":\"pods\"},\"code\":404}");
	buf_clear(&b);
	model_write_status(NULL, NULL, NULL, NULL, &b);
	assert_string_equal(buf_text(&b), "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":"
					  "{},\"status\":\"Success\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_fields_are_dropped_and_named),
		cmocka_unit_test(strict_makes_them_errors),
		cmocka_unit_test(wrong_types_name_the_path),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(values_are_normalised),
		cmocka_unit_test(support_is_told),
		cmocka_unit_test(pods_are_defaulted),
		cmocka_unit_test(pull_policy_follows_the_tag),
		cmocka_unit_test(other_kinds_are_defaulted),
		cmocka_unit_test(stamps),
		cmocka_unit_test(status_objects),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/fixture.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define PODS "/api/v1/namespaces/default/pods"

#define POD(name)                                                                                  \
	"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'" name                                \
	"'},'spec':{'containers':[{'name':'c','image':'busybox:1'}]}}"

static const char *text_at(const json_t *json, const char *a, const char *b)
{
	return json_text_or(b ? json_at(json, a, b) : json_at(json, a), "");
}

static void an_object_is_created_read_changed_and_deleted(void **state)
{
	struct fixture *f = *state;
	json_t *made =
		fixture_expect(f, 201, "POST", MAPS, "{'metadata':{'name':'m'},'data':{'a':'1'}}");
	assert_string_equal(text_at(made, "kind", NULL), "ConfigMap");
	assert_int_equal(strlen(text_at(made, "metadata", "uid")), 36);
	char revision[64];
	snprintf(revision, sizeof(revision), "%s", text_at(made, "metadata", "resourceVersion"));
	assert_true(atoi(revision) > 0);
	json_t *again = fixture_expect(f, 409, "POST", MAPS, "{'metadata':{'name':'m'}}");
	assert_string_equal(text_at(again, "reason", NULL), "AlreadyExists");
	json_t *patched = fixture_expect(f, 200, "PATCH", MAPS "/m", "{'data':{'a':null,'b':'2'}}");
	assert_null(json_at(patched, "data", "a"));
	assert_string_equal(text_at(patched, "data", "b"), "2");
	assert_string_not_equal(text_at(patched, "metadata", "resourceVersion"), revision);
	json_t *got = fixture_expect(f, 200, "GET", MAPS "/m", NULL);
	assert_true(json_equal(got, patched));
	json_t *gone = fixture_expect(f, 200, "DELETE", MAPS "/m", NULL);
	assert_string_equal(text_at(gone, "status", NULL), "Success");
	json_t *missing = fixture_expect(f, 404, "GET", MAPS "/m", NULL);
	assert_string_equal(text_at(missing, "reason", NULL), "NotFound");
	json_decref(made);
	json_decref(again);
	json_decref(patched);
	json_decref(got);
	json_decref(gone);
	json_decref(missing);
}

static void a_write_that_changes_nothing_has_no_revision(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 201, "POST", MAPS,
		"{'metadata':{'name':'m'},'data':{'a':'1'}}"));
	int64_t before = store_revision(f->store);
	json_decref(fixture_expect(f, 200, "PATCH", MAPS "/m", "{'data':{'a':'1'}}"));
	assert_int_equal(store_revision(f->store), before);
}

static void an_old_revision_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	json_t *made =
		fixture_expect(f, 201, "POST", MAPS, "{'metadata':{'name':'m'},'data':{'a':'1'}}");
	json_decref(fixture_expect(f, 200, "PATCH", MAPS "/m", "{'data':{'a':'2'}}"));
	CLEANUP(mem_free_ptr) char *body = json_encode_string(made);
	json_t *refused = fixture_expect(f, 409, "PUT", MAPS "/m", body);
	assert_string_equal(text_at(refused, "reason", NULL), "Conflict");
	json_decref(made);
	json_decref(refused);
}

/* ---- bad input ---- */

static void expect_refusal(struct fixture *f, int status, const char *path, const char *body,
	const char *words)
{
	json_t *answer = fixture_expect(f, status, "POST", path, body);
	assert_string_equal(text_at(answer, "kind", NULL), "Status");
	if (!strstr(text_at(answer, "message", NULL), words))
		fail_msg("no \"%s\" in: %s", words, text_at(answer, "message", NULL));
	json_decref(answer);
}

static void bad_documents_are_refused_with_the_place(void **state)
{
	struct fixture *f = *state;
	expect_refusal(f, 400, MAPS, "{'metadata':{'name':'m'},\n 'data':{'a' 1}}", "line 2");
	expect_refusal(f, 400, MAPS, "{'metadata':{'name':'m','name':'n'}}", "name");
	expect_refusal(f, 400, MAPS, "{'metadata':{'name':5}}", "metadata.name");
	expect_refusal(f, 400, MAPS, "{'kind':'Secret','metadata':{'name':'m'}}", "Secret");
	expect_refusal(f, 400, MAPS, "[1]", "object");
	expect_refusal(f, 422, MAPS, "{'metadata':{'name':'Not_Good'}}", "metadata.name");
	expect_refusal(f, 422, MAPS, "{'data':{}}", "name");
	expect_refusal(f, 422, PODS, "{'metadata':{'name':'p'},'spec':{}}", "spec.containers");
	expect_refusal(f, 404, "/api/v1/namespaces/nowhere/configmaps", "{'metadata':{'name':'m'}}",
		"nowhere");
	assert_int_equal(store_revision(f->store) > 0, 1);
}

static void what_is_too_large_or_too_deep_is_refused(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT;
	for (int i = 0; i < 200; i++)
		buf_append_string(&b, "{'a':");
	expect_refusal(f, 400, MAPS, buf_text(&b), "deep");
	buf_clear(&b);
	buf_append_string(&b, "{'metadata':{'name':'m'},'data':{'a':'");
	for (int i = 0; i < (1 << 20); i++)
		buf_append_char(&b, 'x');
	buf_append_string(&b, "'}}");
	struct fixture_answer a = fixture_call(f, FIXTURE_ADMIN, "POST", MAPS, NULL, buf_text(&b));
	assert_true(a.status == 413 || a.status == 422);
	fixture_answer_done(&a);
	buf_done(&b);
}

static void unknown_fields_are_named_in_warnings(void **state)
{
	struct fixture *f = *state;
	struct fixture_answer a = fixture_call(f, FIXTURE_ADMIN, "POST", MAPS, NULL,
		"{'metadata':{'name':'m','nam':'x'},'datta':{'a':'1'}}");
	assert_int_equal(a.status, 201);
	assert_non_null(strstr(a.warnings, "metadata.nam"));
	assert_non_null(strstr(a.warnings, "datta"));
	assert_null(json_at(a.body, "datta"));
	fixture_answer_done(&a);
}

#define SITES "/apis/continuo.dev/v1alpha1/sites"

static void sites_may_lead_to_sites_that_come_later(void **state)
{
	struct fixture *f = *state;
	struct fixture_answer a = fixture_call(f, FIXTURE_ADMIN, "POST", SITES, NULL,
		"{'metadata':{'name':'a'},'spec':{'paths':[{'to':'b','latency':'9ms'}]}}");
	assert_int_equal(a.status, 201);
	assert_non_null(strstr(a.warnings, "spec.paths[0].to: there is no Site \\\"b\\\" yet"));
	fixture_answer_done(&a);
	a = fixture_call(f, FIXTURE_ADMIN, "POST", SITES, NULL,
		"{'metadata':{'name':'b'},'spec':{'paths':[{'to':'a','latency':'9ms'}]}}");
	assert_int_equal(a.status, 201);
	assert_string_equal(a.warnings, "");
	fixture_answer_done(&a);
	expect_refusal(f, 422, SITES, "{'metadata':{'name':'c'},'spec':{'paths':[{'to':'c'}]}}",
		"a path leads to another site");
	expect_refusal(f, 400, SITES,
		"{'metadata':{'name':'c'},'spec':{'traffic':{'pricePerGigabyteOut':1e999}}}",
		"line 1");
	expect_refusal(f, 400, SITES,
		"{'metadata':{'name':'c'},'spec':{'traffic':{'pricePerGigabyteOut':NaN}}}",
		"line 1");
}

static void figures_of_nodes_are_checked_when_they_are_set(void **state)
{
	struct fixture *f = *state;
	expect_refusal(f, 422, "/api/v1/nodes",
		"{'metadata':{'name':'n','annotations':{'continuo.dev/idle-watts':'lots'}}}",
		"annotation continuo.dev/idle-watts: \"lots\" is no number of 0 or more");
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/nodes",
		"{'metadata':{'name':'n','annotations':{'continuo.dev/idle-watts':'12.5'}}}"));
	json_t *refused = fixture_expect(f, 422, "PATCH", "/api/v1/nodes/n",
		"{'metadata':{'labels':{'continuo.dev/trust':'101'}}}");
	assert_non_null(strstr(text_at(refused, "message", NULL), "continuo.dev/trust"));
	json_decref(refused);
}

/* ---- lists ---- */

static void lists_are_paged_at_one_revision(void **state)
{
	struct fixture *f = *state;
	char body[128], path[512];
	for (int i = 0; i < 7; i++) {
		snprintf(body, sizeof(body), "{'metadata':{'name':'m%d','labels':{'odd':'%s'}}}", i,
			i % 2 ? "yes" : "no");
		json_decref(fixture_expect(f, 201, "POST", MAPS, body));
	}
	json_t *page = fixture_expect(f, 200, "GET", MAPS "?limit=3", NULL);
	assert_int_equal(json_array_size(json_at(page, "items")), 3);
	assert_int_equal(json_int(page, -1, "metadata", "remainingItemCount"), 4);
	char revision[64];
	snprintf(revision, sizeof(revision), "%s", text_at(page, "metadata", "resourceVersion"));
	json_decref(fixture_expect(f, 201, "POST", MAPS, "{'metadata':{'name':'m9'}}"));
	size_t seen = 3;
	while (*text_at(page, "metadata", "continue")) {
		snprintf(path, sizeof(path), MAPS "?limit=3&continue=%s",
			text_at(page, "metadata", "continue"));
		json_decref(page);
		page = fixture_expect(f, 200, "GET", path, NULL);
		assert_string_equal(text_at(page, "metadata", "resourceVersion"), revision);
		seen += json_array_size(json_at(page, "items"));
	}
	json_decref(page);
	assert_int_equal(seen, 7);
	json_t *odd = fixture_expect(f, 200, "GET", MAPS "?labelSelector=odd%3Dyes", NULL);
	assert_int_equal(json_array_size(json_at(odd, "items")), 3);
	json_decref(odd);
	json_t *named = fixture_expect(f, 200, "GET",
		"/api/v1/configmaps?fieldSelector=metadata.name%3Dm4", NULL);
	assert_int_equal(json_array_size(json_at(named, "items")), 1);
	json_decref(named);
}

static void a_watch_sees_each_change_once_and_selectors_move_objects(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 201, "POST", MAPS,
		"{'metadata':{'name':'m','labels':{'a':'1'}}}"));
	struct fixture_stream *w = fixture_stream_open(f, FIXTURE_ADMIN, "GET",
		MAPS "?watch=true&labelSelector=a%3D1", NULL);
	fixture_stream_await(f, w, "'ADDED'");
	json_decref(fixture_expect(f, 200, "PATCH", MAPS "/m", "{'data':{'x':'y'}}"));
	fixture_stream_await(f, w, "'MODIFIED'");
	json_decref(fixture_expect(f, 200, "PATCH", MAPS "/m",
		"{'metadata':{'labels':{'a':'2'}}}"));
	fixture_stream_await(f, w, "'DELETED'");
	fixture_stream_free(w);
	w = fixture_stream_open(f, FIXTURE_ADMIN, "GET", MAPS "?watch=true&timeoutSeconds=1", NULL);
	fixture_stream_await(f, w, "");
	fixture_stream_free(w);
}

/* ---- life cycles ---- */

static void finalizers_keep_an_object_until_they_are_gone(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 201, "POST", MAPS,
		"{'metadata':{'name':'m','finalizers':['example.com/x']}}"));
	json_t *marked = fixture_expect(f, 200, "DELETE", MAPS "/m", NULL);
	assert_string_not_equal(text_at(marked, "metadata", "deletionTimestamp"), "");
	json_decref(marked);
	json_decref(fixture_expect(f, 200, "PATCH", MAPS "/m", "{'metadata':{'finalizers':null}}"));
	json_decref(fixture_expect(f, 404, "GET", MAPS "/m", NULL));
}

static void a_pod_that_runs_is_deleted_gracefully(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 201, "POST", PODS, POD("p")));
	json_decref(fixture_expect(f, 201, "POST", PODS "/p/binding",
		"{'target':{'name':'node-a'}}"));
	json_decref(fixture_expect(f, 409, "POST", PODS "/p/binding",
		"{'target':{'name':'node-b'}}"));
	json_t *marked = fixture_expect(f, 200, "DELETE", PODS "/p?gracePeriodSeconds=7", NULL);
	assert_int_equal(json_int(marked, -1, "metadata", "deletionGracePeriodSeconds"), 7);
	json_decref(marked);
	json_decref(fixture_expect(f, 200, "GET", PODS "/p", NULL));
	json_decref(fixture_expect(f, 200, "DELETE", PODS "/p?gracePeriodSeconds=0", NULL));
	json_decref(fixture_expect(f, 404, "GET", PODS "/p", NULL));
}

static void status_and_spec_are_written_apart(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 201, "POST", PODS, POD("p")));
	json_t *p = fixture_expect(f, 200, "PATCH", PODS "/p", "{'status':{'phase':'Running'}}");
	assert_string_not_equal(text_at(p, "status", "phase"), "Running");
	json_decref(p);
	p = fixture_expect(f, 200, "PATCH", PODS "/p/status",
		"{'status':{'phase':'Running'},'metadata':{'labels':{'x':'y'}}}");
	assert_string_equal(text_at(p, "status", "phase"), "Running");
	assert_null(json_at(p, "metadata", "labels", "x"));
	json_decref(p);
}

static void services_get_addresses_that_are_given_back(void **state)
{
	struct fixture *f = *state;
	static const char path[] = "/api/v1/namespaces/default/services";
	json_t *s = fixture_expect(f, 201, "POST", path,
		"{'metadata':{'name':'a'},'spec':{'ports':[{'port':80}]}}");
	char ip[64], body[256];
	snprintf(ip, sizeof(ip), "%s", text_at(s, "spec", "clusterIP"));
	assert_int_equal(strncmp(ip, "10.43.0.", 8), 0);
	json_decref(s);
	snprintf(body, sizeof(body),
		"{'metadata':{'name':'b'},'spec':{'clusterIP':'%s','ports':[{'port':80}]}}", ip);
	expect_refusal(f, 422, path, body, "allocated");
	expect_refusal(f, 422, path,
		"{'metadata':{'name':'b'},'spec':{'clusterIP':'1.2.3.4','ports':[{'port':80}]}}",
		"range");
	json_decref(fixture_expect(f, 200, "DELETE", "/api/v1/namespaces/default/services/a",
		NULL));
	json_decref(fixture_expect(f, 201, "POST", path, body));
	/* A range of 254 addresses serves 253 more, and then says that it is full. */
	for (int i = 0; i < 253; i++) {
		snprintf(body, sizeof(body),
			"{'metadata':{'name':'s%d'},'spec':{'ports':[{'port':80}]}}", i);
		json_decref(fixture_expect(f, 201, "POST", path, body));
	}
	expect_refusal(f, 503, path, "{'metadata':{'name':'z'},'spec':{'ports':[{'port':80}]}}",
		"full");
}

static void privileged_pods_need_a_privileged_namespace(void **state)
{
	struct fixture *f = *state;
	static const char pod[] = "{'metadata':{'name':'p'},'spec':{'hostNetwork':true,'containers'"
				  ":[{'name':'c','image':'busybox:1'}]}}";
	expect_refusal(f, 403, PODS, pod, "hostNetwork");
	static const char adopted[] =
		"{'metadata':{'name':'a','annotations':{'continuo.dev/adopted':'docker'}},"
		"'spec':{'containers':[{'name':'c','image':'i'}]}}";
	expect_refusal(f, 403, PODS, adopted, "adopted containers want");
	json_decref(fixture_expect(f, 200, "PATCH", "/api/v1/namespaces/default",
		"{'metadata':{'labels':{'pod-security.kubernetes.io/enforce':'privileged'}}}"));
	json_decref(fixture_expect(f, 201, "POST", PODS, pod));
	json_decref(fixture_expect(f, 201, "POST", PODS, adopted));
}

static void nothing_is_made_in_a_namespace_that_goes(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/namespaces",
		"{'metadata':{'name':'n'}}"));
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/namespaces/n/configmaps",
		"{'metadata':{'name':'m','finalizers':['example.com/x']}}"));
	json_decref(fixture_expect(f, 200, "DELETE", "/api/v1/namespaces/n", NULL));
	expect_refusal(f, 403, "/api/v1/namespaces/n/configmaps", "{'metadata':{'name':'m2'}}",
		"terminated");
	json_decref(fixture_expect(f, 200, "PATCH", "/api/v1/namespaces/n/configmaps/m",
		"{'metadata':{'finalizers':null}}"));
}

/* kube-system holds the revocations: without them revoked nodes came back. */
static void the_domains_own_namespaces_stay(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {"/api/v1/namespaces/default",
		"/api/v1/namespaces/kube-system", "/api/v1/namespaces"};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		json_decref(fixture_expect(f, 403, "DELETE", paths[i], NULL));
	json_decref(fixture_expect(f, 200, "GET", "/api/v1/namespaces/kube-system", NULL));
}

static void a_watch_from_the_future_is_gone(void **state)
{
	struct fixture *f = *state;
	json_decref(fixture_expect(f, 410, "GET", MAPS "?watch=true&resourceVersion=999999999",
		NULL));
}

/* ---- who may ---- */

static void strangers_and_nodes_are_kept_out(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {
		MAPS, "/api/v1/secrets", "/continuo/v1/tokens", "/metrics", "/apis"};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct fixture_answer a =
			fixture_call(f, FIXTURE_NOBODY, "GET", paths[i], NULL, NULL);
		assert_int_equal(a.status, 401);
		fixture_answer_done(&a);
		a = fixture_call(f, FIXTURE_NODE, "GET", paths[i], NULL, NULL);
		assert_int_equal(a.status, 403);
		fixture_answer_done(&a);
	}
	struct fixture_answer a =
		fixture_call(f, FIXTURE_NOBODY, "POST", "/agent/v1/report", NULL, "");
	assert_int_equal(a.status, 401);
	fixture_answer_done(&a);
	a = fixture_call(f, FIXTURE_NOBODY, "GET", "/readyz", NULL, NULL);
	assert_int_equal(a.status, 200);
	fixture_answer_done(&a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_object_is_created_read_changed_and_deleted),
		TEST(a_write_that_changes_nothing_has_no_revision),
		TEST(an_old_revision_is_a_conflict),
		TEST(bad_documents_are_refused_with_the_place),
		TEST(what_is_too_large_or_too_deep_is_refused),
		TEST(unknown_fields_are_named_in_warnings),
		TEST(sites_may_lead_to_sites_that_come_later),
		TEST(figures_of_nodes_are_checked_when_they_are_set),
		TEST(lists_are_paged_at_one_revision),
		TEST(a_watch_sees_each_change_once_and_selectors_move_objects),
		TEST(finalizers_keep_an_object_until_they_are_gone),
		TEST(a_pod_that_runs_is_deleted_gracefully),
		TEST(status_and_spec_are_written_apart),
		TEST(services_get_addresses_that_are_given_back),
		TEST(privileged_pods_need_a_privileged_namespace),
		TEST(nothing_is_made_in_a_namespace_that_goes),
		TEST(the_domains_own_namespaces_stay),
		TEST(a_watch_from_the_future_is_gone),
		TEST(strangers_and_nodes_are_kept_out),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

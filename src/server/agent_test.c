#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "server/feed.h"
#include "server/fixture.h"
#include "server/leases.h"
#include "server/nodes.h"
#include "server/request.h"
#include "server/revocations.h"
#include "wire/wire.h"

#define PODS "/api/v1/namespaces/default/pods"
#define HELLO(held)                                                                                \
	"{'type':'hello','epoch':'','version':'1','node':{'metadata':{'labels':{'continuo.dev/"    \
	"tier':'edge',"                                                                            \
	"'continuo.dev/"                                                                           \
	"trust':'100'}},'status':{'capacity':{'cpu':'2','memory':'1Gi','pods':'110'},"             \
	"'allocatable':{'cpu':'2','memory':'1Gi','pods':'110'},'addresses':[{'type':'InternalIP'," \
	"'address':'192.0."                                                                        \
	"2.7'}]}},'held':" held "}\n"

static struct fixture_stream *open_feed(struct fixture *f, const char *hello)
{
	struct fixture_stream *feed =
		fixture_stream_open(f, FIXTURE_NODE, "POST", "/agent/v1/feed", hello);
	fixture_stream_await(f, feed, "'bookmark'");
	return feed;
}

static bool is_lost(void *arg)
{
	return ((struct fixture_stream *)arg)->ended;
}

static int report(struct fixture *f, const char *body)
{
	struct fixture_answer a = fixture_call(f, FIXTURE_NODE, "POST", "/agent/v1/report",
		"application/x-ndjson", body);
	fixture_answer_done(&a);
	return a.status;
}

/* Makes a pod on a node, with a ConfigMap that it names; gives the uid. */
static void make_pod(struct fixture *f, const char *name, const char *node, char ret_uid[static 40])
{
	char body[1024];
	snprintf(body, sizeof(body),
		"{'metadata':{'name':'%s'},'spec':{'nodeName':'%s','containers':[{'name':'c','"
		"image':'busybox:1',"
		"'envFrom':[{'configMapRef':{'name':'settings'}}]}]}}",
		name, node);
	json_t *pod = fixture_expect(f, 201, "POST", PODS, body);
	snprintf(ret_uid, 40, "%s", json_text(pod, "", "metadata", "uid"));
	json_decref(pod);
}

static const char *condition(const json_t *node, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(node, "status", "conditions"), i, c) {
		if (strcmp(json_text(c, "", "type"), type) == 0)
			return json_text(c, "", "status");
	}
	return "";
}

/* Its own disk is what an agent knows best; whether it is Ready is not its to say. */
static void a_node_tells_of_its_disk(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f,
		"{'type':'hello','epoch':'','version':'1','node':{'status':{'conditions':["
		"{'type':'DiskPressure','status':'False'},{'type':'Ready','status':'False'},"
		"{'type':'Other','status':'True'}]}},'held':[]}\n");
	json_t *node = fixture_expect(f, 200, "GET", "/api/v1/nodes/node-a", NULL);
	assert_string_equal(condition(node, "DiskPressure"), "False");
	assert_string_equal(condition(node, "Ready"), "True");
	assert_string_equal(condition(node, "Other"), "");
	json_decref(node);
	assert_int_equal(report(f, "{'type':'node','status':{'conditions':[{'type':'DiskPressure',"
				   "'status':'True','reason':'R','message':'m'}]}}\n"),
		200);
	node = fixture_expect(f, 200, "GET", "/api/v1/nodes/node-a", NULL);
	assert_string_equal(condition(node, "DiskPressure"), "True");
	assert_string_equal(condition(node, "Ready"), "True");
	assert_string_equal(condition(node, "NetworkUnavailable"), "");
	json_decref(node);
	assert_int_equal(report(f, "{'type':'node','status':{'conditions':[{'type':"
				   "'NetworkUnavailable','status':'True','reason':'R',"
				   "'message':'m'}]}}\n"),
		200);
	node = fixture_expect(f, 200, "GET", "/api/v1/nodes/node-a", NULL);
	assert_string_equal(condition(node, "DiskPressure"), "True");
	assert_string_equal(condition(node, "NetworkUnavailable"), "True");
	json_decref(node);
	fixture_stream_free(feed);
}

static void a_hello_makes_a_ready_node_with_a_range(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	assert_non_null(strstr(buf_text(&feed->text), "\"pod_cidr\":\"10.42."));
	json_t *node = fixture_expect(f, 200, "GET", "/api/v1/nodes/node-a", NULL);
	assert_string_equal(json_text(node, "", "metadata", "labels", "continuo.dev/tier"), "edge");
	/* Trust is the domain's to give. */
	assert_null(json_at(node, "metadata", "labels", "continuo.dev/trust"));
	assert_string_equal(json_text(json_array_get(json_at(node, "status", "conditions"), 0), "",
				    "status"),
		"True");
	json_decref(node);
	struct fixture_stream *w =
		fixture_stream_open(f, FIXTURE_ADMIN, "GET", "/api/v1/nodes?watch=true", NULL);
	/* No heartbeat comes: after the silence the node is lost. */
	fixture_stream_await(f, w, "'Unknown'");
	fixture_stream_free(w);
	fixture_stream_free(feed);
}

static void a_slice_has_the_pod_and_what_it_names_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	char uid[40], other[40];
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/namespaces/default/configmaps",
		"{'metadata':{'name':'settings'},'data':{'a':'1'}}"));
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/namespaces/default/configmaps",
		"{'metadata':{'name':'unnamed'},'data':{'a':'secret-of-others'}}"));
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "mine", "node-a", uid);
	make_pod(f, "theirs", "node-b", other);
	fixture_stream_await(f, feed, uid);
	fixture_stream_await(f, feed, "'settings'");
	json_decref(fixture_expect(f, 200, "PATCH",
		"/api/v1/namespaces/default/configmaps/settings", "{'data':{'a':'2'}}"));
	fixture_stream_await(f, feed, "{'a':'2'}");
	assert_null(strstr(buf_text(&feed->text), other));
	assert_null(strstr(buf_text(&feed->text), "secret-of-others"));
	struct fixture_answer a = fixture_call(f, FIXTURE_NODE, "GET",
		"/agent/v1/objects/core/configmaps/default/unnamed", NULL, NULL);
	assert_int_equal(a.status, 403);
	fixture_answer_done(&a);
	json_decref(fixture_expect(f, 200, "DELETE", PODS "/mine?gracePeriodSeconds=0", NULL));
	fixture_stream_await(f, feed, "'delete'");
	fixture_stream_free(feed);
}

static void what_the_agent_holds_is_not_sent_again(void **state)
{
	struct fixture *f = *state;
	char uid[40], hello[2048];
	make_pod(f, "p", "node-a", uid);
	json_t *pod = fixture_expect(f, 200, "GET", PODS "/p", NULL);
	snprintf(hello, sizeof(hello),
		"{'type':'hello','epoch':'%s','node':{},'held':[['core/pods/default/"
		"p','%s',%s],['core/pods/default/old','u',1]]}\n",
		store_epoch(f->store), uid, json_text(pod, "", "metadata", "resourceVersion"));
	json_decref(pod);
	struct fixture_stream *feed = open_feed(f, hello);
	assert_null(strstr(buf_text(&feed->text), "\"containers\""));
	assert_non_null(strstr(buf_text(&feed->text), "\"core/pods/default/old\""));
	fixture_stream_free(feed);
}

static int64_t report_refused(struct fixture *f, const char *body)
{
	struct fixture_answer a = fixture_call(f, FIXTURE_NODE, "POST", "/agent/v1/report",
		"application/x-ndjson", body);
	assert_int_equal(a.status, 200);
	int64_t refused = json_int(a.body, -1, "refused");
	fixture_answer_done(&a);
	return refused;
}

static void a_node_writes_the_status_of_its_own_pods_only(void **state)
{
	struct fixture *f = *state;
	char uid[40], other[40], body[512];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "mine", "node-a", uid);
	make_pod(f, "theirs", "node-b", other);
	snprintf(body, sizeof(body),
		"{'type':'status','key':'core/pods/default/"
		"mine','uid':'%s','status':{'phase':'Running'}}\n",
		uid);
	assert_int_equal(report(f, body), 200);
	snprintf(body, sizeof(body),
		"{'type':'status','key':'core/pods/default/"
		"theirs','uid':'%s','status':{'phase':'Failed'}}\n",
		other);
	assert_int_equal(report_refused(f, body), 1);
	snprintf(body, sizeof(body), "{'type':'gone','key':'core/pods/default/mine','uid':'%s'}\n",
		uid);
	/* Not asked to go: a report alone deletes nothing. */
	assert_int_equal(report(f, body), 200);
	json_t *pod = fixture_expect(f, 200, "GET", PODS "/mine", NULL);
	assert_string_equal(json_text(pod, "", "status", "phase"), "Running");
	json_decref(pod);
	json_decref(fixture_expect(f, 200, "DELETE", PODS "/mine", NULL));
	assert_int_equal(report(f, body), 200);
	json_decref(fixture_expect(f, 404, "GET", PODS "/mine", NULL));
	pod = fixture_expect(f, 200, "GET", PODS "/theirs", NULL);
	assert_string_not_equal(json_text(pod, "", "status", "phase"), "Failed");
	json_decref(pod);
	fixture_stream_free(feed);
}

static void expect_phase(struct fixture *f, const char *path, const char *phase)
{
	json_t *pod = fixture_expect(f, 200, "GET", path, NULL);
	assert_string_equal(json_text(pod, "", "status", "phase"), phase);
	json_decref(pod);
}

static void a_bad_line_costs_no_other(void **state)
{
	struct fixture *f = *state;
	char uid[40], second[40], other[40], body[2048];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	make_pod(f, "q", "node-a", second);
	make_pod(f, "theirs", "node-b", other);
	snprintf(body, sizeof(body),
		"{'type':'status','key':'core/pods/default/p','uid':'%s','status':{'phase':"
		"'Running'}}\n"
		"{'type':'event','key':'core/pods/default/p','uid':'%s','message':'\351t\351'}\n"
		"{'type':'status','key':'nonsense','uid':'%s','status':{}}\n"
		"{'type':'status','key':'core/pods/default/p','uid':'%s'}\n"
		"{'type':'gone','key':'core/pods/default/theirs','uid':'%s'}\n"
		"{'type':'status','key':'core/pods/default/theirs','uid':'%s','status':{}}\n"
		"{'type':'status','key':'core/pods/default/q','uid':'%s','status':{'phase':"
		"'Running'}}\n",
		uid, uid, uid, uid, other, other, second);
	assert_int_equal(report_refused(f, body), 5);
	expect_phase(f, PODS "/p", "Running");
	expect_phase(f, PODS "/q", "Running");
	assert_int_equal(report_refused(f, "nonsense\n"), 1);
	fixture_stream_free(feed);
}

static void equal_events_are_counted(void **state)
{
	struct fixture *f = *state;
	char uid[40], body[512];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, feed, uid);
	snprintf(body, sizeof(body),
		"{'type':'event','key':'core/pods/default/"
		"p','uid':'%s','warning':true,'reason':'BackOff','message':'again'}\n",
		uid);
	assert_int_equal(report(f, body), 200);
	assert_int_equal(report(f, body), 200);
	json_t *events = fixture_expect(f, 200, "GET",
		"/api/v1/namespaces/default/"
		"events?fieldSelector=involvedObject.name%3Dp,reason%3DBackOff",
		NULL);
	assert_int_equal(json_array_size(json_at(events, "items")), 1);
	assert_int_equal(json_int(json_array_get(json_at(events, "items"), 0), 0, "count"), 2);
	json_decref(events);
	fixture_stream_free(feed);
}

/* From an island: with the times at which they happened, and not twice. */
static void late_events_keep_their_times(void **state)
{
	struct fixture *f = *state;
	char uid[40], line[512], first[TIME_TEXT_SIZE], last[TIME_TEXT_SIZE];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, feed, uid);
	int64_t now_ms = loop_wall_ms(f->loop);
	for (int i = 0; i < 3; i++) { /* the second one lost its answer; the third is another */
		snprintf(line, sizeof(line),
			"{'type':'event','key':'core/pods/default/p','uid':'%s','warning':true,"
			"'reason':'BackOff','message':'m','id':'000000000000000%d',"
			"'first_ms':%lld,'last_ms':%lld,'count':3}\n",
			uid, i / 2, (long long)now_ms - 7200000, (long long)now_ms - 3600000 + i);
		assert_int_equal(report(f, line), 200);
	}
	/* What cannot be is now. */
	snprintf(line, sizeof(line),
		"{'type':'event','key':'core/nodes//node-a','uid':'','warning':true,"
		"'reason':'EventsDropped','message':'m','id':'0000000000000009',"
		"'first_ms':5,'last_ms':%lld,'count':-3}\n",
		(long long)now_ms + 7200000);
	assert_int_equal(report(f, line), 200);
	json_t *events = fixture_expect(f, 200, "GET", "/api/v1/namespaces/default/events", NULL);
	const json_t *items = json_at(events, "items");
	assert_int_equal(json_array_size(items), 2);
	bool pod_first = str_equal(json_text(json_array_get(items, 0), "", "reason"), "BackOff");
	const json_t *of_pod = json_array_get(items, pod_first ? 0 : 1);
	const json_t *of_node = json_array_get(items, pod_first ? 1 : 0);
	time_format(now_ms - 7200000, first);
	time_format(now_ms - 3600000, last);
	assert_int_equal(json_int(of_pod, 0, "count"), 6);
	assert_string_equal(json_text(of_pod, "", "firstTimestamp"), first);
	assert_string_equal(json_text(of_pod, "", "lastTimestamp"), last);
	assert_string_equal(json_text(of_node, "", "involvedObject", "kind"), "Node");
	assert_int_equal(json_int(of_node, 0, "count"), 1);
	int64_t at_ms;
	assert_int_equal(time_parse(json_text(of_node, "", "firstTimestamp"), &at_ms, NULL), 0);
	assert_true(at_ms >= now_ms - 1000 && at_ms <= now_ms + 60000);
	json_decref(events);
	fixture_stream_free(feed);
}

static size_t count_events(struct fixture *f)
{
	json_t *events = fixture_expect(f, 200, "GET", "/api/v1/namespaces/default/events", NULL);
	size_t count = json_array_size(json_at(events, "items"));
	size_t i;
	json_t *one;
	json_array_foreach (json_at(events, "items"), i, one)
		assert_true(strlen(json_text(one, "", "message")) <= 1024);
	json_decref(events);
	return count;
}

static void a_node_cannot_fill_the_memory_with_events(void **state)
{
	struct fixture *f = *state;
	char uid[40], line[2048], long_text[1200];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, feed, uid);
	memset(long_text, 'a', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	for (int n = 0; n < 12; n++) {
		CLEANUP(buf_done) struct buf body = BUF_INIT_LIMIT((size_t)1 << 22);
		for (int i = 0; i < 100; i++) {
			snprintf(line, sizeof(line),
				"{'type':'event','key':'core/pods/default/p','uid':'%s','reason':"
				"'R%d','message':'%s'}\n",
				uid, n * 100 + i, long_text);
			buf_append_string(&body, line);
		}
		assert_int_equal(report(f, buf_text(&body)), 200);
	}
	size_t count = count_events(f);
	assert_true(count >= WIRE_EVENTS_BURST && count < WIRE_EVENTS_BURST + 100);
	fixture_stream_free(feed);
}

static int report_in(struct fixture *f, const struct fixture_stream *feed, const char *uid,
	const char *phase)
{
	char path[80], body[400];
	const char *session = strstr(buf_text(&feed->text), "\"session\":");
	assert_non_null(session);
	snprintf(path, sizeof(path), "/agent/v1/report?session=%lld", atoll(session + 10));
	snprintf(body, sizeof(body),
		"{'type':'status','key':'core/pods/default/"
		"p','uid':'%s','status':{'phase':'%s'}}\n",
		uid, phase);
	struct fixture_answer a =
		fixture_call(f, FIXTURE_NODE, "POST", path, "application/x-ndjson", body);
	fixture_answer_done(&a);
	return a.status;
}

/* It was on its way on a connection that broke, and is older than what the server has. */
static void a_report_of_an_earlier_session_is_refused(void **state)
{
	struct fixture *f = *state;
	char uid[40];
	struct fixture_stream *first = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, first, uid);
	struct fixture_stream *second = open_feed(f, HELLO("[]"));
	assert_int_equal(report_in(f, second, uid, "Running"), 200);
	assert_int_equal(report_in(f, first, uid, "Pending"), 409);
	json_t *pod = fixture_expect(f, 200, "GET", PODS "/p", NULL);
	assert_string_equal(json_text(pod, "", "status", "phase"), "Running");
	json_decref(pod);
	fixture_stream_free(second);
	fixture_stream_free(first);
}

/* An agent that lost its memory tells less than it did before. */
static void how_a_pod_ended_is_kept(void **state)
{
	struct fixture *f = *state;
	char uid[40], body[700];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, feed, uid);
	for (int i = 0; i < 2; i++) {
		snprintf(body, sizeof(body),
			"{'type':'status','key':'core/pods/default/p','uid':'%s','status':{'phase':"
			"'Failed','reason':'%s'%s}}\n",
			uid, i == 0 ? "" : "ContainerStatusUnknown",
			i == 0 ? ",'containerStatuses':[{'name':'c','ready':false,'restartCount':0,"
				 "'image':'i','imageID':'','state':{'terminated':{'exitCode':42}}}]"
			       : "");
		assert_int_equal(report(f, body), 200);
	}
	json_t *pod = fixture_expect(f, 200, "GET", PODS "/p", NULL);
	assert_string_equal(json_text(pod, "", "status", "reason"), "");
	assert_int_equal(json_array_size(json_at(pod, "status", "containerStatuses")), 1);
	json_decref(pod);
	fixture_stream_free(feed);
}

static void a_node_that_is_deleted_comes_anew(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	assert_int_equal(report(f, "{'type':'event','key':'core/nodes//node-a','reason':'R'}\n"),
		200);
	assert_int_equal(feed_event_nodes(f->server->feed), 1);
	json_decref(fixture_expect(f, 200, "DELETE", "/api/v1/nodes/node-a", NULL));
	assert_true(loop_uv_run_until(f->loop, is_lost, feed, 1000));
	assert_int_equal(feed_event_nodes(f->server->feed), 0);
	fixture_stream_free(feed);
	feed = open_feed(f, HELLO("[]"));
	json_decref(fixture_expect(f, 200, "GET", "/api/v1/nodes/node-a", NULL));
	fixture_stream_free(feed);
}

static void a_report_without_a_session_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(report(f, ""), 409);
}

/* ---- tokens ---- */

static char *make_csr(void)
{
	struct err e = ERR_INIT;
	CLEANUP(mem_free_ptr) char *key = NULL;
	char *csr = NULL;
	assert_int_equal(pki_csr_new("x", &key, &csr, &e), 0);
	return csr;
}

static struct fixture_answer join(struct fixture *f, const char *token, const char *name,
	const char *csr)
{
	CLEANUP(json_done)
	json_t *body = json_pack("{s:s, s:s, s:s}", "token", token, "name", name, "csr", csr);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	return fixture_call(f, FIXTURE_NOBODY, "POST", "/agent/v1/join", NULL, text);
}

static void expect_join(struct fixture *f, int status, const char *token, const char *name,
	const char *words)
{
	CLEANUP(mem_free_ptr) char *csr = make_csr();
	struct fixture_answer a = join(f, token, name, csr);
	assert_int_equal(a.status, status);
	if (status == 200) {
		struct pki_info info;
		struct err e = ERR_INIT;
		assert_int_equal(pki_inspect(json_text(a.body, "", "certificate"), &info, &e), 0);
		assert_non_null(strstr(info.spiffe_id, words));
	} else if (!strstr(json_text(a.body, "", "message"), words)) {
		fail_msg("no \"%s\" in: %s", words, json_text(a.body, "", "message"));
	}
	fixture_answer_done(&a);
}

static void a_token_lets_one_node_in_once(void **state)
{
	struct fixture *f = *state;
	json_t *t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'ttl_s':60}");
	const char *token = json_text(t, "", "token");
	char forged[PKI_TOKEN_MAX];
	snprintf(forged, sizeof(forged), "%s", token);
	char *secret = strchr(strchr(forged, '.') + 1, '.') + 1;
	*secret = *secret == 'a' ? 'b' : 'a';
	expect_join(f, 401, forged, "n1", "forged");
	expect_join(f, 401, "nonsense", "n1", "read");
	expect_join(f, 401, forged, "Not A Name", "forged");
	expect_join(f, 422, token, "Not A Name", "node name");
	expect_join(f, 422, token, "", "names no node");
	expect_join(f, 200, token, "n1", "/node/n1");
	expect_join(f, 401, token, "n2", "used");
	json_t *list = fixture_expect(f, 200, "GET", "/continuo/v1/tokens", NULL);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	json_decref(t);
}

/* The answer to the first may have been lost on the way. */
static void a_token_serves_its_first_key_again(void **state)
{
	struct fixture *f = *state;
	json_t *t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'ttl_s':3600}");
	const char *token = json_text(t, "", "token");
	CLEANUP(mem_free_ptr) char *csr = make_csr();
	for (int i = 0; i < 2; i++) {
		struct fixture_answer a = join(f, token, i ? "other" : "n1", csr);
		assert_int_equal(a.status, 200);
		assert_string_equal(json_text(a.body, "", "name"), "n1");
		fixture_answer_done(&a);
	}
	expect_join(f, 401, token, "n1", "used");
	char path[128];
	snprintf(path, sizeof(path), "/api/v1/namespaces/kube-system/secrets/bootstrap-token-%s",
		json_text(t, "", "id"));
	json_decref(fixture_expect(f, 200, "PATCH", path,
		"{'data':{'expiration':'MjAyMC0wMS0wMVQwMDowMDowMFo='}}"));
	struct fixture_answer late = join(f, token, "n1", csr);
	assert_int_equal(late.status, 401);
	fixture_answer_done(&late);
	json_decref(fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{}"));
	json_decref(fixture_expect(f, 404, "GET", path, NULL)); /* swept */
	json_decref(t);
}

/* Of the clock by which certificates go: a jump of the machine's is not believed at once. */
static void tokens_expire_by_the_servers_clock(void **state)
{
	struct fixture *f = *state;
	struct steady ahead;
	json_t *t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'ttl_s':60}");
	steady_init(&ahead, f->loop, loop_wall_ms(f->loop) + 3600000);
	f->server->clock = &ahead;
	expect_join(f, 401, json_text(t, "", "token"), "n1", "expired");
	json_decref(t);
	t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'ttl_s':60}");
	expect_join(f, 200, json_text(t, "", "token"), "n1", "/node/n1");
	json_decref(t);
}

static void an_expired_token_and_a_taken_name_are_refused(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	json_t *t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'ttl_s':60}");
	expect_join(f, 409, json_text(t, "", "token"), "node-a", "exists");
	char path[128];
	snprintf(path, sizeof(path), "/api/v1/namespaces/kube-system/secrets/bootstrap-token-%s",
		json_text(t, "", "id"));
	/* 2020-01-01T00:00:00Z */
	json_decref(fixture_expect(f, 200, "PATCH", path,
		"{'data':{'expiration':'MjAyMC0wMS0wMVQwMDowMDowMFo='}}"));
	expect_join(f, 401, json_text(t, "", "token"), "n1", "expired");
	json_decref(t);
	t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'node':'bound'}");
	expect_join(f, 200, json_text(t, "", "token"), "other", "/node/bound");
	json_decref(t);
	t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'node':'node-a'}");
	expect_join(f, 200, json_text(t, "", "token"), "node-a", "/node/node-a");
	json_decref(t);
	t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'node':'bound2'}");
	expect_join(f, 200, json_text(t, "", "token"), "", "/node/bound2");
	json_decref(t);
	fixture_stream_free(feed);
}

static void a_revoked_node_is_out_at_once(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	json_decref(fixture_expect(f, 200, "POST", "/continuo/v1/nodes/node-a/revoke", ""));
	assert_true(loop_uv_run_until(f->loop, is_lost, feed, 1000));
	assert_int_equal(report(f, ""), 401);
	fixture_stream_free(feed);
	feed = fixture_stream_open(f, FIXTURE_NODE, "POST", "/agent/v1/feed", HELLO("[]"));
	assert_true(loop_uv_run_until(f->loop, is_lost, feed, 5000));
	assert_int_equal(feed->status, 401);
	fixture_stream_free(feed);
}

#define DAY_MS ((int64_t)86400 * 1000)

/* node-b comes back, days after its certificate expired. */
static void expect_rejoin(struct fixture *f, int days, int status, const char *words)
{
	int64_t now_ms = loop_wall_ms(f->loop);
	fixture_set_certificate(f, FIXTURE_OTHER, now_ms - (days + 1) * DAY_MS,
		now_ms - days * DAY_MS);
	/* It is good for nothing else. */
	struct fixture_answer a =
		fixture_call(f, FIXTURE_OTHER, "POST", "/agent/v1/renew", NULL, "{}");
	assert_int_equal(a.status, 401);
	fixture_answer_done(&a);
	CLEANUP(mem_free_ptr) char *csr = make_csr();
	CLEANUP(json_done) json_t *body = json_pack("{s:s}", "csr", csr);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	a = fixture_call(f, FIXTURE_OTHER, "POST", "/agent/v1/rejoin", NULL, text);
	assert_int_equal(a.status, status);
	if (status == 200) {
		struct pki_info info;
		struct err e = ERR_INIT;
		assert_int_equal(pki_inspect(json_text(a.body, "", "certificate"), &info, &e), 0);
		assert_string_equal(info.spiffe_id, words);
		assert_true(info.not_after_ms > now_ms);
	} else if (!strstr(json_text(a.body, "", "message"), words)) {
		fail_msg("not \"%s\": %s", words, json_text(a.body, "", "message"));
	}
	fixture_answer_done(&a);
}

static void make_node_b(struct fixture *f)
{
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/nodes",
		"{'metadata':{'name':'node-b'}}"));
}

static void a_node_rejoins_by_its_key(void **state)
{
	make_node_b(*state);
	expect_rejoin(*state, 6, 200, "spiffe://example/node/node-b");
}

static void after_too_long_it_is_told_what_to_do(void **state)
{
	make_node_b(*state);
	expect_rejoin(*state, 60, 401, "continuo token create --node node-b");
}

static void a_deleted_node_does_not_rejoin(void **state)
{
	expect_rejoin(*state, 1, 401, "it was deleted");
}

static void a_revoked_node_does_not_rejoin(void **state)
{
	make_node_b(*state);
	json_decref(fixture_expect(*state, 200, "POST", "/continuo/v1/nodes/node-b/revoke", ""));
	expect_rejoin(*state, 1, 401, "it was revoked");
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* Within the second of its revocation, too. */
static void a_revoked_node_may_join_anew(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	json_t *t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", "{'node':'node-a'}");
	CLEANUP(mem_free_ptr) char *csr = make_csr();
	json_decref(fixture_expect(f, 200, "POST", "/continuo/v1/nodes/node-a/revoke", ""));
	struct fixture_answer a = join(f, json_text(t, "", "token"), "node-a", csr);
	assert_int_equal(a.status, 200);
	struct pki_info info;
	struct err e = ERR_INIT;
	assert_int_equal(pki_inspect(json_text(a.body, "", "certificate"), &info, &e), 0);
	assert_false(revocations_has(f->server->revocations, "node-a",
		info.not_before_ms + PKI_SKEW_MS));
	fixture_answer_done(&a);
	json_decref(t);
	fixture_stream_free(feed);
}

static int ask_as(struct fixture *f, enum fixture_user user, const char *method, const char *path,
	const char *body)
{
	struct fixture_answer a = fixture_call(f, user, method, path, NULL, body);
	fixture_answer_done(&a);
	return a.status;
}

static int ask_for_certificate(struct fixture *f, enum fixture_user user, const char *path)
{
	CLEANUP(mem_free_ptr) char *csr = make_csr();
	CLEANUP(json_done) json_t *body = json_pack("{s:s}", "csr", csr);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(body);
	return ask_as(f, user, "POST", path, text);
}

static void note_code(void *arg, const struct err *e)
{
	*(int *)arg = e ? (int)e->code : 0;
}

/* The first machine of that name, older by some seconds; its Node is deleted while it is there. */
static void begin_as_node_a(struct fixture *f)
{
	fixture_set_spiffe(f, FIXTURE_OTHER, "spiffe://example/node/node-a");
	fixture_set_certificate(f, FIXTURE_OTHER, loop_wall_ms(f->loop) - PKI_SKEW_MS - 10000, 0);
	struct fixture_stream *feed =
		fixture_stream_open(f, FIXTURE_OTHER, "POST", "/agent/v1/feed", HELLO("[]"));
	fixture_stream_await(f, feed, "'bookmark'");
	assert_int_equal(ask_for_certificate(f, FIXTURE_OTHER, "/agent/v1/renew"), 200);
	json_decref(fixture_expect(f, 200, "DELETE", "/api/v1/nodes/node-a", NULL));
	assert_true(loop_uv_run_until(f->loop, is_lost, feed, 1000));
	fixture_stream_free(feed);
	/* Else it would have a certificate that is younger than its successor's. */
	assert_int_equal(ask_for_certificate(f, FIXTURE_OTHER, "/agent/v1/renew"), 409);
}

static void the_key_of_a_deleted_node_is_not_its_successors(void **state)
{
	struct fixture *f = *state;
	char uid[40];
	int code = -1;
	begin_as_node_a(f);
	struct fixture_stream *feed = open_feed(f,
		"{'type':'hello','epoch':'','version':'1','node':{'metadata':{'annotations':{"
		"'continuo.dev/certificates-since':'2020-01-01T00:00:00Z'}}},'held':[]}\n");
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, feed, uid);
	static const char object[] = "/agent/v1/objects/core/pods/default/p";
	assert_int_equal(ask_as(f, FIXTURE_NODE, "GET", object, NULL), 200);
	assert_int_equal(ask_as(f, FIXTURE_OTHER, "GET", object, NULL), 401);
	assert_int_equal(ask_as(f, FIXTURE_OTHER, "POST", "/agent/v1/report", ""), 401);
	assert_int_equal(ask_as(f, FIXTURE_OTHER, "POST", "/agent/v1/feed", HELLO("[]")), 401);
	assert_int_equal(ask_for_certificate(f, FIXTURE_OTHER, "/agent/v1/renew"), 401);
	assert_int_equal(ask_for_certificate(f, FIXTURE_OTHER, "/agent/v1/rejoin"), 401);
	/* One that was let in just before, and whose hello comes only now. */
	CLEANUP(json_done) json_t *node = json_object();
	nodes_register(f->server, "node-a", node, loop_wall_ms(f->loop) - 10000, false, note_code,
		&code);
	assert_int_equal(code, ERR_UNAUTHORIZED);
	assert_int_equal(report(f, ""), 200);
	assert_int_equal(ask_for_certificate(f, FIXTURE_NODE, "/agent/v1/renew"), 200);
	assert_int_equal(ask_for_certificate(f, FIXTURE_NODE, "/agent/v1/rejoin"), 200);
	fixture_stream_free(feed);
}

/* Nobody else took the name: its key is good as before, though the Node is younger. */
static void a_deleted_node_that_comes_anew_keeps_its_key(void **state)
{
	struct fixture *f = *state;
	begin_as_node_a(f);
	struct fixture_stream *feed =
		fixture_stream_open(f, FIXTURE_OTHER, "POST", "/agent/v1/feed", HELLO("[]"));
	fixture_stream_await(f, feed, "'bookmark'");
	assert_int_equal(ask_as(f, FIXTURE_OTHER, "POST", "/agent/v1/report", ""), 200);
	assert_int_equal(ask_for_certificate(f, FIXTURE_OTHER, "/agent/v1/renew"), 200);
	assert_int_equal(ask_for_certificate(f, FIXTURE_OTHER, "/agent/v1/rejoin"), 200);
	/* A younger certificate, such as a renewed one, is as good. */
	assert_int_equal(report(f, ""), 200);
	fixture_stream_free(feed);
}

/* Within one second, too. */
static void who_joins_has_a_younger_certificate_than_all_before(void **state)
{
	struct fixture *f = *state;
	int64_t latest_ms = loop_wall_ms(f->loop) + 3600000;
	char since[TIME_TEXT_SIZE], body[256];
	time_format(latest_ms, since);
	snprintf(body, sizeof(body),
		"{'metadata':{'name':'n1','annotations':{'" NODES_SINCE "':'%s'}}}", since);
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/nodes", body));
	for (int i = 0; i < 2; i++) { /* where the clock was ahead then, too */
		const char *name = i ? "n1" : "n2";
		snprintf(body, sizeof(body), "{'node':'%s'}", name);
		CLEANUP(json_done)
		json_t *t = fixture_expect(f, 201, "POST", "/continuo/v1/tokens", body);
		CLEANUP(mem_free_ptr) char *csr = make_csr();
		int64_t before_ms = loop_wall_ms(f->loop);
		struct fixture_answer a = join(f, json_text(t, "", "token"), name, csr);
		struct pki_info info;
		assert_int_equal(a.status, 200);
		assert_int_equal(pki_inspect(json_text(a.body, "", "certificate"), &info, NULL), 0);
		assert_true(info.not_before_ms + PKI_SKEW_MS > (i ? latest_ms - 1000 : before_ms));
		fixture_answer_done(&a);
	}
}

static void another_machine_of_the_same_name_is_told(void **state)
{
	struct fixture *f = *state;
	static const char of_machine[] =
		"{'type':'hello','epoch':'','version':'1','node':{'apiVersion':'v1','kind':'Node',"
		"'metadata':{'name':'node-a'},'status':{'nodeInfo':{'machineID':'%s'}}},'held':[]}"
		"\n";
	char hello[400];
	for (int i = 0; i < 3; i++) {
		snprintf(hello, sizeof(hello), of_machine, i < 2 ? "first" : "second");
		fixture_stream_free(open_feed(f, hello));
	}
	json_t *told = fixture_expect(f, 200, "GET",
		"/api/v1/namespaces/default/events/node-a.machinechanged", NULL);
	assert_int_equal(json_int(told, 0, "count"), 1);
	assert_non_null(strstr(json_text(told, "", "message"), "was first"));
	json_decref(told);
}

/* The store was put back to an older copy: the node tells all again. */
static void a_node_that_knows_an_undone_future(void **state)
{
	struct fixture *f = *state;
	static const char *const held[] = {
		"['core/pods/default/x','u',1]", "['core/pods/default/x','u',99999]"};
	fixture_stream_free(open_feed(f, HELLO("[]")));
	for (int i = 0; i < 2; i++) {
		char hello[300];
		snprintf(hello, sizeof(hello),
			"{'type':'hello','epoch':'%s','version':'1','node':{},'held':[%s]}\n",
			store_epoch(f->store), held[i]);
		struct fixture_stream *feed = open_feed(f, hello);
		assert_non_null(strstr(buf_text(&feed->text),
			i ? "\"report_all\":true" : "\"report_all\":false"));
		fixture_stream_free(feed);
	}
}

/* More seconds than milliseconds can be counted of. */
static void a_grace_without_end_is_a_long_one(void **state)
{
	struct fixture *f = *state;
	char uid[40];
	make_pod(f, "slow", "node-a", uid);
	json_decref(fixture_expect(f, 200, "DELETE",
		PODS "/slow?gracePeriodSeconds=9223372036854775", NULL));
	json_t *pod = fixture_expect(f, 200, "GET", PODS "/slow", NULL);
	assert_memory_equal(json_text(pod, "--", "metadata", "deletionTimestamp"), "21", 2);
	json_decref(pod);
}

static bool is_registering(void *arg)
{
	return feed_registering(((struct fixture *)arg)->server->feed, "node-a");
}

static bool is_not_registering(void *arg)
{
	return !is_registering(arg);
}

static void expect_ready(struct fixture *f, const char *status)
{
	json_t *node = fixture_expect(f, 200, "GET", "/api/v1/nodes/node-a", NULL);
	assert_string_equal(condition(node, "Ready"), status);
	json_decref(node);
}

/* Of the store: nothing is written as long as all threads that could write wait. */
struct stall {
	int pipe[2];
};

static void wait_for_end(void *arg)
{
	char c;
	assert_int_equal(read(((struct stall *)arg)->pipe[0], &c, 1), 1);
}

static void on_stall_over(void *arg)
{
	(void)arg;
}

static void stall_begin(struct stall *x, struct fixture *f)
{
	assert_int_equal(pipe(x->pipe), 0);
	for (int i = 0; i < FIXTURE_THREADS; i++)
		loop_job(f->loop, wait_for_end, on_stall_over, x);
}

/* Runs the loop for a while, so that all comes up to the writing, and lets that go on. */
static void stall_end(struct stall *x, struct fixture *f)
{
	(void)loop_uv_run_until(f->loop, never, NULL, 300);
	assert_int_equal(write(x->pipe[1], "..", FIXTURE_THREADS), FIXTURE_THREADS);
}

static void stall_done(struct stall *x)
{
	close(x->pipe[0]);
	close(x->pipe[1]);
}

/* The store's files cannot grow, as on a full disk. */
static void set_disk_full(bool full)
{
	struct rlimit limit;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = full ? 1 : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool is_lost_in_store(void *arg)
{
	const struct fixture *f = arg;
	char key[OBJECT_KEY_MAX];
	assert_int_equal(object_key_of(&kind_node, "", "node-a", key, NULL), 0);
	CLEANUP(object_done) struct object *node = store_get(f->store, key);
	return node && !node->ready;
}

/* It would be ready for as long as it is away, and its pods with it. */
static void a_loss_that_could_not_be_written_is_written_later(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	loop_timer_stop(f->server->sweep); /* of the start: long ago */
	set_disk_full(true);
	feed_drop_node(f->server->feed, "node-a", "silence");
	(void)loop_uv_run_until(f->loop, never, NULL, 300);
	assert_false(is_lost_in_store(f));
	set_disk_full(false);
	assert_true(loop_uv_run_until(f->loop, is_lost_in_store, f, 10000));
	expect_ready(f, "Unknown");
	fixture_stream_free(feed);
}

/* That it was lost is still being written when it comes with what the store has. */
static void a_node_that_is_back_before_its_loss_is_written(void **state)
{
	struct fixture *f = *state;
	struct stall stall;
	struct fixture_stream *first = open_feed(f, HELLO("[]"));
	stall_begin(&stall, f);
	feed_drop_node(f->server->feed, "node-a", "silence");
	struct fixture_stream *second =
		fixture_stream_open(f, FIXTURE_NODE, "POST", "/agent/v1/feed", HELLO("[]"));
	stall_end(&stall, f);
	fixture_stream_await(f, second, "'bookmark'");
	json_decref(fixture_expect(f, 201, "POST", "/api/v1/namespaces",
		"{'metadata':{'name':'after-all-of-that'}}"));
	expect_ready(f, "True");
	fixture_stream_free(second);
	fixture_stream_free(first);
	stall_done(&stall);
}

static void goes_while_it_registers(struct fixture *f, bool revoked)
{
	struct stall stall;
	struct fixture_stream *w =
		fixture_stream_open(f, FIXTURE_ADMIN, "GET", "/api/v1/nodes?watch=true", NULL);
	stall_begin(&stall, f);
	struct fixture_stream *feed =
		fixture_stream_open(f, FIXTURE_NODE, "POST", "/agent/v1/feed", HELLO("[]"));
	assert_true(loop_uv_run_until(f->loop, is_registering, f, 2000));
	if (revoked)
		feed_revoke(f->server->feed, "node-a");
	else
		fixture_stream_free(feed);
	stall_end(&stall, f);
	assert_true(loop_uv_run_until(f->loop, is_not_registering, f, 2000));
	assert_false(feed_connected(f->server->feed, "node-a"));
	if (revoked) {
		assert_true(loop_uv_run_until(f->loop, is_lost, feed, 2000));
		assert_int_equal(feed->status, 401);
		fixture_stream_free(feed);
	}
	fixture_stream_await(f, w, "'Unknown'");
	fixture_stream_free(w);
	stall_done(&stall);
}

static void a_node_that_goes_while_it_registers_is_lost(void **state)
{
	goes_while_it_registers(*state, false);
}

static void a_node_that_is_revoked_while_it_registers_is_lost(void **state)
{
	goes_while_it_registers(*state, true);
}

static void a_clone_is_refused_while_the_first_one_answers(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *first = open_feed(f, HELLO("[]"));
	struct fixture_stream *second =
		fixture_stream_open(f, FIXTURE_NODE, "POST", "/agent/v1/feed", HELLO("[]"));
	fixture_stream_await(f, first, "'ping'");
	const char *ping = strstr(buf_text(&first->text), "\"id\":");
	char pong[64];
	snprintf(pong, sizeof(pong), "{'type':'pong','id':%d}\n", atoi(ping + 5));
	assert_int_equal(report(f, pong), 200);
	fixture_stream_await(f, second, "clone");
	assert_int_equal(second->status, 409);
	json_t *alarm = fixture_expect(f, 200, "GET",
		"/api/v1/namespaces/default/events/node-a.clonerefused", NULL);
	assert_string_equal(json_text(alarm, "", "involvedObject", "name"), "node-a");
	json_decref(alarm);
	fixture_stream_free(second);
	/* One that stays silent is replaced. */
	second = open_feed(f, HELLO("[]"));
	assert_true(loop_uv_run_until(f->loop, is_lost, first, 1000));
	fixture_stream_free(second);
	fixture_stream_free(first);
}

/* The server before this one marked the pod, took the node back and died before it said so. */
static void a_marked_pod_is_told_of_again(void **state)
{
	struct fixture *f = *state;
	char uid[40];
	make_pod(f, "p", "node-a", uid);
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	assert_true(strstr(buf_text(&feed->text), "\"report_all\":true")); /* it is new */
	fixture_stream_free(feed);
	feed = open_feed(f, HELLO("[]"));
	assert_true(strstr(buf_text(&feed->text), "\"report_all\":false"));
	fixture_stream_free(feed);
	json_decref(fixture_expect(f, 200, "PATCH", PODS "/p/status",
		"{'status':{'conditions':[{'type':'Ready','status':'False','reason':"
		"'NodeNotReady'}]}}"));
	feed = open_feed(f, HELLO("[]"));
	assert_true(strstr(buf_text(&feed->text), "\"report_all\":true"));
	fixture_stream_free(feed);
}

static bool has_lease(struct fixture *f, struct fixture_stream *feed)
{
	assert_int_equal(report(f, "{'type':'beat','id':1}\n"), 200);
	/* A grant would be on the feed before the pod. */
	char uid[40];
	make_pod(f, "p", "node-a", uid);
	fixture_stream_await(f, feed, uid);
	return strstr(buf_text(&feed->text), "\"lease\"");
}

static void a_lease_is_granted(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	assert_true(has_lease(f, feed));
	fixture_stream_free(feed);
}

static void leases_that_are_over_are_forgotten(void **state)
{
	struct fixture *f = *state;
	struct leases *x = leases_new(f->server, 50, 50);
	char node[16];
	leases_beat(x, "stays", 1);
	leases_beat(x, "too", 1);
	assert_int_equal(leases_held(x), 2);
	for (int i = 0; i < 4; i++) {
		(void)loop_uv_run_until(f->loop, never, NULL, 60);
		snprintf(node, sizeof(node), "n%d", i);
		leases_beat(x, node, 1);
	}
	assert_int_equal(leases_held(x), 2);
	assert_false(leases_over(x, node, "u1", true));
	assert_true(leases_over(x, "stays", "u2", true));
	leases_free(x);
}

/* This store is an older copy: what the newer one granted has to be over first. */
static void no_lease_is_granted_at_once_after_another_epoch(void **state)
{
	struct fixture *f = *state;
	struct fixture_stream *feed = open_feed(f,
		"{'type':'hello','epoch':'11111111-0000-4000-8000-000000000001','version':'1',"
		"'node':{},'held':[]}\n");
	assert_false(has_lease(f, feed));
	fixture_stream_free(feed);
}

static bool has_been_silent(void *arg)
{
	const struct fixture *f = arg;
	return feed_silent(f->server->feed, "node-b", 200);
}

/* An iot node may say nothing for half a minute: when another one is lost it is asked. */
static void those_that_speak_rarely_are_asked_when_one_is_lost(void **state)
{
	struct fixture *f = *state;
	char pong[64];
	struct fixture_stream *other =
		fixture_stream_open(f, FIXTURE_OTHER, "POST", "/agent/v1/feed",
			"{'type':'hello','epoch':'','version':'1','node':{'metadata':{'labels':{"
			"'continuo.dev/tier':'iot'}}},'held':[]}\n");
	fixture_stream_await(f, other, "'bookmark'");
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	fixture_stream_await(f, other, "'ping'"); /* after the silence of node-a */
	assert_false(feed_connected(f->server->feed, "node-a"));
	assert_true(feed_connected(f->server->feed, "node-b"));
	assert_false(has_been_silent(f));
	assert_true(loop_uv_run_until(f->loop, has_been_silent, f, 1000));
	const char *ping = strstr(strstr(buf_text(&other->text), "\"ping\""), "\"id\":");
	snprintf(pong, sizeof(pong), "{'type':'pong','id':%d}\n", atoi(ping + 5));
	struct fixture_answer a = fixture_call(f, FIXTURE_OTHER, "POST", "/agent/v1/report",
		"application/x-ndjson", pong);
	assert_int_equal(a.status, 200);
	fixture_answer_done(&a);
	assert_false(has_been_silent(f));
	fixture_stream_free(feed);
	fixture_stream_free(other);
}

/* ---- reverse calls ---- */

static void logs_come_back_over_a_reverse_call(void **state)
{
	struct fixture *f = *state;
	char uid[40], path[64];
	struct fixture_stream *feed = open_feed(f, HELLO("[]"));
	make_pod(f, "p", "node-a", uid);
	struct fixture_stream *logs =
		fixture_stream_open(f, FIXTURE_ADMIN, "GET", PODS "/p/log?tailLines=5", NULL);
	fixture_stream_await(f, feed, "'tailLines':'5'");
	const char *call = strstr(buf_text(&feed->text), "\"type\":\"call\"");
	snprintf(path, sizeof(path), "/agent/v1/calls/%d", atoi(strstr(call, "\"id\":") + 5));
	struct http_call_spec spec = {.method = "POST",
		.path = path,
		.content_type = "application/octet-stream",
		.body = "\1\0\0\0\5line\n\3\0\0\0\12{\"exit\":0}",
		.body_size = 10 + 15};
	struct fixture_stream answer = {0};
	static const struct http_call_events events = {0};
	struct http_call *up = http_call_start(f->clients[FIXTURE_NODE], &spec, &events, &answer);
	fixture_stream_await(f, logs, "line\n");
	assert_true(loop_uv_run_until(f->loop, is_lost, logs, 5000));
	assert_int_equal(logs->status, 200);
	assert_string_equal(buf_text(&logs->text), "line\n");
	http_call_free(up);
	fixture_stream_free(logs);
	fixture_stream_free(feed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
#define ON_DISK(name)                                                                              \
	cmocka_unit_test_setup_teardown(name, fixture_set_up_on_disk, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_hello_makes_a_ready_node_with_a_range),
		TEST(a_node_tells_of_its_disk),
		TEST(a_slice_has_the_pod_and_what_it_names_and_nothing_else),
		TEST(what_the_agent_holds_is_not_sent_again),
		TEST(a_node_writes_the_status_of_its_own_pods_only),
		TEST(a_bad_line_costs_no_other),
		TEST(equal_events_are_counted),
		TEST(late_events_keep_their_times),
		TEST(a_node_cannot_fill_the_memory_with_events),
		TEST(how_a_pod_ended_is_kept),
		TEST(a_node_that_is_deleted_comes_anew),
		TEST(a_report_without_a_session_is_refused),
		TEST(a_report_of_an_earlier_session_is_refused),
		TEST(a_token_lets_one_node_in_once),
		TEST(a_token_serves_its_first_key_again),
		TEST(tokens_expire_by_the_servers_clock),
		TEST(an_expired_token_and_a_taken_name_are_refused),
		TEST(a_revoked_node_is_out_at_once),
		TEST(a_revoked_node_may_join_anew),
		TEST(a_node_rejoins_by_its_key),
		TEST(after_too_long_it_is_told_what_to_do),
		TEST(a_deleted_node_does_not_rejoin),
		TEST(a_revoked_node_does_not_rejoin),
		TEST(the_key_of_a_deleted_node_is_not_its_successors),
		TEST(a_deleted_node_that_comes_anew_keeps_its_key),
		TEST(who_joins_has_a_younger_certificate_than_all_before),
		TEST(another_machine_of_the_same_name_is_told),
		TEST(a_node_that_knows_an_undone_future),
		TEST(a_grace_without_end_is_a_long_one),
		ON_DISK(a_loss_that_could_not_be_written_is_written_later),
		ON_DISK(a_node_that_is_back_before_its_loss_is_written),
		ON_DISK(a_node_that_goes_while_it_registers_is_lost),
		ON_DISK(a_node_that_is_revoked_while_it_registers_is_lost),
		TEST(a_clone_is_refused_while_the_first_one_answers),
		TEST(a_marked_pod_is_told_of_again),
		TEST(a_lease_is_granted),
		TEST(leases_that_are_over_are_forgotten),
		TEST(no_lease_is_granted_at_once_after_another_epoch),
		TEST(those_that_speak_rarely_are_asked_when_one_is_lost),
		TEST(logs_come_back_over_a_reverse_call),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

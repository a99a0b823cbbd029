#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "cli/adopt_plan.h"
#include "cli/adopt_samples.h"
#include "model/model.h"

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *json = json_loads(text, JSON_DECODE_ANY, &why);
	if (!json)
		fail_msg("%s: %s", text, why.text);
	return json;
}

static json_t *sample(void)
{
	return json_pack("{s:o, s:o}", "container", parse(sample_web), "image", parse(sample_box));
}

/* A container like the sample, of another name, service and number. */
static json_t *another(const char *id, const char *name, const char *project, const char *service,
	const char *number)
{
	json_t *found = sample(), *container = json_object_get(found, "container");
	json_t *labels = json_at(container, "Config", "Labels");
	json_object_set_new(container, "Id", json_string(id));
	json_object_set_new(container, "Name", json_string(name));
	json_object_set_new(labels, "com.docker.compose.project", json_string(project));
	json_object_set_new(labels, "com.docker.compose.service", json_string(service));
	json_object_set_new(labels, "com.docker.compose.container-number", json_string(number));
	if (!*project)
		json_object_set_new(json_object_get(container, "Config"), "Labels", json_object());
	return found;
}

static json_t *map_with(const char *container_changes, json_t *warnings)
{
	CLEANUP(json_done) json_t *found = sample();
	CLEANUP(json_done) json_t *changes = parse(container_changes);
	const char *part;
	json_t *values, *container = json_object_get(found, "container");
	json_object_foreach (changes, part, values)
		json_object_update(json_object_get(container, part), values);
	struct adopt_spec s = {container, json_object_get(found, "image"), "web", warnings};
	return adopt_spec_pod(&s);
}

static void check(const json_t *pod, const char *key, const char *wanted)
{
	const json_t *of_container =
		json_object_get(json_array_get(json_object_get(pod, "containers"), 0), key);
	CLEANUP(json_done) json_t *want = parse(wanted);
	const json_t *value = of_container ? of_container : json_object_get(pod, key);
	if (json_equal(value, want))
		return;
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	fail_msg("%s is %s, not %s", key, text ? text : "missing", wanted);
}

static bool warned(const json_t *warnings, const char *text)
{
	size_t i;
	json_t *one;
	json_array_foreach (warnings, i, one)
		if (strstr(json_string_value(one), text))
			return true;
	return false;
}

static void the_sample_is_mapped(void **state)
{
	(void)state;
	CLEANUP(json_done) json_t *warnings = json_array();
	CLEANUP(json_done) json_t *pod = map_with("{}", warnings);
	const json_t *c = json_array_get(json_object_get(pod, "containers"), 0);
	assert_string_equal(json_text(c, "", "image"), "box:1");
	assert_string_equal(json_text(c, "", "workingDir"), "/srv");
	check(pod, "env",
		"[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"two words\"}]");
	check(pod, "args",
		"[\"sh\",\"-c\",\"trap \\\"exit 0\\\" TERM; while :; do sleep 1; done\"]");
	check(pod, "resources", "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"64Mi\"}}");
	check(pod, "ports",
		"[{\"containerPort\":443,\"protocol\":\"TCP\",\"hostPort\":9443,\"hostIP\":"
		"\"127.0.0.1\"},{\"containerPort\":80,\"protocol\":\"TCP\",\"hostPort\":8080}]");
	check(pod, "volumes",
		"[{\"name\":\"mount-0\",\"hostPath\":{\"path\":\"/var/lib/docker/volumes/shopdata/"
		"_data\"}},{\"name\":\"mount-1\",\"hostPath\":{\"path\":\"/srv/site\"}},{\"name\":"
		"\"mount-2\",\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":\"16Mi\"}}]");
	check(pod, "volumeMounts",
		"[{\"name\":\"mount-0\",\"mountPath\":\"/data\"},{\"name\":\"mount-1\","
		"\"mountPath\":\"/srv\",\"readOnly\":true},{\"name\":\"mount-2\",\"mountPath\":\"/"
		"scratch\"}]");
	check(pod, "securityContext",
		"{\"runAsUser\":101,\"runAsGroup\":102,\"capabilities\":{\"add\":[\"NET_ADMIN\"],"
		"\"drop\":[\"ALL\"]}}");
	check(pod, "readinessProbe",
		"{\"exec\":{\"command\":[\"/bin/sh\",\"-c\",\"true\"]},\"initialDelaySeconds\":0,"
		"\"periodSeconds\":5,\"timeoutSeconds\":30,\"failureThreshold\":3}");
	check(pod, "hostAliases", "[{\"ip\":\"10.0.0.9\",\"hostnames\":[\"db\"]}]");
	check(pod, "hostname", "\"web1\"");
	assert_true(warned(warnings, "volume shopdata stays Docker's"));
	assert_true(warned(warnings, "device /dev/null"));
	assert_true(warned(warnings, "Docker's init"));
	assert_true(warned(warnings, "in no registry"));
	assert_false(warned(warnings, "restart policy"));
}

/* Each would be refused by the server, and cannot be mended in a container that runs. */
static void what_the_api_refuses_is_left_out(void **state)
{
	(void)state;
	CLEANUP(json_done) json_t *warnings = json_array();
	CLEANUP(json_done)
	json_t *pod =
		map_with("{\"Config\":{\"Env\":[\"1A=x\",\"foo bar=1\",\"BASH_FUNC_x%%=() { :; "
			 "}\",\"a.b-C_1=y\"],\"StopTimeout\":-1,\"Image\":\"7cf690dd7558\"}}",
			warnings);
	check(pod, "env", "[{\"name\":\"a.b-C_1\",\"value\":\"y\"}]");
	check(pod, "terminationGracePeriodSeconds", "3600");
	check(pod, "image", "\"box:1\""); /* not a name that a registry is asked for */
	assert_true(warned(warnings, "variable \"1A\""));
	assert_true(warned(warnings, "variable \"foo bar\""));
	assert_true(warned(warnings, "variable \"BASH_FUNC_x%%\""));
	assert_true(warned(warnings, "as long as it takes"));
}

static void what_a_pod_cannot_say_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *changes, *warning;
	} rows[] = {
		{"{\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"on-failure\"}}}",
			"\"on-failure\""},
		{"{\"NetworkSettings\":{\"Networks\":{\"shop_default\":{}}}}",
			"network shop_default"},
		{"{\"HostConfig\":{\"NetworkMode\":\"none\"}}", "has no network"},
		{"{\"HostConfig\":{\"NetworkMode\":\"container:x\"}}", "shares the network"},
		{"{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":"
		 "\"\"}]}}}",
			"a port that Docker chose"},
		{"{\"HostConfig\":{\"Ulimits\":[{\"Name\":\"nofile\"}]}}", "ulimits"},
		{"{\"HostConfig\":{\"AutoRemove\":true}}", "removes it when it ends"},
		{"{\"HostConfig\":{\"LogConfig\":{\"Type\":\"none\"}}}", "Docker logs it by none"},
		{"{\"Config\":{\"User\":\"www-data\"}}", "\"www-data\" is a name"},
		{"{\"Config\":{\"StopSignal\":\"SIGQUIT\"}}", "stopped with SIGQUIT"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(json_done) json_t *warnings = json_array();
		json_decref(map_with(rows[i].changes, warnings));
		if (!warned(warnings, rows[i].warning))
			fail_msg("no warning of %s", rows[i].warning);
	}
}

static void dollars_stay_as_they_are(void **state)
{
	(void)state;
	CLEANUP(json_done) json_t *warnings = json_array();
	CLEANUP(json_done)
	json_t *pod = map_with("{\"Config\":{\"Env\":[\"P=$(HOME)$$x $y\"],\"Cmd\":null,"
			       "\"Entrypoint\":[\"run\",\"$(A)\"]}}",
		warnings);
	check(pod, "env", "[{\"name\":\"P\",\"value\":\"$$(HOME)$$$x $y\"}]");
	check(pod, "command", "[\"run\",\"$$(A)\"]");
	assert_null(json_at(json_array_get(json_object_get(pod, "containers"), 0), "args"));
}

static void the_host_network_is_the_pods(void **state)
{
	(void)state;
	CLEANUP(json_done) json_t *warnings = json_array();
	CLEANUP(json_done)
	json_t *pod = map_with("{\"HostConfig\":{\"NetworkMode\":\"host\",\"PortBindings\":{}},"
			       "\"Config\":{\"ExposedPorts\":{\"80/tcp\":{}}}}",
		warnings);
	check(pod, "hostNetwork", "true");
	check(pod, "ports", "[{\"containerPort\":80,\"protocol\":\"TCP\",\"hostPort\":80}]");
	assert_null(json_object_get(pod, "hostname"));
}

/* ---- groups ---- */

static void services_are_deployments(void **state)
{
	(void)state;
	CLEANUP(json_done)
	json_t *found =
		json_pack("[o, o, o, o, o]", another("a2", "/shop_web_10", "Shop", "web", "10"),
			another("a1", "/shop_web_2", "Shop", "web", "2"),
			another("b1", "/kube_x_1", "kube-x", "a_b", "1"),
			another("b2", "/kube_x_2", "kube-x", "a-b", "1"),
			another("c1", "/Plain_Thing", "", "", ""));
	CLEANUP(adopt_plan_done) struct adopt_plan plan;
	adopt_plan_make(found, "rest", &plan);
	static const char *const names[][2] = {{"compose-kube-x", "a-b"},
		{"compose-kube-x", "a-b-2"}, {"rest", "plain-thing"}, {"shop", "web"}};
	assert_int_equal(plan.workloads.count, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(plan.workloads.items[i].namespace, names[i][0]);
		assert_string_equal(plan.workloads.items[i].name, names[i][1]);
	}
	const struct adopt_workload *web = &plan.workloads.items[3];
	assert_int_equal(web->members.count, 2);
	assert_string_equal(web->members.items[0].name, "shop_web_2"); /* by number */
}

static void what_does_not_run_is_left_out(void **state)
{
	(void)state;
	CLEANUP(json_done)
	json_t *found = json_pack("[o, o, o, o, o]", sample(),
		another("a2", "/p", "shop", "web", "2"), another("a3", "/o", "shop", "web", "3"),
		another("a4", "/ours", "shop", "web", "4"), another("a5", "/infra", "", "", ""));
	json_object_set_new(json_at(json_array_get(found, 1), "container", "State"), "Paused",
		json_true());
	json_object_set_new(json_at(json_array_get(found, 2), "container", "Config", "Labels"),
		"com.docker.compose.oneoff", json_string("True"));
	json_object_set_new(json_at(json_array_get(found, 3), "container", "Config", "Labels"),
		"dev.continuo.node", json_string("n"));
	json_object_set_new(json_at(json_array_get(found, 4), "container", "Config"), "Image",
		json_string("localhost/podman-pause:4.3.1-0"));
	CLEANUP(adopt_plan_done) struct adopt_plan plan;
	adopt_plan_make(found, "default", &plan);
	assert_int_equal(plan.workloads.count, 1);
	assert_int_equal(plan.workloads.items[0].members.count, 1);
	assert_int_equal(plan.skipped.count, 4);
}

static void members_that_differ_are_told(void **state)
{
	(void)state;
	CLEANUP(json_done)
	json_t *found = json_pack("[o, o]", sample(), another("a2", "/two", "shop", "web", "2"));
	json_object_set_new(json_at(json_array_get(found, 1), "container", "Config"), "WorkingDir",
		json_string("/elsewhere"));
	CLEANUP(adopt_plan_done) struct adopt_plan plan;
	adopt_plan_make(found, "default", &plan);
	const struct adopt_workload *w = &plan.workloads.items[0];
	assert_false(warned(w->members.items[0].warnings, "not set up as"));
	assert_true(warned(w->members.items[1].warnings, "not set up as shop_web_1 is"));
}

/* ---- objects ---- */

static void check_valid(const struct kind *kind, const json_t *tree)
{
	struct object *o = NULL;
	struct err e = ERR_INIT;
	if (object_from_json(kind, tree, &o, &e) < 0)
		fail_msg("%s: %s", kind->name, e.text);
	object_unref(o);
}

static void objects_stand_for_the_containers(void **state)
{
	(void)state;
	CLEANUP(json_done) json_t *found = json_pack("[o]", sample());
	CLEANUP(adopt_plan_done) struct adopt_plan plan;
	adopt_plan_make(found, "default", &plan);
	const struct adopt_workload *w = &plan.workloads.items[0];
	CLEANUP(json_done) json_t *namespace = adopt_namespace(w);
	CLEANUP(json_done) json_t *deployment = adopt_deployment(w, "web", "node1");
	CLEANUP(json_done)
	json_t *pod = adopt_pod(&w->members.items[0], deployment, "hash", "node1");
	check_valid(&kind_namespace, namespace);
	check_valid(&kind_deployment, deployment);
	check_valid(&kind_pod, pod);
	assert_string_equal(json_text(namespace, "", "metadata", "labels",
				    "pod-security.kubernetes.io/enforce"),
		"privileged");
	assert_true(json_bool(deployment, false, "spec", "paused"));
	assert_int_equal(json_int(deployment, 0, "spec", "replicas"), 1);
	assert_string_equal(json_text(pod, "", "metadata", "name"), "web-6383bfa1f9bd");
	assert_string_equal(json_text(pod, "", "metadata", "labels", "pod-template-hash"), "hash");
	assert_string_equal(json_text(pod, "", "metadata", "annotations", ADOPT_CONTAINER),
		w->members.items[0].id);
	assert_string_equal(json_text(pod, "", "spec", "nodeName"), "node1");
	/* The template knows nothing of the adoption: the next pods are ordinary. */
	const json_t *template = json_at(deployment, "spec", "template");
	assert_null(json_at(template, "metadata", "annotations"));
	assert_null(json_at(template, "spec", "nodeName"));
	assert_string_equal(json_text(template, "", "spec", "nodeSelector",
				    "kubernetes.io/hostname"),
		"node1");
}

#define MARKED "\"continuo.dev/container\":\"1\",\"continuo.dev/hand-back\":\"true\""
#define ADOPTED(more, annotations)                                                                 \
	"{\"metadata\":{\"name\":\"web-1\",\"namespace\":\"shop\",\"labels\":{\"app\":\"web\"}"    \
	"," more "\"annotations\":{" annotations "}}}"
#define OWNED "\"ownerReferences\":[{\"kind\":\"ReplicaSet\"}],"
#define ENDS "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
#define DEPLOYMENT(namespace, more)                                                                \
	"[{\"metadata\":{" more "\"name\":\"web\",\"namespace\":\"" namespace "\"}}]"

static void only_idle_marks_are_withdrawn(void **state)
{
	(void)state;
	static const struct {
		const char *pod, *deployments;
		bool idle;
	} cases[] = {
		{ADOPTED(OWNED, MARKED), DEPLOYMENT("shop", ""), true},
		{ADOPTED("", MARKED), "[]", true},
		{ADOPTED(OWNED, MARKED), "[]", false}, /* the pod goes after its Deployment */
		{ADOPTED(OWNED, MARKED), DEPLOYMENT("farm", ""), false},
		{ADOPTED(OWNED, MARKED), DEPLOYMENT("shop", ENDS), false},
		{ADOPTED(OWNED ENDS, MARKED), DEPLOYMENT("shop", ""), false},
		{ADOPTED(OWNED, "\"continuo.dev/container\":\"1\""), DEPLOYMENT("shop", ""), false},
		{ADOPTED(OWNED, "\"continuo.dev/hand-back\":\"true\""), DEPLOYMENT("shop", ""),
			false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(json_done) json_t *pod = parse(cases[i].pod);
		CLEANUP(json_done) json_t *deployments = parse(cases[i].deployments);
		if (adopt_mark_is_idle(pod, deployments) != cases[i].idle)
			fail_msg("case %zu: %s", i, cases[i].pod);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sample_is_mapped),
		cmocka_unit_test(what_the_api_refuses_is_left_out),
		cmocka_unit_test(what_a_pod_cannot_say_is_told),
		cmocka_unit_test(dollars_stay_as_they_are),
		cmocka_unit_test(the_host_network_is_the_pods),
		cmocka_unit_test(services_are_deployments),
		cmocka_unit_test(what_does_not_run_is_left_out),
		cmocka_unit_test(members_that_differ_are_told),
		cmocka_unit_test(objects_stand_for_the_containers),
		cmocka_unit_test(only_idle_marks_are_withdrawn),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The slice, and what is made of it: services, and what a pod names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/pod_spec.h"
#include "agent/services.h"
#include "net/test_loop.h"

static char folder[] = "/tmp/continuo-slice-XXXXXX";

struct world {
	struct loop *l;
	struct kind_registry *kinds;
	struct agent_slice *s;
};

static void open_world(struct world *w)
{
	w->l = test_loop_new();
	w->kinds = kind_registry_new();
	struct agent_slice_config config = {
		.loop = w->l, .fs = fs_real(), .folder = folder, .kinds = w->kinds};
	struct err e;
	assert_int_equal(agent_slice_open(&config, &w->s, &e), 0);
}

static void close_world(struct world *w)
{
	agent_slice_close(w->s);
	test_loop_run(w->l, 100);
	kind_registry_free(w->kinds);
	test_loop_free(w->l);
}

static int put(struct world *w, const char *text)
{
	json_t *tree;
	char key[OBJECT_KEY_MAX];
	struct err e = ERR_INIT;
	assert_int_equal(json_decode(text, strlen(text), &tree, &e), 0);
	int r = agent_slice_put(w->s, tree, key, &e);
	json_decref(tree);
	return r;
}

#define META(name)                                                                                 \
	"\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"uid\":\"u-" name "\","         \
	"\"resourceVersion\":\"5\""

static void fill(struct world *w)
{
	assert_int_equal(put(w, "{\"apiVersion\":\"v1\",\"kind\":\"Service\"," META(
					"my-web") "},\"spec\":{"
						  "\"clusterIP\":\"10.43.0.9\",\"ports\":[{"
						  "\"name\":\"http\",\"port\":80}]}}"),
		0);
	assert_int_equal(
		put(w, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\"," META(
			       "s1") ",\"labels\":{\"kubernetes.io/"
				     "service-name\":\"my-web\"}},\"addressType\":\"IPv4\","
				     "\"ports\":[{"
				     "\"name\":\"http\",\"port\":8080}],\"endpoints\":[{"
				     "\"addresses\":[\"10.42.1.5\"],"
				     "\"nodeName\":\"n2\",\"conditions\":{\"ready\":true}},{"
				     "\"addresses\":[\"10.42.1.6\"],"
				     "\"conditions\":{\"ready\":false}}]}"),
		0);
	assert_int_equal(put(w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"," META(
					"cm") "},\"data\":{\"k\":\"v\"}}"),
		0);
	assert_int_equal(put(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"," META(
					"p") "},\"spec\":{\"nodeName\":\"n1\","
					     "\"containers\":[{\"name\":\"c\",\"image\":\"i\","
					     "\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}},{"
					     "\"secretRef\":{\"name\":\"missing\"}}]}]}}"),
		0);
}

static void test_it_comes_back_from_disk(void **state)
{
	(void)state;
	struct world w;
	open_world(&w);
	fill(&w);
	agent_slice_set_epoch(w.s, "e7");
	agent_slice_set_peers(w.s, "[[\"n2\",\"10.0.0.2\",\"10.42.2.0/24\"]]");
	test_loop_run(w.l, 1000);
	assert_int_equal(agent_slice_writes(w.s), 1); /* a burst is one write */
	fill(&w);
	test_loop_run(w.l, 1000);
	assert_int_equal(agent_slice_writes(w.s), 1); /* nothing new, no write */
	close_world(&w);
	open_world(&w);
	assert_int_equal(agent_slice_count(w.s), 4);
	assert_string_equal(agent_slice_epoch(w.s), "e7");
	assert_non_null(strstr(agent_slice_peers(w.s), "10.42.2.0/24"));
	const struct object *o = agent_slice_get(w.s, "core/pods/ns/p");
	assert_non_null(o);
	assert_int_equal(o->revision, 5);
	agent_slice_delete(w.s, "core/pods/ns/p", "another uid");
	assert_non_null(agent_slice_get(w.s, "core/pods/ns/p"));
	close_world(&w);
}

static void test_what_it_cannot_take(void **state)
{
	(void)state;
	struct world w;
	open_world(&w);
	assert_true(put(&w, "{\"apiVersion\":\"v9\",\"kind\":\"Pod\"}") < 0);
	assert_true(put(&w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{}}") < 0);
	close_world(&w);
}

static void test_services(void **state)
{
	(void)state;
	struct world w;
	open_world(&w);
	fill(&w);
	struct arena a CLEANUP(arena_done) = {0};
	size_t count;
	struct overlay_service *services = agent_services_make(w.s, &a, &count);
	assert_int_equal(count, 1);
	assert_string_equal(services[0].cluster_ip, "10.43.0.9");
	assert_int_equal(services[0].port_count, 1);
	const struct overlay_port *port = &services[0].ports[0];
	assert_int_equal(port->port, 80);
	assert_int_equal(port->endpoint_count, 2);
	assert_int_equal(port->endpoints[0].port, 8080);
	assert_true(port->endpoints[0].ready);
	assert_false(port->endpoints[1].ready);
	close_world(&w);
}

static void test_headless_without_ports(void **state)
{
	(void)state;
	struct world w;
	open_world(&w);
	assert_int_equal(put(&w, "{\"apiVersion\":\"v1\",\"kind\":\"Service\"," META(
					 "db") "},\"spec\":{\"clusterIP\":\"None\"}}"),
		0);
	assert_int_equal(
		put(&w, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\"," META(
				"db1") ",\"labels\":{\"kubernetes.io/service-name\":\"db\"}},"
				       "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":["
				       "\"10.42.1.7\"],\"hostname\":\"db-0\"}]}"),
		0);
	struct arena a CLEANUP(arena_done) = {0};
	size_t count;
	struct overlay_service *services = agent_services_make(w.s, &a, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(services[i].name, "db") != 0)
			continue;
		assert_int_equal(services[i].port_count, 1);
		assert_int_equal(services[i].ports[0].port, 0);
		assert_int_equal(services[i].ports[0].endpoint_count, 1);
		assert_string_equal(services[i].ports[0].endpoints[0].hostname, "db-0");
		close_world(&w);
		return;
	}
	fail_msg("no service db");
}

static void test_what_a_pod_names(void **state)
{
	(void)state;
	struct world w;
	open_world(&w);
	fill(&w);
	struct arena a CLEANUP(arena_done) = {0};
	const struct object *o = agent_slice_get(w.s, "core/pods/ns/p");
	CLEANUP(json_done) json_t *tree = object_tree(o);
	struct driver_pod pod = agent_pod_gather(w.s, o, tree, "cluster.local", "10.42.1.1", &a);
	assert_int_equal(pod.object_count, 1);
	assert_string_equal(pod.objects[0]->name, "cm");
	assert_string_equal(pod.privilege, "baseline");
	assert_string_equal(pod.cluster_dns, "10.42.1.1");
	assert_string_equal(pod.dns_search[0], "ns.svc.cluster.local");
	bool found = false;
	for (const char *const *line = pod.service_env; *line; line++)
		found |= strcmp(*line, "MY_WEB_PORT_80_TCP_ADDR=10.43.0.9") == 0;
	assert_true(found);
	uint64_t before = agent_pod_digest(&pod);
	assert_int_equal(put(&w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"," META(
					 "cm") "},\"data\":{\"k\":\"new\"}}"),
		0);
	struct driver_pod changed =
		agent_pod_gather(w.s, o, tree, "cluster.local", "10.42.1.1", &a);
	assert_true(agent_pod_digest(&changed) != before);
	close_world(&w);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_comes_back_from_disk),
		cmocka_unit_test(test_what_it_cannot_take),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_headless_without_ports),
		cmocka_unit_test(test_what_a_pod_names),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

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
#include "pki/pki.h"

static char folder[] = "/tmp/continuo-slice-XXXXXX";

struct world {
	struct loop *l;
	struct kind_registry *kinds;
	struct agent_slice *s;
	struct log log;
	char said[4096];
};

/* A TPM that is there or not; its blob is the key as it is. */
static bool tpm_away;

static int tpm_seal(void *context, const unsigned char key[static DATA_KEY_SIZE],
	struct buf *ret_blob, struct err *e)
{
	(void)context;
	if (tpm_away)
		return err_set(e, ERR_UNAVAILABLE, "no TPM");
	buf_append(ret_blob, key, DATA_KEY_SIZE);
	return 0;
}

static int tpm_unseal(void *context, const struct buf *blob,
	unsigned char ret_key[static DATA_KEY_SIZE], struct err *e)
{
	(void)context;
	if (tpm_away)
		return err_set(e, ERR_UNAVAILABLE, "no TPM");
	memcpy(ret_key, blob->data, DATA_KEY_SIZE);
	return 0;
}

static const struct agent_sealer *sealer; /* null: none */

static void log_kept(void *context, const char *line)
{
	struct world *w = context;
	snprintf(w->said + strlen(w->said), sizeof(w->said) - strlen(w->said), "%s", line);
}

static int64_t log_wall(void *context)
{
	(void)context;
	return 0;
}

static void open_world(struct world *w)
{
	w->l = test_loop_new();
	w->kinds = kind_registry_new();
	w->said[0] = '\0';
	w->log = (struct log){.level = LOG_INFO,
		.role = "agent",
		.wall_ms = log_wall,
		.write = log_kept,
		.context = w};
	struct agent_slice_config config = {
		.loop = w->l, .log = &w->log, .fs = fs_real(), .folder = folder, .kinds = w->kinds};
	if (sealer)
		config.sealer = *sealer;
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

/* The file as it is, opened or sealed with the key beside it. */
static void read_plain(struct buf *ret_plain)
{
	char path[100];
	struct buf sealed CLEANUP(buf_done) = BUF_INIT, key CLEANUP(buf_done) = BUF_INIT;
	snprintf(path, sizeof(path), "%s/key", folder);
	assert_int_equal(fs_read(fs_real(), path, &key, NULL), 0);
	snprintf(path, sizeof(path), "%s/slice", folder);
	assert_int_equal(fs_read(fs_real(), path, &sealed, NULL), 0);
	struct pki_seal *seal = pki_seal_new((const unsigned char *)key.data);
	assert_int_equal(pki_open(seal, "slice", sealed.data, sealed.size, ret_plain, NULL), 0);
	pki_seal_free(seal);
}

static void write_slice(const char *plain)
{
	char path[100];
	struct buf sealed CLEANUP(buf_done) = BUF_INIT, key CLEANUP(buf_done) = BUF_INIT;
	snprintf(path, sizeof(path), "%s/key", folder);
	assert_int_equal(fs_read(fs_real(), path, &key, NULL), 0);
	struct pki_seal *seal = pki_seal_new((const unsigned char *)key.data);
	assert_int_equal(pki_seal(seal, "slice", plain, strlen(plain), &sealed, NULL), 0);
	pki_seal_free(seal);
	snprintf(path, sizeof(path), "%s/slice", folder);
	assert_int_equal(fs_write_atomic(fs_real(), path, sealed.data, sealed.size, 0600, NULL), 0);
}

static void put_namespace(struct world *w, const char *cache, const char *revision)
{
	char text[400];
	snprintf(text, sizeof(text),
		"{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"ns\","
		"\"uid\":\"u-ns\",\"resourceVersion\":\"%s\",\"labels\":{"
		"\"continuo.dev/cache-secrets\":\"%s\"}}}",
		revision, cache);
	assert_int_equal(put(w, text), 0);
}

static void test_forbidden_secrets_stay_off_the_disk(void **state)
{
	(void)state;
	struct world w;
	struct buf plain CLEANUP(buf_done) = BUF_INIT;
	char key[OBJECT_KEY_MAX];
	static const char secret[] = "{\"apiVersion\":\"v1\",\"kind\":\"Secret\"," META(
		"missing") "},\"data\":{\"k\":\"aHVzaA==\"}}";
	open_world(&w);
	fill(&w);
	put_namespace(&w, "true", "1");
	assert_int_equal(put(&w, secret), 0);
	test_loop_run(w.l, 1000);
	read_plain(&plain);
	assert_non_null(strstr(buf_text(&plain), "aHVzaA=="));
	put_namespace(&w, "false", "2"); /* from now on */
	test_loop_run(w.l, 1000);
	buf_clear(&plain);
	read_plain(&plain);
	assert_null(strstr(buf_text(&plain), "aHVzaA=="));
	close_world(&w);
	open_world(&w);
	const struct object *pod = agent_slice_get(w.s, "core/pods/ns/p");
	assert_true(agent_pod_lacks_secret(w.s, pod, key));
	assert_string_equal(key, "core/secrets/ns/missing");
	struct buf held CLEANUP(buf_done) = BUF_INIT;
	agent_slice_write_held(w.s, &held);
	assert_null(strstr(buf_text(&held), "core/secrets")); /* so the server sends it */
	assert_int_equal(put(&w, secret), 0);
	assert_false(agent_pod_lacks_secret(w.s, pod, key));
	close_world(&w);
	open_world(&w); /* known to be withheld again; but the server no longer has it */
	agent_slice_complete(w.s);
	assert_false(agent_pod_lacks_secret(w.s, agent_slice_get(w.s, "core/pods/ns/p"), key));
	close_world(&w);
}

static void test_who_ended_is_remembered(void **state)
{
	(void)state;
	struct world w;
	open_world(&w);
	fill(&w);
	agent_slice_end(w.s, "u-p");
	test_loop_run(w.l, 1000);
	close_world(&w);
	open_world(&w);
	assert_true(agent_slice_ended(w.s, "u-p"));
	agent_slice_delete(w.s, "core/pods/ns/p", "u-p");
	assert_false(agent_slice_ended(w.s, "u-p"));
	close_world(&w);
}

static void test_a_truncated_file_is_told(void **state)
{
	(void)state;
	struct world w;
	char command[200];
	open_world(&w);
	fill(&w);
	test_loop_run(w.l, 1000);
	close_world(&w);
	snprintf(command, sizeof(command), "truncate -s 50 %s/slice", folder);
	assert_int_equal(system(command), 0);
	open_world(&w);
	assert_int_equal(agent_slice_count(w.s), 0);
	assert_non_null(strstr(w.said, "slice_damaged"));
	assert_non_null(strstr(w.said, folder));
	assert_non_null(strstr(w.said, "action=the_server_sends_it_again"));
	close_world(&w);
}

/* A newer agent's file is neither guessed at nor written over while no server can make it good. */
static void test_a_newer_format_is_told_and_kept(void **state)
{
	(void)state;
	struct world w;
	struct buf plain CLEANUP(buf_done) = BUF_INIT;
	write_slice("{\"type\":\"epoch\",\"format\":2,\"epoch\":\"e9\"}\n");
	open_world(&w);
	assert_int_equal(agent_slice_count(w.s), 0);
	assert_non_null(strstr(w.said, "slice_newer"));
	assert_non_null(strstr(w.said, "format 2"));
	agent_slice_end(w.s, "u");
	test_loop_run(w.l, 20000);
	read_plain(&plain);
	assert_non_null(strstr(buf_text(&plain), "\"format\":2"));
	agent_slice_set_epoch(w.s, "e1"); /* a server was heard */
	test_loop_run(w.l, 1000);
	buf_clear(&plain);
	read_plain(&plain);
	assert_non_null(strstr(buf_text(&plain), "\"format\":1"));
	close_world(&w);
}

/* While the TPM is away neither the slice nor its key is written over, until a server was heard. */
static void test_a_sealed_key_that_is_away(void **state)
{
	(void)state;
	static const struct agent_sealer tpm = {tpm_seal, tpm_unseal, NULL};
	struct world w;
	sealer = &tpm;
	open_world(&w);
	fill(&w);
	test_loop_run(w.l, 1000);
	size_t count = agent_slice_count(w.s);
	close_world(&w);
	tpm_away = true;
	open_world(&w);
	assert_int_equal(agent_slice_count(w.s), 0);
	assert_non_null(strstr(w.said, "key_not_unsealed"));
	agent_slice_end(w.s, "u");
	test_loop_run(w.l, 20000);
	close_world(&w);
	tpm_away = false;
	open_world(&w);
	assert_int_equal(agent_slice_count(w.s), count);
	close_world(&w);
	tpm_away = true;
	open_world(&w);
	agent_slice_set_epoch(w.s, "e1"); /* a server was heard */
	test_loop_run(w.l, 1000);
	assert_non_null(strstr(w.said, "key_not_sealed"));
	close_world(&w);
	open_world(&w);
	assert_string_equal(agent_slice_epoch(w.s), "e1");
	close_world(&w);
	sealer = NULL;
	tpm_away = false;
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
		cmocka_unit_test(test_forbidden_secrets_stay_off_the_disk),
		cmocka_unit_test(test_who_ended_is_remembered),
		cmocka_unit_test(test_a_truncated_file_is_told),
		cmocka_unit_test(test_a_newer_format_is_told_and_kept),
		cmocka_unit_test(test_a_sealed_key_that_is_away),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

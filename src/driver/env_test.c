#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "driver/env.h"

static json_t *decode(const char *text)
{
	json_t *tree = NULL;
	CLEANUP(mem_free_ptr) char *json = mem_dup_string(text);
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	assert_int_equal(json_decode(json, strlen(json), &tree, NULL), 0);
	return tree;
}

static void variables_expand_as_in_kubernetes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *expected;
	} cases[] = {{"plain", "plain"}, {"$(A)", "1"}, {"x$(A)y$(B)", "x1y2"},
		{"$(NONE)", "$(NONE)"}, {"$$(A)", "$(A)"}, {"$$$(A)", "$1"}, {"$(A", "$(A"},
		{"$A $", "$A $"}, {"$()", "$()"}};
	struct map env;
	map_init(&env, NULL);
	map_put(&env, "A", (char *)(uintptr_t) "1");
	map_put(&env, "B", (char *)(uintptr_t) "2");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(mem_free_ptr) char *got = env_expand(cases[i].text, &env);
		assert_string_equal(got, cases[i].expected);
	}
	map_done(&env);
}

static int build(const char *container, struct map *env, struct err *e)
{
	static const char *const services[] = {"DB_HOST=10.0.0.1", NULL};
	static const struct driver_device devices[] = {
		{"main", "continuo.dev/usb-serial", "/dev/ttyUSB0", "/dev/ttyUSB0", "rw"},
		{"main", "continuo.dev/usb-serial", "/dev/ttyUSB1", "/dev/ttyUSB1", "rw"},
		{"other", "continuo.dev/usb-serial", "/dev/ttyUSB2", "/dev/ttyUSB2", "rw"}};
	static const char pod[] = "{'metadata':{'name':'p','namespace':'n','labels':{'a/b':'c'}},"
				  "'spec':{'containers':[{'name':'main','resources':{'requests':{"
				  "'memory':'1k'}}}]}}";
	CLEANUP(json_done) json_t *tree = decode(pod);
	CLEANUP(json_done) json_t *part = decode(container);
	CLEANUP(json_done)
	json_t *object =
		decode("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s','namespace':'n',"
		       "'uid':'u'},'data':{'key':'dmFsdWU='}}");
	struct object *secret CLEANUP(object_done) = NULL;
	assert_int_equal(object_from_json(&kind_secret, object, &secret, e), 0);
	const struct object *const objects[] = {secret};
	const struct env_source source = {.pod = tree,
		.container = part,
		.objects = objects,
		.object_count = 1,
		.service_env = services,
		.node_name = "node-1",
		.ip = "10.1.2.3",
		.host_ip = "192.0.2.9",
		.cpu_milli = 3500,
		.memory_bytes = (int64_t)1 << 30,
		.devices = devices,
		.device_count = ARRAY_SIZE(devices)};
	map_init(env, free);
	return env_build(&source, env, e);
}

static void sources_are_read_in_order(void **state)
{
	(void)state;
	struct map env;
	struct err e = ERR_INIT;
	assert_int_equal(
		build("{'envFrom':[{'prefix':'S_','secretRef':{'name':'s'}}],'env':["
		      "{'name':'S_key','value':'own'},{'name':'URL','value':'$(DB_HOST):1'},"
		      "{'name':'L','valueFrom':{'fieldRef':{'fieldPath':"
		      "'metadata.labels[\\u0027a/b\\u0027]'}}},{'name':'IP','valueFrom':{"
		      "'fieldRef':{'fieldPath':'status.podIP'}}},{'name':'CPU','valueFrom':{"
		      "'resourceFieldRef':{'resource':'limits.cpu','divisor':'1m'}}}],"
		      "'resources':{'limits':{'cpu':'1500m'}}}",
			&env, &e),
		0);
	assert_string_equal(map_get(&env, "S_key"), "own");
	assert_string_equal(map_get(&env, "URL"), "10.0.0.1:1");
	assert_string_equal(map_get(&env, "L"), "c");
	assert_string_equal(map_get(&env, "IP"), "10.1.2.3");
	assert_string_equal(map_get(&env, "CPU"), "1500");
	map_done(&env);
}

static void containers_learn_of_their_devices(void **state)
{
	(void)state;
	struct map env;
	struct err e = ERR_INIT;
	assert_int_equal(build("{'name':'main','env':[{'name':'PORTS','value':"
			       "'$(CONTINUO_DEVICE_USB_SERIAL)'}]}",
				 &env, &e),
		0);
	assert_string_equal(map_get(&env, "CONTINUO_DEVICE_USB_SERIAL"),
		"/dev/ttyUSB0,/dev/ttyUSB1");
	assert_string_equal(map_get(&env, "PORTS"), "/dev/ttyUSB0,/dev/ttyUSB1");
	map_done(&env);
	assert_int_equal(build("{'name':'third'}", &env, &e), 0);
	assert_false(map_has(&env, "CONTINUO_DEVICE_USB_SERIAL"));
	map_done(&env);
}

static void pods_learn_about_themselves(void **state)
{
	(void)state;
	struct map env;
	struct err e = ERR_INIT;
	assert_int_equal(
		build("{'env':[{'name':'HOST','valueFrom':{'fieldRef':{'fieldPath':"
		      "'status.hostIPs'}}},{'name':'NODE','valueFrom':{'fieldRef':{'fieldPath':"
		      "'spec.nodeName'}}},{'name':'ACCOUNT','valueFrom':{'fieldRef':{'fieldPath':"
		      "'spec.serviceAccountName'}}},{'name':'ALL','valueFrom':{'resourceFieldRef':{"
		      "'resource':'limits.memory','divisor':'1Mi'}}},{'name':'OWN','valueFrom':{"
		      "'resourceFieldRef':{'resource':'requests.memory','containerName':'main'}}}]"
		      "}",
			&env, &e),
		0);
	assert_string_equal(map_get(&env, "HOST"), "192.0.2.9");
	assert_string_equal(map_get(&env, "NODE"), "node-1");
	assert_string_equal(map_get(&env, "ACCOUNT"), "default");
	assert_string_equal(map_get(&env, "ALL"), "1024"); /* the node's, when it has no limit */
	assert_string_equal(map_get(&env, "OWN"), "1000");
	map_done(&env);
	assert_int_equal(build("{'env':[{'name':'A','valueFrom':{'resourceFieldRef':{'resource':"
			       "'limits.cpu','containerName':'gone'}}}]}",
				 &env, &e),
		-ERR_NOT_FOUND);
	map_done(&env);
	assert_int_equal(build("{'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':"
			       "'metadata.labels[\\u0027]'}}}]}",
				 &env, &e),
		-ERR_UNSUPPORTED);
	map_done(&env);
}

static void what_is_missing_is_named(void **state)
{
	(void)state;
	struct map env;
	struct err e = ERR_INIT;
	assert_int_equal(build("{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'gone',"
			       "'key':'k'}}}]}",
				 &env, &e),
		-ERR_NOT_FOUND);
	assert_string_equal(e.text, "secret \"gone\" not found");
	map_done(&env);
	assert_int_equal(build("{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s',"
			       "'key':'k'}}}]}",
				 &env, &e),
		-ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "couldn't find key k in Secret n/s"));
	map_done(&env);
	assert_int_equal(build("{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s',"
			       "'key':'k','optional':true}}}]}",
				 &env, &e),
		0);
	assert_false(map_has(&env, "A"));
	map_done(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_expand_as_in_kubernetes),
		cmocka_unit_test(sources_are_read_in_order),
		cmocka_unit_test(containers_learn_of_their_devices),
		cmocka_unit_test(pods_learn_about_themselves),
		cmocka_unit_test(what_is_missing_is_named),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/testing.h"

static const char good_pod[] =
	"{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
	"\"containers\":[{\"name\":\"c\",\"image\":\"busybox:1\",\"ports\":[{\"name\":\"http\","
	"\"containerPort\":80}],\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"volumeMounts\":[{"
	"\"name\":\"v\","
	"\"mountPath\":\"/v\"}],\"resources\":{\"limits\":{\"cpu\":\"1\",\"continuo.dev/"
	"camera\":\"1\"}},"
	"\"readinessProbe\":{\"httpGet\":{\"port\":\"http\"}}}],\"volumes\":[{\"name\":\"v\"}]}}";

static const char good_deployment[] = "{\"metadata\":{\"name\":\"w\",\"namespace\":\"d\"},\"spec\":"
				      "{\"selector\":{\"matchLabels\":{"
				      "\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{"
				      "\"app\":\"web\"}},\"spec\":{\"containers\":["
				      "{\"name\":\"c\",\"image\":\"busybox\"}]}}}}";

static const char good_service[] = "{\"metadata\":{\"name\":\"w\",\"namespace\":\"d\"},\"spec\":{"
				   "\"clusterIP\":\"10.0.0.1\",\"selector\":{"
				   "\"app\":\"web\"},\"ports\":[{\"port\":80}]}}";

static const char good_secret[] =
	"{\"metadata\":{\"name\":\"s\",\"namespace\":\"d\"},\"data\":{\"k\":\"eA==\"}}";

static const char good_configmap[] =
	"{\"metadata\":{\"name\":\"s\",\"namespace\":\"d\"},\"data\":{\"k\":\"v\"}}";

static const char good_node[] =
	"{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDR\":\"10.1.0.0/24\"}}";

static const char good_slice[] = "{\"metadata\":{\"name\":\"s\",\"namespace\":\"d\"},"
				 "\"addressType\":\"IPv4\",\"endpoints\":[{"
				 "\"addresses\":[\"10.1.0.2\"]}],\"ports\":[{\"port\":80}]}";

static const char good_namespace[] = "{\"metadata\":{\"name\":\"d\"}}";

static void metadata(void **state UNUSED)
{
	static const struct row rows[] = {
		{"{}", NULL},
		{"{\"metadata\":{\"name\":\"P\"}}",
			"metadata.name: Invalid value: \"P\": a lowercase RFC 1123 subdomain"},
		{"{\"metadata\":{\"name\":\"a..b\"}}", "metadata.name: Invalid value"},
		{"{\"metadata\":{\"name\":null}}",
			"metadata.name: Required value: name or generateName"},
		{"{\"metadata\":{\"name\":null,\"generateName\":\"x-\"}}", NULL},
		{"{\"metadata\":{\"name\":null,\"generateName\":\"X-\"}}",
			"metadata.generateName: Invalid value"},
		{"{\"metadata\":{\"namespace\":null}}", "metadata.namespace: Required value"},
		{"{\"metadata\":{\"labels\":{\"a b\":\"x\"}}}",
			"metadata.labels: Invalid value: \"a b\""},
		{"{\"metadata\":{\"labels\":{\"example.com/a\":\"-x\"}}}",
			"metadata.labels: Invalid value: \"-x\""},
		{"{\"metadata\":{\"annotations\":{\"a\":\"any thing\"}}}", NULL},
		{"{\"metadata\":{\"finalizers\":[\"a b\"]}}",
			"metadata.finalizers[0]: Invalid value"},
		{"{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"X\","
		 "\"name\":\"n\"}]}}",
			"metadata.ownerReferences[0].uid: Required value"},
	};
	CREATE(kind_pod, good_pod, rows);
	static const struct row updates[] = {
		{"{\"metadata\":{\"name\":\"other\"}}",
			"metadata.name: Invalid value: \"other\": field is immutable"},
		{"{\"metadata\":{\"uid\":\"other\"}}", "metadata.uid: Invalid value"},
		{"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", NULL},
	};
	UPDATE(kind_pod, good_pod, updates);
	static const struct row cluster[] = {{"{}", NULL},
		{"{\"metadata\":{\"namespace\":\"d\"}}",
			"metadata.namespace: Forbidden: not allowed on this type"},
		{"{\"metadata\":{\"name\":\"a.b\"}}",
			"metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label"}};
	CREATE(kind_namespace, good_namespace, cluster);
}

#define C(members) "{\"spec\":{\"containers\":{\"0\":{" members "}}}}"

static void containers(void **state UNUSED)
{
	static const struct row rows[] = {
		{"{\"spec\":{\"containers\":null}}", "spec.containers: Required value"},
		{"{\"spec\":{\"containers\":[]}}", "spec.containers: Required value"},
		{C("\"image\":null"), "spec.containers[0].image: Required value"},
		{C("\"image\":\" a\""), "spec.containers[0].image: Invalid value: \" a\""},
		{C("\"name\":\"A_b\""), "spec.containers[0].name: Invalid value: \"A_b\": a "
					"lowercase RFC 1123 label"},
		{"{\"spec\":{\"initContainers\":[{\"name\":\"c\",\"image\":\"x\"}]}}",
			"spec.containers[0].name: Duplicate value: \"c\""},
		{"{\"spec\":{\"initContainers\":[{\"name\":\"i\",\"image\":\"x\","
		 "\"readinessProbe\":{\"exec\":{\"command\":"
		 "[\"a\"]}}}]}}",
			"spec.initContainers[0].readinessProbe: Forbidden: may not be set for init "
			"containers"},
		{C("\"imagePullPolicy\":\"Sometimes\""),
			"spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": "
			"supported values: "
			"\"Always\", \"Never\", \"IfNotPresent\""},
		{C("\"ports\":[{\"containerPort\":0}]"),
			"spec.containers[0].ports[0].containerPort: Invalid value: 0: must be "
			"between 1 and 65535, "
			"inclusive"},
		{C("\"ports\":[{\"containerPort\":1,\"name\":\"a\"},{\"containerPort\":2,\"name\":"
		   "\"a\"}]"),
			"spec.containers[0].ports[1].name: Duplicate value: \"a\""},
		{C("\"ports\":[{\"containerPort\":1,\"name\":\"Very_Bad\"}]"),
			"ports[0].name: Invalid value"},
		{C("\"ports\":[{\"containerPort\":1,\"hostPort\":9},{\"containerPort\":2,"
		   "\"hostPort\":9}]"),
			"spec.containers[0].ports[1].hostPort: Duplicate value"},
		{C("\"env\":[{\"name\":\"1A\"}]"),
			"spec.containers[0].env[0].name: Invalid value: \"1A\""},
		{C("\"env\":[{\"name\":\"A\",\"value\":\"x\",\"valueFrom\":{\"configMapKeyRef\":{"
		   "\"name\":\"m\",\"key\":"
		   "\"k\"}}}]"),
			"env[0].valueFrom: Invalid value: \"\": may not be specified when `value` "
			"is not empty"},
		{C("\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"key\":\"k\"}}}]"),
			"env[0].valueFrom.secretKeyRef.name: Required value"},
		{C("\"envFrom\":[{}]"), "envFrom[0]: Invalid value: \"\": must specify one of"},
		{C("\"volumeMounts\":[{\"name\":\"x\",\"mountPath\":\"/x\"}]"),
			"spec.containers[0].volumeMounts[0].name: Not found: \"x\""},
		{C("\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/"
		   "x\"},{\"name\":\"v\",\"mountPath\":\"/x\"}]"),
			"volumeMounts[1].mountPath: Invalid value: \"/x\": must be unique"},
		{C("\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/x\",\"subPath\":\"../"
		   "etc\"}]"),
			"volumeMounts[0].subPath: Invalid value: \"../etc\": must not contain "
			"'..'"},
		{C("\"resources\":{\"requests\":{\"cpu\":\"2\"}}"),
			"spec.containers[0].resources.requests: Invalid value: \"2\": must be less "
			"than or equal to cpu "
			"limit of 1"},
		{C("\"resources\":{\"limits\":{\"cpu\":\"-1\"}}"),
			"must be greater than or equal to 0"},
		{C("\"resources\":{\"limits\":{\"gpu\":\"1\"}}"),
			"must be a standard resource type or fully qualified"},
		{C("\"resources\":{\"limits\":{\"continuo.dev/camera\":\"500m\"}}"),
			"must be an integer"},
		{C("\"resources\":{\"requests\":{\"continuo.dev/camera\":\"2\"}}"),
			"must be equal to continuo.dev/camera"},
		{C("\"livenessProbe\":{}"), "spec.containers[0].livenessProbe: Required value: "
					    "must specify a handler type"},
		{C("\"livenessProbe\":{\"tcpSocket\":{\"port\":1},\"exec\":{\"command\":[\"a\"]}}"),
			"livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler "
			"type"},
		{C("\"livenessProbe\":{\"tcpSocket\":{\"port\":70000}}"),
			"must be between 1 and 65535"},
		{C("\"livenessProbe\":{\"tcpSocket\":{\"port\":1},\"successThreshold\":2}"),
			"livenessProbe.successThreshold: Invalid value: 2: must be 1"},
		{C("\"livenessProbe\":{\"tcpSocket\":{\"port\":1},\"periodSeconds\":-1}"),
			"livenessProbe.periodSeconds: Invalid value: -1: must be greater than or "
			"equal to 0"},
		{C("\"securityContext\":{\"privileged\":true,\"allowPrivilegeEscalation\":false}"),
			"securityContext.allowPrivilegeEscalation: Invalid value: false: cannot "
			"set"},
		{C("\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\"}}"),
			"seccompProfile.localhostProfile: Required value: must be set"},
	};
	CREATE(kind_pod, good_pod, rows);
}

static void pods(void **state UNUSED)
{
	static const struct row rows[] = {
		{"{\"spec\":{\"restartPolicy\":\"Maybe\"}}",
			"spec.restartPolicy: Unsupported value: \"Maybe\""},
		{"{\"spec\":{\"restartPolicy\":\"Never\"}}", NULL},
		{"{\"spec\":{\"terminationGracePeriodSeconds\":-1}}",
			"spec.terminationGracePeriodSeconds: Invalid value: -1"},
		{"{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{},\"hostPath\":{\"path\":"
		 "\"/\"}}]}}",
			"spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume "
			"type"},
		{"{\"spec\":{\"volumes\":[{\"name\":\"v\"},{\"name\":\"v\"}]}}",
			"spec.volumes[1].name: Duplicate value: \"v\""},
		{"{\"spec\":{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/a/../b\"}}]}}",
			"spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not "
			"contain '..'"},
		{"{\"spec\":{\"volumes\":[{\"name\":\"v\",\"secret\":{}}]}}",
			"spec.volumes[0].secret.secretName: Required value"},
		{"{\"spec\":{\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\",\"items\":["
		 "{\"key\":\"k\",\"path\":"
		 "\"/abs\"}]}}]}}",
			"spec.volumes[0].configMap.items[0].path: Invalid value: \"/abs\": must be "
			"a relative path"},
		{"{\"spec\":{\"hostNetwork\":true,\"containers\":{\"0\":{\"ports\":[{"
		 "\"containerPort\":1,\"hostPort\":2}]}}}}",
			"ports[0].containerPort: Invalid value: 1: must match `hostPort` when "
			"`hostNetwork` is true"},
		{"{\"spec\":{\"dnsPolicy\":\"None\"}}",
			"spec.dnsConfig.nameservers: Required value"},
		{"{\"spec\":{\"hostUsers\":false}}", "spec.hostUsers: Forbidden"},
		{"{\"spec\":{\"nodeSelector\":{\"a\":\"b c\"}}}",
			"spec.nodeSelector: Invalid value: \"b c\""},
		{"{\"spec\":{\"tolerations\":[{\"operator\":\"Equal\"}]}}",
			"spec.tolerations[0].operator: Invalid value"},
		{"{\"spec\":{\"tolerations\":[{\"operator\":\"Exists\"}]}}", NULL},
		{"{\"spec\":{\"affinity\":{\"nodeAffinity\":{"
		 "\"requiredDuringSchedulingIgnoredDuringExecution\":{"
		 "\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}"
		 "]}]}}}}}",
			"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
			"nodeSelectorTerms[0]."
			"matchExpressions[0].values: Required value"},
		{"{\"spec\":{\"affinity\":{\"podAntiAffinity\":{"
		 "\"requiredDuringSchedulingIgnoredDuringExecution\":[{}]}}}}",
			"requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required "
			"value"},
	};
	CREATE(kind_pod, good_pod, rows);
	static const struct row updates[] = {
		{"{}", NULL},
		{C("\"image\":\"busybox:2\""), NULL},
		{"{\"spec\":{\"nodeName\":\"n1\"}}", NULL},
		{"{\"spec\":{\"tolerations\":[{\"operator\":\"Exists\"}]}}", NULL},
		{"{\"spec\":{\"restartPolicy\":\"Never\"}}",
			"spec: Forbidden: pod updates may not change fields other than"},
		{C("\"args\":[\"x\"]"), "spec: Forbidden: pod updates may not change"},
	};
	UPDATE(kind_pod, good_pod, updates);
}

static void deployments(void **state UNUSED)
{
	static const struct row rows[] = {
		{"{}", NULL},
		{"{\"spec\":{\"replicas\":3000000000}}",
			"spec.replicas: Invalid value: 3000000000: must be between 0 and "
			"2147483647"},
		{"{\"spec\":{\"replicas\":-1}}",
			"spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		{"{\"spec\":{\"selector\":null}}", "spec.selector: Required value"},
		{"{\"spec\":{\"selector\":{\"matchLabels\":null}}}",
			"spec.selector: Invalid value: {}: empty selector is invalid for "
			"deployment"},
		{"{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"db\"}}}}",
			"spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: "
			"`selector` does not match "
			"template `labels`"},
		{"{\"spec\":{\"template\":{\"spec\":null}}}",
			"spec.template.spec.containers: Required value"},
		{"{\"spec\":{\"template\":{\"spec\":{\"containers\":{\"0\":{\"image\":null}}}}}}",
			"spec.template.spec.containers[0].image: Required value"},
		{"{\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\"}}}}",
			"spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported "
			"values: \"Always\""},
		{"{\"spec\":{\"strategy\":{\"type\":\"Recreate\",\"rollingUpdate\":{}}}}",
			"spec.strategy.rollingUpdate: Forbidden: may not be specified when "
			"strategy `type` is 'Recreate'"},
		{"{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":0,\"maxUnavailable\":"
		 "\"0%\"}}}}",
			"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may "
			"not be 0 when"},
		{"{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":\"many\"}}}}",
			"maxSurge: Invalid value: \"many\""},
	};
	CREATE(kind_deployment, good_deployment, rows);
	CREATE(kind_replicaset, good_deployment, ((const struct row[]){{"{}", NULL}}));
	static const struct row updates[] = {
		{"{\"spec\":{\"replicas\":3}}", NULL},
		{"{\"spec\":{\"selector\":{\"matchLabels\":{\"x\":\"y\"}},\"template\":{"
		 "\"metadata\":{\"labels\":{\"x\":"
		 "\"y\"}}}}}",
			"spec.selector: Invalid value: "
			"{\"matchLabels\":{\"app\":\"web\",\"x\":\"y\"}}: field is immutable"},
	};
	UPDATE(kind_deployment, good_deployment, updates);
}

static void services(void **state UNUSED)
{
	static const struct row rows[] = {
		{"{}", NULL},
		{"{\"metadata\":{\"name\":\"1a\"}}",
			"metadata.name: Invalid value: \"1a\": a DNS-1035 label"},
		{"{\"spec\":{\"ports\":null}}", "spec.ports: Required value"},
		{"{\"spec\":{\"ports\":null,\"clusterIP\":\"None\"}}", NULL},
		{"{\"spec\":{\"ports\":[{\"port\":80},{\"port\":81}]}}",
			"spec.ports[0].name: Required value"},
		{"{\"spec\":{\"ports\":[{\"name\":\"a\",\"port\":80},{\"name\":\"b\",\"port\":80}]}"
		 "}",
			"spec.ports[1]: Duplicate value: \"80/TCP\""},
		{"{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":\"Bad Name\"}]}}",
			"spec.ports[0].targetPort: Invalid value"},
		{"{\"spec\":{\"ports\":[{\"port\":66000}]}}",
			"spec.ports[0].port: Invalid value: 66000"},
		{"{\"spec\":{\"ports\":[{}]}}", "spec.ports[0].port: Required value"},
		{"{\"spec\":{\"clusterIP\":\"10.0\"}}",
			"spec.clusterIP: Invalid value: \"10.0\": must be a valid IP"},
		{"{\"spec\":{\"type\":\"ExternalName\",\"clusterIP\":null}}",
			"spec.externalName: Required value"},
		{"{\"spec\":{\"type\":\"Other\"}}", "spec.type: Unsupported value: \"Other\""},
	};
	CREATE(kind_service, good_service, rows);
	static const struct row updates[] = {
		{"{\"spec\":{\"clusterIP\":\"10.0.0.2\"}}",
			"spec.clusterIP: Invalid value: \"10.0.0.2\": may not change once set"},
		{"{\"spec\":{\"ports\":[{\"port\":81}]}}", NULL},
	};
	UPDATE(kind_service, good_service, updates);
	static const struct row slices[] = {
		{"{}", NULL},
		{"{\"endpoints\":{\"0\":{\"addresses\":[\"x\"]}}}",
			"endpoints[0].addresses[0]: Invalid value: \"x\""},
		{"{\"addressType\":null}", "addressType: Required value"},
	};
	CREATE(kind_endpointslice, good_slice, slices);
}

static void configuration(void **state UNUSED)
{
	static const struct row maps[] = {
		{"{}", NULL},
		{"{\"data\":{\"a/b\":\"x\"}}",
			"data[a/b]: Invalid value: \"a/b\": a valid config key"},
		{"{\"data\":{\"..a\":\"x\"}}", "data[..a]: Invalid value"},
		{"{\"binaryData\":{\"k\":\"eA==\"}}",
			"data[k]: Invalid value: \"k\": duplicate of key present in binaryData"},
	};
	CREATE(kind_configmap, good_configmap, maps);
	static const struct row secrets[] = {
		{"{}", NULL},
		{"{\"type\":\"kubernetes.io/tls\"}",
			"data[tls.crt]: Required value; data[tls.key]: Required value"},
		{"{\"type\":\"kubernetes.io/"
		 "dockerconfigjson\",\"data\":{\".dockerconfigjson\":\"eA==\"}}",
			"data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\""},
		{"{\"type\":\"kubernetes.io/"
		 "dockerconfigjson\",\"data\":{\".dockerconfigjson\":\"e30=\"}}",
			NULL},
		{"{\"type\":\"kubernetes.io/basic-auth\"}", "data[username]: Required value"},
	};
	CREATE(kind_secret, good_secret, secrets);
	static const struct row updates[] = {{"{\"data\":{\"k\":\"eQ==\"}}", NULL},
		{"{\"type\":\"other\"}", "type: Invalid value: \"other\": field is immutable"}};
	UPDATE(kind_secret, good_secret, updates);
	static const char frozen[] = "{\"metadata\":{\"name\":\"s\",\"namespace\":\"d\"},"
				     "\"immutable\":true,\"data\":{\"k\":\"v\"}}";
	static const struct row freezes[] = {{"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", NULL},
		{"{\"data\":{\"k\":\"w\"}}",
			"data: Forbidden: field is immutable when `immutable` is set"},
		{"{\"immutable\":null}", "immutable: Forbidden"}};
	UPDATE(kind_configmap, frozen, freezes);
}

static void too_much_data(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = testing_parse(good_configmap);
	char *text = malloc((1 << 20) + 2);
	memset(text, 'x', (1 << 20) + 1);
	text[(1 << 20) + 1] = '\0';
	json_object_set_new(json_object_get(json, "data"), "big", json_string(text));
	free(text);
	CLEANUP(findings_done)
	struct findings f = {0};
	model_validate(&kind_configmap, json, NULL, &f);
	assert_int_equal(f.errors.count, 1);
	assert_string_equal(f.errors.items[0].text, "Too long: must have at most 1048576 bytes");
}

static void nodes(void **state UNUSED)
{
	static const struct row rows[] = {{"{}", NULL},
		{"{\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"},{\"key\":\"a\","
		 "\"effect\":\"NoSchedule\"}]}}",
			"spec.taints[1]: Duplicate value: \"a:NoSchedule\""},
		{"{\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"Never\"}]}}",
			"spec.taints[0].effect: Unsupported value"}};
	CREATE(kind_node, good_node, rows);
	static const struct row updates[] = {
		{"{\"spec\":{\"podCIDR\":\"10.2.0.0/24\"}}", "spec.podCIDR: Forbidden"}};
	UPDATE(kind_node, good_node, updates);
}

/* A document with thousands of mistakes is answered in a bounded size. */
static void findings_are_bounded(void **state UNUSED)
{
	CLEANUP(json_done)
	json_t *json = testing_parse(good_pod);
	json_t *list = json_array();
	for (int i = 0; i < 1000; i++)
		json_array_append_new(list, json_object());
	json_object_set_new(json_object_get(json, "spec"), "containers", list);
	CLEANUP(findings_done)
	struct findings f = {0};
	model_validate(&kind_pod, json, NULL, &f);
	assert_int_equal(f.errors.count, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata),
		cmocka_unit_test(containers),
		cmocka_unit_test(pods),
		cmocka_unit_test(deployments),
		cmocka_unit_test(services),
		cmocka_unit_test(configuration),
		cmocka_unit_test(too_much_data),
		cmocka_unit_test(nodes),
		cmocka_unit_test(findings_are_bounded),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

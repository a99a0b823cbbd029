#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/client.h"

/* ---- words for what the placement says ---- */

static const struct {
	const char *constraint, *text;
} constraint_texts[] = {
	{"nodeName", "the pod names another node"},
	{"unschedulable", "node is cordoned"},
	{"notReady", "node is not ready"},
	{"taint", "taint that the pod does not tolerate"},
	{"nodeSelector", "node selector"},
	{"nodeAffinity", "node affinity"},
	{"volume", "volume is elsewhere"},
	{"residency", "data may not be there"},
	{"hostPort", "host port is taken"},
	{"resource", "not enough of the resource"},
	{"topologySpread", "topology spread"},
	{"podAffinity", "pod affinity"},
	{"podAntiAffinity", "pod anti-affinity"},
	{"existingAntiAffinity", "anti-affinity of a pod that is there"},
	{"latency", "latency bound"},
	{"bandwidth", "not enough bandwidth"},
	{"trust", "node is not trusted enough"},
	{"runtime", "node does not offer the isolation"},
	{"fence", "node has no fence for a handover pod"},
};

static const char *text_of(const char *constraint)
{
	for (size_t i = 0; i < ARRAY_SIZE(constraint_texts); i++)
		if (strcmp(constraint_texts[i].constraint, constraint) == 0)
			return constraint_texts[i].text;
	return constraint;
}

static void print_refusals(const json_t *answer)
{
	size_t at;
	json_t *one;
	bool fault = false;
	json_array_foreach (json_object_get(answer, "refusals"), at, one) {
		const char *constraint = json_text(one, "", "constraint");
		const char *detail = json_text(one, "", "detail");
		long long nodes = json_int(one, 0, "nodes"), alone = json_int(one, 0, "alone");
		bool at_fault = json_bool(one, false, "atFault");
		printf("  %3lld node%s  %s %s%s%s%s", nodes, nodes == 1 ? " " : "s",
			at_fault ? "*" : " ", text_of(constraint), *detail ? " (" : "", detail,
			*detail ? ")" : "");
		if (alone > 0)
			printf(", %lld of them by nothing else", alone);
		putchar('\n');
		fault = fault || at_fault;
	}
	if (fault && json_is_null(json_object_get(answer, "node")))
		puts("  * without these the pod would fit somewhere");
}

static void print_terms(const json_t *terms)
{
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)terms, name, value)
		printf("  %-14s %.3f\n", name, json_number_value(value));
}

static void print_placed(const json_t *answer, const char *pod)
{
	long long nodes = json_int(answer, 0, "nodes"), feasible = json_int(answer, 0, "feasible");
	const json_t *other = json_object_get(answer, "alternative");
	printf("%s is on node %s", pod, json_text(answer, "?", "node"));
	if (nodes)
		printf(": %lld of %lld node%s fit, this one at the lowest cost", feasible, nodes,
			nodes == 1 ? "" : "s");
	putchar('\n');
	if (json_object_get(answer, "application"))
		printf("It was placed with application %s as a whole.\n",
			json_text(answer, "", "application"));
	if (json_object_get(answer, "terms")) {
		printf("\nCost %.3f (less is better):\n",
			json_number_value(json_object_get(answer, "cost")));
		print_terms(json_object_get(answer, "terms"));
	}
	if (json_is_object(other))
		printf("\nNext best: node %s at cost %.3f\n", json_text(other, "?", "node"),
			json_number_value(json_object_get(other, "cost")));
	if (json_array_size(json_object_get(answer, "refusals")) > 0)
		puts("\nRuled out:");
	print_refusals(answer);
}

static void print_pending(const json_t *answer, const char *pod)
{
	printf("%s has no node: %s\n", pod,
		json_text(answer, "it has not been considered yet", "message"));
	if (json_array_size(json_object_get(answer, "refusals")) > 0)
		puts("\nRuled out:");
	print_refusals(answer);
}

static int explain(struct client *c, const char *pod, bool as_json, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	if (str_starts(pod, "pod/") || str_starts(pod, "pods/"))
		pod = strchr(pod, '/') + 1;
	buf_append_string(&path, "/continuo/v1/explain/");
	client_escape(&path, client_namespace(c));
	buf_append_char(&path, '/');
	client_escape(&path, pod);
	int r = client_get(c, path.data, NULL, &answer, e);
	if (r < 0)
		return r;
	if (as_json) {
		json_dumpf(answer, stdout, JSON_INDENT(4) | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else if (json_is_string(json_object_get(answer, "node"))) {
		print_placed(answer, pod);
	} else {
		print_pending(answer, pod);
	}
	return 0;
}

int verb_explain(int argc, char **argv)
{
	struct cli_common common = {0};
	const char *output = NULL;
	const struct cli_option options[] = {
		{'o', "output", CLI_TEXT, &output, "FORMAT", "json"},
	};
	const struct cli_usage usage = {.synopsis = "explain POD [options]",
		.text = "Says why a pod is on its node: what it costs there, the next best node, "
			"and what rules "
			"out the\n"
			"others. For a pod without a node: each constraint with the number of "
			"nodes that it "
			"rules out.\n\n"
			"  continuo explain web-1 -n shop\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(client_done) struct client *c = NULL;
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count != 1)
		r = err_set(&e, ERR_USAGE, "say which pod: continuo explain POD");
	if (r == 0 && output && !str_equal(output, "json"))
		r = err_set(&e, ERR_USAGE, "--output is json, not \"%.40s\"", output);
	if (r == 0)
		r = client_new(&common, &c, &e);
	if (r == 0)
		r = explain(c, args.words.items[0], output, &e);
	return r < 0 ? cli_fail(&e) : 0;
}

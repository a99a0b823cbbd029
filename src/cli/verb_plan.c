#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/manifests.h"
#include "cli/table.h"

/* ---- what is asked ---- */

struct asking {
	struct client *client;
	json_t *objects;
};

/* A manifest's own namespace counts, then -n and the context's. */
static int on_document(void *arg, json_t *json, const char *where, struct err *e)
{
	struct asking *a = arg;
	const struct kind *k = kind_by_name(client_kinds(a->client),
		json_text(json, "", "apiVersion"), json_text(json, "", "kind"));
	if (!k)
		return err_set(e, ERR_DECODE,
			"%.100s: there is no kind \"%.60s\" in version \"%.60s\"", where,
			json_text(json, "", "kind"), json_text(json, "", "apiVersion"));
	json_t *metadata = json_ensure_object(json, "metadata");
	if (k->namespaced && !json_text(metadata, NULL, "namespace"))
		json_object_set_new(metadata, "namespace",
			json_string(client_namespace(a->client)));
	json_array_append(a->objects, json);
	return 0;
}

/* ---- rows: replicas alike are one ---- */

struct row {
	const char *component, *node, *site, *state;
	const json_t *first; /* whose cost is shown */
	int64_t replicas;
};
typedef VEC(struct row) rows;

static void add_row(rows *all, const struct row *one)
{
	VEC_EACH (all, struct row, row) {
		if (str_equal(row->component, one->component) && str_equal(row->node, one->node) &&
			str_equal(row->state, one->state)) {
			row->replicas += one->replicas;
			return;
		}
	}
	vec_push(all, *one);
}

static void read_rows(const json_t *workload, rows *all)
{
	size_t i;
	json_t *json;
	json_array_foreach (json_object_get(workload, "pods"), i, json)
		add_row(all, &(struct row){.component = json_text(json, NULL, "component"),
				     .node = json_text(json, "", "node"),
				     .site = json_text(json, NULL, "site"),
				     .state = json_bool(json, false, "running") ? "runs" : "new",
				     .first = json,
				     .replicas = 1});
	json_array_foreach (json_object_get(workload, "refused"), i, json)
		add_row(all, &(struct row){.component = json_text(json, NULL, "component"),
				     .state = "refused",
				     .first = json,
				     .replicas = json_int(json, 0, "replicas")});
}

/* ---- as a table ---- */

static void add_cost(struct table *t, const struct row *row)
{
	const json_t *cost = json_object_get(row->first, "cost");
	const json_t *other = json_object_get(row->first, "alternative");
	CLEANUP(mem_free_ptr)
	char *text = cost ? mem_format("%.3f", json_number_value(cost)) : NULL;
	CLEANUP(mem_free_ptr)
	char *next = other ? mem_format("%s (%+.3f)", json_text(other, "", "node"),
				     json_number_value(json_object_get(other, "cost")) -
					     json_number_value(cost))
			   : NULL;
	table_add(t, text ? text : "");
	table_add(t, next ? next : "");
}

static void add_workload(struct table *t, const json_t *workload)
{
	rows all = {0};
	read_rows(workload, &all);
	CLEANUP(mem_free_ptr)
	char *name = mem_format("%s/%s", json_text(workload, "", "namespace"),
		json_text(workload, "", "name"));
	VEC_EACH (&all, struct row, row) {
		CLEANUP(mem_free_ptr)
		char *replicas = mem_format("%lld", (long long)row->replicas);
		table_add(t, json_text(workload, "", "kind"));
		table_add(t, name);
		table_add(t, row->component ? row->component : "");
		table_add(t, replicas);
		table_add(t, row->state);
		table_add(t, row->node ? row->node : "");
		table_add(t, row->site ? row->site : "");
		add_cost(t, row);
	}
	vec_done(&all);
}

static void print_cost(const json_t *workload)
{
	const char *term, *before = ": ";
	json_t *value;
	int64_t replaced = json_int(workload, 0, "replaced");
	printf("\n%s/%s costs %.3f", json_text(workload, "", "namespace"),
		json_text(workload, "", "name"),
		json_number_value(json_object_get(workload, "cost")));
	json_object_foreach (json_object_get(workload, "terms"), term, value) {
		if (json_number_value(value) == 0)
			continue;
		printf("%s%s %.3f", before, term, json_number_value(value));
		before = ", ";
	}
	if (replaced)
		printf("; %lld pods that run would go", (long long)replaced);
	putchar('\n');
	size_t i;
	json_t *refused;
	json_array_foreach (json_object_get(workload, "refused"), i, refused) {
		const char *component = json_text(refused, NULL, "component");
		long long replicas = json_int(refused, 0, "replicas");
		printf("  %s%sno node for %lld replica%s: %s\n", component ? component : "",
			component ? ": " : "", replicas, replicas == 1 ? "" : "s",
			json_text(refused, "", "message"));
	}
}

static void print_table(const json_t *answer)
{
	static const char *const header[] = {"KIND", "WORKLOAD", "COMPONENT", "REPLICAS", "STATE",
		"NODE", "SITE", "COST", "NEXT BEST"};
	CLEANUP(table_done) struct table t = {.columns = ARRAY_SIZE(header)};
	size_t i;
	json_t *workload;
	for (i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&t, header[i]);
	json_array_foreach (json_object_get(answer, "workloads"), i, workload)
		add_workload(&t, workload);
	table_print(&t, true, stdout);
	json_array_foreach (json_object_get(answer, "workloads"), i, workload)
		print_cost(workload);
}

/* ---- as a graph ---- */

/* Names of the API are of letters, digits, dots and hyphens. */
static void print_dot_nodes(size_t number, const json_t *workload, const rows *all)
{
	VEC_EACH (all, struct row, row) {
		const char *name =
			row->component ? row->component : json_text(workload, "", "name");
		if (!row->node) {
			printf("  \"%zu/%s@\" [label=\"%s x %lld\\nno node\" style=dashed];\n",
				number, name, name, (long long)row->replicas);
			continue;
		}
		printf("  subgraph \"cluster site %s\" { label=\"%s\";\n"
		       "    subgraph \"cluster node %s\" { label=\"%s\";\n"
		       "      \"%zu/%s@%s\" [label=\"%s x %lld\"%s];\n    }\n  }\n",
			row->site ? row->site : "", row->site ? row->site : "no site", row->node,
			row->node, number, name, row->node, name, (long long)row->replicas,
			str_equal(row->state, "runs") ? " style=bold" : "");
	}
}

static void print_dot_links(size_t number, const json_t *workload, const rows *all)
{
	size_t i;
	json_t *link;
	json_array_foreach (json_object_get(workload, "links"), i, link)
		VEC_EACH (all, struct row, from) {
			VEC_EACH (all, struct row, to) {
				if (!str_equal(from->component, json_text(link, "", "from")) ||
					!str_equal(to->component, json_text(link, "", "to")))
					continue;
				printf("  \"%zu/%s@%s\" -> \"%zu/%s@%s\" [label=\"%s %s\"];\n",
					number, from->component, from->node ? from->node : "",
					number, to->component, to->node ? to->node : "",
					json_text(link, "", "bandwidth"),
					json_text(link, "", "latency"));
			}
		}
}

static void print_dot(const json_t *answer)
{
	size_t i;
	json_t *workload;
	puts("digraph plan {\n  node [shape=box];");
	json_array_foreach (json_object_get(answer, "workloads"), i, workload) {
		rows all = {0};
		read_rows(workload, &all);
		print_dot_nodes(i, workload, &all);
		print_dot_links(i, workload, &all);
		vec_done(&all);
	}
	puts("}");
}

/* ---- the verb ---- */

static bool is_refused(const json_t *answer)
{
	size_t i;
	json_t *workload;
	json_array_foreach (json_object_get(answer, "workloads"), i, workload)
		if (json_array_size(json_object_get(workload, "refused")) > 0)
			return true;
	return false;
}

static void print(const json_t *answer, const char *output)
{
	if (str_equal(output, "json")) {
		json_dumpf(answer, stdout, JSON_INDENT(4) | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else if (str_equal(output, "dot")) {
		print_dot(answer);
	} else {
		print_table(answer);
	}
}

static int plan(struct asking *a, const cli_words *files, bool recursive, const char *output,
	struct err *e)
{
	CLEANUP(json_done) json_t *answer = NULL;
	int failed = manifests_each(files, recursive, on_document, a, e);
	if (failed != 0)
		return failed;
	if (json_array_size(a->objects) == 0)
		return err_set(e, ERR_USAGE, "there is no object in the manifests");
	CLEANUP(json_done) json_t *question = json_pack("{s:O}", "objects", a->objects);
	CLEANUP(mem_free_ptr) char *body = json_encode_string(question);
	int r = client_request(a->client, "POST", "/continuo/v1/plan", "application/json", body,
		&answer, e);
	if (r != 0)
		return r;
	if (json_array_size(json_object_get(answer, "workloads")) == 0)
		return err_set(e, ERR_USAGE,
			"nothing in the manifests has pods: a plan is of Pods, ReplicaSets, "
			"Deployments and Applications");
	print(answer, output);
	return is_refused(answer);
}

int verb_plan(int argc, char **argv)
{
	struct cli_common common = {0};
	CLEANUP(cli_words_done) cli_words files = {0};
	bool recursive = false;
	const char *output = "table";
	const struct cli_option options[] = {
		{'f', "filename", CLI_LIST, &files, "FILE",
			"a manifest, a folder of them, or - for stdin"},
		{'R', "recursive", CLI_FLAG, &recursive, NULL, "folders within folders too"},
		{'o', "output", CLI_TEXT, &output, "FORMAT", "table, json or dot (Graphviz)"},
	};
	const struct cli_usage usage = {.synopsis = "plan -f FILE... [options]",
		.text = "Shows where the pods of the manifests would go if they were applied now, "
			"what that costs, and\n"
			"what would find no node; nothing is changed. What runs already and fits "
			"its manifest stays.\n"
			"The exit status is 1 when a pod would find no node.\n\n"
			"  continuo plan -f app.yaml\n"
			"  continuo plan -f app.yaml -o dot | dot -Tsvg >plan.svg\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct asking a = {.objects = json_array()};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r == 0 && args.words.count)
		r = err_set(&e, ERR_USAGE, "unexpected argument \"%.60s\"; manifests come with -f",
			args.words.items[0]);
	if (r == 0 && !str_equal(output, "table") && !str_equal(output, "json") &&
		!str_equal(output, "dot"))
		r = err_set(&e, ERR_USAGE, "--output is table, json or dot, not \"%.40s\"", output);
	if (r == 0)
		r = client_new(&common, &a.client, &e);
	if (r == 0)
		r = plan(&a, &files, recursive, output, &e);
	else if (r > 0)
		r = 0; /* help */
	client_free(a.client);
	json_decref(a.objects);
	return r < 0 ? cli_fail(&e) : r > 0;
}

/*
 * continuo adopt docker. Crash-safe by its order, and repeatable: a Deployment is made paused, then
 * the pods of its containers, bound to the node and labelled as its ReplicaSet's will be, under
 * names that follow from the containers' ids; then it goes on, and the ReplicaSet takes the pods
 * that are there in place of making any. Whatever is missing after an end halfway, the next run
 * adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/adopt_docker.h"
#include "cli/adopt_plan.h"
#include "cli/client.h"
#include "cli/table.h"
#include "codec/yaml.h"
#include "control/template_hash.h"
#include "driver/docker_api.h"
#include "model/pod_security.h"

struct adopt {
	struct cli_common common;
	const char *node, *socket_path, *output;
	bool dry_run;
	char host_name[ADOPT_LABEL_SIZE];
	struct client *client;
	struct map adopted; /* id of a container that has a pod → the pod's namespace */
	struct map seen;    /* "NAMESPACE/NAME" of the Deployments of this run */
	int made, left_out;
};

/* ---- a look ahead ---- */

static void print_table(const struct adopt_plan *p)
{
	CLEANUP(table_done) struct table table = {.columns = 5};
	static const char *const header[] = {
		"NAMESPACE", "DEPLOYMENT", "REPLICAS", "IMAGE", "CONTAINERS"};
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	VEC_EACH (&p->workloads, struct adopt_workload, w) {
		CLEANUP(buf_done) struct buf names = BUF_INIT;
		char replicas[24];
		VEC_EACH (&w->members, struct adopt_member, m)
			buf_printf(&names, "%s%s", names.size ? "," : "", m->name);
		snprintf(replicas, sizeof(replicas), "%zu", w->members.count);
		const json_t *first =
			json_array_get(json_object_get(w->members.items[0].spec, "containers"), 0);
		table_add(&table, w->namespace);
		table_add(&table, w->name);
		table_add(&table, replicas);
		table_add(&table, json_text(first, "", "image"));
		table_add(&table, buf_text(&names));
	}
	table_print(&table, true, stdout);
}

static void print_warnings(const struct adopt_plan *p)
{
	size_t i;
	json_t *text;
	fflush(stdout);
	VEC_EACH (&p->workloads, struct adopt_workload, w) {
		VEC_EACH (&w->members, struct adopt_member, m)
			json_array_foreach (m->warnings, i, text)
				fprintf(stderr, "Warning: container %s: %s\n", m->name,
					json_text_or(text, ""));
	}
	VEC_EACH (&p->skipped, struct adopt_skipped, s)
		fprintf(stderr, "Warning: container %s is left out: %s\n", s->name, s->why);
}

static void print_yaml(json_t *object)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	yaml_encode(object, &b);
	printf("---\n%s\n", buf_text(&b));
	json_decref(object);
}

/* The hash of a template is only known once the server has added its defaults. */
static void print_objects(const struct adopt *a, const struct adopt_plan *p)
{
	const char *last = "";
	VEC_EACH (&p->workloads, struct adopt_workload, w) {
		CLEANUP(json_done) json_t *deployment = adopt_deployment(w, w->name, a->node);
		if (strcmp(last, w->namespace) != 0 && strcmp(w->namespace, "default") != 0)
			print_yaml(adopt_namespace(w));
		last = w->namespace;
		print_yaml(json_incref(deployment));
		VEC_EACH (&w->members, struct adopt_member, m)
			print_yaml(adopt_pod(m, deployment, "", a->node));
	}
}

/* ---- what is there already ---- */

static int check_node(struct adopt *a, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *node = NULL;
	client_path(&kind_node, NULL, a->node, &path);
	int r = client_get(a->client, path.data, NULL, &node, e);
	if (r == -ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND,
			"there is no node \"%.60s\": join this machine first (continuo token "
			"create, "
			"continuo-agent), or say its name with --node",
			a->node);
	if (r < 0)
		return r;
	if (!str_equal(json_text(node, "", "metadata", "annotations", ADOPT_NODE_ABLE), "docker"))
		return err_set(e, ERR_CONFLICT,
			"the agent of node \"%.60s\" takes no Docker containers over: set "
			"dockerSocket "
			"in its configuration to the socket and start it again (its pods keep "
			"running)",
			a->node);
	return 0;
}

static int find_adopted(struct adopt *a, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *list = NULL;
	size_t i;
	json_t *pod;
	client_path(&kind_pod, NULL, NULL, &path);
	buf_append_string(&path, "?fieldSelector=spec.nodeName%3D");
	client_escape(&path, a->node);
	int r = client_get(a->client, path.data, NULL, &list, e);
	json_array_foreach (json_object_get(list, "items"), i, pod) {
		const char *id = json_text(pod, NULL, "metadata", "annotations", ADOPT_CONTAINER);
		if (id && !map_has(&a->adopted, id))
			map_put(&a->adopted, id,
				mem_dup_string(json_text(pod, "", "metadata", "namespace")));
	}
	return r;
}

/* A container of no project, adopted before with another -n. */
static bool is_elsewhere(const struct adopt *a, const struct adopt_workload *w)
{
	VEC_EACH (&w->members, struct adopt_member, m) {
		const char *namespace = map_get(&a->adopted, m->id);
		if (!namespace || str_equal(namespace, w->namespace))
			return false;
	}
	return true;
}

/* What an adopt that was ended halfway left where this one had nothing to do. */
static int warn_of_halves(struct adopt *a, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *list = NULL;
	size_t i;
	json_t *one;
	client_path(&kind_deployment, NULL, NULL, &path);
	int r = client_get(a->client, path.data, NULL, &list, e);
	json_array_foreach (json_object_get(list, "items"), i, one) {
		const json_t *notes = json_at(one, "metadata", "annotations");
		const char *namespace = json_text(one, "", "metadata", "namespace");
		const char *name = json_text(one, "", "metadata", "name");
		CLEANUP(mem_free_ptr) char *key = mem_format("%s/%s", namespace, name);
		if (!str_equal(json_text(notes, "", ADOPT_FROM), a->node) ||
			!json_at(notes, ADOPT_UNDER_WAY) || map_has(&a->seen, key))
			continue;
		fprintf(stderr,
			"Warning: deployment %s in namespace %s is what an adopt left that was "
			"ended halfway: adopt with -n %s to finish it, or delete it\n",
			name, namespace, namespace);
	}
	return r;
}

/* ---- making ---- */

static int post(struct adopt *a, const struct kind *k, const char *namespace, json_t *object,
	json_t **ret_answer, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *owned = object;
	CLEANUP(mem_free_ptr) char *body = json_encode_string(owned);
	client_path(k, namespace, NULL, &path);
	return client_request(a->client, "POST", path.data, "application/json", body, ret_answer,
		e);
}

/* A namespace that is there is left as it is: who made it decides what may run in it. */
static int ensure_namespace(struct adopt *a, const struct adopt_workload *w, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *there = NULL;
	client_path(&kind_namespace, NULL, w->namespace, &path);
	int r = client_get(a->client, path.data, NULL, &there, e);
	if (r == -ERR_NOT_FOUND) {
		r = post(a, &kind_namespace, NULL, adopt_namespace(w), NULL, e);
		if (r == 0)
			printf("namespace/%s created\n", w->namespace);
		return r == -ERR_CONFLICT ? 0 : r;
	}
	bool privileged = str_equal(json_text(there, "", "metadata", "labels", POD_SECURITY_LABEL),
		"privileged");
	if (r == 0 && !privileged)
		return err_set(e, ERR_FORBIDDEN,
			"adopted containers want a privileged namespace, as they are bound by "
			"nothing that their pods say: kubectl label namespace "
			"%s " POD_SECURITY_LABEL
			"=privileged, or choose another one for what is of no project with -n",
			w->namespace);
	return r;
}

static int get_deployment(struct adopt *a, const struct adopt_workload *w, const char *name,
	json_t **ret_deployment, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	client_path(&kind_deployment, w->namespace, name, &path);
	int r = client_get(a->client, path.data, NULL, ret_deployment, e);
	if (r == -ERR_NOT_FOUND)
		*ret_deployment = NULL;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* The workload's Deployment: under its own name, or with the node's behind it when another node, or
 * somebody else, has that. */
static int ensure_deployment(struct adopt *a, const struct adopt_workload *w,
	json_t **ret_deployment, struct err *e)
{
	char second[ADOPT_LABEL_SIZE];
	snprintf(second, sizeof(second), "%.25s-%.24s", w->name, a->node);
	const char *const names[] = {w->name, second};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *there = NULL;
		int r = get_deployment(a, w, names[i], &there, e);
		if (r < 0)
			return r;
		if (!there)
			return post(a, &kind_deployment, w->namespace,
				adopt_deployment(w, names[i], a->node), ret_deployment, e);
		if (str_equal(json_text(there, "", "metadata", "annotations", ADOPT_FROM),
			    a->node)) {
			*ret_deployment = there;
			return 0;
		}
		json_decref(there);
	}
	return err_set(e, ERR_CONFLICT,
		"there are Deployments %s and %s that have nothing to do with this container "
		"group; delete or rename one",
		w->name, second);
}

static int make_pod(struct adopt *a, const struct adopt_member *m, const json_t *deployment,
	const char *hash, struct err *e)
{
	json_t *pod = adopt_pod(m, deployment, hash, a->node);
	CLEANUP(mem_free_ptr) char *name = mem_dup_string(json_text(pod, "", "metadata", "name"));
	const char *namespace = json_text(deployment, "", "metadata", "namespace");
	int r = post(a, &kind_pod, namespace, pod, NULL, e);
	if (r == 0)
		printf("pod/%s is container %s\n", name, m->name);
	a->made += r == 0;
	return r < 0 ? err_prefix(e, "container %.60s", m->name) : 0;
}

/* Lets the Deployment go on: its ReplicaSet comes and takes the pods. */
static int finish_deployment(struct adopt *a, const struct adopt_workload *w,
	const json_t *deployment, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done)
	json_t *patch = json_pack("{s:{s:n, s:I}, s:{s:{s:n}}}", "spec", "paused", "replicas",
		(json_int_t)w->members.count, "metadata", "annotations", ADOPT_UNDER_WAY);
	CLEANUP(mem_free_ptr) char *body = json_encode_string(patch);
	const char *name = json_text(deployment, "", "metadata", "name");
	client_path(&kind_deployment, w->namespace, name, &path);
	int r = client_request(a->client, "PATCH", path.data, "application/merge-patch+json", body,
		NULL, e);
	if (r == 0)
		printf("deployment.apps/%s in namespace %s: %zu adopted\n", name, w->namespace,
			w->members.count);
	return r;
}

/* What came to a group since it was adopted is not pushed into it: its pods would be too many. */
static void leave_out(struct adopt *a, const struct adopt_workload *w, const char *name)
{
	VEC_EACH (&w->members, struct adopt_member, m) {
		if (map_has(&a->adopted, m->id))
			continue;
		a->left_out++;
		fprintf(stderr,
			"Warning: container %s is left out: deployment %s in namespace %s was "
			"adopted "
			"before; scale that instead, and remove the container\n",
			m->name, name, w->namespace);
	}
}

static int adopt_workload(struct adopt *a, const struct adopt_workload *w, struct err *e)
{
	CLEANUP(json_done) json_t *deployment = NULL;
	char hash[TEMPLATE_HASH_SIZE];
	if (is_elsewhere(a, w))
		return 0;
	int r = ensure_namespace(a, w, e);
	if (r == 0)
		r = ensure_deployment(a, w, &deployment, e);
	if (r < 0)
		return r;
	CLEANUP(mem_free_ptr)
	char *key =
		mem_format("%s/%s", w->namespace, json_text(deployment, "", "metadata", "name"));
	map_put(&a->seen, key, a);
	if (!json_at(deployment, "metadata", "annotations", ADOPT_UNDER_WAY)) {
		leave_out(a, w, json_text(deployment, "", "metadata", "name"));
		return 0;
	}
	control_template_hash(json_at(deployment, "spec", "template"),
		json_int(deployment, 0, "status", "collisionCount"), hash);
	VEC_EACH (&w->members, struct adopt_member, m) {
		if (r == 0 && !map_has(&a->adopted, m->id))
			r = make_pod(a, m, deployment, hash, e);
	}
	return r < 0 ? r : finish_deployment(a, w, deployment, e);
}

/* The names of templates are computed here and on the server: both must do it alike. */
static int check_version(struct adopt *a, struct err *e)
{
	CLEANUP(json_done) json_t *answer = NULL;
	int r = client_get(a->client, "/version", NULL, &answer, e);
	const char *version = json_text(answer, "", "gitVersion");
	if (r == 0 && !strstr(version, CONTINUO_VERSION))
		return err_set(e, ERR_CONFLICT,
			"the server is %.60s and this program " CONTINUO_VERSION
			": adopt with a program of the server's version",
			version);
	return r;
}

static int carry_out(struct adopt *a, const struct adopt_plan *p, struct err *e)
{
	int r = client_new(&a->common, &a->client, e);
	if (r == 0)
		r = check_version(a, e);
	if (r == 0)
		r = check_node(a, e);
	if (r == 0)
		r = find_adopted(a, e);
	int failed = 0;
	VEC_EACH (&p->workloads, struct adopt_workload, w) {
		if (r < 0)
			break;
		struct err why = ERR_INIT;
		if (adopt_workload(a, w, &why) == 0)
			continue;
		failed++;
		fflush(stdout);
		fprintf(stderr, "error: %s/%s: %s\n", w->namespace, w->name, why.text);
	}
	if (r == 0)
		r = warn_of_halves(a, e);
	if (r == 0 && failed)
		return err_set(e, ERR_CONFLICT,
			"%d of %zu groups were not adopted; their containers run on as before. Run "
			"the "
			"same again when that is mended",
			failed, p->workloads.count);
	if (r == 0 && a->made == 0 && a->left_out == 0)
		puts("Nothing to do: all is adopted.");
	return r;
}

/* ---- the verb ---- */

static int check_arguments(struct adopt *a, const struct cli_args *args, struct err *e)
{
	if (args->words.count != 1 || !str_equal(args->words.items[0], "docker"))
		return err_set(e, ERR_USAGE, "say what to adopt: continuo adopt docker");
	if (a->output && (!str_equal(a->output, "yaml") || !a->dry_run))
		return err_set(e, ERR_USAGE, "--output is yaml, with --dry-run");
	int r = a->node ? client_check_name(a->node, "node", e) : 0;
	if (r < 0)
		return r;
	char name[256] = "";
	if (!a->node && gethostname(name, sizeof(name) - 1) == 0) {
		name[strcspn(name, ".")] = '\0';
		adopt_label(name, a->host_name);
		a->node = a->host_name;
	}
	return 0;
}

static int run(struct adopt *a, struct err *e)
{
	CLEANUP(adopt_plan_done) struct adopt_plan plan = {0};
	CLEANUP(json_done) json_t *found = NULL;
	int r = adopt_docker_read(a->socket_path, &found, e);
	if (r < 0)
		return r;
	adopt_plan_make(found, a->common.namespace ? a->common.namespace : "default", &plan);
	if (plan.workloads.count == 0) {
		print_warnings(&plan);
		puts("No container to adopt.");
		return 0;
	}
	if (a->output)
		print_objects(a, &plan);
	else if (a->dry_run)
		print_table(&plan);
	print_warnings(&plan);
	return a->dry_run ? 0 : carry_out(a, &plan, e);
}

int verb_adopt(int argc, char **argv)
{
	struct adopt a = {.socket_path = DOCKER_SOCKET};
	map_init(&a.adopted, free);
	const struct cli_option options[] = {
		{0, "dry-run", CLI_FLAG, &a.dry_run, NULL,
			"only show what would become what, and what a pod cannot say"},
		{'o', "output", CLI_TEXT, &a.output, "yaml", "with --dry-run: the objects"},
		{0, "node", CLI_TEXT, &a.node, "NAME",
			"the node that this is; default: the host's name"},
		{0, "docker-socket", CLI_TEXT, &a.socket_path, "PATH", "default: " DOCKER_SOCKET},
	};
	const struct cli_usage usage = {.synopsis = "adopt docker [--dry-run] [options]",
		.text = "Makes workloads of the domain of the containers that Docker runs on this "
			"node, as they\n"
			"are: nothing is restarted, and they keep their network. A Compose project "
			"becomes a\n"
			"namespace, a service a Deployment; other containers one each in -n, or in "
			"default.\n"
			"At their next roll-out ordinary pods take their places, on this node. To "
			"be run again\n"
			"after an end halfway. `continuo leave NODE` hands them back.\n\n"
			"  continuo adopt docker --dry-run\n"
			"  continuo adopt docker --node edge-7\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &a.common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0)
		r = check_arguments(&a, &args, &e);
	if (r == 0)
		r = run(&a, &e);
	map_done(&a.adopted);
	map_done(&a.seen);
	client_free(a.client);
	return r < 0 ? cli_fail(&e) : 0;
}

/*
 * continuo leave NODE: the reverse of joining and adopting. Each step may be repeated, so a leave
 * that ended halfway is run again. The order matters: a pod is marked to be handed back before
 * anything deletes it, and a Deployment goes before its pods do, so that none is made anew.
 */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/adopt_plan.h"
#include "cli/client.h"
#include "cli/leave.h"
#include "sys/loop_uv.h"

#define LOOK_MS 200

struct leave {
	struct cli_common common;
	const char *node;
	bool force, dry_run;
	int64_t timeout_s;
	struct client *client;
	json_t *pods;    /* of the node */
	struct map held; /* "NAMESPACE/DEPLOYMENT" of adopted pods */
	size_t adopted, ordinary;
	size_t running; /* of the adopted ones, those that are not over */
};

/* ---- what is on the node ---- */

static const char *container_of(const json_t *pod)
{
	return json_text(pod, NULL, "metadata", "annotations", ADOPT_CONTAINER);
}

static const char *namespace_of(const json_t *object)
{
	return json_text(object, "", "metadata", "namespace");
}

static const char *name_of(const json_t *object)
{
	return json_text(object, "", "metadata", "name");
}

/* Ended for good: it only has to be forgotten. */
static bool is_over(const json_t *pod)
{
	const char *phase = json_text(pod, "", "status", "phase");
	return str_equal(phase, "Failed") || str_equal(phase, "Succeeded");
}

static int list(struct leave *l, const struct kind *k, const char *query, json_t **ret_items,
	struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	client_path(k, NULL, NULL, &path);
	buf_append_string(&path, query);
	int r = client_get(l->client, path.data, NULL, &answer, e);
	*ret_items = r < 0 ? NULL : json_incref(json_object_get(answer, "items"));
	if (r == 0 && !*ret_items)
		*ret_items = json_array();
	return r;
}

static int look(struct leave *l, struct err *e)
{
	CLEANUP(buf_done) struct buf query = BUF_INIT;
	size_t i;
	json_t *pod;
	buf_append_string(&query, "?fieldSelector=spec.nodeName%3D");
	client_escape(&query, l->node);
	json_decref(l->pods);
	int r = list(l, &kind_pod, query.data, &l->pods, e);
	l->adopted = l->ordinary = l->running = 0;
	json_array_foreach (l->pods, i, pod) {
		CLEANUP(mem_free_ptr)
		char *key = mem_format("%s/%s", namespace_of(pod),
			json_text(pod, "", "metadata", "labels", "app"));
		l->adopted += container_of(pod) != NULL;
		l->ordinary += container_of(pod) == NULL;
		if (container_of(pod) && !is_over(pod)) {
			map_put(&l->held, key, l);
			l->running++;
		}
	}
	return r;
}

/* connected: whether its agent can do its part. */
static int check_node(struct leave *l, bool *ret_connected, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *node = NULL;
	size_t i;
	json_t *condition;
	bool ready = false;
	*ret_connected = false;
	client_path(&kind_node, NULL, l->node, &path);
	int r = client_get(l->client, path.data, NULL, &node, e);
	if (r == -ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, "there is no node \"%.60s\"", l->node);
	json_array_foreach (json_at(node, "status", "conditions"), i, condition)
		ready = ready || (str_equal(json_text(condition, "", "type"), "Ready") &&
					 str_equal(json_text(condition, "", "status"), "True"));
	*ret_connected = ready;
	if (r == 0 && !ready && !l->force && json_array_size(l->pods))
		return err_set(e, ERR_CONFLICT,
			"the agent of node \"%.60s\" is not connected, and only it can hand "
			"containers back and stop pods: start it, or forget what is there with "
			"--force (all of it keeps running)",
			l->node);
	return r;
}

/* kubectl drain's rule: what nobody would make anew is not deleted unasked. */
static int check_pods(struct leave *l, struct err *e)
{
	CLEANUP(buf_done) struct buf names = BUF_INIT;
	size_t i;
	json_t *pod;
	json_array_foreach (l->pods, i, pod)
		if (!container_of(pod) && !l->force &&
			json_array_size(json_at(pod, "metadata", "ownerReferences")) == 0)
			buf_printf(&names, "%s%s/%s", names.size ? ", " : "", namespace_of(pod),
				name_of(pod));
	if (names.size)
		return err_set(e, ERR_CONFLICT,
			"pods that no controller would make anew: %.300s; delete them, or use "
			"--force",
			names.data);
	return 0;
}

/* ---- the steps ---- */

static int patch(struct leave *l, const struct kind *k, const json_t *object, json_t *change,
	struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *owned = change;
	CLEANUP(mem_free_ptr) char *body = json_encode_string(owned);
	client_path(k, namespace_of(object), name_of(object), &path);
	return client_request(l->client, "PATCH", path.data, "application/merge-patch+json", body,
		NULL, e);
}

/* What is gone is a success. */
static int remove_object(struct leave *l, const struct kind *k, const char *namespace,
	const char *name, bool at_once, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	client_path(k, namespace, name, &path);
	buf_append_string(&path, "?propagationPolicy=Background");
	if (at_once)
		buf_append_string(&path, "&gracePeriodSeconds=0");
	int r = client_request(l->client, "DELETE", path.data, NULL, NULL, NULL, e);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int cordon(struct leave *l, struct err *e)
{
	CLEANUP(json_done) json_t *node = json_pack("{s:{s:s}}", "metadata", "name", l->node);
	return patch(l, &kind_node, node, json_pack("{s:{s:b}}", "spec", "unschedulable", 1), e);
}

/* A pod that is gone needs no mark. */
static int mark_pod(struct leave *l, const json_t *pod, bool on, struct err *e)
{
	json_t *value = on ? json_string("true") : json_null();
	int r = patch(l, &kind_pod, pod,
		json_pack("{s:{s:{s:o}}}", "metadata", "annotations", ADOPT_HAND_BACK, value), e);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int mark(struct leave *l, struct err *e)
{
	size_t i;
	json_t *pod;
	int r = 0;
	json_array_foreach (l->pods, i, pod)
		if (r == 0 && container_of(pod))
			r = mark_pod(l, pod, true, e);
	return r;
}

int leave_withdraw(struct client *c, const char *node, struct err *e)
{
	struct leave l = {.client = c, .node = node};
	CLEANUP(json_done) json_t *deployments = NULL;
	size_t i, count = 0;
	json_t *pod;
	int r = look(&l, e);
	if (r == 0)
		r = list(&l, &kind_deployment, "", &deployments, e);
	json_array_foreach (l.pods, i, pod) {
		if (r < 0 || !adopt_mark_is_idle(pod, deployments))
			continue;
		r = mark_pod(&l, pod, false, e);
		count++;
	}
	if (r == 0 && count)
		printf("%zu adopted pods are no longer marked to be handed back\n", count);
	json_decref(l.pods);
	map_done(&l.held);
	return r;
}

/* Their Deployments go, or they would make pods for what is handed back. Those that were rolled out
 * have ordinary pods, and stay. */
static int delete_deployments(struct leave *l, struct err *e)
{
	CLEANUP(json_done) json_t *all = NULL;
	size_t i;
	json_t *one;
	int r = list(l, &kind_deployment, "", &all, e);
	json_array_foreach (all, i, one) {
		const char *from = json_text(one, "", "metadata", "annotations", ADOPT_FROM);
		CLEANUP(mem_free_ptr)
		char *key = mem_format("%s/%s", namespace_of(one), name_of(one));
		if (r < 0 || !str_equal(from, l->node))
			continue;
		bool half = json_at(one, "metadata", "annotations", ADOPT_UNDER_WAY) != NULL;
		if (!half && !map_has(&l->held, key)) {
			printf("deployment.apps/%s in namespace %s was rolled out: it stays, and "
			       "its "
			       "pods wait until its nodeSelector names another node\n",
				name_of(one), namespace_of(one));
			continue;
		}
		r = remove_object(l, &kind_deployment, namespace_of(one), name_of(one), false, e);
		if (r == 0)
			printf("deployment.apps/%s in namespace %s deleted: its containers go on "
			       "without it\n",
				name_of(one), namespace_of(one));
	}
	return r;
}

/* Of adopted pods only those that are over or have no owner: the others go with their Deployment.
 */
static int delete_pods(struct leave *l, bool adopted, struct err *e)
{
	size_t i;
	json_t *pod;
	int r = 0;
	json_array_foreach (l->pods, i, pod) {
		bool owned = !is_over(pod) &&
			     json_array_size(json_at(pod, "metadata", "ownerReferences")) > 0;
		if (r < 0 || adopted != (container_of(pod) != NULL) || (adopted && owned))
			continue;
		r = remove_object(l, &kind_pod, namespace_of(pod), name_of(pod), false, e);
		if (r == 0 && !adopted)
			printf("pod \"%s\" evicted\n", name_of(pod));
	}
	return r;
}

static void on_time(void *arg)
{
	loop_uv_stop(arg);
}

/* Until no such pod is on the node, or for good when the agent will not say. */
static int await(struct leave *l, const size_t *left, const char *what, struct err *e)
{
	struct loop *loop = client_loop(l->client);
	int64_t until_ms = loop_now_ms(loop) + l->timeout_s * 1000;
	struct loop_timer *timer = loop_timer_new(loop, on_time, loop);
	int r = look(l, e);
	while (r == 0 && *left > 0 && loop_now_ms(loop) < until_ms) {
		loop_timer_start(timer, LOOK_MS);
		loop_uv_run(loop);
		r = look(l, e);
	}
	loop_timer_free(timer);
	if (r == 0 && *left > 0)
		return err_set(e, ERR_TIMEOUT,
			"%zu %s are still on node \"%.60s\" after %lld s (continuo get pods -A); "
			"the "
			"node is cordoned: run the same again, with --timeout for longer, or give "
			"it up by continuo node uncordon",
			*left, what, l->node, (long long)l->timeout_s);
	return r;
}

/* The records go; whatever runs there runs on. */
static int forget_pods(struct leave *l, struct err *e)
{
	size_t i;
	json_t *pod;
	int r = 0;
	json_array_foreach (l->pods, i, pod)
		if (r == 0)
			r = remove_object(l, &kind_pod, namespace_of(pod), name_of(pod), true, e);
	return r;
}

static int hand_back(struct leave *l, struct err *e)
{
	size_t count = l->running;
	int r = delete_pods(l, true, e);
	if (r == 0)
		r = await(l, &l->adopted, "adopted pods", e);
	if (r == 0 && count)
		printf("%zu containers handed back: they run on as before\n", count);
	return r;
}

static int remove_node(struct leave *l, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	buf_append_string(&path, "/continuo/v1/nodes/");
	client_escape(&path, l->node);
	buf_append_string(&path, "/revoke");
	int r = client_request(l->client, "POST", path.data, NULL, NULL, NULL, e);
	if (r == 0)
		r = remove_object(l, &kind_node, NULL, l->node, false, e);
	if (r == 0)
		printf("node \"%s\" has left: its agent is refused from now on; end it, and remove "
		       "its state folder before it joins again\n",
			l->node);
	return r;
}

static int carry_out(struct leave *l, bool connected, struct err *e)
{
	int r = cordon(l, e);
	if (r == 0)
		r = mark(l,
			e); /* also without the agent: it may come back while they are deleted */
	if (r == 0)
		r = delete_deployments(l, e);
	if (r == 0 && connected)
		r = hand_back(l, e);
	if (r == 0 && connected)
		r = delete_pods(l, false, e);
	if (r == 0 && connected)
		r = await(l, &l->ordinary, "pods", e);
	else if (r == 0)
		r = forget_pods(l, e);
	return r < 0 ? r : remove_node(l, e);
}

static void print_plan(const struct leave *l)
{
	size_t i;
	json_t *pod;
	json_array_foreach (l->pods, i, pod)
		printf("pod %s/%s: %s\n", namespace_of(pod), name_of(pod),
			container_of(pod)
				? "handed back, its container runs on"
				: "stopped, and made anew elsewhere if its controller can");
	printf("node \"%s\": revoked and removed\n", l->node);
}

static int run(struct leave *l, struct err *e)
{
	int r = look(l, e);
	if (r < 0)
		return r;
	bool connected;
	r = check_node(l, &connected, e);
	if (r == 0)
		r = check_pods(l, e);
	if (r == 0 && l->dry_run)
		print_plan(l);
	return r < 0 || l->dry_run ? r : carry_out(l, connected, e);
}

int verb_leave(int argc, char **argv)
{
	struct leave l = {.timeout_s = 120};
	const struct cli_option options[] = {
		{0, "dry-run", CLI_FLAG, &l.dry_run, NULL, "only say what would happen"},
		{0, "force", CLI_FLAG, &l.force, NULL,
			"also pods without a controller, and when the agent is not connected"},
		{0, "timeout", CLI_NUMBER, &l.timeout_s, "SECONDS",
			"for the pods to go; default: 120"},
	};
	const struct cli_usage usage = {.synopsis = "leave NODE [options]",
		.text = "Takes a node out of the domain. Containers that were adopted are handed "
			"back: they run\n"
			"on, and the Deployments that stand for them are deleted. Other pods are "
			"stopped, and\n"
			"their controllers make them anew elsewhere. Then the node is revoked and "
			"removed:\n"
			"its agent is refused and can be ended. One that ended halfway is run "
			"again, or given up\n"
			"by `continuo node uncordon NODE`.\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &l.common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count != 1)
		r = err_set(&e, ERR_USAGE, "say which node: continuo leave NODE");
	if (r == 0 && (l.timeout_s < 0 || l.timeout_s > INT32_MAX))
		r = err_set(&e, ERR_USAGE, "--timeout: from 0 to %d seconds", INT32_MAX);
	if (r == 0)
		r = client_check_name(args.words.items[0], "node", &e);
	if (r == 0) {
		l.node = args.words.items[0];
		r = client_new(&l.common, &l.client, &e);
	}
	if (r == 0)
		r = run(&l, &e);
	json_decref(l.pods);
	map_done(&l.held);
	client_free(l.client);
	return r < 0 ? cli_fail(&e) : 0;
}

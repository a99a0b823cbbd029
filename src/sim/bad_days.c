/*
 * Bad days. A pod's life is: its Deployment is made, it runs, it is deleted and replaced, its
 * Deployment is deleted. Day after day one role is killed at one step of such a life, a step being
 * a line of the trace that names the pod; after each day all is as it was: nothing leaks, nothing
 * ran twice, nothing is forgotten.
 *
 * Roles in turn: the agent, the container (as when its monitor takes it along), the fence, the
 * server, the node's power. Lives in turn: a plain pod, a handover, a keep singleton.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

#define BOUND_US INT64_C(180000000)
#define LOOK_US INT64_C(100000)
#define DOWN_US INT64_C(1500000)

enum role { ROLE_AGENT, ROLE_CONTAINER, ROLE_FENCE, ROLE_SERVER, ROLE_POWER, ROLES };
static const char *const role_names[] = {"agent", "container", "fence", "server", "power"};

struct day {
	struct sim_cluster *cluster;
	struct sim_loop *loop;
	struct http_client *client;
	int number;
	enum role role;
	uint64_t step; /* the line at which it happens */
	bool killed;
	bool busy;
	int status;           /* of the last answer; 0: there was none */
	struct sim_node *off; /* what is down, until back_us */
	bool server_off;
	int64_t back_us;
	char app[16];
	char why[200]; /* it is not at rest */
	size_t files;  /* on all nodes, before the first day */
};

/* ---- the blow ---- */

static void find_pod(struct day *d, char ret_uid[static 64], struct sim_node **ret_node)
{
	struct sim_cluster *c = d->cluster;
	char prefix[OBJECT_KEY_MAX];
	struct store_list pods;
	*ret_uid = '\0';
	*ret_node = &c->nodes[0];
	object_prefix(&kind_pod, NULL, prefix);
	if (!c->server.store || store_list(c->server.store, prefix, NULL, 0, 0, &pods, NULL) < 0)
		return;
	for (size_t i = 0; i < pods.count; i++) {
		const struct object *o = pods.objects[i];
		if (!str_equal(object_label(o, "app"), d->app))
			continue;
		(void)str_copy(ret_uid, 64, o->uid);
		for (int k = 0; k < c->node_count; k++)
			if (str_equal(c->nodes[k].machine->name, o->node))
				*ret_node = &c->nodes[k];
	}
	store_list_done(&pods);
}

static void strike(struct day *d)
{
	char uid[64];
	struct sim_node *n;
	struct sim_world *w = d->cluster->world;
	find_pod(d, uid, &n);
	sim_trace_line(&w->trace, w->now_us, "day %d: %s of %s at step %llu", d->number,
		role_names[d->role], n->machine->name, (unsigned long long)d->step);
	d->killed = true;
	d->back_us = w->now_us + DOWN_US;
	if (d->role == ROLE_CONTAINER) {
		(void)sim_engine_kill_pod(&n->engine, uid);
	} else if (d->role == ROLE_FENCE) {
		(void)sim_fence_kill_one(n, 0);
	} else if (d->role == ROLE_SERVER) {
		sim_server_kill(d->cluster, d->number % 2);
		d->server_off = true;
	} else {
		sim_node_kill(n, d->role == ROLE_POWER);
		d->off = n;
	}
}

static void bring_back(struct day *d)
{
	if (d->off)
		sim_node_start(d->off);
	if (d->server_off)
		sim_server_start(d->cluster);
	d->off = NULL;
	d->server_off = false;
}

/* Time goes on until the bound, or until something is so. */
static bool await(struct day *d, bool (*is_so)(struct day *d), const char *what)
{
	struct sim_cluster *c = d->cluster;
	struct sim_world *w = c->world;
	int64_t bound_us = w->now_us + BOUND_US, look_us = w->now_us + LOOK_US;
	while (!*c->violation && w->now_us < bound_us) {
		if (!sim_step(c, look_us)) {
			look_us += LOOK_US;
			if (is_so(d))
				return true;
		}
		if (!d->killed && w->trace.seen >= d->step)
			strike(d);
		if ((d->off || d->server_off) && w->now_us >= d->back_us)
			bring_back(d);
	}
	sim_checks_tell(c->checks);
	sim_violation(c, "day %d (%s killed at step %llu): %s: %s", d->number, role_names[d->role],
		(unsigned long long)d->step, what, d->why);
	return false;
}

/* ---- a life ---- */

static bool was_answered(struct day *d)
{
	return !d->busy;
}

static bool is_at_rest(struct day *d)
{
	return !d->off && !d->server_off &&
	       sim_checks_converged(d->cluster->checks, d->why, sizeof(d->why));
}

static void on_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	struct day *d = arg;
	(void)body, (void)size;
	d->busy = false;
	d->status = e ? 0 : status;
}

/* Again and again until there is an answer that is one of two. */
static void ask(struct day *d, const char *method, const char *path, json_t *tree, int well, int or)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT;
	if (tree)
		json_encode(tree, &body);
	json_decref(tree);
	struct http_call_spec spec = {.method = method,
		.path = path,
		.content_type = "application/json",
		.body = body.data,
		.body_size = body.size,
		.timeout_ms = 3000};
	for (d->status = 0; d->status != well && d->status != or &&!*d->cluster->violation;) {
		struct sim_world *w = d->cluster->world;
		sim_trace_line(&w->trace, w->now_us, "%s %s", method, path);
		d->busy = true;
		http_fetch(d->client, &spec, on_answer, d);
		if (!await(d, was_answered, "a request has no answer"))
			return;
	}
}

static void make(struct day *d)
{
	static const char *const modes[] = {"", "handover", "keep"};
	const char *mode = modes[d->role == ROLE_FENCE ? 1 : d->number / ROLES % 3];
	json_t *metadata = json_pack("{s:{s:s}}", "labels", "app", d->app);
	if (*mode)
		json_object_set_new(metadata, "annotations",
			json_pack("{s:s}", "continuo.dev/singleton", mode));
	json_t *template = json_pack("{s:o, s:{s:i, s:[{s:s, s:s, s:[s,s,s]}]}}", "metadata",
		metadata, "spec", "terminationGracePeriodSeconds", 3, "containers", "name", "main",
		"image", "sim:1", "command", "sh", "-c", "echo here; serve");
	json_t *tree = json_pack("{s:s, s:s, s:{s:s}, s:{s:i, s:{s:{s:s}}, s:o}}", "apiVersion",
		"apps/v1", "kind", "Deployment", "metadata", "name", d->app, "spec", "replicas", 1,
		"selector", "matchLabels", "app", d->app, "template", template);
	ask(d, "POST", "/apis/apps/v1/namespaces/default/deployments", tree, 201, 409);
}

static void delete_pod(struct day *d)
{
	char uid[64], prefix[OBJECT_KEY_MAX], path[300] = "";
	struct sim_node *n;
	struct store_list pods;
	find_pod(d, uid, &n);
	object_prefix(&kind_pod, NULL, prefix);
	if (!d->cluster->server.store ||
		store_list(d->cluster->server.store, prefix, NULL, 0, 0, &pods, NULL) < 0)
		return;
	for (size_t i = 0; i < pods.count; i++)
		if (str_equal(pods.objects[i]->uid, uid))
			snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%.200s",
				pods.objects[i]->name);
	store_list_done(&pods);
	if (*path)
		ask(d, "DELETE", path, NULL, 200, 404);
}

static size_t count_files(const struct sim_cluster *c)
{
	size_t count = 0;
	for (int i = 0; i < c->node_count; i++) {
		const struct sim_disk *disk = c->nodes[i].machine->disk;
		for (size_t k = 0; k < disk->files.count; k++)
			count += !disk->files.items[k]->removed && !disk->files.items[k]->folder;
	}
	return count;
}

/* Ended pods, of which the store tells for a while, are gone with their Deployment. */
static bool is_over(struct day *d)
{
	char uid[64];
	struct sim_node *n;
	if (!is_at_rest(d))
		return false;
	find_pod(d, uid, &n);
	return !*uid && !server_ending_leases(d->cluster->server.server) &&
	       (!d->files || count_files(d->cluster) <= d->files);
}

static void live(struct day *d)
{
	struct sim_world *w = d->cluster->world;
	char path[128];
	snprintf(d->app, sizeof(d->app), "day-%d", d->number);
	w->trace.watched = d->app;
	w->trace.seen = 0;
	d->killed = d->number == 0;
	make(d);
	await(d, is_at_rest, "its pod does not run");
	delete_pod(d);
	await(d, is_at_rest, "its pod is not replaced");
	snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/default/deployments/%s", d->app);
	ask(d, "DELETE", path, NULL, 200, 404);
	await(d, is_over, "something of it is left");
	if (!d->killed) { /* its life had fewer steps */
		strike(d);
		await(d, is_over, "something of it is left");
	}
	w->trace.watched = NULL;
}

static struct stream *connect_server(void *context)
{
	struct day *d = context;
	return loop_connect(&d->loop->loop, SIM_SERVER_ADDRESS);
}

void sim_bad_days(struct sim_cluster *c, int count)
{
	struct day d = {.cluster = c, .loop = sim_loop_new(c->client, "days")};
	struct http_connector connector = {
		.connect = connect_server, .context = &d, .authority = SIM_SERVER_ADDRESS};
	d.client = http_client_new(&d.loop->loop, &connector, 1);
	sim_work(c, true);
	sim_run_until(c, c->world->now_us + INT64_C(5000000));
	live(&d); /* a good one: after it, all there will ever be on disks is there */
	d.files = count_files(c);
	for (int i = 0; i < count && !*c->violation; i++) {
		d.number = i + 1;
		d.role = (enum role)(i % ROLES);
		d.step = (uint64_t)(i / ROLES) + 1;
		live(&d);
	}
	sim_loop_kill(d.loop, false);
	http_client_free(d.client);
	sim_loop_free(d.loop);
}

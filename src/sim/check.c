/*
 * The invariants. They look at the truth directly: at the server's store and at the engines of the
 * nodes, not at what the API says.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

struct placed {                         /* a pod, by uid */
	char *node;                     /* where the store says it is; null: nowhere yet */
	const struct sim_node *runs_on; /* whose engine has it; null: none */
	uint64_t began;                 /* how often a container of it did */
};

struct capacity { /* of a node, as its object said at a revision */
	int64_t revision;
	int64_t cpu_milli, memory_bytes, pods;
};

struct sim_checks {
	struct sim_cluster *cluster;
	struct map pods;    /* uid -> struct placed */
	struct map nodes;   /* name -> struct capacity */
	struct map lost;    /* name -> "": nodes whose pods were given up */
	int64_t nodes_seen; /* the highest revision of a node that was looked at */
	uint64_t evictions;
	int64_t revision; /* of the store that was checked last */
};

static void free_placed(void *value)
{
	free(((struct placed *)value)->node);
	free(value);
}

struct sim_checks *sim_checks_new(struct sim_cluster *c)
{
	struct sim_checks *k = mem_new(struct sim_checks);
	k->cluster = c;
	map_init(&k->pods, free_placed);
	map_init(&k->nodes, free);
	map_init(&k->lost, NULL);
	return k;
}

void sim_checks_free(struct sim_checks *k)
{
	map_done(&k->pods);
	map_done(&k->nodes);
	map_done(&k->lost);
	free(k);
}

static struct placed *placed_of(struct sim_checks *k, const char *uid)
{
	struct placed *p = map_get(&k->pods, uid);
	if (!p) {
		p = mem_new(struct placed);
		map_put(&k->pods, uid, p);
	}
	return p;
}

/* ---- what engines do ---- */

void sim_checks_started(struct sim_checks *k, const struct sim_node *n, const char *uid)
{
	struct placed *p = placed_of(k, uid);
	if (p->runs_on && p->runs_on != n)
		sim_violation(k->cluster, "pod %s is started on %s and still runs on %s", uid,
			n->machine->name, p->runs_on->machine->name);
	p->runs_on = n;
}

void sim_checks_gone(struct sim_checks *k, const struct sim_node *n, const char *uid)
{
	struct placed *p = placed_of(k, uid);
	if (p->runs_on == n)
		p->runs_on = NULL;
}

void sim_checks_began(struct sim_checks *k, const char *uid)
{
	placed_of(k, uid)->began++;
}

uint64_t sim_checks_runs(struct sim_checks *k, const char *uid)
{
	return placed_of(k, uid)->began;
}

void sim_checks_power_lost(struct sim_checks *k, const struct sim_node *n)
{
	MAP_EACH (&k->pods, entry) {
		struct placed *p = entry->value;
		if (p->runs_on == n)
			p->runs_on = NULL;
	}
}

/* Whether nothing but these may happen. Stories have faults of their own. */
static bool only(const struct sim_cluster *c, unsigned faults)
{
	return !c->config->story && !(c->config->faults & ~faults);
}

/* ---- Secrets ---- */

static bool has_secret(const void *data, size_t size)
{
	return memmem(data, size, SIM_SECRET_TEXT, strlen(SIM_SECRET_TEXT)) ||
	       memmem(data, size, SIM_SECRET_BASE64, strlen(SIM_SECRET_BASE64));
}

static void on_write(void *arg, const struct sim_file *f, const void *data, size_t size)
{
	struct sim_checks *k = arg;
	if (has_secret(data, size))
		sim_violation(k->cluster, "the text of a Secret is written to %s", f->path);
}

void sim_checks_watch(struct sim_checks *k, struct sim_machine *m)
{
	m->disk->watch = on_write;
	m->disk->watch_arg = k;
}

void sim_checks_log(struct sim_checks *k, const struct sim_machine *m, const char *line)
{
	bool calm = only(k->cluster, SIM_FAULT_CLOCK | SIM_FAULT_DRIFT);
	if (has_secret(line, strlen(line)))
		sim_violation(k->cluster, "the text of a Secret is in a log of %s", m->name);
	if (calm && strstr(line, "event=session_ended"))
		sim_violation(k->cluster, "nothing but clocks was wrong and still: %.200s", line);
}

/* ---- what the store says ---- */

static int64_t quantity(const json_t *allocatable, const char *name, bool milli)
{
	const char *text = json_text(allocatable, "0", name);
	int64_t number = 0;
	int r = milli ? quantity_milli(text, &number, NULL) : quantity_units(text, &number, NULL);
	return r < 0 ? 0 : number;
}

static struct capacity *capacity_of(struct sim_checks *k, const struct store *s, const char *node)
{
	char key[OBJECT_KEY_MAX];
	if (object_key_of(&kind_node, "", node, key, NULL) < 0)
		return NULL;
	CLEANUP(object_done) struct object *o = store_get(s, key);
	if (!o)
		return NULL;
	struct capacity *c = map_get(&k->nodes, node);
	if (!c) {
		c = mem_new(struct capacity);
		map_put(&k->nodes, node, c);
	}
	if (c->revision != o->revision) {
		json_t *tree = object_tree(o);
		const json_t *allocatable = json_at(tree, "status", "allocatable");
		*c = (struct capacity){.revision = o->revision,
			.cpu_milli = quantity(allocatable, "cpu", true),
			.memory_bytes = quantity(allocatable, "memory", false),
			.pods = quantity(allocatable, "pods", false)};
		json_decref(tree);
	}
	return c;
}

static bool over(const struct object *pod)
{
	return strcmp(pod->phase, "Succeeded") == 0 || strcmp(pod->phase, "Failed") == 0;
}

struct usage {
	int64_t cpu_milli, memory_bytes, pods;
};

static void check_node(struct sim_checks *k, const struct store *s, const char *name,
	const struct usage *used)
{
	const struct capacity *c = capacity_of(k, s, name);
	if (c && (used->cpu_milli > c->cpu_milli || used->memory_bytes > c->memory_bytes ||
			 used->pods > c->pods))
		sim_violation(k->cluster,
			"%s is overcommitted: %" PRId64 "m of %" PRId64 "m, %" PRId64 " of %" PRId64
			" bytes, %" PRId64 " of %" PRId64 " pods",
			name, used->cpu_milli, c->cpu_milli, used->memory_bytes, c->memory_bytes,
			used->pods, c->pods);
}

static void check_nodes(struct sim_checks *k, const struct store *s, const struct store_list *pods)
{
	struct map nodes;
	map_init(&nodes, free);
	for (size_t i = 0; i < pods->count; i++) {
		const struct object *pod = pods->objects[i];
		if (!*pod->node || over(pod))
			continue;
		struct usage *used = map_get(&nodes, pod->node);
		if (!used)
			map_put(&nodes, pod->node, used = mem_new(struct usage));
		used->cpu_milli += pod->cpu_milli;
		used->memory_bytes += pod->memory_bytes;
		used->pods++;
	}
	MAP_EACH (&nodes, entry)
		check_node(k, s, entry->key, entry->value);
	map_done(&nodes);
}

static void check_binding(struct sim_checks *k, const struct object *pod)
{
	if (!*pod->node)
		return;
	struct placed *p = placed_of(k, pod->uid);
	if (!p->node)
		p->node = mem_dup_string(pod->node);
	else if (strcmp(p->node, pod->node) != 0)
		sim_violation(k->cluster, "pod %s/%s moved from %s to %s", pod->namespace,
			pod->name, p->node, pod->node);
}

static void list_all(const struct store *s, const struct kind *kind, struct store_list *ret_list)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(kind, NULL, prefix);
	if (store_list(s, prefix, NULL, 0, 0, ret_list, NULL) < 0)
		abort();
}

/* ---- nodes that are given up ---- */

/* Thirty seconds, by a clock that runs as fast as it may. */
static int64_t blind_us(const struct sim_cluster *c)
{
	return INT64_C(30000000000000) / (1000000 + sim_drift_ppm(c)) - 10000;
}

static void check_eviction(struct sim_checks *k, const struct object *node, bool inherited,
	size_t lost, size_t all)
{
	struct sim_cluster *c = k->cluster;
	bool given_up = strstr(node->blob, "\"effect\":\"NoExecute\"");
	if (given_up == map_has(&k->lost, node->name))
		return;
	if (!given_up) {
		map_remove(&k->lost, node->name);
		return;
	}
	map_put(&k->lost, node->name, "");
	if (inherited) /* the server that did it died before it knew that it had */
		return;
	k->evictions++;
	sim_trace_line(&c->world->trace, c->world->now_us, "%s is given up", node->name);
	if (c->world->now_us - c->server.started_us < blind_us(c))
		sim_violation(c, "%s is given up by a server that began lately", node->name);
	if (2 * lost >= all)
		sim_violation(c, "%s is given up while %zu of %zu nodes are lost", node->name, lost,
			all);
	if (only(c, SIM_FAULT_BLACKOUT | SIM_FAULT_CLOCK | SIM_FAULT_DRIFT))
		sim_violation(c, "%s is given up though it was away for 3 s only", node->name);
}

static void check_evictions(struct sim_checks *k, const struct store *s, bool inherited)
{
	struct store_list nodes;
	size_t lost = 0;
	list_all(s, &kind_node, &nodes);
	for (size_t i = 0; i < nodes.count; i++)
		lost += !nodes.objects[i]->ready;
	int64_t seen = inherited ? 0 : k->nodes_seen;
	for (size_t i = 0; i < nodes.count; i++) {
		const struct object *node = nodes.objects[i];
		if (node->revision > seen)
			check_eviction(k, node, inherited, lost, nodes.count);
		if (node->revision > k->nodes_seen)
			k->nodes_seen = node->revision;
	}
	store_list_done(&nodes);
}

uint64_t sim_checks_evictions(const struct sim_checks *k)
{
	return k->evictions;
}

void sim_checks_step(struct sim_checks *k)
{
	struct sim_server *x = &k->cluster->server;
	if (k->cluster->world->spins)
		sim_violation(k->cluster, "a timer of process %s chases itself",
			k->cluster->world->spins);
	if (!x->store || store_revision(x->store) == x->checked_revision)
		return;
	bool began = x->checked_revision == 0;
	x->checked_revision = store_revision(x->store);
	if (x->checked_revision < k->revision)
		sim_violation(k->cluster,
			"the store went back from revision %" PRId64 " to %" PRId64, k->revision,
			x->checked_revision);
	k->revision = x->checked_revision;
	sim_trace_line(&k->cluster->world->trace, k->cluster->world->now_us, "revision %" PRId64,
		k->revision);
	sim_workload_check(k->cluster->workload);
	struct store_list pods;
	list_all(x->store, &kind_pod, &pods);
	for (size_t i = 0; i < pods.count; i++)
		check_binding(k, pods.objects[i]);
	check_nodes(k, x->store, &pods);
	sim_singletons_check(k->cluster->singletons, &pods);
	store_list_done(&pods);
	check_evictions(k, x->store, began);
}

/* ---- convergence ---- */

struct running {
	struct sim_node *node;
	const struct store_list *pods;
	size_t found, held;
	char stray[128]; /* a pod that runs and that the store does not know there */
};

static void count_running(void *arg, const struct driver_state *state)
{
	struct running *r = arg;
	r->held++;
	for (size_t i = 0; i < r->pods->count; i++) {
		const struct object *pod = r->pods->objects[i];
		if (strcmp(pod->uid, state->uid) == 0 &&
			strcmp(pod->node, r->node->machine->name) == 0) {
			r->found += state->containers_ready;
			return;
		}
	}
	(void)str_copy(r->stray, sizeof(r->stray), state->name);
}

/* Those that ended, such as fenced ones, stay for people to see; nothing of them runs. */
static void drop_over(struct store_list *pods)
{
	size_t kept = 0;
	for (size_t i = 0; i < pods->count; i++)
		if (over(pods->objects[i]))
			object_unref(pods->objects[i]);
		else
			pods->objects[kept++] = pods->objects[i];
	pods->count = kept;
}

static bool fences_agree(struct sim_cluster *c, const struct store_list *pods, char *ret_why,
	size_t size)
{
	for (int i = 0; i < c->node_count; i++) {
		const char *name = c->nodes[i].machine->name;
		size_t wanted = 0, found = sim_fences_count(&c->nodes[i]);
		for (size_t k = 0; k < pods->count; k++)
			wanted += strcmp(pods->objects[k]->node, name) == 0 &&
				  strstr(pods->objects[k]->blob, "singleton\":\"handover\"");
		if (found == wanted)
			continue;
		snprintf(ret_why, size, "%s has %zu fences for %zu pods", name, found, wanted);
		return false;
	}
	return true;
}

static bool engines_agree(struct sim_cluster *c, const struct store_list *pods, char *ret_why,
	size_t size)
{
	size_t found = 0;
	for (int i = 0; i < c->node_count; i++) {
		struct running r = {.node = &c->nodes[i], .pods = pods};
		sim_engine_each(&c->nodes[i].engine, count_running, &r);
		found += r.found;
		if (r.held != c->nodes[i].addresses.count) {
			snprintf(ret_why, size, "%s has %zu addresses for %zu pods",
				c->nodes[i].machine->name, c->nodes[i].addresses.count, r.held);
			return false;
		}
		if (*r.stray) {
			snprintf(ret_why, size, "%s runs %s, which the store does not place there",
				c->nodes[i].machine->name, r.stray);
			return false;
		}
	}
	if (found != pods->count)
		snprintf(ret_why, size, "%zu pods are wanted and %zu run", pods->count, found);
	return found == pods->count;
}

static bool owned_by(const struct object *pod, const struct store_list *sets, const char *uid)
{
	for (size_t i = 0; i < sets->count; i++)
		if (strcmp(sets->objects[i]->uid, pod->owner_uid) == 0)
			return strcmp(sets->objects[i]->owner_uid, uid) == 0;
	return false;
}

static bool deployment_done(const struct object *deployment, const struct store_list *sets,
	const struct store_list *pods, size_t *wanted_pods, char *ret_why, size_t size)
{
	json_t *tree = object_tree(deployment);
	int64_t wanted = json_int(tree, 1, "spec", "replicas"), ready = 0;
	json_decref(tree);
	*wanted_pods += (size_t)wanted;
	for (size_t i = 0; i < pods->count; i++)
		if (owned_by(pods->objects[i], sets, deployment->uid))
			ready += pods->objects[i]->ready && pods->objects[i]->deletion_ms == 0;
	if (ready != wanted)
		snprintf(ret_why, size, "%s has %" PRId64 " of %" PRId64 " replicas ready",
			deployment->name, ready, wanted);
	return ready == wanted;
}

bool sim_checks_converged(struct sim_checks *k, char *ret_why, size_t size)
{
	struct sim_cluster *c = k->cluster;
	if (!c->server.store || !server_ready(c->server.server)) {
		snprintf(ret_why, size, "the server is not ready");
		return false;
	}
	if (server_has_calls(c->server.server)) {
		snprintf(ret_why, size, "the server has calls that nobody made");
		return false;
	}
	for (int i = 0; i < c->node_count; i++) {
		if (!c->nodes[i].agent || !agent_connected(c->nodes[i].agent)) {
			snprintf(ret_why, size, "%s is not connected", c->nodes[i].machine->name);
			return false;
		}
		if (agent_open_calls(c->nodes[i].agent)) {
			snprintf(ret_why, size, "%s has calls that nobody made",
				c->nodes[i].machine->name);
			return false;
		}
	}
	struct store_list deployments, sets, pods;
	list_all(c->server.store, &kind_deployment, &deployments);
	list_all(c->server.store, &kind_replicaset, &sets);
	list_all(c->server.store, &kind_pod, &pods);
	drop_over(&pods);
	size_t wanted = 0;
	bool done = true;
	for (size_t i = 0; i < deployments.count && done; i++)
		done = deployment_done(deployments.objects[i], &sets, &pods, &wanted, ret_why,
			size);
	if (done && pods.count != wanted) {
		snprintf(ret_why, size, "%zu pods are wanted and the store has %zu", wanted,
			pods.count);
		done = false;
	}
	done = done && engines_agree(c, &pods, ret_why, size) &&
	       fences_agree(c, &pods, ret_why, size);
	store_list_done(&deployments);
	store_list_done(&sets);
	store_list_done(&pods);
	return done;
}

void sim_checks_forget_store(struct sim_checks *k)
{
	k->revision = k->nodes_seen = 0;
	map_done(&k->nodes);
	map_done(&k->lost);
	map_init(&k->nodes, free);
	map_init(&k->lost, NULL);
}

void sim_checks_tell(struct sim_checks *k)
{
	struct sim_world *w = k->cluster->world;
	struct store_list pods;
	if (!k->cluster->server.store)
		return;
	list_all(k->cluster->server.store, &kind_pod, &pods);
	for (size_t i = 0; i < pods.count; i++) {
		const struct object *o = pods.objects[i];
		sim_trace_line(&w->trace, w->now_us, "stored %s %s on \"%s\" %s%s%s", o->name,
			o->uid, o->node, o->phase, o->ready ? " ready" : "",
			o->deletion_ms ? " deleted" : "");
	}
	store_list_done(&pods);
}

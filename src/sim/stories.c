/*
 * Stories: what happens is told, and chance has only the delays. Each ends with everything at rest,
 * and says a violation where more happened than had to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

#define SECOND_US INT64_C(1000000)

static void run_for(struct sim_cluster *c, int64_t seconds)
{
	sim_run_until(c, c->world->now_us + seconds * SECOND_US);
}

static void note(struct sim_cluster *c, const char *what)
{
	sim_trace_line(&c->world->trace, c->world->now_us, "story: %s", what);
}

/* Cuts those that are inside off from all others, or joins them again. */
static void cut(struct sim_cluster *c, bool (*inside)(const struct sim_node *n), int change)
{
	struct sim_machine *server = c->server.machine;
	c->troubles++;
	for (int i = 0; i < c->node_count; i++) {
		const struct sim_node *n = &c->nodes[i];
		if (!inside(n))
			continue;
		sim_link(c->world, n->machine, server)->cuts += change;
		for (int k = 0; k < c->node_count; k++)
			if (!inside(&c->nodes[k]))
				sim_link(c->world, n->machine, c->nodes[k].machine)->cuts += change;
	}
}

static void list_pods(struct sim_cluster *c, struct store_list *ret_pods)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(&kind_pod, NULL, prefix);
	if (!c->server.store || store_list(c->server.store, prefix, NULL, 0, 0, ret_pods, NULL) < 0)
		abort();
}

/* ---- what ran before, and has to run on ---- */

struct life {
	uint64_t runs; /* containers of the pod that began so far */
	char node[64];
	bool leased; /* a handover pod: it ends when its node is cut off for long */
};

static void note_lives(struct sim_cluster *c, struct map *ret_lives)
{
	struct store_list pods;
	map_init(ret_lives, free);
	list_pods(c, &pods);
	for (size_t i = 0; i < pods.count; i++) {
		if (!pods.objects[i]->ready)
			continue;
		struct life *life = mem_new(struct life);
		life->runs = sim_checks_runs(c->checks, pods.objects[i]->uid);
		life->leased = sim_singletons_leased(c->singletons, pods.objects[i]->uid);
		(void)str_copy(life->node, sizeof(life->node), pods.objects[i]->node);
		map_put(ret_lives, pods.objects[i]->uid, life);
	}
	store_list_done(&pods);
}

static bool is_there(struct sim_cluster *c, const char *uid)
{
	struct store_list pods;
	bool found = false;
	list_pods(c, &pods);
	for (size_t i = 0; i < pods.count; i++)
		found = found || strcmp(pods.objects[i]->uid, uid) == 0;
	store_list_done(&pods);
	return found;
}

static bool has_changed(struct sim_cluster *c, const char *uid, const struct life *life)
{
	return !is_there(c, uid) || sim_checks_runs(c->checks, uid) != life->runs;
}

/* None of them may have begun again, or be gone; but for those on one node, or under a lease. */
static void check_lives(struct sim_cluster *c, struct map *lives, const char *but_on, bool leased)
{
	if (*c->violation)
		return;
	MAP_EACH (lives, entry) {
		const struct life *life = entry->value;
		if (str_equal(life->node, but_on) || (life->leased && !leased) ||
			!has_changed(c, entry->key, life))
			continue;
		sim_violation(c, "pod %s was healthy on %s and is gone or began anew", entry->key,
			life->node);
	}
}

/* ---- half of all nodes are gone for a minute ---- */

/* Two iot nodes among them, of which a server learns late that they are gone. */
static bool is_of_the_half(const struct sim_node *n)
{
	static const bool gone[10] = {[1] = true, [2] = true, [4] = true, [6] = true, [9] = true};
	return gone[(n->machine->index - 1) % 10];
}

static void expect_no_evictions(struct sim_cluster *c)
{
	if (sim_checks_evictions(c->checks))
		sim_violation(c, "%" PRIu64 " nodes were given up",
			sim_checks_evictions(c->checks));
}

static void half(struct sim_cluster *c)
{
	struct map lives;
	sim_work(c, false);
	run_for(c, 90);
	sim_work(c, true);
	sim_converge(c);
	if (*c->violation)
		return;
	note_lives(c, &lives);
	note(c, "half of all nodes are gone");
	cut(c, is_of_the_half, 1);
	run_for(c, 60);
	note(c, "they are back");
	cut(c, is_of_the_half, -1);
	sim_converge(c);
	expect_no_evictions(c);
	check_lives(c, &lives, NULL, false);
	map_done(&lives);
}

/* ---- the server dies and comes back ---- */

static void storm(struct sim_cluster *c)
{
	struct map lives;
	sim_work(c, false);
	run_for(c, 20);
	sim_work(c, true);
	sim_converge(c);
	if (*c->violation)
		return;
	note_lives(c, &lives);
	note(c, "the server dies");
	sim_server_kill(c, false);
	run_for(c, 3);
	sim_server_start(c);
	run_for(c, 40);
	sim_converge(c);
	expect_no_evictions(c);
	check_lives(c, &lives, NULL, true);
	map_done(&lives);
}

/* ---- a site without its server ---- */

#define SITE "topology.kubernetes.io/zone=site-1"

static bool is_on_island(const struct sim_node *n)
{
	return strcmp(n->zone, SITE) == 0;
}

static struct sim_node *busiest_on_island(struct sim_cluster *c, struct map *lives)
{
	struct sim_node *found = NULL;
	size_t most = 0;
	for (int i = 0; i < c->node_count; i++) {
		size_t count = 0;
		MAP_EACH (lives, entry)
			count += str_equal(((const struct life *)entry->value)->node,
				c->nodes[i].machine->name);
		if (is_on_island(&c->nodes[i]) && (!found || count > most)) {
			found = &c->nodes[i];
			most = count;
		}
	}
	return found;
}

static void count_ready(void *arg, const struct driver_state *state)
{
	*(size_t *)arg += state->containers_ready;
}

/* Its memory is gone and its disk is not; nobody but its neighbours is there. All that may run
 * without a lease runs again. */
static void reboot(struct sim_cluster *c, struct sim_node *n, struct map *lives)
{
	size_t wanted = 0, ready = 0;
	MAP_EACH (lives, entry)
		wanted += str_equal(((const struct life *)entry->value)->node, n->machine->name) &&
			  !((const struct life *)entry->value)->leased;
	sim_node_kill(n, true);
	run_for(c, 10);
	sim_node_start(n);
	run_for(c, 60);
	sim_engine_each(&n->engine, count_ready, &ready);
	if (ready != wanted)
		sim_violation(c, "%s runs %zu pods after its boot on the island, not %zu",
			n->machine->name, ready, wanted);
}

static void island(struct sim_cluster *c)
{
	struct map lives;
	sim_work(c, false);
	run_for(c, 90);
	sim_work(c, true);
	sim_converge(c);
	if (*c->violation)
		return;
	note_lives(c, &lives);
	struct sim_node *n = busiest_on_island(c, &lives);
	note(c, "the site is cut off");
	cut(c, is_on_island, 1);
	run_for(c, 600);
	if (n)
		reboot(c, n, &lives);
	note(c, "it is joined again");
	cut(c, is_on_island, -1);
	sim_converge(c);
	expect_no_evictions(c);
	check_lives(c, &lives, n ? n->machine->name : NULL, false);
	map_done(&lives);
}

/* ---- the server comes back with an old copy ---- */

static void restore(struct sim_cluster *c)
{
	struct map lives;
	sim_work(c, false);
	run_for(c, 90);
	sim_work(c, true);
	sim_converge(c);
	if (*c->violation)
		return;
	note_lives(c, &lives);
	struct sim_disk *copy = sim_disk_copy(c->server.machine->disk);
	/* Work goes on: the copy knows pods that are gone by then, and none of the newest. */
	sim_workload_pause(c->workload, false);
	sim_singletons_pause(c->singletons, false);
	run_for(c, 60);
	sim_work(c, true);
	sim_converge(c);
	MAP_EACH (&lives, entry)
		if (has_changed(c, entry->key, entry->value))
			(void)map_remove(&lives, entry->key);
	note(c, "the server's disk is an old copy");
	sim_server_kill(c, true);
	sim_disk_take(c->server.machine->disk, copy);
	sim_checks_forget_store(c->checks);
	sim_singletons_forget_store(c->singletons);
	run_for(c, 2);
	sim_server_start(c);
	sim_workload_forget(c->workload);
	sim_converge(c);
	if (!lives.count)
		sim_violation(c, "nothing that the copy knows was left to run on");
	check_lives(c, &lives, NULL, true);
	map_done(&lives);
}

void sim_story_run(struct sim_cluster *c, enum sim_story story)
{
	switch (story) {
	case SIM_STORY_HALF:
		half(c);
		break;
	case SIM_STORY_STORM:
		storm(c);
		break;
	case SIM_STORY_ISLAND:
		island(c);
		break;
	case SIM_STORY_RESTORE:
		restore(c);
		break;
	case SIM_STORY_BAD_DAYS:
		sim_bad_days(c, c->config->bad_days);
		break;
	case SIM_STORY_APPLICATION:
		sim_application_story(c);
		break;
	case SIM_STORY_NONE:
		break;
	}
}

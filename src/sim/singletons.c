/*
 * Deployments of one pod with annotation continuo.dev/singleton: some handover, some keep. A client
 * deletes their pods, rolls them out, scales them to none and back. Whatever happens:
 *
 *   never do two pods of one Deployment run at once: the truth of engines, at every moment
 *   no pod is taken out of the store while it runs
 *   a keep pod is not taken out before it is confirmed that it is gone: its engine said so, or its
 *   machine has started anew
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

#define HANDOVER 3
#define KEEP 2
#define SLOTS (HANDOVER + KEEP)
#define REQUEST_TIMEOUT_MS 10000

struct single { /* a pod that was started somewhere, by uid */
	int slot;
	const struct sim_node *node;
	int running; /* containers */
	bool confirmed, in_store;
	bool unknown; /* a keep pod that the restored store lacks: the server cannot know of it */
};

struct slot {
	struct sim_singletons *singletons;
	char name[16];
	bool made; /* its Deployment is there */
	bool busy;
	const struct sim_node *node; /* where its last pod was started */
};

struct sim_singletons {
	struct sim_cluster *cluster;
	struct sim_loop *loop;
	struct http_client *client;
	struct loop_timer *timer;
	struct rand rand;
	bool paused, restored;
	uint64_t rolls, moves;
	struct map pods; /* uid -> struct single */
	struct slot slots[SLOTS];
};

/* ---- what is asked for ---- */

static void on_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	struct slot *s = arg;
	struct sim_world *w = s->singletons->cluster->world;
	(void)body, (void)size;
	s->busy = false;
	s->made = s->made || (!e && (status == 201 || status == 409));
	sim_trace_line(&w->trace, w->now_us, "answer %s %d", s->name, status);
}

static void ask(struct slot *s, const char *method, const char *path, json_t *tree)
{
	struct sim_singletons *x = s->singletons;
	CLEANUP(buf_done) struct buf body = BUF_INIT;
	bool patch = strcmp(method, "PATCH") == 0;
	if (tree)
		json_encode(tree, &body);
	json_decref(tree);
	struct http_call_spec spec = {.method = method,
		.path = path,
		.content_type = patch ? "application/merge-patch+json" : "application/json",
		.body = body.data,
		.body_size = body.size,
		.timeout_ms = REQUEST_TIMEOUT_MS};
	s->busy = true;
	sim_trace_line(&x->cluster->world->trace, x->cluster->world->now_us, "ask %s %s", method,
		s->name);
	http_fetch(x->client, &spec, on_answer, s);
}

static void make(struct slot *s)
{
	bool handover = s < &s->singletons->slots[HANDOVER];
	json_t *template = json_pack("{s:{s:{s:s}, s:{s:s}}, s:{s:i, s:[{s:s, s:s, s:[s,s,s], "
				     "s:{s:{s:s, s:s}}}]}}",
		"metadata", "labels", "app", s->name, "annotations", "continuo.dev/singleton",
		handover ? "handover" : "keep", "spec", "terminationGracePeriodSeconds", 5,
		"containers", "name", "main", "image", "sim:1", "command", "sh", "-c",
		"echo here; serve", "resources", "requests", "cpu", "20m", "memory", "8Mi");
	json_t *tree = json_pack("{s:s, s:s, s:{s:s}, s:{s:i, s:{s:{s:s}}, s:o}}", "apiVersion",
		"apps/v1", "kind", "Deployment", "metadata", "name", s->name, "spec", "replicas", 1,
		"selector", "matchLabels", "app", s->name, "template", template);
	ask(s, "POST", "/apis/apps/v1/namespaces/default/deployments", tree);
}

static void change(struct slot *s, json_t *spec)
{
	char path[128];
	snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/default/deployments/%s", s->name);
	ask(s, "PATCH", path, json_pack("{s:o}", "spec", spec));
}

static void roll_out(struct slot *s)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)++s->singletons->rolls);
	change(s, json_pack("{s:{s:{s:{s:s}}}}", "template", "metadata", "annotations", "sim/roll",
			  text));
}

static void delete_pod(struct slot *s)
{
	char prefix[OBJECT_KEY_MAX], path[300] = "";
	struct store_list pods;
	struct store *store = s->singletons->cluster->server.store;
	object_prefix(&kind_pod, NULL, prefix);
	if (!store || store_list(store, prefix, NULL, 0, 0, &pods, NULL) < 0)
		return;
	for (size_t i = 0; i < pods.count; i++)
		if (str_equal(object_label(pods.objects[i], "app"), s->name))
			snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%.200s",
				pods.objects[i]->name);
	store_list_done(&pods);
	if (*path)
		ask(s, "DELETE", path, NULL);
}

static void on_timer(void *arg)
{
	struct sim_singletons *x = arg;
	struct slot *s = &x->slots[rand_below(&x->rand, SLOTS)];
	uint64_t what = rand_below(&x->rand, 10);
	for (int i = 0; i < SLOTS; i++)
		if (!x->slots[i].made)
			s = &x->slots[i];
	if (!x->paused && !s->busy) {
		if (!s->made)
			make(s);
		else if (what < 4)
			delete_pod(s);
		else if (what < 7)
			roll_out(s);
		else
			change(s, json_pack("{s:i}", "replicas", what == 7 ? 0 : 1));
	}
	loop_timer_start(x->timer, s->made ? rand_between(&x->rand, 3000, 30000) : 1000);
}

/* ---- what runs ---- */

static int slot_of(const struct object *pod)
{
	const char *app = object_label(pod, "app");
	return app && str_starts(app, "only-") ? app[5] - '0' : -1;
}

void sim_singletons_started(struct sim_singletons *s, const struct sim_node *n,
	const struct object *pod)
{
	int slot = slot_of(pod);
	if (slot < 0)
		return;
	struct single *x = map_get(&s->pods, pod->uid);
	if (!x) {
		x = mem_new(struct single);
		*x = (struct single){.slot = slot, .node = n};
		map_put(&s->pods, pod->uid, x);
	}
	x->confirmed = false;
	s->moves += s->slots[slot].node && s->slots[slot].node != n;
	s->slots[slot].node = n;
}

void sim_singletons_ran(struct sim_singletons *s, const char *uid, bool began)
{
	struct single *x = map_get(&s->pods, uid);
	if (!x)
		return;
	x->running += began ? 1 : -1;
	if (!began)
		return;
	MAP_EACH (&s->pods, entry) {
		const struct single *other = entry->value;
		if (other != x && other->slot == x->slot && other->running > 0 && !other->unknown)
			sim_violation(s->cluster, "%s runs twice: pod %s on %s and pod %s on %s",
				s->slots[x->slot].name, uid, x->node->machine->name, entry->key,
				other->node->machine->name);
	}
}

void sim_singletons_gone(struct sim_singletons *s, const char *uid)
{
	struct single *x = map_get(&s->pods, uid);
	if (x)
		x->confirmed = true;
}

void sim_singletons_power_lost(struct sim_singletons *s, const struct sim_node *n)
{
	MAP_EACH (&s->pods, entry) {
		struct single *x = entry->value;
		if (x->node == n)
			x->running = 0;
	}
}

void sim_singletons_booted(struct sim_singletons *s, const struct sim_node *n)
{
	MAP_EACH (&s->pods, entry) {
		struct single *x = entry->value;
		if (x->node == n)
			x->confirmed = true;
	}
}

static void check_removal(struct sim_singletons *s, const char *uid, const struct single *x)
{
	const char *name = s->slots[x->slot].name;
	if (x->running > 0)
		sim_violation(s->cluster, "%s: pod %s is taken for gone and still runs on %s", name,
			uid, x->node->machine->name);
	if (x->slot >= HANDOVER && !x->confirmed)
		sim_violation(s->cluster, "%s: pod %s is taken for gone, which nobody confirmed",
			name, uid);
}

void sim_singletons_check(struct sim_singletons *s, const struct store_list *pods)
{
	struct map there;
	map_init(&there, NULL);
	for (size_t i = 0; i < pods->count; i++)
		map_put(&there, pods->objects[i]->uid, "");
	MAP_EACH (&s->pods, entry) {
		struct single *x = entry->value;
		bool was = x->in_store && !s->restored;
		x->in_store = map_has(&there, entry->key);
		x->unknown = x->unknown || (s->restored && !x->in_store && x->slot >= HANDOVER);
		if (was && !x->in_store)
			check_removal(s, entry->key, x);
		if (!x->in_store && x->confirmed && !x->running)
			(void)map_remove(&s->pods, entry->key);
	}
	s->restored = false;
	map_done(&there);
}

void sim_singletons_forget_store(struct sim_singletons *s)
{
	s->restored = true;
}

bool sim_singletons_leased(const struct sim_singletons *s, const char *uid)
{
	const struct single *x = map_get(&s->pods, uid);
	return x && x->slot < HANDOVER;
}

uint64_t sim_singletons_moves(const struct sim_singletons *s)
{
	return s->moves;
}

/* ---- life ---- */

static struct stream *connect_server(void *context)
{
	struct sim_singletons *s = context;
	return loop_connect(&s->loop->loop, SIM_SERVER_ADDRESS);
}

struct sim_singletons *sim_singletons_new(struct sim_cluster *c)
{
	struct sim_singletons *s = mem_new(struct sim_singletons);
	s->cluster = c;
	s->loop = sim_loop_new(c->client, "singletons");
	struct http_connector connector = {
		.connect = connect_server, .context = s, .authority = SIM_SERVER_ADDRESS};
	s->client = http_client_new(&s->loop->loop, &connector, 2);
	rand_init(&s->rand, c->config->seed ^ UINT64_C(0x6f6e6c79));
	map_init(&s->pods, free);
	for (int i = 0; i < SLOTS; i++) {
		s->slots[i].singletons = s;
		snprintf(s->slots[i].name, sizeof(s->slots[i].name), "only-%d", i);
	}
	s->timer = loop_timer_new(&s->loop->loop, on_timer, s);
	loop_timer_start(s->timer, 4000);
	return s;
}

void sim_singletons_pause(struct sim_singletons *s, bool paused)
{
	s->paused = paused;
}

bool sim_singletons_idle(const struct sim_singletons *s)
{
	for (int i = 0; i < SLOTS; i++)
		if (s->slots[i].busy)
			return false;
	return true;
}

void sim_singletons_free(struct sim_singletons *s)
{
	sim_loop_kill(s->loop, false);
	http_client_free(s->client);
	loop_timer_free(s->timer);
	sim_loop_free(s->loop);
	map_done(&s->pods);
	free(s);
}

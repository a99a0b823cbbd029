/*
 * The workload: what people and their tools do. A number of slots, each a name that this client
 * alone writes: ConfigMaps, Secrets and Deployments that are created, changed and deleted over
 * HTTP, one request at a time for each slot. Every write carries a serial number that only grows,
 * so that what the store holds can be compared with what was acknowledged:
 *
 *   certain:   exactly the state of the last acknowledged write
 *   uncertain: a write since then had no answer (a time-out, a broken connection): its state, or
 *              that of the acknowledged one
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/cluster.h"

#define CONFIG_MAPS 20
#define DEPLOYMENTS 6
#define SECRETS 4
#define SLOTS (CONFIG_MAPS + DEPLOYMENTS + SECRETS)
#define SECRET_REPEATS 40 /* so that one is whole whatever page it is cut by */
#define REQUEST_TIMEOUT_MS 10000
/* A request that was given up may still be under way and be carried out late. Nothing else is asked
 * of its slot until the network has surely lost it: then the next answer settles what holds. */
#define LATE_US INT64_C(60000000)

struct slot {
	struct sim_workload *workload;
	const struct kind *kind;
	char name[32], key[OBJECT_KEY_MAX];
	bool present;   /* after the last acknowledged write */
	int64_t serial; /* of it */
	int64_t tried;  /* the highest serial of an uncertain write; 0: none is uncertain */
	bool tried_delete;
	bool busy;     /* a request is under way */
	bool deleting; /* it is a delete */
	int64_t quiet_until_us;
	/* What the store held at a revision, to look only once. */
	int64_t seen_revision, seen_serial;
};

struct sim_workload {
	struct sim_cluster *cluster;
	struct sim_loop *loop;
	struct http_client *client;
	struct loop_timer *timer;
	struct rand rand;
	bool paused;
	int64_t serials;
	uint64_t acknowledged;
	struct slot slots[SLOTS];
};

/* ---- requests ---- */

static const char *path_of(const struct slot *s, bool with_name, char ret_path[static 200])
{
	bool core = s->kind->group[0] == '\0';
	snprintf(ret_path, 200, "%s/namespaces/default/%s%s%s", core ? "/api/v1" : "/apis/apps/v1",
		s->kind->plural, with_name ? "/" : "", with_name ? s->name : "");
	return ret_path;
}

static json_t *metadata(const struct slot *s, int64_t serial)
{
	char text[32];
	snprintf(text, sizeof(text), "%" PRId64, serial);
	return json_pack("{s:s, s:{s:s}}", "name", s->name, "annotations", "sim/serial", text);
}

static json_t *config_map(const struct slot *s, int64_t serial)
{
	char text[900];
	size_t size = (size_t)(serial * 37 % 800);
	memset(text, 'x', size);
	text[size] = '\0';
	return json_pack("{s:s, s:s, s:o, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
		"metadata", metadata(s, serial), "data", "text", text);
}

static json_t *secret(const struct slot *s, int64_t serial)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	for (int i = 0; i < SECRET_REPEATS; i++)
		buf_append_string(&text, SIM_SECRET_TEXT);
	buf_printf(&text, "%" PRId64, serial);
	return json_pack("{s:s, s:s, s:o, s:{s:s}}", "apiVersion", "v1", "kind", "Secret",
		"metadata", metadata(s, serial), "stringData", "text", buf_text(&text));
}

static json_t *deployment(struct slot *s, int64_t serial)
{
	struct rand *r = &s->workload->rand;
	int number = s->name[strlen(s->name) - 1] - '0';
	char cpu[16], secret_name[16];
	snprintf(cpu, sizeof(cpu), "%dm", 50 + number * 30);
	snprintf(secret_name, sizeof(secret_name), "secret-%d", number % SECRETS);
	/* The fake driver understands the script, and runs it to its last word for ever. */
	json_t *pod = json_pack("{s:{s:{s:s}}, s:{s:[{s:s, s:s, s:[s,s,s], s:{s:{s:s, s:s}}, "
				"s:[{s:s, s:{s:{s:s, s:s, s:b}}}]}]}}",
		"metadata", "labels", "app", s->name, "spec", "containers", "name", "main", "image",
		"sim:1", "command", "sh", "-c", "echo here; serve", "resources", "requests", "cpu",
		cpu, "memory", "32Mi", "env", "name", "TEXT", "valueFrom", "secretKeyRef", "name",
		secret_name, "key", "text", "optional", 1);
	return json_pack("{s:s, s:s, s:o, s:{s:I, s:{s:{s:s}}, s:o}}", "apiVersion", "apps/v1",
		"kind", "Deployment", "metadata", metadata(s, serial), "spec", "replicas",
		(json_int_t)rand_between(r, 0, 5), "selector", "matchLabels", "app", s->name,
		"template", pod);
}

/* A change of what is there: new data, or another number of replicas. */
static json_t *patch(struct slot *s, int64_t serial)
{
	if (s->kind == &kind_configmap)
		return config_map(s, serial);
	if (s->kind == &kind_secret)
		return secret(s, serial);
	return json_pack("{s:o, s:{s:I}}", "metadata", metadata(s, serial), "spec", "replicas",
		(json_int_t)rand_between(&s->workload->rand, 0, 5));
}

/* The answer to a write. What is refused did not happen; what had no answer may have. */
static void on_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	(void)body, (void)size;
	struct slot *s = arg;
	struct sim_workload *w = s->workload;
	struct sim_world *world = w->cluster->world;
	s->busy = false;
	sim_trace_line(&world->trace, world->now_us, "answer %s %d %s", s->name, status,
		e ? err_name(e->code) : "ok");
	/* With uncertain writes behind it, a refusal says what came of them. */
	bool absent = !e && status == 404, exists = !e && status == 409;
	bool sure = !e && status >= 200 && status < 300;
	if (!sure && !(absent && s->deleting)) {
		if (e || status >= 500) { /* nobody knows: tried stays */
			s->quiet_until_us = world->now_us + LATE_US;
			return;
		}
		if (absent && s->tried_delete)
			s->present = false, s->tried = 0;
		if (exists && s->tried)
			s->present = true;
		return;
	}
	s->present = !s->deleting;
	s->serial = s->deleting ? s->serial : s->tried;
	s->tried = 0;
	s->tried_delete = false;
	w->acknowledged++;
	sim_workload_check(w);
}

static void send(struct slot *s, const char *method, bool with_name, const char *type, json_t *tree)
{
	struct sim_workload *w = s->workload;
	char path[200];
	CLEANUP(buf_done) struct buf body = BUF_INIT;
	if (tree)
		json_encode(tree, &body);
	json_decref(tree);
	struct http_call_spec spec = {.method = method,
		.path = path_of(s, with_name, path),
		.content_type = type,
		.body = body.data,
		.body_size = body.size,
		.timeout_ms = REQUEST_TIMEOUT_MS};
	s->busy = true;
	sim_trace_line(&w->cluster->world->trace, w->cluster->world->now_us, "ask %s %s %" PRId64,
		method, s->name, s->tried);
	http_fetch(w->client, &spec, on_answer, s);
}

static void ask(struct slot *s)
{
	struct sim_workload *w = s->workload;
	s->tried = ++w->serials;
	s->deleting = s->present && rand_below(&w->rand, s->kind == &kind_configmap ? 6 : 12) == 0;
	if (s->deleting) {
		s->tried_delete = true;
		send(s, "DELETE", true, NULL, NULL);
	} else if (s->present) {
		send(s, "PATCH", true, "application/merge-patch+json", patch(s, s->tried));
	} else if (s->kind == &kind_configmap) {
		send(s, "POST", false, "application/json", config_map(s, s->tried));
	} else if (s->kind == &kind_secret) {
		send(s, "POST", false, "application/json", secret(s, s->tried));
	} else {
		send(s, "POST", false, "application/json", deployment(s, s->tried));
	}
}

static void on_timer(void *arg)
{
	struct sim_workload *w = arg;
	if (!w->paused) {
		struct slot *s = &w->slots[rand_below(&w->rand, SLOTS)];
		if (!s->busy && w->cluster->world->now_us >= s->quiet_until_us)
			ask(s);
	}
	loop_timer_start(w->timer, rand_between(&w->rand, 50, 2500));
}

/* ---- comparing ---- */

static int64_t serial_of(struct slot *s, const struct object *o)
{
	if (o->revision == s->seen_revision)
		return s->seen_serial;
	json_t *tree = object_tree(o);
	s->seen_serial = atoll(json_text(tree, "0", "metadata", "annotations", "sim/serial"));
	s->seen_revision = o->revision;
	json_decref(tree);
	return s->seen_serial;
}

static void check_slot(struct slot *s, const struct object *o)
{
	struct sim_cluster *c = s->workload->cluster;
	bool there = o && o->deletion_ms == 0;
	if (!there && s->present && !s->tried_delete)
		sim_violation(c, "%s was acknowledged with serial %" PRId64 " and is gone", s->key,
			s->serial);
	if (there && !s->present && !s->tried)
		sim_violation(c, "%s was acknowledged as deleted and is back", s->key);
	if (!there)
		return;
	int64_t serial = serial_of(s, o);
	if (s->present && serial < s->serial)
		sim_violation(c, "%s was acknowledged with serial %" PRId64 " and holds %" PRId64,
			s->key, s->serial, serial);
	if (serial > (s->tried ? s->tried : s->serial))
		sim_violation(c, "%s holds serial %" PRId64 ", which nobody wrote", s->key, serial);
}

void sim_workload_check(struct sim_workload *w)
{
	struct store *store = w->cluster->server.store;
	if (!store)
		return;
	for (int i = 0; i < SLOTS; i++) {
		CLEANUP(object_done) struct object *o = store_get(store, w->slots[i].key);
		check_slot(&w->slots[i], o);
	}
}

void sim_workload_forget(struct sim_workload *w)
{
	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &w->slots[i];
		CLEANUP(object_done)
		struct object *o = store_get(w->cluster->server.store, s->key);
		s->seen_revision = 0;
		s->present = o && o->deletion_ms == 0;
		s->serial = o ? serial_of(s, o) : 0;
		s->tried = 0;
		s->tried_delete = false;
	}
}

/* ---- life ---- */

static struct stream *connect_server(void *context)
{
	struct sim_workload *w = context;
	return loop_connect(&w->loop->loop, SIM_SERVER_ADDRESS);
}

static void slot_init(struct sim_workload *w, int number)
{
	struct slot *s = &w->slots[number];
	static const struct {
		const struct kind *kind;
		const char *name;
		int count;
	} kinds[] = {{&kind_configmap, "map", CONFIG_MAPS}, {&kind_deployment, "app", DEPLOYMENTS},
		{&kind_secret, "secret", SECRETS}};
	size_t i = 0;
	s->workload = w;
	for (; number >= kinds[i].count; i++)
		number -= kinds[i].count;
	s->kind = kinds[i].kind;
	snprintf(s->name, sizeof(s->name), "%s-%d", kinds[i].name, number);
	if (object_key_of(s->kind, "default", s->name, s->key, NULL) < 0)
		abort();
}

struct sim_workload *sim_workload_new(struct sim_cluster *c)
{
	struct sim_workload *w = mem_new(struct sim_workload);
	w->cluster = c;
	w->loop = sim_loop_new(c->client, "client");
	struct http_connector connector = {
		.connect = connect_server, .context = w, .authority = SIM_SERVER_ADDRESS};
	w->client = http_client_new(&w->loop->loop, &connector, 4);
	rand_init(&w->rand, c->config->seed ^ UINT64_C(0x776f726b));
	for (int i = 0; i < SLOTS; i++)
		slot_init(w, i);
	w->timer = loop_timer_new(&w->loop->loop, on_timer, w);
	loop_timer_start(w->timer, 3000);
	return w;
}

void sim_workload_pause(struct sim_workload *w, bool paused)
{
	w->paused = paused;
}

bool sim_workload_idle(const struct sim_workload *w)
{
	for (int i = 0; i < SLOTS; i++)
		if (w->slots[i].busy)
			return false;
	return true;
}

uint64_t sim_workload_acknowledged(const struct sim_workload *w)
{
	return w->acknowledged;
}

void sim_workload_free(struct sim_workload *w)
{
	sim_loop_kill(w->loop, false);
	http_client_free(w->client);
	loop_timer_free(w->timer);
	sim_loop_free(w->loop);
	free(w);
}

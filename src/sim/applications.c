/*
 * A story: an Application is made, changed while the server is killed and while half of its nodes
 * are cut off, and deleted. Each time everything has to come to rest as the last answer said: its
 * components and no others, in their order, its data in its country.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

#define SECOND_US INT64_C(1000000)
#define REQUEST_TIMEOUT_MS 10000
#define TRIES 30
#define APPLICATIONS "/apis/continuo.dev/v1alpha1/namespaces/default/applications"
#define SITES "/apis/continuo.dev/v1alpha1/sites"
#define COUNTRY_SITE "site-2" /* the only one in the country of the data */

struct person {
	struct sim_cluster *cluster;
	struct sim_loop *loop;
	struct http_client *client;
	bool answered; /* or given up */
	int status;    /* 0: no answer */
};

static struct stream *connect_server(void *context)
{
	struct person *p = context;
	return loop_connect(&p->loop->loop, SIM_SERVER_ADDRESS);
}

static void on_answer(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	(void)body, (void)size;
	struct person *p = arg;
	p->answered = true;
	p->status = e ? 0 : status;
}

static void ask(struct person *p, const char *method, const char *path, const char *type,
	const char *body)
{
	CLEANUP(mem_free_ptr) char *text = mem_dup_string(body);
	for (char *at = text; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	struct http_call_spec spec = {.method = method,
		.path = path,
		.content_type = type,
		.body = text,
		.body_size = strlen(text),
		.timeout_ms = REQUEST_TIMEOUT_MS};
	p->answered = false;
	p->status = 0;
	http_fetch(p->client, &spec, on_answer, p);
}

static void run_for(struct sim_cluster *c, int64_t us)
{
	sim_run_until(c, c->world->now_us + us);
}

/* Asks again until there is an answer; one that came through unheard is 409 or 404 then. */
static void insist(struct person *p, const char *method, const char *path, const char *type,
	const char *body)
{
	struct sim_cluster *c = p->cluster;
	for (int i = 0; i < TRIES && !*c->violation; i++) {
		ask(p, method, path, type, body);
		while (!p->answered && !*c->violation)
			run_for(c, SECOND_US / 10);
		if (p->status && p->status < 500)
			break;
		run_for(c, SECOND_US);
	}
	bool again = (str_equal(method, "POST") && p->status == 409) ||
		     (str_equal(method, "DELETE") && p->status == 404);
	if ((p->status < 200 || p->status >= 300) && !again)
		sim_violation(c, "%s %s gave %d", method, path, p->status);
}

/* ---- what holds at rest ---- */

static size_t list(struct sim_cluster *c, const struct kind *k, struct store_list *ret_list)
{
	char prefix[OBJECT_KEY_MAX];
	object_prefix(k, NULL, prefix);
	if (!c->server.store || store_list(c->server.store, prefix, NULL, 0, 0, ret_list, NULL) < 0)
		abort();
	return ret_list->count;
}

static const char *zone_of(struct sim_cluster *c, const char *node)
{
	for (int i = 0; i < c->node_count; i++)
		if (str_equal(c->nodes[i].machine->name, node))
			return strchr(c->nodes[i].zone, '=') + 1;
	return "";
}

static void check_pods(struct sim_cluster *c, const char *component, size_t wanted)
{
	struct store_list pods;
	size_t found = 0;
	(void)list(c, &kind_pod, &pods);
	for (size_t i = 0; i < pods.count; i++) {
		const struct object *o = pods.objects[i];
		if (!str_equal(object_label(o, "app.kubernetes.io/part-of"), "shop") ||
			!str_equal(object_label(o, "app.kubernetes.io/component"), component))
			continue;
		found += o->ready && !o->deletion_ms;
		if (str_equal(component, "store") && !str_equal(zone_of(c, o->node), COUNTRY_SITE))
			sim_violation(c, "%s reads data on %s, out of its country", o->name,
				o->node);
	}
	store_list_done(&pods);
	if (found != wanted)
		sim_violation(c, "%zu pods of component %s, not %zu", found, component, wanted);
}

static void check_status(struct sim_cluster *c, size_t components)
{
	struct store_list all, deployments;
	size_t own = 0, ready = 0;
	(void)list(c, &kind_application, &all);
	(void)list(c, &kind_deployment, &deployments);
	for (size_t i = 0; i < deployments.count; i++)
		own += str_equal(object_label(deployments.objects[i], "app.kubernetes.io/part-of"),
			"shop");
	for (size_t i = 0; i < all.count; i++) {
		CLEANUP(json_done) json_t *tree = object_tree(all.objects[i]);
		const json_t *condition = json_array_get(json_at(tree, "status", "conditions"), 0);
		if (str_equal(json_text(condition, "", "status"), "True") &&
			json_int(tree, 0, "status", "observedGeneration") ==
				all.objects[i]->generation)
			ready = (size_t)json_int(tree, 0, "status", "readyComponents");
	}
	if (all.count != (components > 0) || own != components || ready != components)
		sim_violation(c,
			"%zu Applications with %zu components ready and %zu Deployments, not %zu",
			all.count, ready, own, components);
	store_list_done(&all);
	store_list_done(&deployments);
}

static void rest(struct sim_cluster *c, size_t store, size_t web, size_t cache)
{
	run_for(c,
		60 * SECOND_US); /* what waits for what is not there yet is no pod that is wanted */
	sim_converge(c);
	if (*c->violation)
		return;
	check_status(c, (size_t)(store > 0) + (web > 0) + (cache > 0));
	check_pods(c, "store", store);
	check_pods(c, "web", web);
	check_pods(c, "cache", cache);
}

/* ---- the story ---- */

#define TEMPLATE                                                                                   \
	"'template':{'spec':{'containers':[{'name':'main','image':'sim:1','command':['sh','-c',"   \
	"'echo here; serve'],'resources':{'requests':{'cpu':'20m'}}}]}}"
#define STORE "{'name':'store'," TEMPLATE "}"
#define WEB(replicas) "{'name':'web','replicas':" replicas ",'requires':['store']," TEMPLATE "}"
#define CACHE "{'name':'cache','replicas':2,'requires':['web']," TEMPLATE "}"
#define SPEC(components) "{'spec':{'components':[" components "]}}"
#define MERGE "application/merge-patch+json"

static void cut_half(struct sim_cluster *c, int change)
{
	c->troubles++;
	for (int i = 0; i < c->node_count; i += 2)
		sim_link(c->world, c->nodes[i].machine, c->server.machine)->cuts += change;
}

static void tell(struct person *p)
{
	struct sim_cluster *c = p->cluster;
	insist(p, "POST", SITES, "application/json",
		"{'metadata':{'name':'site-1'},'spec':{'country':'DE','paths':[{'to':'site-2',"
		"'latency':'9ms'}]}}");
	insist(p, "POST", SITES, "application/json",
		"{'metadata':{'name':'" COUNTRY_SITE "'},'spec':{'country':'FR'}}");
	insist(p, "POST", APPLICATIONS, "application/json",
		"{'metadata':{'name':'shop'},'spec':{'components':[" WEB(
			"3") "," STORE "],'data':[{"
			     "'name':'orders','site':'site-1','size':'1Mi','readers':['store'],'"
			     "privacy':{"
			     "'countries':['FR']}}]}}");
	rest(c, 1, 3, 0);
	ask(p, "PATCH", APPLICATIONS "/shop", MERGE, SPEC(STORE "," WEB("5") "," CACHE));
	run_for(c, (int64_t)(c->config->seed % 40) * 1000);
	sim_server_kill(c, false);
	run_for(c, 3 * SECOND_US);
	sim_server_start(c);
	insist(p, "PATCH", APPLICATIONS "/shop", MERGE, SPEC(STORE "," WEB("5") "," CACHE));
	rest(c, 1, 5, 2);
	cut_half(c, 1);
	insist(p, "PATCH", APPLICATIONS "/shop", MERGE, SPEC(STORE "," WEB("2")));
	run_for(c, 60 * SECOND_US);
	cut_half(c, -1);
	rest(c, 1, 2, 0);
	insist(p, "DELETE", APPLICATIONS "/shop", NULL, "");
	rest(c, 0, 0, 0);
}

void sim_application_story(struct sim_cluster *c)
{
	struct person p = {.cluster = c, .loop = sim_loop_new(c->client, "person")};
	struct http_connector connector = {
		.connect = connect_server, .context = &p, .authority = SIM_SERVER_ADDRESS};
	p.client = http_client_new(&p.loop->loop, &connector, 4);
	sim_work(c, true);
	sim_converge(c);
	tell(&p);
	sim_loop_kill(p.loop, false);
	http_client_free(p.client);
	sim_loop_free(p.loop);
}

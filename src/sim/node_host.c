/* A node: its engine, and the agent with what the machine gives it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/cluster.h"

/* ---- the way to the server: a plain stream; the server knows us by our machine ---- */

struct agent_link {
	struct loop *loop;
	char address[64];
};

static int transport_open(void *context, const char *address, const struct agent_identity *identity,
	const char *pin, struct agent_link **ret_link, struct err *e)
{
	(void)identity, (void)pin, (void)e;
	struct sim_node *n = context;
	struct agent_link *k = mem_new(struct agent_link);
	k->loop = &n->loop->loop;
	(void)str_copy(k->address, sizeof(k->address), address);
	*ret_link = k;
	return 0;
}

static struct stream *link_connect(void *context)
{
	struct agent_link *k = context;
	return loop_connect(k->loop, k->address);
}

static struct http_connector link_connector(struct agent_link *k)
{
	return (struct http_connector){
		.connect = link_connect, .context = k, .authority = k->address};
}

static void link_close(struct agent_link *k)
{
	free(k);
}

static struct stream *transport_knock(void *context, const char *address)
{
	struct sim_node *n = context;
	return loop_connect(&n->loop->loop, address);
}

static const struct agent_transport_ops transport_ops = {
	transport_open, link_connector, link_close, transport_knock, NULL};

/* ---- the pod network: the engine gives addresses; nothing carries packets ---- */

static int net_open(void *context, const struct overlay_config *config, struct err *e)
{
	(void)context, (void)config, (void)e;
	return 0;
}

static int net_set_peers(void *context, const struct overlay_peer *peers, size_t count,
	struct err *e)
{
	(void)context, (void)peers, (void)count, (void)e;
	return 0;
}

static int net_set_services(void *context, const struct overlay_service *services, size_t count,
	struct err *e)
{
	(void)context, (void)services, (void)count, (void)e;
	return 0;
}

static int net_attach(void *context, const char *pod_uid, const char *netns_path,
	const struct overlay_host_port *ports, size_t port_count, char ret_ip[static 64],
	struct err *e)
{
	(void)netns_path, (void)ports, (void)port_count, (void)e;
	struct sim_node *n = context;
	unsigned i = (unsigned)n->machine->index;
	map_put(&n->addresses, pod_uid, "");
	snprintf(ret_ip, 64, "10.%u.%u.%u", 42 + i / 250, i % 250, ++n->addresses_given % 250 + 2);
	return 0;
}

static int net_detach(void *context, const char *pod_uid, struct err *e)
{
	struct sim_node *n = context;
	(void)e;
	(void)map_remove(&n->addresses, pod_uid);
	return 0;
}

static int net_keep_only(void *context, const char *const *pod_uids, size_t count, struct err *e)
{
	struct sim_node *n = context;
	(void)e;
	MAP_EACH (&n->addresses, entry) {
		bool kept = false;
		for (size_t i = 0; i < count; i++)
			kept = kept || str_equal(pod_uids[i], entry->key);
		if (!kept)
			(void)map_remove(&n->addresses, entry->key);
	}
	return 0;
}

static const char *net_dns_address(void *context)
{
	(void)context;
	return "10.42.0.1";
}

static void net_metrics(void *context, struct buf *b)
{
	(void)context, (void)b;
}

static void net_close(void *context)
{
	(void)context;
}

static const struct agent_net_ops net_ops = {.open = net_open,
	.set_peers = net_set_peers,
	.set_services = net_set_services,
	.attach = net_attach,
	.detach = net_detach,
	.keep_only = net_keep_only,
	.dns_address = net_dns_address,
	.metrics = net_metrics,
	.close = net_close,
	.free = net_close};

/* ---- images: the fake driver needs none; whoever pulls gets an empty one ---- */

struct image_pull {
	const struct image_pull_events *events; /* null: cancelled */
	void *arg;
};

static void images_answer(void *arg)
{
	struct image_pull *p = arg;
	static const char *const layers[] = {NULL};
	struct image_result result = {.id = "sha256:sim",
		.digest = "sha256:sim",
		.layers = layers,
		.config_json = "{}",
		.was_present = true};
	if (p->events)
		p->events->on_done(p->arg, &result, NULL);
	free(p);
}

static struct image_pull *images_pull(void *context, const char *ref, const char *policy,
	const char *auth_json, const struct image_pull_events *events, void *arg)
{
	(void)ref, (void)policy, (void)auth_json;
	struct sim_node *n = context;
	struct image_pull *p = mem_new(struct image_pull);
	*p = (struct image_pull){events, arg};
	loop_defer(&n->loop->loop, images_answer, p);
	return p;
}

static void images_cancel(struct image_pull *p)
{
	p->events = NULL;
}

static void images_collect(void *context, const char *const *used, size_t count, int64_t free_bytes)
{
	(void)context, (void)used, (void)count, (void)free_bytes;
}

static void images_free(void *context)
{
	(void)context;
}

static const struct agent_images_ops images_ops = {
	images_pull, images_cancel, images_collect, NULL, images_free};

/* ---- life ---- */

/* Every third node is at the edge and every fifth an iot gateway; sizes differ. */
void sim_node_init(struct sim_cluster *c, struct sim_node *n, int number)
{
	static const char *const tiers[] = {"cloud", "cloud", "edge", "cloud", "iot"};
	char name[32], address[32];
	snprintf(name, sizeof(name), "node-%d", number);
	snprintf(address, sizeof(address), "10.9.%d.%d", 10 + number / 250, number % 250);
	n->cluster = c;
	n->tier = tiers[number % 5];
	bool far = strcmp(n->tier, "cloud") != 0;
	n->machine = sim_machine_new(c->world, name, address, far ? 8000 : 400, far ? 6000 : 300);
	list_init(&n->fences);
	map_init(&n->addresses, NULL);
	n->engine.cluster = c;
	n->engine.node = n;
	sim_checks_watch(c->checks, n->machine);
	snprintf(n->zone, sizeof(n->zone), "topology.kubernetes.io/zone=site-%d", number % 4);
	n->labels[0] = n->zone;
	struct agent_facts *f = &n->facts;
	f->cpu_milli = strcmp(n->tier, "iot") == 0 ? 1000 : 2000 + 1000 * (number % 3);
	f->memory_bytes = f->cpu_milli << 20;
	f->disk_bytes = (int64_t)64 << 30;
	(void)str_copy(f->architecture, sizeof(f->architecture), "amd64");
	(void)str_copy(f->kernel, sizeof(f->kernel), "6.1.0-sim");
	(void)str_copy(f->os_image, sizeof(f->os_image), "Simulated");
	snprintf(f->machine_id, sizeof(f->machine_id), "%032x", (unsigned)number);
	(void)str_copy(f->cgroup_version, sizeof(f->cgroup_version), "v2");
	(void)str_copy(f->cgroup, sizeof(f->cgroup), "/");
}

static void on_fatal(void *context, const struct err *e)
{
	struct sim_node *n = context;
	sim_violation(n->cluster, "the agent of %s gives up: %s", n->machine->name, e->text);
}

void sim_node_start(struct sim_node *n)
{
	static const char *const servers[] = {SIM_SERVER_ADDRESS, NULL};
	if (n->loop)
		return;
	struct sim_world *w = n->cluster->world;
	sim_machine_boot(n->machine);
	if (!n->engine.fake) {
		sim_engine_start(&n->engine);
		sim_singletons_booted(n->cluster->singletons, n);
		snprintf(n->facts.boot_id, sizeof(n->facts.boot_id), "boot-%llu",
			(unsigned long long)++n->powered_on);
	}
	n->loop = sim_loop_new(n->machine, "agent");
	sim_log_init(&n->log, n->loop, "agent", n->cluster->checks);
	sim_trace_line(&w->trace, w->now_us, "start %s", n->machine->name);
	struct agent_config config = {.loop = &n->loop->loop,
		.log = &n->log.log,
		.fs = &n->machine->disk->fs,
		.state_folder = "/state",
		.run_folder = "/run",
		.node_name = n->machine->name,
		.address = n->machine->address,
		.servers = servers,
		.tier = n->tier,
		.labels = n->labels,
		.facts = n->facts,
		.transport = {&transport_ops, n, true},
		.net = {&net_ops, n},
		.images = {&images_ops, n},
		.fence_maker = {sim_fence_raise, n},
		.driver_new = sim_engine_driver,
		.driver_context = &n->engine,
		.on_fatal = on_fatal,
		.fatal_context = n};
	struct err e = ERR_INIT;
	n->no_space = false;
	int r = agent_new(&config, &n->agent, &e);
	if (r == -ERR_NO_SPACE && n->machine->disk->capacity_bytes) {
		sim_node_kill(n, false);
		n->no_space = true;
	} else if (r < 0)
		sim_violation(n->cluster, "the agent of %s does not start: %s", n->machine->name,
			e.text);
}

void sim_node_kill(struct sim_node *n, bool power_loss)
{
	struct sim_world *w = n->cluster->world;
	if (n->loop) {
		sim_trace_line(&w->trace, w->now_us, "kill %s%s", n->machine->name,
			power_loss ? ", power off" : "");
		n->machine->disk->frozen = true;
		sim_loop_kill(n->loop, power_loss);
		if (n->agent)
			agent_free(n->agent);
		sim_loop_free(n->loop);
		n->agent = NULL;
		n->loop = NULL;
	}
	if (power_loss) {
		sim_fences_power_off(n);
		sim_engine_power_off(&n->engine);
		n->machine->powered = false;
		sim_disk_power_loss(n->machine->disk);
	}
	sim_disk_release(n->machine->disk);
}

void sim_node_done(struct sim_node *n)
{
	sim_node_kill(n, true);
	map_done(&n->addresses);
}

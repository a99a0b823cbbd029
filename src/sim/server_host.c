/* The server on its machine: what main does with libuv, TLS and files, without them. */
#include <stdio.h>
#include <string.h>

#include "sim/cluster.h"

/* Without the place in the source, at the end: compilers number the lines of macros differently. */
static void write_log(void *context, const char *line)
{
	struct sim_log *log = context;
	size_t size = strcspn(line, "\n");
	const char *at = strstr(line, " at=");
	if (at)
		size = (size_t)(at - line);
	if (log->checks)
		sim_checks_log(log->checks, log->loop->machine, line);
	sim_trace_line(&log->loop->world->trace, log->loop->world->now_us, "log %s %.*s",
		log->loop->machine->name, (int)size, line);
}

static int64_t wall_ms(void *context)
{
	return loop_wall_ms(&((struct sim_log *)context)->loop->loop);
}

void sim_log_init(struct sim_log *log, struct sim_loop *loop, const char *role,
	struct sim_checks *checks)
{
	log->loop = loop;
	log->checks = checks;
	log->log = (struct log){.level = LOG_INFO,
		.role = role,
		.wall_ms = wall_ms,
		.write = write_log,
		.context = log};
}

/* The machine at the other end says who it is, where TLS would prove it. */
static void on_accept(void *arg, struct stream *stream)
{
	struct sim_server *x = arg;
	const struct sim_machine *from = sim_stream_machine(stream);
	char spiffe[256] = "", name[128];
	bool is_node = strncmp(from->name, "node-", 5) == 0;
	if (is_node)
		pki_node_spiffe(SIM_DOMAIN, from->name, spiffe);
	snprintf(name, sizeof(name), "%s%s", is_node ? "system:node:" : "", from->name);
	struct http_peer peer = {.address = stream_peer(stream),
		.common_name = name,
		.organization = is_node ? "system:nodes" : "system:masters",
		.spiffe_id = spiffe,
		.serial = "01",
		.not_before_ms = SIM_START_WALL_MS,
		.not_after_ms = loop_wall_ms(&x->loop->loop) + PKI_NODE_LIFE_MS};
	http_server_take(server_http(x->server), stream, &peer, false);
}

void sim_server_init(struct sim_cluster *c)
{
	struct sim_server *x = &c->server;
	x->cluster = c;
	x->machine = sim_machine_new(c->world, "server", "10.9.0.1", 300, 200);
	x->machine->disk->lying = c->config->plant == SIM_PLANT_LYING_FSYNC;
	static const unsigned char key[32] = "the simulated server's data key";
	x->seal = pki_seal_new(key);
	x->vfs = sim_vfs_register(x->machine->disk, x->machine->vfs_name);
}

/* The planted bug. */
static int leave_plain(void *seal, const char *key, const void *data, size_t size, struct buf *out,
	struct err *e)
{
	(void)seal, (void)key, (void)e;
	buf_append(out, data, size);
	return 0;
}

static int start(struct sim_server *x, struct err *e)
{
	struct loop *l = &x->loop->loop;
	struct store_seal seal = {pki_seal, pki_open, x->seal};
	if (x->cluster->config->plant == SIM_PLANT_PLAIN_SECRETS)
		seal = (struct store_seal){leave_plain, leave_plain, NULL};
	int r = store_sqlite_open(l, x->cluster->kinds, "/state", x->machine->vfs_name, &seal,
		&x->store, e);
	if (r < 0)
		return r;
	struct server_config config = {.loop = l,
		.log = &x->log.log,
		.store = x->store,
		.kinds = x->cluster->kinds,
		.name = "server",
		.domain = SIM_DOMAIN,
		/* A /24 for each node. */
		.pod_cidr = x->cluster->node_count > 200 ? "10.128.0.0/9" : "10.42.0.0/16",
		.service_cidr = "10.43.0.0/16",
		.cluster_domain = "cluster.local",
		.seed = x->cluster->config->seed + x->machine->boots};
	if (x->cluster->config->plant == SIM_PLANT_HASTE)
		config.silence_ms = 2000;
	if (x->cluster->config->plant == SIM_PLANT_NO_BRAKE)
		config.blind_ms = 1;
	if (x->cluster->config->plant == SIM_PLANT_EARLY_HANDOVER)
		config.lease_wait_ms = 500;
	r = server_new(&config, &x->server, e);
	if (r < 0)
		return r;
	return loop_listen(l, SIM_SERVER_ADDRESS, on_accept, x, &x->listener, e);
}

void sim_server_start(struct sim_cluster *c)
{
	struct sim_server *x = &c->server;
	if (x->loop)
		return;
	sim_machine_boot(x->machine);
	x->loop = sim_loop_new(x->machine, "server");
	x->checked_revision = 0;
	x->started_us = c->world->now_us;
	sim_log_init(&x->log, x->loop, "server", c->checks);
	sim_trace_line(&c->world->trace, c->world->now_us, "start server");
	struct err e = ERR_INIT;
	x->no_space = false;
	int r = start(x, &e);
	if (r == -ERR_NO_SPACE && x->machine->disk->capacity_bytes) {
		sim_server_kill(c, false);
		x->no_space = true;
	} else if (r < 0) {
		sim_violation(c, "the server does not start again: %s", e.text);
	}
}

void sim_server_kill(struct sim_cluster *c, bool power_loss)
{
	struct sim_server *x = &c->server;
	if (!x->loop)
		return;
	sim_trace_line(&c->world->trace, c->world->now_us, "kill server%s",
		power_loss ? ", power off" : "");
	c->troubles++;
	x->machine->disk->frozen = true;
	sim_loop_kill(x->loop, power_loss);
	/* The store first: it calls back whoever waits for a commit. */
	store_free(x->store);
	if (x->server)
		server_free(x->server);
	listener_free(x->listener);
	sim_loop_free(x->loop);
	x->loop = NULL;
	x->server = NULL;
	x->store = NULL;
	x->listener = NULL;
	if (power_loss) {
		x->machine->powered = false;
		sim_disk_power_loss(x->machine->disk);
	}
	sim_disk_release(x->machine->disk);
}

void sim_server_done(struct sim_cluster *c)
{
	sim_server_kill(c, false);
	sim_vfs_unregister(c->server.vfs);
	pki_seal_free(c->server.seal);
}

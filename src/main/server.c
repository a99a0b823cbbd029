#include "main/server.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "main/notify.h"
#include "net/tls.h"
#include "server/identity.h"
#include "server/server.h"
#include "sys/loop_uv.h"
#include "sys/steady.h"

#define NAMES_MAX 16
#define RENEW_CHECK_MS ((int64_t)3600 * 1000)

static const char help[] =
	"Usage: continuo server --state DIR [options]\n"
	"\n"
	"Runs the server of a domain: API, store, reconcilers, placement. SIGTERM or SIGINT ends "
	"it; what was\n"
	"acknowledged is on disk at any moment, so SIGKILL is fine too.\n"
	"\n"
	"  --state DIR           where the store, the CA and the keys are; made at the first "
	"start\n"
	"  --listen ADDR:PORT    default 0.0.0.0:6443\n"
	"  --advertise ADDR:PORT how others reach it: in its certificate and kubeconfig; may be "
	"given several times\n"
	"  --domain NAME         default \"continuo\"; fixed at the first start\n"
	"  --pod-cidr RANGE      default 10.42.0.0/16\n"
	"  --service-cidr RANGE  default 10.43.0.0/16\n"
	"  --cluster-domain NAME default cluster.local\n"
	"  --kubeconfig-out FILE writes an administrator's kubeconfig there too (always: "
	"DIR/admin.kubeconfig)\n"
	"  --node-life SECONDS   of node certificates, renewed at half; 60 to 31536000, default "
	"86400\n"
	"  --rejoin-age DURATION a node whose certificate expired no longer ago may come back by "
	"its key, 0 to 365d;\n"
	"                        default 7d, 0: never\n"
	"  --log-level LEVEL     debug, info, warn or error; default info\n"
	"  --help                this text\n";

struct options {
	const char *state, *listen, *domain, *pod_cidr, *service_cidr, *cluster_domain,
		*kubeconfig_out;
	const char *advertise[NAMES_MAX + 1];
	size_t advertise_count;
	enum log_level level;
	int64_t node_life_s, rejoin_age_s;
};

struct program {
	struct options options;
	struct loop *loop;
	struct log log;
	struct identity identity;
	struct identity_config identity_config;
	char *names[NAMES_MAX + 3];
	struct kind_registry *kinds;
	struct pki_seal *seal;
	struct store *store;
	struct server *server;
	struct tls_context *tls;
	struct tls_acceptor *acceptor;
	struct steady clock; /* what certificates are judged by */
	struct loop_timer *renewal;
	struct loop_signal *signals[2];
	struct notify notify;
};

/* ---- options ---- */

static int parse_life(const char *text, int64_t *ret_seconds, struct err *e)
{
	int r = str_to_int64(text, "--node-life", ret_seconds, e);
	if (r == 0 && (*ret_seconds < 60 || *ret_seconds > 365 * 24 * 3600))
		return err_set(e, ERR_USAGE, "--node-life must be between 60 and 31536000 seconds");
	return r;
}

static int parse_rejoin(const char *text, int64_t *ret_seconds, struct err *e)
{
	int r = time_parse_duration(text, ret_seconds, e);
	if (r == 0 && *ret_seconds > 365 * 24 * 3600)
		return err_set(e, ERR_USAGE, "--rejoin-age must be between 0 and 365d");
	return r;
}

static int parse(int argc, char **argv, struct options *o, struct err *e)
{
	enum {
		STATE,
		LISTEN,
		ADVERTISE,
		DOMAIN,
		POD_CIDR,
		SERVICE_CIDR,
		CLUSTER_DOMAIN,
		KUBECONFIG,
		LEVEL,
		NODE_LIFE,
		REJOIN_AGE,
		HELP
	};
	static const struct option longs[] = {{"state", required_argument, NULL, STATE},
		{"listen", required_argument, NULL, LISTEN},
		{"advertise", required_argument, NULL, ADVERTISE},
		{"domain", required_argument, NULL, DOMAIN},
		{"pod-cidr", required_argument, NULL, POD_CIDR},
		{"service-cidr", required_argument, NULL, SERVICE_CIDR},
		{"cluster-domain", required_argument, NULL, CLUSTER_DOMAIN},
		{"kubeconfig-out", required_argument, NULL, KUBECONFIG},
		{"log-level", required_argument, NULL, LEVEL},
		{"node-life", required_argument, NULL, NODE_LIFE},
		{"rejoin-age", required_argument, NULL, REJOIN_AGE},
		{"help", no_argument, NULL, HELP}, {0}};
	const char **texts[] = {[STATE] = &o->state,
		[LISTEN] = &o->listen,
		[DOMAIN] = &o->domain,
		[POD_CIDR] = &o->pod_cidr,
		[SERVICE_CIDR] = &o->service_cidr,
		[CLUSTER_DOMAIN] = &o->cluster_domain,
		[KUBECONFIG] = &o->kubeconfig_out};
	int option;
	optind = 1;
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == HELP) {
			fputs(help, stdout);
			exit(0);
		}
		if (option == '?')
			return err_set(e, ERR_USAGE, "see `continuo server --help`");
		if (option == LEVEL && log_level_parse(optarg, &o->level, e) < 0)
			return -ERR_USAGE;
		if (option == NODE_LIFE && parse_life(optarg, &o->node_life_s, e) < 0)
			return -ERR_USAGE;
		if (option == REJOIN_AGE && parse_rejoin(optarg, &o->rejoin_age_s, e) < 0)
			return -ERR_USAGE;
		if (option == ADVERTISE && o->advertise_count == NAMES_MAX)
			return err_set(e, ERR_USAGE, "--advertise may be given %d times at most",
				NAMES_MAX);
		if (option == ADVERTISE)
			o->advertise[o->advertise_count++] = optarg;
		else if (option != LEVEL && option != NODE_LIFE && option != REJOIN_AGE)
			*texts[option] = optarg;
	}
	if (optind < argc)
		return err_set(e, ERR_USAGE,
			"unexpected argument \"%s\"; see `continuo server --help`", argv[optind]);
	if (!o->state || o->state[0] != '/')
		return err_set(e, ERR_USAGE, "--state must name a folder by its absolute path");
	return 0;
}

/* "host:port", "[v6]:port" -> the host; freed by the caller. */
static char *host_of(const char *address)
{
	const char *end = strrchr(address, ':');
	size_t size = end ? (size_t)(end - address) : strlen(address);
	if (size > 1 && address[0] == '[')
		return mem_dup_bytes(address + 1, size - 2);
	return mem_dup_bytes(address, size);
}

/* ---- edges: clock, randomness, log ---- */

static int64_t log_wall_ms(void *context)
{
	return loop_wall_ms(context);
}

static void log_write(void *context, const char *line)
{
	(void)context;
	fputs(line, stderr);
}

static void random_bytes(void *context, void *ret_bytes, size_t size)
{
	loop_random_bytes(context, ret_bytes, size);
}

static int64_t tls_wall_ms(void *context)
{
	return steady_ms(context);
}

/* The latest time that was seen, written once in a while: a machine that lost its clock over a
 * reboot must not issue certificates of the past. */
static void start_clock(struct program *p)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/time", p->options.state);
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(64);
	int64_t floor_ms = 0;
	if (fs_read(fs_real(), path, &b, NULL) < 0 ||
		str_to_int64(buf_text(&b), "the time", &floor_ms, NULL) < 0)
		floor_ms = 0;
	steady_init(&p->clock, p->loop, floor_ms);
	if (floor_ms > loop_wall_ms(p->loop))
		log_warn(&p->log, "clock_behind", "seconds=%lld action=\"certificates go by %s\"",
			(long long)((floor_ms - loop_wall_ms(p->loop)) / 1000), path);
}

static void keep_time(struct program *p)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/time", p->options.state);
	char text[32];
	int size = snprintf(text, sizeof(text), "%lld", (long long)steady_ms(&p->clock));
	struct err e = ERR_INIT;
	if (fs_write_atomic(fs_real(), path, text, (size_t)size, 0600, &e) < 0)
		log_err(&p->log, LOG_WARN, "time_not_kept", &e, "path=%s", path);
}

/* ---- start ---- */

static int load_identity(struct program *p, struct err *e)
{
	const struct options *o = &p->options;
	size_t n = 0;
	p->names[n++] = mem_dup_string("127.0.0.1");
	p->names[n++] = mem_dup_string("localhost");
	for (size_t i = 0; i < o->advertise_count; i++)
		p->names[n++] = host_of(o->advertise[i]);
	p->identity_config = (struct identity_config){.fs = fs_real(),
		.folder = o->state,
		.domain = o->domain,
		.names = (const char *const *)p->names,
		.wall_ms = steady_ms(&p->clock),
		.random_bytes = random_bytes,
		.context = p->loop};
	return identity_load(&p->identity_config, &p->identity, e);
}

static int open_store(struct program *p, struct err *e)
{
	p->kinds = kind_registry_new();
	p->seal = pki_seal_new(p->identity.data_key);
	struct store_seal seal = {pki_seal, pki_open, p->seal};
	return store_sqlite_open(p->loop, p->kinds, p->options.state, NULL, &seal, &p->store, e);
}

static int make_tls(struct program *p, struct tls_context **ret_context, struct err *e)
{
	struct tls_config config = {.certificate_pem = p->identity.server.certificate_pem,
		.key_pem = p->identity.server.key_pem,
		.ca_pem = p->identity.ca.certificate_pem,
		.server = true,
		.request_client_certificate = true,
		.alpn = "h2,http/1.1",
		.wall_ms = tls_wall_ms,
		.wall_context = &p->clock,
		.forgive_early = true,
		.forgive_expired = true};
	return tls_context_new(&config, ret_context, e);
}

static int start_server(struct program *p, struct err *e)
{
	const struct options *o = &p->options;
	uint64_t seed;
	loop_random_bytes(p->loop, &seed, sizeof(seed));
	struct server_config config = {.loop = p->loop,
		.log = &p->log,
		.store = p->store,
		.kinds = p->kinds,
		.name = "server",
		.domain = o->domain,
		.pod_cidr = o->pod_cidr,
		.service_cidr = o->service_cidr,
		.cluster_domain = o->cluster_domain,
		.ca = &p->identity.ca,
		.node_life_ms = o->node_life_s * 1000,
		.rejoin_age_ms = o->rejoin_age_s * 1000,
		.clock = &p->clock,
		.seed = seed};
	int r = server_new(&config, &p->server, e);
	if (r == 0)
		r = make_tls(p, &p->tls, e);
	if (r == 0)
		r = tls_acceptor_new(p->loop, p->tls, o->listen, server_http(p->server),
			&p->acceptor, e);
	return r;
}

static int write_kubeconfigs(struct program *p, struct err *e)
{
	const struct options *o = &p->options;
	CLEANUP(mem_free_ptr) char *url = NULL;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/admin.kubeconfig", o->state);
	if (o->advertise_count)
		url = mem_format("https://%s", o->advertise[0]);
	else
		url = mem_format("https://127.0.0.1%s",
			strrchr(tls_acceptor_address(p->acceptor), ':'));
	int r = identity_write_kubeconfig(&p->identity_config, &p->identity, url, path, e);
	if (r == 0 && o->kubeconfig_out)
		r = identity_write_kubeconfig(&p->identity_config, &p->identity, url,
			o->kubeconfig_out, e);
	return r;
}

static void on_renewal(void *arg)
{
	struct program *p = arg;
	struct err e = ERR_INIT;
	bool changed = false;
	struct tls_context *fresh = NULL;
	p->identity_config.wall_ms = steady_ms(&p->clock);
	keep_time(p);
	int r = identity_renew(&p->identity_config, &p->identity, &changed, &e);
	if (r == 0 && changed)
		r = make_tls(p, &fresh, &e);
	if (r < 0)
		log_err(&p->log, LOG_ERROR, "renewal_failed", &e, "part=server_certificate");
	if (fresh) {
		tls_acceptor_set_context(p->acceptor, fresh);
		tls_context_free(p->tls);
		p->tls = fresh;
		log_info(&p->log, "certificate_renewed", "part=server");
	}
	loop_timer_start(p->renewal, RENEW_CHECK_MS);
}

static void on_signal(void *arg, int signal)
{
	struct program *p = arg;
	log_info(&p->log, "stopping", "signal=%d", signal);
	notify_stopping(&p->notify);
	loop_uv_stop(p->loop);
}

static int start(struct program *p, struct err *e)
{
	start_clock(p);
	int r = load_identity(p, e);
	if (r == 0)
		r = open_store(p, e);
	if (r == 0)
		r = start_server(p, e);
	if (r == 0)
		r = write_kubeconfigs(p, e);
	if (r < 0)
		return r;
	keep_time(p);
	p->renewal = loop_timer_new(p->loop, on_renewal, p);
	loop_timer_start(p->renewal, RENEW_CHECK_MS);
	p->signals[0] = loop_uv_signal(p->loop, SIGTERM, on_signal, p);
	p->signals[1] = loop_uv_signal(p->loop, SIGINT, on_signal, p);
	log_info(&p->log, "started", "version=%s listen=%s domain=%s revision=%lld",
		CONTINUO_VERSION, tls_acceptor_address(p->acceptor), p->options.domain,
		(long long)store_revision(p->store));
	notify_ready(&p->notify, p->loop);
	return 0;
}

/* Crash-only: nothing is written on the way out, and the process's end frees the rest. */
static void stop(struct program *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->signals); i++)
		if (p->signals[i])
			loop_signal_free(p->signals[i]);
	explicit_bzero(&p->identity.data_key, sizeof(p->identity.data_key));
}

int main_server(int argc, char **argv)
{
	static struct program program;
	struct program *p = &program;
	struct err e = ERR_INIT;
	notify_init(&p->notify);
	p->options = (struct options){.listen = "0.0.0.0:6443",
		.domain = "continuo",
		.pod_cidr = "10.42.0.0/16",
		.service_cidr = "10.43.0.0/16",
		.cluster_domain = "cluster.local",
		.level = LOG_INFO,
		.node_life_s = 24 * 3600,
		.rejoin_age_s = 7 * 24 * 3600};
	if (parse(argc, argv, &p->options, &e) < 0) {
		fprintf(stderr, "continuo server: %s\n", e.text);
		return err_exit_status(ERR_USAGE);
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 1);
	p->loop = loop_uv_new(4);
	uint64_t keys[2];
	loop_random_bytes(p->loop, keys, sizeof(keys));
	map_seed(keys[0], keys[1]);
	p->log = (struct log){.level = p->options.level,
		.role = "server",
		.wall_ms = log_wall_ms,
		.write = log_write,
		.context = p->loop};
	if (start(p, &e) < 0) {
		fprintf(stderr, "continuo server: %s\n", e.text);
		return err_exit_status(e.code);
	}
	loop_uv_run(p->loop);
	stop(p);
	return 0;
}

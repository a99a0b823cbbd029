/* continuo-agent: one per machine. Everything real is put together here: libuv, TLS, the pod
 * network, images, containers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/local.h"
#include "agent/outgoing.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/adopted.h"
#include "main/notify.h"
#include "main/sealer.h"
#include "sys/loop_uv.h"

struct program {
	struct loop *loop;
	struct log log;
	struct agent_clock clock;
	struct agent_outgoing outgoing;
	struct agent_tls tls;
	struct sealer sealer;
	struct agent_options options;
	struct agent *agent;
	struct agent_local *local;
	struct loop_signal *signals[2];
	struct notify notify;
	struct stat locked_run;
	int exit_status;
};

static int64_t wall_ms(void *context)
{
	struct timespec t;
	(void)context;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void write_stderr(void *context, const char *line)
{
	(void)context;
	fputs(line, stderr);
}

static int complain(const struct err *e)
{
	fprintf(stderr, "continuo-agent: %s\n", e->text);
	return err_exit_status(e->code);
}

static void on_signal(void *arg, int number)
{
	struct program *p = arg;
	log_info(&p->log, "stopping", "signal=%d pods=keep_running", number);
	notify_stopping(&p->notify);
	loop_uv_stop(p->loop);
}

static void on_fatal(void *context, const struct err *e)
{
	struct program *p = context;
	p->exit_status = complain(e);
	loop_uv_stop(p->loop);
}

/* The helpers lie beside this program unless the configuration says where. */
static const char *helper_path(struct program *p, const char *name)
{
	char self[4096];
	if (*p->options.program_folder)
		return arena_format(&p->options.arena, "%s/%s", p->options.program_folder, name);
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[size > 0 ? size : 0] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	return arena_format(&p->options.arena, "%s/%s", self, name);
}

/* Two agents on one folder would fight over its pods. The lock goes with the process. *locked: the
 * file system and the folder in it that is locked already. */
static int lock_folder(const char *folder, const char *what, const char *option,
	struct stat *locked, struct err *e)
{
	struct stat st;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(e, errno, "cannot open the %s folder %s", what, folder);
	if (st.st_dev == locked->st_dev && st.st_ino == locked->st_ino) {
		close(fd);
		return 0;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return err_set(e, ERR_CONFLICT,
			"another agent runs on the %s folder %s; give each node its own (%s)", what,
			folder, option);
	}
	*locked = st;
	return 0; /* the descriptor stays open for the life of the process */
}

static int lock_state(const struct program *p, struct err *e)
{
	struct stat locked = {0};
	const char *folder = p->options.agent.state_folder;
	int r = fs_make_folders(fs_real(), folder, 0700, e);
	return r < 0 ? r : lock_folder(folder, "state", "stateFolder", &locked, e);
}

/* Once before the driver is made, and once after it: it may have mounted a tmpfs there. */
static int lock_run(struct program *p, struct err *e)
{
	return lock_folder(p->options.agent.run_folder, "run", "runFolder", &p->locked_run, e);
}

static int make_driver(void *context, const struct driver_config *config,
	struct driver **ret_driver, struct err *e)
{
	struct program *p = context;
	static const struct driver_fake_config fake = {.start_ms_max = 50, .stop_ms_max = 50};
	if (str_equal(p->options.driver, "fake")) {
		struct driver_config alone = *config; /* nothing of its pods is on the machine */
		alone.host.network_attach = NULL;
		alone.host.network_detach = NULL;
		*ret_driver = driver_fake_new(&alone, &fake);
		return 0;
	}
	struct driver_config own = *config;
	own.docker_socket = p->options.docker_socket;
	own.pull_program = helper_path(p, "continuo-pull");
	struct driver *driver;
	int r = str_equal(p->options.driver, "docker") ? driver_docker_new(&own, &driver, e)
						       : driver_oci_new(&own, &driver, e);
	if (r == 0 && (r = lock_run(p, e)) < 0)
		driver->ops->free(driver);
	if (r == 0 && p->options.agent.adopts)
		return driver_adopted_new(&own, driver, ret_driver, e);
	if (r == 0)
		*ret_driver = driver;
	return r;
}

/* The address from which this machine talks to the server: what a connected UDP socket is bound to.
 * Nothing is sent. */
static bool own_address(const char *server, char ret_text[static INET6_ADDRSTRLEN])
{
	struct sockaddr_in to = {.sin_family = AF_INET}, own;
	socklen_t size = sizeof(own);
	char host[64];
	const char *colon = strrchr(server, ':');
	if (!colon || (size_t)(colon - server) >= sizeof(host))
		return false;
	memcpy(host, server, (size_t)(colon - server));
	host[colon - server] = '\0';
	to.sin_port = htons(9);
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return false;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		  getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
		  inet_ntop(AF_INET, &own.sin_addr, ret_text, INET6_ADDRSTRLEN);
	if (fd >= 0)
		close(fd);
	return ok;
}

static int choose_address(struct program *p, struct err *e)
{
	char text[INET6_ADDRSTRLEN];
	struct agent_config *c = &p->options.agent;
	if (*c->address)
		return 0;
	for (size_t i = 0; c->servers[i]; i++)
		if (own_address(c->servers[i], text)) {
			c->address = arena_dup(&p->options.arena, text);
			return 0;
		}
	/* Behind a proxy there may be no route to the server at all. */
	if (p->outgoing.proxy && own_address(proxy_address(p->outgoing.proxy), text)) {
		c->address = arena_dup(&p->options.arena, text);
		return 0;
	}
	return err_set(e, ERR_USAGE,
		"cannot tell by which address other nodes reach this one: give --address IP");
}

static int open_images(struct program *p, struct err *e)
{
	struct image_store_config images = {.loop = p->loop,
		.log = &p->log,
		.folder =
			arena_format(&p->options.arena, "%s/images", p->options.agent.state_folder),
		.pull_path = helper_path(p, "continuo-pull"),
		.registries_file = p->options.registries_file,
		.pull_env = p->outgoing.environment};
	return agent_images_real(&images, &p->options.agent.images, e);
}

static int make_run_folders(struct program *p, struct err *e)
{
	const char *run = p->options.agent.run_folder;
	int r = fs_make_folders(fs_real(), run, 0700, e);
	if (r == 0)
		r = lock_run(p, e);
	if (r == 0)
		r = fs_make_folders(fs_real(), arena_format(&p->options.arena, "%s/fence", run),
			0700, e);
	return r;
}

static int start(struct program *p, struct err *e)
{
	struct agent_config *c = &p->options.agent;
	c->loop = p->loop;
	c->log = &p->log;
	c->fs = fs_real();
	c->device_events = true;
	c->runtime_wrapper = helper_path(p, "continuo-runtime");
	c->pause_program = helper_path(p, "continuo-pause");
	c->fence_program = helper_path(p, "continuo-fence");
	p->sealer = (struct sealer){
		.program = helper_path(p, "continuo-seal"), .tcti = p->options.key_seal_tcti};
	c->sealer = sealer_of(&p->sealer);
	int r = agent_outgoing_init(&p->outgoing, &p->options, (const char *const *)environ, e);
	if (r == 0)
		r = choose_address(p, e);
	if (r == 0)
		r = lock_state(p, e);
	if (r == 0)
		r = make_run_folders(p, e);
	if (r == 0)
		r = open_images(p, e);
	if (r < 0)
		return r;
	agent_discover(c->fs, c->state_folder, &c->facts);
	agent_clock_init(&p->clock, p->loop);
	c->clock = &p->clock;
	p->tls = (struct agent_tls){&p->clock, p->outgoing.proxy};
	c->transport = agent_transport_tls(&p->tls);
	c->net = agent_net_real();
	c->driver_new = make_driver;
	c->driver_context = p;
	c->on_fatal = on_fatal;
	c->fatal_context = p;
	r = agent_new(c, &p->agent, e);
	if (r == 0 && !str_equal(p->options.listen, "none"))
		r = agent_local_new(p->loop, p->agent, p->options.listen, &p->local, e);
	return r;
}

static void run(struct program *p)
{
	struct err e = ERR_INIT;
	p->loop = loop_uv_new(2);
	p->log = (struct log){.level = p->options.log_level,
		.role = "agent",
		.wall_ms = wall_ms,
		.write = write_stderr};
	p->signals[0] = loop_uv_signal(p->loop, SIGTERM, on_signal, p);
	p->signals[1] = loop_uv_signal(p->loop, SIGINT, on_signal, p);
	if (start(p, &e) < 0) {
		p->exit_status = complain(&e);
		return; /* crash-only: the process ends, and with it everything on the loop */
	}
	log_info(&p->log, "started",
		"version=%s address=%s memory_mib=%lld cpu_milli=%lld cgroup=%s", CONTINUO_VERSION,
		p->options.agent.address, (long long)(p->options.agent.facts.memory_bytes >> 20),
		(long long)p->options.agent.facts.cpu_milli, p->options.agent.facts.cgroup_version);
	notify_ready(&p->notify,
		p->loop); /* on an island too: pods run before the server answers */
	if (p->outgoing.proxy)
		log_info(&p->log, "through_proxy", "proxy=%s", proxy_address(p->outgoing.proxy));
	loop_uv_run(p->loop);
	agent_local_free(p->local);
	agent_free(p->agent);
}

/* One heap for all threads: a second arena costs an idle agent more than its lock ever will. */
static void keep_small(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
}

int main(int argc, char **argv)
{
	struct program p = {0};
	struct err e = ERR_INIT;
	uint64_t keys[2];
	keep_small();
	umask(0022);
	notify_init(&p.notify);
	if (agent_options_parse(fs_real(), argc, argv, &p.options, &e) < 0)
		return complain(&e);
	if (p.options.help) {
		CLEANUP(buf_done) struct buf b = BUF_INIT;
		agent_options_help(&b);
		fputs(buf_text(&b), stdout);
		return 0;
	}
	if (p.options.version) {
		puts("continuo-agent " CONTINUO_VERSION);
		return 0;
	}
	if (getentropy(keys, sizeof(keys)) == 0)
		map_seed(keys[0], keys[1]);
	run(&p);
	return p.exit_status;
}

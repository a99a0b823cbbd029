#include "agent/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_private.h"
#include "agent/node.h"
#include "base/mem.h"
#include "base/str.h"
#include "pki/pki.h"
#include "sys/memory.h"

#define TIDY_MS 3000
#define PROBE_MS 15000                         /* a driver may come to work, or not any more */
#define IMAGES_FREE_BYTES ((int64_t)512 << 20) /* kept free for the next pull */

/* ---- tidying ---- */

static void report_node(struct agent *a);

static void remove_images(struct agent *a, int64_t free_bytes)
{
	CLEANUP(agent_used_images_done) struct agent_used_images used = {0};
	agent_pods_images(a->pods, &used);
	a->config.images.ops->collect(a->config.images.context, (const char *const *)used.items,
		used.count, free_bytes);
}

/* Where the file system does not tell its size: after a pod went, or a pull had no room. */
static void collect_images(struct agent *a)
{
	int64_t free_bytes = fs_free_bytes(a->config.fs, a->config.state_folder);
	bool due = a->images_due && (free_bytes < 0 || free_bytes < IMAGES_FREE_BYTES);
	a->images_due = false;
	if (due)
		remove_images(a, IMAGES_FREE_BYTES);
}

static void note_pressure(struct agent *a)
{
	bool pressure = a->disk.pressure;
	a->config.facts.disk_pressure = pressure;
	if (pressure)
		log_warn(a->config.log, "disk_pressure", "folder=%s high_percent=%lld",
			a->config.state_folder, (long long)a->disk.high_percent);
	else
		log_info(a->config.log, "disk_pressure_over", "folder=%s", a->config.state_folder);
	if (a->probed)
		report_node(a);
}

static void on_disk_look(void *arg)
{
	struct agent *a = arg;
	const struct agent_images *images = &a->config.images;
	bool changed,
		removing = images->ops->collecting && images->ops->collecting(images->context);
	int64_t free_bytes = 0;
	enum agent_disk_verdict verdict =
		agent_disk_look(&a->disk, removing, &free_bytes, &changed);
	a->config.facts.disk_known = verdict != AGENT_DISK_UNKNOWN;
	if (verdict == AGENT_DISK_UNKNOWN) {
		collect_images(a);
		return;
	}
	a->images_due = false;
	if (changed)
		note_pressure(a);
	/* Under pressure there was nothing to remove: that is tried again at the usual distance. */
	if (verdict == AGENT_DISK_REMOVE && a->pods && agent_pods_listed(a->pods))
		remove_images(a, free_bytes);
	bool soon =
		verdict == AGENT_DISK_WAIT || (verdict == AGENT_DISK_REMOVE && !a->disk.pressure);
	loop_timer_start(a->disk_look, soon ? AGENT_DISK_SOON_MS : AGENT_DISK_LOOK_MS);
}

/* An idle agent would carry about for ever what a burst needed. */
static void on_tidy(void *arg)
{
	struct agent *a = arg;
	if (a->images_due)
		on_disk_look(a);
	memory_give_back();
}

void agent_tidy_later(struct agent *a)
{
	loop_timer_start(a->tidy, TIDY_MS);
}

/* ---- the network ---- */

/* Addresses of pods that are neither wanted nor there are given back, once both are known. */
static void check_network(void *arg)
{
	struct agent *a = arg;
	struct err e = ERR_INIT;
	if (a->kept_only || !a->network.open || !agent_pods_listed(a->pods))
		return;
	size_t count;
	CLEANUP(mem_free_ptr) const char **uids = agent_pods_uids(a->pods, &count);
	if (a->config.net.ops->keep_only(a->config.net.context, uids, count, &e) < 0)
		log_err(a->config.log, LOG_WARN, "addresses_not_swept", &e, "pods=%zu", count);
	agent_devices_keep_only(a->devices, uids, count);
	a->kept_only = true;
}

static void on_forgotten(void *arg)
{
	struct agent *a = arg;
	a->images_due = true;
	agent_tidy_later(a);
	/* A pod that was gone before this boot left an address that no driver gives back. */
	a->kept_only = false;
	check_network(a);
}

/* Pods that wait for it are on their way here; others shall not come (condition
 * NetworkUnavailable). */
static void note_network(struct agent *a, const char *problem)
{
	struct agent_facts *facts = &a->config.facts;
	char text[sizeof(facts->network_problem)];
	snprintf(text, sizeof(text), "%s", problem);
	if (str_equal(text, facts->network_problem))
		return;
	memcpy(facts->network_problem, text, sizeof(text));
	facts->network_known = true;
	if (a->probed && a->session)
		report_node(a);
}

static void on_network_problem(void *arg, const struct err *e)
{
	note_network(arg, e->text);
}

static void on_network_open(void *arg, const char *cluster_domain, const char *dns_address)
{
	struct agent *a = arg;
	note_network(a, "");
	a->kept_only = false;
	check_network(a);
	agent_pods_set_network(a->pods, cluster_domain, dns_address);
}

/* ---- the session ---- */

static void on_news(void *arg)
{
	struct agent *a = arg;
	if (a->session)
		agent_session_news(a->session);
	if (a->spool)
		agent_spool_news(a->spool);
}

static void on_acked(void *arg)
{
	agent_spool_news(((struct agent *)arg)->spool);
}

static int64_t clock_ms(void *arg)
{
	return agent_clock_ms(((struct agent *)arg)->clock);
}

static uint64_t new_id(void *arg)
{
	uint64_t id;
	loop_random_bytes(((struct agent *)arg)->config.loop, &id, sizeof(id));
	return id;
}

/* What the server cannot take is kept as on an island. */
static void on_session_reports(void *arg, bool taken)
{
	struct agent *a = arg;
	agent_spool_session(a->spool, taken, a->node_key);
}

static void on_session_lost(void *arg)
{
	struct agent *a = arg;
	agent_spool_session(a->spool, false, a->node_key);
	agent_calls_cancel_all(&a->calls);
	agent_renewal_check(a->renewal);
}

/* Pods keep running, the session goes on trying. A certificate may have expired while the machine
 * was away; the server knows, this clock may not. */
static void on_session_refused(void *arg, const struct err *e)
{
	struct agent *a = arg;
	if (e->code == ERR_UNAUTHORIZED)
		agent_renewal_rejoin(a->renewal, agent_session_last_client(a->session));
}

static int start_join(struct agent *a, struct err *e);

/* A token may be there because a person did what the server's last answer told. */
static void on_rejoin_failed(void *arg, bool final, const struct err *e)
{
	struct agent *a = arg;
	struct err why = ERR_INIT;
	log_err(a->config.log, LOG_ERROR, "rejoin_failed", e, "node=%s", a->identity.node);
	if (!final || str_empty(a->config.token) || a->join || a->token_refused)
		return;
	log_info(a->config.log, "rejoins_by_token", "node=%s", a->identity.node);
	if (start_join(a, &why) < 0) {
		log_err(a->config.log, LOG_ERROR, "token_not_usable", &why, "node=%s",
			a->identity.node);
		a->token_refused = true;
	}
}

static int check_session_time(void *arg, int64_t wall_ms, struct err *e)
{
	const struct agent *a = arg;
	return a->session ? agent_session_check_time(a->session, wall_ms, e) : 0;
}

static struct http_client *renewal_client(void *arg)
{
	struct agent *a = arg;
	return a->session ? agent_session_client(a->session) : NULL;
}

static void swap_text(char **text, char **news)
{
	char *old = *text;
	*text = *news;
	*news = old;
}

static void on_renewed(void *arg, struct agent_identity *news)
{
	struct agent *a = arg;
	struct err e = ERR_INIT;
	swap_text(&a->identity.certificate_pem, &news->certificate_pem);
	swap_text(&a->identity.key_pem, &news->key_pem);
	swap_text(&a->identity.ca_pem, &news->ca_pem);
	agent_identity_done(news);
	agent_clock_raise_by(a->clock, a->identity.certificate_pem);
	if (agent_identity_save(a->config.fs, a->config.state_folder, &a->identity, &e) < 0)
		log_err(a->config.log, LOG_ERROR, "identity_not_saved", &e,
			"action=renew_after_restart");
	log_info(a->config.log, "certificate_renewed", "node=%s", a->identity.node);
	agent_session_renewed(a->session);
	agent_renewal_check(a->renewal);
	agent_tidy_later(a);
}

static void open_session(struct agent *a)
{
	struct agent_renewal_config renewal = {.loop = a->config.loop,
		.log = a->config.log,
		.identity = &a->identity,
		.clock = a->clock,
		.check_time = check_session_time,
		.client = renewal_client,
		.on_renewed = on_renewed,
		.on_rejoin_failed = on_rejoin_failed,
		.arg = a};
	struct agent_session_config session = {.loop = a->config.loop,
		.log = a->config.log,
		.transport = &a->config.transport,
		.identity = &a->identity,
		.servers = a->config.servers,
		.reports = &a->reports,
		.write_hello = agent_feed_write_hello,
		.on_message = agent_feed_message,
		.on_reports = on_session_reports,
		.on_lost = on_session_lost,
		.on_refused = on_session_refused,
		.arg = a};
	if (!a->config.transport.proves_identity)
		a->renewal = agent_renewal_new(&renewal);
	a->session = agent_session_new(&session);
}

/* ---- pods ---- */

/* The server learns of a driver that came to work, or of one that did not, by what pods may have.
 */
static void report_node(struct agent *a)
{
	CLEANUP(json_done)
	json_t *node = agent_node_make(&a->config, agent_node_name(a), &a->probe, a->devices);
	CLEANUP(mem_free_ptr) char *text = json_encode_string(json_object_get(node, "status"));
	agent_reports_node(&a->reports, text);
}

static void on_probed(void *arg, const struct driver_probe *p)
{
	struct agent *a = arg;
	bool changed = !a->probed || a->probe.ready != p->ready;
	/* Of an engine that is away nothing new is known. */
	unsigned capabilities = a->probed && !p->ready ? a->probe.capabilities : p->capabilities;
	a->probe = *p;
	a->probe.capabilities = capabilities;
	a->probed = true;
	if (changed && !p->ready)
		log_error(a->config.log, "driver_not_ready", "driver=%s why=\"%s\"", p->name,
			p->detail);
	else if (changed)
		log_info(a->config.log, "driver_ready", "driver=%s version=\"%s\"", p->name,
			p->version);
	if (changed && a->session)
		report_node(a);
	loop_timer_start(a->probing, PROBE_MS);
	if (changed)
		loop_timer_start(a->next, 0);
}

static void probe_again(void *arg)
{
	struct agent *a = arg;
	a->driver->ops->probe(a->driver, on_probed, a);
}

/* ---- devices ---- */

static void give_devices(void *arg, const json_t *tree, struct arena *arena, struct driver_pod *pod)
{
	const struct agent *a = arg;
	agent_devices_give(a->devices, pod->pod->uid, tree, arena, pod);
}

static void on_device_counts(void *arg)
{
	struct agent *a = arg;
	if (a->session)
		report_node(a);
	else
		loop_timer_start(a->next, 0); /* the hello waits for the first look */
}

static void on_devices_change(void *arg)
{
	struct agent *a = arg;
	if (a->pods)
		agent_pods_look(a->pods);
}

static bool on_device_lost(void *arg, const char *uid, const char *message)
{
	struct agent *a = arg;
	return a->pods && agent_pods_fail(a->pods, uid, "DeviceLost", message);
}

static void on_devices_awaited(void *arg, const char *uid, const char *message)
{
	agent_pods_waits(((struct agent *)arg)->pods, uid, "DevicesUnavailable", message);
}

/* The kubelet's reason for a pod that got to a node which cannot give it its devices. */
static void on_devices_refused(void *arg, const char *uid, const char *message)
{
	agent_pods_refuse(((struct agent *)arg)->pods, uid, "UnexpectedAdmissionError", message);
}

static bool may_refuse(void *arg)
{
	return agent_connected(arg);
}

static void start_devices(struct agent *a)
{
	struct agent_devices_config devices = {.loop = a->config.loop,
		.log = a->config.log,
		.fs = a->config.fs,
		.state_folder = a->config.state_folder,
		.rules = a->config.devices,
		.rule_count = a->config.device_count,
		.boot_id = a->config.facts.boot_id,
		.events = a->config.device_events,
		.on_counts = on_device_counts,
		.on_change = on_devices_change,
		.on_lost = on_device_lost,
		.on_waiting = on_devices_awaited,
		.on_refused = on_devices_refused,
		.may_refuse = may_refuse,
		.arg = a};
	a->devices = agent_devices_new(&devices);
}

/* Pods live beside the agent in the control group that the machine gave it, so that its limits hold
 * for all of them. Under v2 a group with processes cannot have groups with limits below it. */
static void choose_cgroup(struct agent *a)
{
	const struct agent_facts *f = &a->config.facts;
	bool nested = !str_equal(f->cgroup_version, "v2") && f->cgroup[0] && f->cgroup[1];
	if (!str_empty(a->config.cgroup_parent))
		snprintf(a->cgroup_parent, sizeof(a->cgroup_parent), "%s", a->config.cgroup_parent);
	else
		snprintf(a->cgroup_parent, sizeof(a->cgroup_parent), "%s/continuo/%s",
			nested ? f->cgroup : "", agent_node_name(a));
}

static int start_driver(struct agent *a, struct err *e)
{
	CLEANUP(mem_free_ptr) char *state = mem_format("%s/pods", a->config.state_folder);
	struct driver_config config = {.loop = a->config.loop,
		.log = a->config.log,
		.host = agent_host(a),
		.state_folder = state,
		.run_folder = a->config.run_folder,
		.node_name = agent_node_name(a),
		.host_ip = a->config.address,
		.cpu_milli = a->config.facts.cpu_milli - a->config.reserved_cpu_milli,
		.memory_bytes = a->config.facts.memory_bytes - a->config.reserved_memory_bytes,
		.cgroup_parent = a->cgroup_parent,
		.runtime = a->config.runtime ? a->config.runtime : "",
		.runtime_wrapper = a->config.runtime_wrapper,
		.pause_program = a->config.pause_program};
	int r = a->config.driver_new(a->config.driver_context, &config, &a->driver, e);
	if (r < 0)
		return r;
	agent_calls_init(&a->calls, a->config.loop, a->config.log, a->driver, a->slice);
	return 0;
}

/* ---- handover pods ---- */

static bool may_hand_over(struct agent *a, const struct object *pod)
{
	if (agent_node_fences(&a->config, &a->probe))
		return agent_fences_may_start(a->fences, pod->uid);
	if (a->probed)
		agent_pods_refuse(a->pods, pod->uid, "NoFence",
			"A pod with continuo.dev/singleton: handover needs continuo-fence and an "
			"engine whose control groups it reaches; this node lacks them");
	return false;
}

static bool may_start(void *arg, const struct object *pod)
{
	struct agent *a = arg;
	return agent_devices_ready(a->devices, pod) &&
	       (!agent_fences_wants(pod) || may_hand_over(a, pod));
}

static void on_adopted(void *arg, const struct object *pod)
{
	struct agent *a = arg;
	if (agent_fences_wants(pod))
		agent_fences_adopt(a->fences, pod->uid);
	agent_devices_adopted(a->devices, pod);
}

static void on_unknown(void *arg, const char *uid)
{
	agent_fences_unknown(((struct agent *)arg)->fences, uid);
}

static void on_finished(void *arg, const char *uid)
{
	agent_devices_drop(((struct agent *)arg)->devices, uid);
}

static void on_ended(void *arg, const char *uid)
{
	struct agent *a = arg;
	agent_fences_drop(a->fences, uid);
	agent_devices_drop(a->devices, uid);
}

static void on_fences_change(void *arg)
{
	struct agent *a = arg;
	if (a->pods)
		agent_pods_look(a->pods);
}

static void on_lease_over(void *arg, const char *uid)
{
	struct agent *a = arg;
	if (a->pods)
		agent_pods_fenced(a->pods, uid);
}

static void start_fences(struct agent *a)
{
	struct agent_fences_config fences = {.loop = a->config.loop,
		.fs = a->config.fs,
		.log = a->config.log,
		.program = a->config.fence_program,
		.maker = a->config.fence_maker,
		.run_folder = a->config.run_folder,
		.cgroup_parent = a->cgroup_parent,
		.client = renewal_client,
		.on_change = on_fences_change,
		.on_expired = on_lease_over,
		.arg = a};
	choose_cgroup(a);
	a->fences = agent_fences_new(&fences);
}

static void on_spooled_end(void *arg, const char *key, const char *uid)
{
	struct agent *a = arg;
	const struct object *pod = agent_slice_get(a->slice, key);
	if (pod && str_equal(pod->uid, uid))
		agent_slice_end(a->slice, uid);
}

static int start_spool(struct agent *a, struct err *e)
{
	unsigned char key[DATA_KEY_SIZE];
	int r = object_key_of(&kind_node, "", agent_node_name(a), a->node_key, e);
	if (r < 0)
		return r;
	bool kept = agent_slice_key(a->slice, key);
	struct agent_spool_config spool = {.loop = a->config.loop,
		.log = a->config.log,
		.fs = a->config.fs,
		.state_folder = a->config.state_folder,
		.key = key,
		.limit_bytes = a->config.spool_bytes,
		.leave = !kept,
		.reports = &a->reports,
		.on_over = on_spooled_end,
		.arg = a};
	a->spool = agent_spool_new(&spool);
	explicit_bzero(key, sizeof(key));
	return 0;
}

static int start_parts(struct agent *a, struct err *e)
{
	struct agent_pods_config pods = {.loop = a->config.loop,
		.log = a->config.log,
		.clock = a->clock,
		.slice = a->slice,
		.reports = &a->reports,
		.node_name = agent_node_name(a),
		.host_ip = a->config.address,
		.give_devices = give_devices,
		.adopts = a->config.adopts,
		.may_start = may_start,
		.on_adopted = on_adopted,
		.on_unknown = on_unknown,
		.on_finished = on_finished,
		.on_ended = on_ended,
		.on_listed = check_network,
		.on_forgotten = on_forgotten,
		.arg = a};
	struct agent_network_config network = {.loop = a->config.loop,
		.log = a->config.log,
		.net = &a->config.net,
		.slice = a->slice,
		.node_name = agent_node_name(a),
		.node_address = a->config.address,
		.state_folder = a->config.state_folder,
		.backend = a->config.network_backend ? a->config.network_backend : "direct",
		.resolv_conf = a->config.resolv_conf ? a->config.resolv_conf : "/etc/resolv.conf",
		.on_open = on_network_open,
		.on_problem = on_network_problem,
		.arg = a};
	int r = start_spool(a, e);
	if (r < 0)
		return r;
	start_fences(a);
	start_devices(a);
	a->pods = agent_pods_new(&pods);
	agent_network_init(&a->network, &network);
	agent_network_open(&a->network); /* as the slice on disk has it: pods that run need it */
	r = start_driver(a, e);
	if (r < 0)
		return r;
	agent_pods_set_driver(a->pods, a->driver);
	a->driver->ops->probe(a->driver, on_probed, a);
	return 0;
}

/* ---- joining ---- */

static void on_joined(void *arg, struct agent_identity *identity)
{
	struct agent *a = arg;
	if (a->session) { /* it had an identity, which the server refused */
		on_renewed(a, identity);
		loop_timer_start(a->next, 0);
		return;
	}
	a->identity = *identity;
	a->failed = agent_identity_save(a->config.fs, a->config.state_folder, &a->identity,
			    &a->fatal) < 0;
	if (!a->failed)
		log_info(a->config.log, "joined", "domain=%s node=%s", a->identity.domain,
			a->identity.node);
	loop_timer_start(a->next, 0);
}

static void on_join_refused(void *arg, const struct err *e)
{
	struct agent *a = arg;
	a->token_refused = true;
	if (a->session) {
		log_err(a->config.log, LOG_ERROR, "token_refused", e, "node=%s", a->identity.node);
		loop_timer_start(a->next, 0);
		return;
	}
	a->fatal = *e;
	a->failed = true;
	loop_timer_start(a->next, 0);
}

static int start_join(struct agent *a, struct err *e)
{
	struct agent_join_config join = {.loop = a->config.loop,
		.log = a->config.log,
		.transport = &a->config.transport,
		.servers = a->config.servers,
		.token = a->config.token,
		.node_name = a->identity.node ? a->identity.node : a->config.node_name,
		.clock = a->clock,
		.on_joined = on_joined,
		.on_refused = on_join_refused,
		.arg = a};
	if (str_empty(a->config.token))
		return err_set(e, ERR_USAGE,
			"this machine has not joined a domain and has no token: run `continuo "
			"token "
			"create` on a server and give its output with --token");
	return agent_join_new(&join, &a->join, e);
}

/* The steps that follow a callback of something that goes in them. */
static void on_next(void *arg)
{
	struct agent *a = arg;
	agent_join_free(take_ptr(a->join));
	if (!a->failed && !a->pods)
		a->failed = start_parts(a, &a->fatal) < 0;
	if (a->failed) {
		a->config.on_fatal(a->config.fatal_context, &a->fatal);
		return;
	}
	if (a->probed && !a->session && agent_devices_known(a->devices))
		open_session(a);
	agent_tidy_later(a);
}

/* ---- the whole ---- */

static int check_name(const struct agent *a, struct err *e)
{
	const char *wanted = a->config.node_name;
	if (!str_empty(wanted) && !str_equal(wanted, a->identity.node))
		return err_set(e, ERR_USAGE,
			"the state folder %s is of node \"%s\", not of \"%s\": give each node its "
			"own "
			"state folder",
			a->config.state_folder, a->identity.node, wanted);
	return 0;
}

static void on_slice_saved(void *arg, bool saved)
{
	struct agent *a = arg;
	if (a->pods)
		agent_pods_slice_saved(a->pods, saved);
}

static int load(struct agent *a, struct err *e)
{
	int r = agent_state_open(a->config.fs, a->config.state_folder, e);
	if (r < 0)
		return r;
	struct agent_slice_config slice = {.loop = a->config.loop,
		.log = a->config.log,
		.fs = a->config.fs,
		.folder = a->config.state_folder,
		.kinds = a->kinds,
		.key_seal = a->config.key_seal,
		.sealer = a->config.sealer,
		.on_saved = on_slice_saved,
		.arg = a};
	r = agent_slice_open(&slice, &a->slice, e);
	if (r < 0)
		return r;
	if (a->config.transport.proves_identity) {
		a->identity.node = mem_dup_string(a->config.node_name);
		return 0;
	}
	struct err why = ERR_INIT;
	r = agent_identity_load(a->config.fs, a->config.state_folder, &a->identity, &why);
	if (r == -ERR_NOT_FOUND)
		return start_join(a, e);
	if (r < 0)
		return err_set(e, why.code, "%s", why.text);
	agent_clock_raise_by(a->clock, a->identity.certificate_pem);
	return check_name(a, e);
}

int agent_new(const struct agent_config *config, struct agent **ret_agent, struct err *e)
{
	struct agent *a = mem_new(struct agent);
	a->config = *config;
	agent_clock_init(&a->own_clock, config->loop);
	a->clock = config->clock ? config->clock : &a->own_clock;
	a->kinds = kind_registry_new();
	list_init(&a->pulls);
	list_init(&a->calls.open);
	struct agent_reports_config reports = {.on_news = on_news,
		.on_acked = on_acked,
		.clock_ms = clock_ms,
		.new_id = new_id,
		.arg = a};
	agent_reports_init(&a->reports, &reports);
	a->next = loop_timer_new(config->loop, on_next, a);
	a->tidy = loop_timer_new(config->loop, on_tidy, a);
	a->probing = loop_timer_new(config->loop, probe_again, a);
	a->disk_look = loop_timer_new(config->loop, on_disk_look, a);
	agent_disk_init(&a->disk, config->fs, config->state_folder, config->image_gc_high_percent,
		config->image_gc_low_percent);
	if (fs_total_bytes(config->fs, config->state_folder) > 0) {
		a->config.facts.disk_known = true;
		loop_timer_start(a->disk_look, AGENT_DISK_SOON_MS);
	}
	int r = load(a, e);
	if (r == 0 && !a->join)
		r = start_parts(a, e);
	if (r < 0) {
		agent_free(a);
		return r;
	}
	*ret_agent = a;
	return 0;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	agent_calls_cancel_all(&a->calls);
	agent_renewal_free(a->renewal);
	agent_session_free(a->session);
	agent_join_free(a->join);
	agent_pods_free(take_ptr(a->pods));
	if (a->driver)
		a->driver->ops->free(a->driver);
	agent_fences_free(a->fences);
	agent_devices_free(a->devices);
	agent_host_done(a);
	agent_network_done(&a->network);
	a->config.net.ops->free(a->config.net.context);
	a->config.images.ops->free(a->config.images.context);
	agent_slice_close(a->slice);
	agent_spool_free(a->spool);
	agent_reports_done(&a->reports);
	loop_timer_free(a->next);
	loop_timer_free(a->tidy);
	loop_timer_free(a->probing);
	loop_timer_free(a->disk_look);
	agent_identity_done(&a->identity);
	kind_registry_free(a->kinds);
	free(a);
}

bool agent_ready(const struct agent *a)
{
	return a->ready;
}

size_t agent_open_calls(const struct agent *a)
{
	return a->calls.count;
}

bool agent_connected(const struct agent *a)
{
	return a->session && agent_session_state(a->session) == SESSION_LIVE;
}

const char *agent_node_name(const struct agent *a)
{
	return a->identity.node ? a->identity.node : "";
}

static void certificate_metrics(const struct agent *a, struct buf *b)
{
	struct pki_info info;
	if (!a->identity.certificate_pem ||
		pki_inspect(a->identity.certificate_pem, &info, NULL) < 0)
		return;
	buf_printf(b,
		"# TYPE continuo_agent_certificate_expiry_seconds gauge\n"
		"continuo_agent_certificate_expiry_seconds %lld\n",
		(long long)(info.not_after_ms / 1000));
}

void agent_metrics(const struct agent *a, struct buf *b)
{
	buf_printf(b,
		"# TYPE continuo_agent_info gauge\ncontinuo_agent_info{version=\"%s\",node=\"%s\"} "
		"1\n# TYPE continuo_agent_slice_objects gauge\ncontinuo_agent_slice_objects %zu\n"
		"# TYPE continuo_agent_slice_saved gauge\ncontinuo_agent_slice_saved %d\n"
		"# TYPE continuo_agent_slice_writes_total counter\n"
		"continuo_agent_slice_writes_total %lld\n",
		CONTINUO_VERSION, agent_node_name(a), agent_slice_count(a->slice),
		agent_slice_saved(a->slice), (long long)agent_slice_writes(a->slice));
	certificate_metrics(a, b);
	if (a->session)
		agent_session_metrics(a->session, b);
	if (a->spool)
		agent_spool_metrics(a->spool, b);
	if (a->pods)
		agent_pods_metrics(a->pods, b);
	if (a->devices)
		agent_devices_metrics(a->devices, b);
	buf_printf(b,
		"# TYPE continuo_agent_calls_total counter\ncontinuo_agent_calls_total %lld\n",
		(long long)a->calls.served);
	if (a->network.open)
		a->config.net.ops->metrics(a->config.net.context, b);
}

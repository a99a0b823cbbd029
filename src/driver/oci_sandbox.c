/* What the containers of a pod share: namespaces pinned by bind mounts, folders, volumes, files. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"
#include "driver/oci_pod.h"
#include "driver/volumes.h"

/* ---- namespaces ---- */

struct pinned {
	const char *name;
	int flag;
	int home; /* our own, to come back to */
};

static void loopback_up(void)
{
	int fd CLEANUP(oci_fd_done) = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	if (fd >= 0)
		(void)ioctl(fd, SIOCSIFFLAGS, &request);
}

/* As Docker and CRI-O do, so that programs without privileges may bind port 80 and ping. */
static void relax_sysctls(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
		{"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"}};
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		int fd CLEANUP(oci_fd_done) = open(settings[i].path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			continue; /* not in this kernel */
	}
}

static int pin(const struct pinned *n, const char *folder, struct err *e)
{
	char *source CLEANUP(mem_free_ptr) = mem_format("/proc/thread-self/ns/%s", n->name);
	char *target CLEANUP(mem_free_ptr) = mem_format("%s/%s", folder, n->name);
	int fd CLEANUP(oci_fd_done) = open(target, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0 || mount(source, target, NULL, MS_BIND, NULL) < 0)
		return err_set_errno(e, errno, "cannot pin a namespace at %s", target);
	return 0;
}

/* On a thread of the pool, which enters the new namespaces, pins them and comes home. A thread that
 * cannot come home would do later jobs in the wrong network: then the process ends. */
static int make_namespaces(const char *folder, const char *hostname, bool own_network,
	struct err *e)
{
	struct pinned all[] = {
		{"ipc", CLONE_NEWIPC, -1}, {"net", CLONE_NEWNET, -1}, {"uts", CLONE_NEWUTS, -1}};
	size_t count = own_network ? 3 : 1;
	int flags = 0, rc = oci_make_folder(folder, 0700, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		char *path CLEANUP(mem_free_ptr) =
			mem_format("/proc/thread-self/ns/%s", all[i].name);
		all[i].home = open(path, O_RDONLY | O_CLOEXEC);
		flags |= all[i].flag;
		if (all[i].home < 0)
			rc = err_set_errno(e, errno, "cannot open %s", path);
	}
	if (!rc && unshare(flags) < 0)
		rc = err_set_errno(e, errno, "cannot make the namespaces of a pod");
	bool away = !rc;
	if (away && own_network) {
		(void)!sethostname(hostname, strlen(hostname));
		loopback_up();
		relax_sysctls();
	}
	for (size_t i = 0; i < count && away && !rc; i++)
		rc = pin(&all[i], folder, e);
	for (size_t i = 0; i < count; i++) {
		if (away && setns(all[i].home, all[i].flag) < 0)
			abort();
		oci_fd_done(&all[i].home);
	}
	return rc;
}

/* ---- files ---- */

const char *oci_pod_hostname(const json_t *pod, char ret_name[static 65])
{
	if (json_bool(pod, false, "spec", "hostNetwork")) {
		(void)gethostname(ret_name, 65);
		return ret_name;
	}
	const char *name = json_text(pod, "", "spec", "hostname");
	if (!*name)
		name = json_text(pod, "", "metadata", "name");
	snprintf(ret_name, 64, "%s", name); /* 63 is Linux' and Kubernetes' limit */
	return ret_name;
}

static void resolv_from_cluster(const struct oci_pod *p, struct buf *b)
{
	buf_printf(b, "nameserver %s\n", p->cluster_dns);
	if (p->dns_search && p->dns_search[0]) {
		buf_append_string(b, "search");
		for (size_t i = 0; p->dns_search[i]; i++)
			buf_printf(b, " %s", p->dns_search[i]);
		buf_append_char(b, '\n');
	}
	buf_append_string(b, "options ndots:5\n");
}

static void resolv_from_pod(const json_t *dns, struct buf *b)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_at(dns, "nameservers"), i, item)
		buf_printf(b, "nameserver %s\n", json_text_or(item, ""));
	json_array_foreach (json_at(dns, "searches"), i, item)
		buf_printf(b, "%s%s", i ? " " : "search ", json_text_or(item, ""));
	if (json_array_size(json_at(dns, "searches")))
		buf_append_char(b, '\n');
	json_array_foreach (json_at(dns, "options"), i, item) {
		const char *value = json_text(item, "", "value");
		buf_printf(b, "options %s%s%s\n", json_text(item, "", "name"), *value ? ":" : "",
			value);
	}
}

static int write_resolv(const struct oci_pod *p, const char *folder, struct err *e)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	const char *policy = json_text(p->tree, "ClusterFirst", "spec", "dnsPolicy");
	bool host = p->host_network && str_equal(policy, "ClusterFirst");
	if (!str_equal(policy, "None")) {
		if (host || str_equal(policy, "Default") || !*p->cluster_dns)
			(void)!oci_read_file("/etc/resolv.conf", &b, NULL);
		else
			resolv_from_cluster(p, &b);
	}
	resolv_from_pod(json_at(p->tree, "spec", "dnsConfig"), &b);
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/resolv.conf", folder);
	return oci_write_file(path, buf_text(&b), b.size, 0644, e);
}

static int write_hosts(const struct oci_pod *p, const char *folder, struct err *e)
{
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	char name[65];
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/hosts", folder);
	if (p->host_network) {
		(void)!oci_read_file("/etc/hosts", &b, NULL);
	} else {
		buf_append_string(&b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost "
				      "ip6-loopback\n");
		if (*p->ip)
			buf_printf(&b, "%s\t%s\n", p->ip, oci_pod_hostname(p->tree, name));
	}
	size_t i, j;
	json_t *alias, *host;
	json_array_foreach (json_at(p->tree, "spec", "hostAliases"), i, alias) {
		buf_append_string(&b, json_text(alias, "", "ip"));
		json_array_foreach (json_at(alias, "hostnames"), j, host)
			buf_printf(&b, "\t%s", json_text_or(host, ""));
		buf_append_char(&b, '\n');
	}
	return oci_write_file(path, buf_text(&b), b.size, 0644, e);
}

static int write_hostname(const struct oci_pod *p, const char *folder, struct err *e)
{
	char name[66];
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/hostname", folder);
	(void)oci_pod_hostname(p->tree, name);
	strcat(name, "\n");
	return oci_write_file(path, name, strlen(name), 0644, e);
}

/* Containers of a pod are started side by side: the first one that has its files whole gives them
 * to all. They are not changed after that, as containers have them mounted. */
int oci_pod_write_files(const struct oci_pod *p, struct err *e)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/etc", p->state_folder);
	char *fresh CLEANUP(mem_free_ptr) = mem_format("%s/etc-XXXXXX", p->state_folder);
	if (access(folder, F_OK) == 0)
		return 0;
	if (!mkdtemp(fresh))
		return err_set_errno(e, errno, "cannot make a folder in %s", p->state_folder);
	int rc = write_resolv(p, fresh, e);
	if (!rc)
		rc = write_hosts(p, fresh, e);
	if (!rc)
		rc = write_hostname(p, fresh, e);
	if (!rc && rename(fresh, folder) == 0)
		return 0;
	if (!rc && errno != ENOTEMPTY && errno != EEXIST)
		rc = err_set_errno(e, errno, "cannot make %s", folder);
	oci_remove_tree(fresh);
	return rc;
}

/* Those of an earlier boot name an address that is not the pod's any more. */
static void forget_files(const struct oci_pod *p)
{
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/etc", p->state_folder);
	if (access(p->run_folder, F_OK) != 0)
		oci_remove_tree(folder);
}

/* ---- the jobs ---- */

struct sandbox_job {
	struct oci_pod *pod;
	struct oci *oci;
	char *uid;
	bool update;
	void (*started)(void *arg, const char *netns_path, const struct err *e);
	container_done *done;
	void *arg;
	char *netns_path;
	struct err e;
};

int oci_pod_make_volumes(const struct oci_pod *p, struct err *e)
{
	forget_files(p);
	int rc = oci_make_folder(p->run_folder, 0700, e);
	if (!rc)
		rc = oci_make_folder(p->state_folder, 0700, e);
	if (rc)
		return rc;
	struct volumes v = {.pod = p->tree,
		.objects = (const struct object *const *)p->objects,
		.object_count = p->object_count,
		.run_folder = p->run_folder,
		.state_folder = p->state_folder,
		.privilege = p->privilege,
		.node_name = p->oci->node_name,
		.ip = p->ip,
		.host_ip = p->oci->config.host_ip,
		.cpu_milli = p->oci->config.cpu_milli,
		.memory_bytes = p->oci->config.memory_bytes};
	return volumes_make(&v, e);
}

static void sandbox_start_work(void *arg)
{
	struct sandbox_job *job = arg;
	struct oci_pod *p = job->pod;
	struct err *e = &job->e;
	char hostname[65];
	char *folder CLEANUP(mem_free_ptr) = mem_format("%s/ns", p->run_folder);
	char *pinned CLEANUP(mem_free_ptr) = mem_format("%s/ns/ipc", p->run_folder);
	if (oci_pod_make_volumes(p, e))
		return;
	if (job->update || access(pinned, F_OK) == 0)
		return;
	(void)oci_pod_hostname(p->tree, hostname);
	if ((oci_shares_pids(p->tree) && oci_pause_start(p->oci, p->run_folder, e)) ||
		make_namespaces(folder, hostname, !p->host_network, e)) {
		oci_pause_stop(p->run_folder);
		oci_remove_tree(folder);
	}
}

static void sandbox_job_free(struct sandbox_job *job)
{
	oci_pod_free(job->pod);
	oci_unref(job->oci);
	free(job->uid);
	free(job->netns_path);
	free(job);
}

static void sandbox_start_done(void *arg)
{
	struct sandbox_job *job = arg;
	const struct err *e = job->e.code ? &job->e : NULL;
	if (job->update)
		job->done(job->arg, e);
	else
		job->started(job->arg, job->netns_path, e);
	sandbox_job_free(job);
}

static struct sandbox_job *sandbox_job_new(struct oci *o, const struct container_pod *pod)
{
	struct sandbox_job *job = mem_new(struct sandbox_job);
	job->oci = oci_ref(o);
	job->pod = oci_pod_new(o, pod);
	job->netns_path = job->pod->host_network ? mem_dup_string("")
						 : mem_format("%s/ns/net", job->pod->run_folder);
	return job;
}

void oci_sandbox_start(struct container_engine *x, const struct container_pod *pod,
	void (*done)(void *arg, const char *netns_path, const struct err *e), void *arg)
{
	struct oci *o = oci_of(x);
	struct sandbox_job *job = sandbox_job_new(o, pod);
	job->started = done;
	job->arg = arg;
	loop_job(o->config.loop, sandbox_start_work, sandbox_start_done, job);
}

void oci_update(struct container_engine *x, const struct container_pod *pod, container_done *done,
	void *arg)
{
	struct oci *o = oci_of(x);
	struct sandbox_job *job = sandbox_job_new(o, pod);
	job->update = true;
	job->done = done;
	job->arg = arg;
	loop_job(o->config.loop, sandbox_start_work, sandbox_start_done, job);
}

static void sandbox_stop_work(void *arg)
{
	struct sandbox_job *job = arg;
	struct oci *o = job->oci;
	static const char *const kept[] = {"volumes", "layers", "etc"};
	char *run CLEANUP(mem_free_ptr) = mem_format("%s/pods/%s", o->run_folder, job->uid);
	char *cgroup CLEANUP(mem_free_ptr) = mem_format("%s/pod-%s", o->cgroup_parent, job->uid);
	oci_pause_stop(run);
	oci_remove_tree(run);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		char *path CLEANUP(mem_free_ptr) =
			mem_format("%s/pods/%s/%s", o->state_folder, job->uid, kept[i]);
		oci_remove_tree(path);
	}
	oci_cgroup_end(cgroup);
}

static void sandbox_stop_done(void *arg)
{
	struct sandbox_job *job = arg;
	if (job->done)
		job->done(job->arg, NULL);
	sandbox_job_free(job);
}

/* Containers that are left (their record was damaged) go first; the folders follow in the same
 * queue of jobs. */
void oci_sandbox_stop(struct container_engine *x, const char *uid, container_done *done, void *arg)
{
	struct oci *o = oci_of(x);
	struct sandbox_job *job = mem_new(struct sandbox_job);
	*job = (struct sandbox_job){
		.oci = oci_ref(o), .uid = mem_dup_string(uid), .done = done, .arg = arg};
	MAP_EACH (&o->containers, entry) {
		struct oci_container *c = entry->value;
		if (str_equal(c->uid, uid))
			oci_remove(x, c->id, NULL, NULL);
	}
	loop_job(o->config.loop, sandbox_stop_work, sandbox_stop_done, job);
}

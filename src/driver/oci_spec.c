/* A pod's container as a runtime-spec 1.0.2 configuration (config.json). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"
#include "driver/volumes.h"

static const char *const masked_paths[] = {"/proc/asound", "/proc/acpi", "/proc/kcore",
	"/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
	"/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"};
static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

static json_t *strings(const char *const *list, size_t count)
{
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_string(list[i]));
	return array;
}

static const json_t *pod_context(const struct oci_bundle *b)
{
	return json_at(b->pod, "spec", "securityContext");
}

static const json_t *context_of(const struct oci_bundle *b)
{
	return json_at(b->container, "securityContext");
}

static bool is_privileged(const struct oci_bundle *b)
{
	return json_bool(context_of(b), false, "privileged");
}

/* ---- process ---- */

/* The pod's command replaces the image's entrypoint and its arguments; the pod's args replace the
 * image's arguments only. */
static int spec_args(const struct oci_bundle *b, json_t *process, struct err *e)
{
	json_t *args = json_array();
	json_object_set_new(process, "args", args);
	const json_t *entrypoint = json_at(b->image, "config", "Entrypoint"),
		     *cmd = json_at(b->image, "config", "Cmd");
	size_t i;
	json_t *item;
	if (!b->has_command) {
		json_array_foreach (entrypoint, i, item)
			json_array_append(args, item);
	}
	for (size_t n = 0; b->args[n]; n++)
		json_array_append_new(args, json_string(b->args[n]));
	if (!b->args[0]) {
		json_array_foreach (cmd, i, item)
			json_array_append(args, item);
	}
	if (json_array_size(args) == 0)
		return err_set(e, ERR_INVALID, "neither the pod nor the image names a command");
	return 0;
}

static bool env_names(const struct oci_bundle *b, const char *pair)
{
	size_t size = strcspn(pair, "=");
	for (size_t i = 0; b->env[i]; i++)
		if (strncmp(b->env[i], pair, size) == 0 && b->env[i][size] == '=')
			return true;
	return false;
}

static void spec_env(const struct oci_bundle *b, const char *home, json_t *process)
{
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	json_t *env = json_array();
	bool has_path = env_names(b, path), has_home = env_names(b, "HOME=");
	json_object_set_new(process, "env", env);
	size_t i;
	json_t *item;
	json_array_foreach (json_at(b->image, "config", "Env"), i, item) {
		const char *pair = json_text_or(item, "");
		has_path = has_path || str_starts(pair, "PATH=");
		has_home = has_home || str_starts(pair, "HOME=");
		if (!env_names(b, pair))
			json_array_append(env, item);
	}
	if (!has_path)
		json_array_append_new(env, json_string(path));
	if (!has_home)
		json_array_append_new(env, json_sprintf("HOME=%s", home));
	if (!env_names(b, "HOSTNAME="))
		json_array_append_new(env,
			json_sprintf("HOSTNAME=%s",
				json_text(b->pod, json_text(b->pod, "", "metadata", "name"), "spec",
					"hostname")));
	for (size_t n = 0; b->env[n]; n++)
		json_array_append_new(env, json_string(b->env[n]));
}

/* A setting of the container, else of the pod; -1: neither. */
static int64_t context_number(const struct oci_bundle *b, const char *key)
{
	return json_int(context_of(b), json_int(pod_context(b), -1, key), key);
}

static void add_group(json_t *groups, int64_t group)
{
	size_t i;
	json_t *item;
	json_array_foreach (groups, i, item)
		if (json_integer_value(item) == group)
			return;
	json_array_append_new(groups, json_integer(group));
}

static int check_non_root(const struct oci_bundle *b, const struct oci_user *u, struct err *e)
{
	bool wanted = json_bool(context_of(b), json_bool(pod_context(b), false, "runAsNonRoot"),
		"runAsNonRoot");
	if (!wanted || u->uid != 0)
		return 0;
	return err_set(e, ERR_INVALID,
		"container has runAsNonRoot and would run as root: set runAsUser to another user");
}

static int spec_user(const struct oci_bundle *b, json_t *process, struct oci_user *u, struct err *e)
{
	int64_t user = context_number(b, "runAsUser"), group = context_number(b, "runAsGroup");
	char number[32];
	snprintf(number, sizeof(number), "%lld", (long long)user);
	const char *text = user >= 0 ? number : json_text(b->image, "", "config", "User");
	int rc = oci_user_find(b->rootfs, text, u, e);
	if (!rc)
		rc = check_non_root(b, u, e);
	if (rc)
		return rc;
	json_t *groups = json_array();
	for (size_t i = 0; i < u->group_count; i++)
		add_group(groups, u->groups[i]);
	size_t i;
	json_t *item;
	json_array_foreach (json_at(pod_context(b), "supplementalGroups"), i, item)
		add_group(groups, json_int_or(item, 0));
	if (json_at(pod_context(b), "fsGroup"))
		add_group(groups, json_int(pod_context(b), 0, "fsGroup"));
	json_object_set_new(process, "user",
		json_pack("{s:I,s:I,s:o}", "uid", (json_int_t)u->uid, "gid",
			(json_int_t)(group >= 0 ? group : u->gid), "additionalGids", groups));
	return 0;
}

static void spec_capabilities(const struct oci_bundle *b, json_t *process)
{
	json_t *list CLEANUP(json_done) = oci_capabilities(context_of(b));
	json_object_set_new(process, "capabilities",
		json_pack("{s:O,s:O,s:O}", "bounding", list, "effective", list, "permitted", list));
}

static int spec_process(const struct oci_bundle *b, json_t **ret_process, struct err *e)
{
	json_t *process CLEANUP(json_done) = json_object();
	struct oci_user user;
	bool escalate = json_bool(context_of(b), true, "allowPrivilegeEscalation");
	const char *folder = json_text(b->container, "", "workingDir");
	if (!*folder)
		folder = json_text(b->image, "/", "config", "WorkingDir");
	int rc = spec_args(b, process, e);
	if (!rc)
		rc = spec_user(b, process, &user, e);
	if (rc)
		return rc;
	spec_env(b, user.home, process);
	spec_capabilities(b, process);
	json_object_set_new(process, "terminal", json_false());
	json_object_set_new(process, "cwd", json_string(*folder ? folder : "/"));
	json_object_set_new(process, "noNewPrivileges", json_boolean(!escalate));
	json_object_set_new(process, "oomScoreAdj", json_integer(oci_oom_score(b)));
	*ret_process = take_ptr(process);
	return 0;
}

/* ---- mounts ---- */

static void add_mount(json_t *mounts, const char *destination, const char *type, const char *source,
	const char *options)
{
	json_t *list = json_array();
	char *copy CLEANUP(mem_free_ptr) = mem_dup_string(options);
	char *option, *rest = copy;
	while ((option = strsep(&rest, ",")))
		json_array_append_new(list, json_string(option));
	json_array_append_new(mounts, json_pack("{s:s,s:s,s:s,s:o}", "destination", destination,
					      "type", type, "source", source, "options", list));
}

static bool is_mounted_by_pod(const struct oci_bundle *b, const char *path)
{
	size_t i;
	json_t *mount;
	json_array_foreach (json_at(b->container, "volumeMounts"), i, mount)
		if (str_equal(json_text(mount, "", "mountPath"), path))
			return true;
	return false;
}

/* Containers may write into them: they lie on the disk, as the containers' own layers do. */
static void add_pod_file(const struct oci_bundle *b, json_t *mounts, const char *name)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("/etc/%s", name);
	char *source CLEANUP(mem_free_ptr) = mem_format("%s/etc/%s", b->state_pod, name);
	if (!is_mounted_by_pod(b, path))
		add_mount(mounts, path, "bind", source, "rbind,rprivate,rw");
}

static int spec_mounts(const struct oci_bundle *b, json_t **ret_mounts, struct err *e)
{
	json_t *mounts CLEANUP(json_done) = json_array();
	bool privileged = is_privileged(b);
	add_mount(mounts, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(mounts, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	add_mount(mounts, "/dev/pts", "devpts", "devpts",
		"nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	if (!is_mounted_by_pod(b, "/dev/shm"))
		add_mount(mounts, "/dev/shm", "tmpfs", "shm",
			"nosuid,noexec,nodev,mode=1777,size=65536k");
	add_mount(mounts, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
	add_mount(mounts, "/sys", b->host_network ? "bind" : "sysfs",
		b->host_network ? "/sys" : "sysfs",
		b->host_network ? "rbind,nosuid,noexec,nodev,ro"
		: privileged    ? "nosuid,noexec,nodev,rw"
				: "nosuid,noexec,nodev,ro");
	if (!b->host_network)
		add_mount(mounts, "/sys/fs/cgroup", "cgroup", "cgroup",
			privileged ? "nosuid,noexec,nodev,relatime,rw"
				   : "nosuid,noexec,nodev,relatime,ro");
	add_pod_file(b, mounts, "hosts");
	add_pod_file(b, mounts, "hostname");
	add_pod_file(b, mounts, "resolv.conf");
	struct volumes v = {.pod = b->pod,
		.objects = b->objects,
		.object_count = b->object_count,
		.run_folder = b->run_pod,
		.state_folder = b->state_pod,
		.privilege = b->privilege,
		.node_name = b->oci->node_name,
		.container_id = b->id};
	int rc = volumes_mount(&v, b->container, mounts, e);
	if (!rc)
		*ret_mounts = take_ptr(mounts);
	return rc;
}

/* ---- linux ---- */

static void add_namespace(json_t *list, const char *type, const char *path)
{
	json_t *entry = json_pack("{s:s}", "type", type);
	if (path)
		json_object_set_new(entry, "path", json_string(path));
	json_array_append_new(list, entry);
}

static json_t *spec_namespaces(const struct oci_bundle *b)
{
	json_t *list = json_array();
	char *net CLEANUP(mem_free_ptr) = mem_format("%s/ns/net", b->run_pod);
	char *ipc CLEANUP(mem_free_ptr) = mem_format("%s/ns/ipc", b->run_pod);
	char *uts CLEANUP(mem_free_ptr) = mem_format("%s/ns/uts", b->run_pod);
	char *pid CLEANUP(mem_free_ptr) = mem_format("%s/ns/pid", b->run_pod);
	add_namespace(list, "mount", NULL);
	if (!json_bool(b->pod, false, "spec", "hostPID"))
		add_namespace(list, "pid", oci_shares_pids(b->pod) ? pid : NULL);
	if (!json_bool(b->pod, false, "spec", "hostIPC"))
		add_namespace(list, "ipc", ipc);
	if (!b->host_network) {
		add_namespace(list, "network", net);
		add_namespace(list, "uts", uts);
	}
	if (oci_cgroup_is_v2() && !is_privileged(b))
		add_namespace(list, "cgroup", NULL);
	return list;
}

static int spec_seccomp(const struct oci_bundle *b, const json_t *process, json_t *linux_section,
	struct err *e)
{
	const json_t *profile = json_at(context_of(b), "seccompProfile");
	if (!profile)
		profile = json_at(pod_context(b), "seccompProfile");
	const char *type = json_text(profile, "RuntimeDefault", "type");
	if (is_privileged(b) || str_equal(type, "Unconfined"))
		return 0;
	if (str_equal(type, "RuntimeDefault")) {
		json_object_set_new(linux_section, "seccomp",
			oci_seccomp_default(json_at(process, "capabilities", "bounding")));
		return 0;
	}
	const char *file = json_text(profile, "", "localhostProfile");
	if (!*file || *file == '/' || strstr(file, ".."))
		return err_set(e, ERR_INVALID,
			"the localhostProfile \"%s\" is no path below the "
			"folder seccomp",
			file);
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/seccomp/%s", b->oci->state_folder, file);
	struct buf text CLEANUP(buf_done) = BUF_INIT;
	json_t *tree = NULL;
	int rc = oci_read_file(path, &text, e);
	if (!rc)
		rc = json_decode(buf_text(&text), text.size, &tree, e);
	if (!rc)
		json_object_set_new(linux_section, "seccomp", tree);
	return rc;
}

static int spec_linux(const struct oci_bundle *b, const json_t *process, json_t **ret_linux,
	struct err *e)
{
	json_t *section CLEANUP(json_done) = json_object();
	json_object_set_new(section, "namespaces", spec_namespaces(b));
	json_object_set_new(section, "cgroupsPath",
		json_sprintf("%s/pod-%s/%s", b->oci->cgroup_parent, b->uid, b->id));
	json_object_set_new(section, "rootfsPropagation", json_string("private"));
	if (!is_privileged(b)) {
		json_object_set_new(section, "maskedPaths",
			strings(masked_paths, ARRAY_SIZE(masked_paths)));
		json_object_set_new(section, "readonlyPaths",
			strings(readonly_paths, ARRAY_SIZE(readonly_paths)));
	}
	int rc = spec_seccomp(b, process, section, e);
	if (!rc)
		rc = oci_resources(b, section, e);
	if (!rc)
		*ret_linux = take_ptr(section);
	return rc;
}

/* What cannot be carried out here must not be left out silently. */
static int check_supported(const struct oci_bundle *b, struct err *e)
{
	if (oci_shares_pids(b->pod) && json_bool(b->pod, false, "spec", "hostPID"))
		return err_set(e, ERR_INVALID,
			"shareProcessNamespace and hostPID exclude each other");
	bool privileged = str_equal(b->privilege, "privileged");
	if (is_privileged(b) && !privileged)
		return err_set(e, ERR_FORBIDDEN,
			"a privileged container needs a namespace of level privileged, not %s",
			b->privilege);
	return 0;
}

int oci_spec_build(const struct oci_bundle *b, json_t **ret_spec, struct err *e)
{
	json_t *process CLEANUP(json_done) = NULL;
	json_t *mounts CLEANUP(json_done) = NULL;
	json_t *section CLEANUP(json_done) = NULL;
	bool read_only = json_bool(context_of(b), false, "readOnlyRootFilesystem");
	int rc = check_supported(b, e);
	if (!rc)
		rc = spec_process(b, &process, e);
	if (!rc)
		rc = spec_mounts(b, &mounts, e);
	if (!rc)
		rc = spec_linux(b, process, &section, e);
	if (rc)
		return rc;
	*ret_spec = json_pack("{s:s,s:O,s:{s:s,s:b},s:O,s:O}", "ociVersion", "1.0.2", "process",
		process, "root", "path", b->rootfs, "readonly", read_only, "mounts", mounts,
		"linux", section);
	return 0;
}

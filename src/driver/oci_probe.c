/*
 * Which runtime works here. A version number says little (crun 1.8 starts, and then refuses hybrid
 * cgroups), so each is asked to create a tiny container once; the verdict lies in run_folder until
 * the next boot.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"

struct probe_caller {
	void (*done)(void *arg, const struct driver_probe *p);
	void *arg;
	struct probe_caller *next;
};

struct oci_probing {
	struct oci *oci;
	struct probe_caller *callers;
	char conmon[256];
	struct oci_runtime runtime;
	struct driver_probe result;
};

static bool find_program(const char *name, char *ret_path, size_t size)
{
	const char *path = getenv("PATH");
	char *copy CLEANUP(mem_free_ptr) =
		mem_dup_string(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	char *folder, *rest = copy;
	if (*name == '/')
		return access(name, X_OK) == 0 && str_copy(ret_path, size, name);
	while ((folder = strsep(&rest, ":"))) {
		char *full CLEANUP(mem_free_ptr) = mem_format("%s/%s", folder, name);
		if (access(full, X_OK) == 0 && str_copy(ret_path, size, full))
			return true;
	}
	return false;
}

/* A root with one file that may be executed; `create` looks for it and stops before running it. */
static int make_bundle(const struct oci *o, const char *bundle, struct err *e)
{
	char *root CLEANUP(mem_free_ptr) = mem_format("%s/root", bundle);
	char *program CLEANUP(mem_free_ptr) = mem_format("%s/root/probe", bundle);
	char *config CLEANUP(mem_free_ptr) = mem_format("%s/config.json", bundle);
	json_t *spec CLEANUP(json_done) =
		json_pack("{s:s,s:{s:[s],s:s,s:{s:i,s:i}},s:{s:s},s:[{s:s,s:s,s:s},{s:s,s:s,s:s}],"
			  "s:{s:s,s:[{s:s},{s:s}],s:{s:{s:i}}}}",
			"ociVersion", "1.0.2", "process", "args", "/probe", "cwd", "/", "user",
			"uid", 0, "gid", 0, "root", "path", root, "mounts", "destination", "/proc",
			"type", "proc", "source", "proc", "destination", "/dev", "type", "tmpfs",
			"source", "tmpfs", "linux", "cgroupsPath", "", "namespaces", "type",
			"mount", "type", "pid", "resources", "pids", "limit", 16);
	json_object_set_new(json_object_get(spec, "linux"), "cgroupsPath",
		json_sprintf("%s/probe", o->cgroup_parent));
	char *text CLEANUP(mem_free_ptr) = json_encode_string(spec);
	int rc = oci_make_folder(root, 0755, e);
	if (!rc)
		rc = oci_write_file(program, "#!/\n", 4, 0755, e);
	if (!rc)
		rc = oci_write_file(config, text, strlen(text), 0600, e);
	return rc;
}

static bool try_runtime(const struct oci *o, const struct oci_runtime *runtime, char *ret_why,
	size_t size)
{
	char *bundle CLEANUP(mem_free_ptr) = mem_format("%s/probe", o->run_folder);
	char *output CLEANUP(mem_free_ptr) = mem_format("%s/output", bundle);
	char *cgroup CLEANUP(mem_free_ptr) = mem_format("%s/probe", o->cgroup_parent);
	struct err e = ERR_INIT;
	if (make_bundle(o, bundle, &e)) {
		snprintf(ret_why, size, "%.100s", e.text);
		return false;
	}
	const char *argv[OCI_RUNTIME_ARGS + 7];
	size_t n = oci_runtime_argv(o, runtime, cgroup, argv);
	const char *const create[] = {"--log", output, "create", "--bundle", bundle, "probe", NULL};
	memcpy(argv + n, create, sizeof(create));
	int status = oci_command(argv);
	if (status) {
		struct buf b CLEANUP(buf_done) = BUF_INIT;
		(void)!oci_read_file(output, &b, NULL);
		const char *text = strstr(buf_text(&b), "msg=");
		text = text ? text + 4 : buf_text(&b);
		snprintf(ret_why, size, "%.*s", (int)strcspn(text, "\n"), text);
	}
	(void)!oci_runtime_delete(o, runtime, "probe");
	oci_remove_tree(bundle);
	oci_cgroup_remove(cgroup);
	return status == 0;
}

/* As it is, or in the view that continuo-runtime makes. */
static bool try_either(const struct oci *o, struct oci_runtime *runtime, char *ret_why, size_t size)
{
	runtime->wrapped = false;
	if (try_runtime(o, runtime, ret_why, size))
		return true;
	if (!str_ends(runtime->path, "/crun") || oci_cgroup_is_v2() || access(o->wrapper, X_OK) < 0)
		return false;
	runtime->wrapped = true;
	return try_runtime(o, runtime, ret_why, size);
}

static void read_version(struct driver_probe *p, const char *runtime)
{
	const char *name = strrchr(runtime, '/');
	snprintf(p->version, sizeof(p->version), "%s", name ? name + 1 : runtime);
}

static void probe_work(void *arg)
{
	struct oci_probing *x = arg;
	const struct oci *o = x->oci;
	const char *wanted[] = {"crun", "runc", NULL};
	struct driver_probe *p = &x->result;
	struct oci_runtime *r = &x->runtime;
	char why[120];
	size_t used = 0;
	(void)str_copy(p->name, sizeof(p->name), "oci");
	if (o->config.runtime && *o->config.runtime) {
		wanted[0] = o->config.runtime;
		wanted[1] = NULL;
	}
	if (!find_program("conmon", x->conmon, sizeof(x->conmon))) {
		(void)str_copy(p->detail, sizeof(p->detail), "conmon is not installed");
		return;
	}
	for (size_t i = 0; wanted[i] && !p->ready; i++) {
		if (!find_program(wanted[i], r->path, sizeof(r->path)))
			snprintf(why, sizeof(why), "is not installed");
		else
			p->ready = try_either(o, r, why, sizeof(why));
		if (!p->ready && used < sizeof(p->detail))
			used += (size_t)snprintf(p->detail + used, sizeof(p->detail) - used,
				"%s%s: %s", used ? "; " : "", wanted[i], why);
	}
	if (!p->ready)
		return;
	read_version(p, r->path);
	char *verdict CLEANUP(mem_free_ptr) = mem_format("%s/verdict", o->run_folder);
	json_t *text CLEANUP(json_done) = json_pack("{s:s,s:b,s:s,s:s}", "runtime", r->path,
		"wrapped", r->wrapped, "conmon", x->conmon, "detail", p->detail);
	char *encoded CLEANUP(mem_free_ptr) = json_encode_string(text);
	(void)!oci_write_file(verdict, encoded, strlen(encoded), 0600, NULL);
}

static void tell(struct oci *o, struct probe_caller *caller)
{
	while (caller) {
		struct probe_caller *next = caller->next;
		if (caller->done)
			caller->done(caller->arg, &o->probe);
		free(caller);
		caller = next;
	}
}

static void probe_done(void *arg)
{
	struct oci_probing *x = arg;
	struct oci *o = x->oci;
	o->probe = x->result;
	if (x->result.ready)
		o->runtime = x->runtime;
	memcpy(o->conmon, x->conmon, sizeof(o->conmon));
	o->probing = NULL;
	tell(o, x->callers);
	if (!o->closed && o->runtime.path[0])
		oci_run_next(o);
	else if (!o->closed)
		oci_run_refuse(o);
	oci_unref(o);
	free(x);
}

static void probe_known(void *arg)
{
	struct oci_probing *x = arg;
	tell(x->oci, x->callers);
	oci_unref(x->oci);
	free(x);
}

void oci_probe(struct container_engine *engine,
	void (*done)(void *arg, const struct driver_probe *p), void *arg)
{
	struct oci *o = oci_of(engine);
	struct probe_caller *caller = mem_new(struct probe_caller);
	*caller = (struct probe_caller){.done = done, .arg = arg};
	if (o->probing) {
		caller->next = o->probing->callers;
		o->probing->callers = caller;
		return;
	}
	struct oci_probing *x = mem_new(struct oci_probing);
	*x = (struct oci_probing){.oci = oci_ref(o), .callers = caller};
	if (o->runtime.path[0]) {
		loop_defer(o->config.loop, probe_known, x);
		return;
	}
	o->probing = x;
	loop_job(o->config.loop, probe_work, probe_done, x);
}

void oci_probe_cached(struct oci *o)
{
	char *path CLEANUP(mem_free_ptr) = mem_format("%s/verdict", o->run_folder);
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	json_t *verdict CLEANUP(json_done) = NULL;
	if (oci_read_file(path, &b, NULL) || json_decode(buf_text(&b), b.size, &verdict, NULL))
		return;
	const char *runtime = json_text(verdict, "", "runtime");
	const char *conmon = json_text(verdict, "", "conmon");
	bool wrapped = json_bool(verdict, false, "wrapped");
	const char *wanted = o->config.runtime ? o->config.runtime : "";
	if (access(runtime, X_OK) < 0 || access(conmon, X_OK) < 0 ||
		(wrapped && access(o->wrapper, X_OK) < 0) ||
		(*wanted && !str_ends(runtime, wanted)))
		return;
	(void)str_copy(o->runtime.path, sizeof(o->runtime.path), runtime);
	(void)str_copy(o->conmon, sizeof(o->conmon), conmon);
	o->runtime.wrapped = wrapped;
	o->probe = (struct driver_probe){.ready = true, .name = "oci"};
	(void)str_copy(o->probe.detail, sizeof(o->probe.detail), json_text(verdict, "", "detail"));
	read_version(&o->probe, runtime);
}

#include "model/pod_security.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

const char *pod_security_level(const struct object *namespace)
{
	const char *level = namespace ? object_label(namespace, POD_SECURITY_LABEL) : NULL;
	if (str_equal(level, "privileged") || str_equal(level, "restricted"))
		return level;
	return "baseline";
}

struct check {
	struct buf text; /* violations, comma separated */
	bool restricted;
	const json_t *pod_context; /* securityContext of the pod; may be null */
};

static void violation(struct check *c, const char *what, const char *container, const char *value)
{
	if (c->text.size)
		buf_append_string(&c->text, ", ");
	buf_append_string(&c->text, what);
	if (container)
		buf_printf(&c->text, " (container \"%s\"%s%s)", container, value ? " " : "",
			value ? value : "");
	else if (value)
		buf_printf(&c->text, " (%s)", value);
}

static bool in_list(const char *const *list, const char *text)
{
	for (; *list; list++)
		if (strcmp(*list, text) == 0)
			return true;
	return false;
}

/* The capabilities that baseline lets containers add: Docker's default set. */
static const char *const baseline_capabilities[] = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE",
	"FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
	"SETUID", "SYS_CHROOT", NULL};

static const char *const restricted_volumes[] = {"configMap", "csi", "downwardAPI", "emptyDir",
	"ephemeral", "persistentVolumeClaim", "projected", "secret", NULL};

static void check_host_namespaces(struct check *c, const json_t *spec)
{
	static const char *const names[] = {"hostNetwork", "hostPID", "hostIPC"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char value[32];
		snprintf(value, sizeof(value), "%s=true", names[i]);
		if (json_bool(spec, false, names[i]))
			violation(c, "host namespaces", NULL, value);
	}
}

static void check_volumes(struct check *c, const json_t *spec)
{
	size_t i;
	json_t *volume;
	json_array_foreach (json_at(spec, "volumes"), i, volume) {
		char value[96];
		snprintf(value, sizeof(value), "volume \"%.64s\"", json_text(volume, "", "name"));
		if (json_at(volume, "hostPath"))
			violation(c, "hostPath volumes", NULL, value);
		const char *key;
		json_t *source;
		json_object_foreach (volume, key, source) {
			if (c->restricted && strcmp(key, "name") != 0 &&
				strcmp(key, "hostPath") != 0 && !in_list(restricted_volumes, key))
				violation(c, "restricted volume types", NULL, value);
		}
	}
}

static void check_capabilities(struct check *c, const json_t *context, const char *name)
{
	size_t i;
	json_t *capability;
	json_array_foreach (json_at(context, "capabilities", "add"), i, capability) {
		const char *text = json_text_or(capability, "");
		bool allowed = c->restricted ? strcmp(text, "NET_BIND_SERVICE") == 0
					     : in_list(baseline_capabilities, text);
		if (!allowed)
			violation(c, "non-default capabilities", name, text);
	}
	if (!c->restricted)
		return;
	bool drops_all = false;
	json_array_foreach (json_at(context, "capabilities", "drop"), i, capability)
		drops_all |= strcmp(json_text_or(capability, ""), "ALL") == 0;
	if (!drops_all)
		violation(c, "unrestricted capabilities", name, "must drop ALL");
}

/* The container's own setting, else the pod's. */
static const json_t *setting(const struct check *c, const json_t *context, const char *key)
{
	const json_t *own = json_object_get(context, key);
	return own ? own : json_object_get(c->pod_context, key);
}

static void check_seccomp(struct check *c, const json_t *context, const char *name)
{
	const char *type = json_text(setting(c, context, "seccompProfile"), NULL, "type");
	if (str_equal(type, "Unconfined"))
		violation(c, "seccompProfile", name, "Unconfined");
	else if (c->restricted && !type)
		violation(c, "seccompProfile", name, "must be RuntimeDefault or Localhost");
}

static void check_restricted(struct check *c, const json_t *context, const char *name)
{
	if (json_bool(context, true, "allowPrivilegeEscalation"))
		violation(c, "allowPrivilegeEscalation != false", name, NULL);
	if (!json_bool_or(setting(c, context, "runAsNonRoot"), false))
		violation(c, "runAsNonRoot != true", name, NULL);
	const json_t *user = setting(c, context, "runAsUser");
	if (user && json_int_or(user, -1) == 0)
		violation(c, "runAsUser=0", name, NULL);
}

static void check_container(struct check *c, const json_t *container)
{
	const char *name = json_text(container, "", "name");
	const json_t *context = json_object_get(container, "securityContext");
	if (json_bool(context, false, "privileged"))
		violation(c, "privileged", name, NULL);
	check_capabilities(c, context, name);
	check_seccomp(c, context, name);
	const char *proc_mount = json_text(context, "Default", "procMount");
	if (strcmp(proc_mount, "Default") != 0)
		violation(c, "procMount", name, proc_mount);
	size_t i;
	json_t *port;
	json_array_foreach (json_at(container, "ports"), i, port) {
		if (json_int(port, 0, "hostPort") != 0)
			violation(c, "hostPort", name, NULL);
	}
	if (c->restricted)
		check_restricted(c, context, name);
}

/* Sysctls that cannot reach beyond the pod. */
static const char *const safe_sysctls[] = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes", NULL};

static void check_sysctls(struct check *c)
{
	size_t i;
	json_t *sysctl;
	json_array_foreach (json_at(c->pod_context, "sysctls"), i, sysctl) {
		const char *name = json_text(sysctl, "", "name");
		if (!in_list(safe_sysctls, name))
			violation(c, "forbidden sysctls", NULL, name);
	}
}

int pod_security_check(const char *level, const json_t *spec, struct err *e)
{
	if (str_equal(level, "privileged"))
		return 0;
	struct check c = {.restricted = str_equal(level, "restricted"),
		.pod_context = json_object_get(spec, "securityContext")};
	check_host_namespaces(&c, spec);
	check_volumes(&c, spec);
	check_sysctls(&c);
	static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
	for (size_t n = 0; n < ARRAY_SIZE(lists); n++) {
		size_t i;
		json_t *container;
		json_array_foreach (json_object_get(spec, lists[n]), i, container)
			check_container(&c, container);
	}
	int r = 0;
	if (c.text.size)
		r = err_set(e, ERR_FORBIDDEN, "violates PodSecurity \"%s:latest\": %s",
			c.restricted ? "restricted" : "baseline", buf_text(&c.text));
	buf_done(&c.text);
	return r;
}

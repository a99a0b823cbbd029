/* Linux capabilities of a container: Docker's default set, then what the pod adds and drops. */
#include <string.h>
#include <sys/prctl.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/oci.h"

/* By number (capability.h); null: not in the default set. */
static const struct {
	const char *name;
	bool normal;
} capabilities[] = {
	{"CHOWN", true},
	{"DAC_OVERRIDE", true},
	{"DAC_READ_SEARCH", false},
	{"FOWNER", true},
	{"FSETID", true},
	{"KILL", true},
	{"SETGID", true},
	{"SETUID", true},
	{"SETPCAP", true},
	{"LINUX_IMMUTABLE", false},
	{"NET_BIND_SERVICE", true},
	{"NET_BROADCAST", false},
	{"NET_ADMIN", false},
	{"NET_RAW", true},
	{"IPC_LOCK", false},
	{"IPC_OWNER", false},
	{"SYS_MODULE", false},
	{"SYS_RAWIO", false},
	{"SYS_CHROOT", true},
	{"SYS_PTRACE", false},
	{"SYS_PACCT", false},
	{"SYS_ADMIN", false},
	{"SYS_BOOT", false},
	{"SYS_NICE", false},
	{"SYS_RESOURCE", false},
	{"SYS_TIME", false},
	{"SYS_TTY_CONFIG", false},
	{"MKNOD", true},
	{"LEASE", false},
	{"AUDIT_WRITE", true},
	{"AUDIT_CONTROL", false},
	{"SETFCAP", true},
	{"MAC_OVERRIDE", false},
	{"MAC_ADMIN", false},
	{"SYSLOG", false},
	{"WAKE_ALARM", false},
	{"BLOCK_SUSPEND", false},
	{"AUDIT_READ", false},
	{"PERFMON", false},
	{"BPF", false},
	{"CHECKPOINT_RESTORE", false},
};

static bool names(const json_t *list, const char *capability)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		const char *name = json_text_or(item, "");
		if (str_starts(name, "CAP_"))
			name += 4;
		if (strcasecmp(name, capability) == 0 || strcasecmp(name, "ALL") == 0)
			return true;
	}
	return false;
}

/* Those that we lack ourselves (in a container, in a user namespace) cannot be given. */
static bool may_give(int number)
{
	return prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1;
}

json_t *oci_capabilities(const json_t *context)
{
	json_t *list = json_array();
	bool privileged = json_bool(context, false, "privileged");
	const json_t *add = json_at(context, "capabilities", "add"),
		     *drop = json_at(context, "capabilities", "drop");
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		const char *name = capabilities[i].name;
		bool given = privileged || names(add, name) ||
			     (capabilities[i].normal && !names(drop, name));
		if (!given || !may_give((int)i))
			continue;
		char *full CLEANUP(mem_free_ptr) = mem_format("CAP_%s", name);
		json_array_append_new(list, json_string(full));
	}
	return list;
}

/*
 * The seccomp profile RuntimeDefault: what ordinary programs call, and nothing that reaches into
 * the kernel's administration. As data for the runtime (runtime-spec, linux.seccomp); names that a
 * kernel or libseccomp does not know are ignored by the runtimes. Further calls come with the
 * capability that they need.
 */
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "driver/oci.h"

static const char *const always[] = {
	/* files */
	"access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "copy_file_range",
	"creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64",
	"fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat",
	"fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr",
	"fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
	"ftruncate64", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "ioctl",
	"lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "_llseek",
	"lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat", "mknod",
	"mknodat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2",
	"pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
	"removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile", "sendfile64",
	"setxattr", "splice", "stat", "stat64", "statfs", "statfs64", "statx", "symlink",
	"symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "truncate64", "umask",
	"unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes", "vmsplice",
	"write", "writev", "cachestat",
	/* watching */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "fanotify_mark",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "poll", "ppoll",
	"ppoll_time64", "pselect6", "pselect6_time64", "select", "_newselect", "signalfd",
	"signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
	"timerfd_settime64",
	/* asynchronous reads and writes */
	"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64",
	"io_setup", "io_submit",
	/* memory */
	"brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret",
	"mincore", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "msync",
	"munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
	"remap_file_pages", "mseal", "process_mrelease",
	/* processes and threads */
	"arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork",
	"futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake",
	"get_robust_list", "get_thread_area", "getcpu", "getegid", "getegid32", "geteuid",
	"geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getpgid", "getpgrp",
	"getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid",
	"getresuid32", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "getuid32",
	"ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset",
	"landlock_restrict_self", "modify_ldt", "pause", "pidfd_open", "pidfd_send_signal", "pipe",
	"pipe2", "prctl", "prlimit64", "ptrace", "process_vm_readv", "process_vm_writev",
	"restart_syscall", "rseq", "sched_get_priority_max", "sched_get_priority_min",
	"sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_setaffinity",
	"sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp",
	"set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsgid32",
	"setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setitimer",
	"getitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid", "setresgid32",
	"setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid", "setuid",
	"setuid32", "sysinfo", "tgkill", "times", "tkill", "ugetrlimit", "uname", "vfork", "wait4",
	"waitid", "waitpid",
	/* signals */
	"rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
	"rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
	"sigaltstack", "sigprocmask", "sigreturn", "signal", "sigaction", "sigpending",
	"sigsuspend",
	/* time */
	"adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres",
	"clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
	"clock_nanosleep_time64", "gettimeofday", "nanosleep", "time", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
	"timer_settime64",
	/* sockets and System V IPC; socket itself comes below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "ipc",
	"listen", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
	"mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl",
	"msgget", "msgrcv", "msgsnd", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg",
	"semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "send", "sendmmsg",
	"sendmsg", "sendto", "setsockopt", "shmat", "shmctl", "shmdt", "shmget", "shutdown",
	"socketcall", "socketpair",
	/* 32-bit ARM */
	"arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls",
	"sync_file_range2"};

/* What a capability opens beyond that. */
static const struct {
	const char *capability, *calls[24];
} with[] = {
	{"CAP_SYS_ADMIN",
		{"bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen",
			"fspick", "lookup_dcookie", "mount", "mount_setattr", "move_mount",
			"open_tree", "perf_event_open", "quotactl", "quotactl_fd", "setdomainname",
			"sethostname", "setns", "syslog", "umount", "umount2", "unshare"}},
	{"CAP_SYS_CHROOT", {"chroot"}},
	{"CAP_SYS_BOOT", {"reboot"}},
	{"CAP_SYS_MODULE", {"delete_module", "finit_module", "init_module"}},
	{"CAP_SYS_PACCT", {"acct"}},
	{"CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_madvise"}},
	{"CAP_SYS_RAWIO", {"iopl", "ioperm"}},
	{"CAP_SYS_TIME", {"clock_settime", "clock_settime64", "settimeofday", "stime"}},
	{"CAP_SYS_TTY_CONFIG", {"vhangup"}},
	{"CAP_SYS_NICE", {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}},
	{"CAP_SYSLOG", {"syslog"}},
	{"CAP_BPF", {"bpf"}},
	{"CAP_PERFMON", {"perf_event_open"}},
	{"CAP_DAC_READ_SEARCH", {"name_to_handle_at", "open_by_handle_at"}},
};

static bool has(const json_t *capabilities, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach (capabilities, i, item)
		if (str_equal(json_text_or(item, ""), name))
			return true;
	return false;
}

static json_t *allowed_calls(const json_t *capabilities)
{
	json_t *list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		json_array_append_new(list, json_string(always[i]));
	for (size_t i = 0; i < ARRAY_SIZE(with); i++)
		for (size_t j = 0; with[i].calls[j] && has(capabilities, with[i].capability); j++)
			json_array_append_new(list, json_string(with[i].calls[j]));
	return list;
}

static void allow_when(json_t *calls, const char *name, int index, const char *op, json_int_t value,
	json_int_t second)
{
	json_array_append_new(calls, json_pack("{s:[s],s:s,s:[{s:i,s:I,s:I,s:s}]}", "names", name,
					     "action", "SCMP_ACT_ALLOW", "args", "index", index,
					     "value", value, "valueTwo", second, "op", op));
}

static json_t *architectures(void)
{
	struct utsname name;
	if (uname(&name) == 0 && str_equal(name.machine, "aarch64"))
		return json_pack("[s,s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
	/* Not x32: Debian's kernels have it off, and each architecture costs milliseconds of every
	 * container's start. */
	if (uname(&name) == 0 && str_equal(name.machine, "x86_64"))
		return json_pack("[s,s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86");
	return json_array();
}

json_t *oci_seccomp_default(const json_t *capabilities)
{
	static const json_int_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
	json_t *calls = json_array();
	json_array_append_new(calls, json_pack("{s:o,s:s}", "names", allowed_calls(capabilities),
					     "action", "SCMP_ACT_ALLOW"));
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
		allow_when(calls, "personality", 0, "SCMP_CMP_EQ", personalities[i], 0);
	allow_when(calls, "socket", 0, "SCMP_CMP_NE", 40, 0); /* all families but AF_VSOCK */
	if (!has(capabilities, "CAP_SYS_ADMIN")) {
		/* Threads and processes, but no namespaces (CLONE_NEW*). clone3 hides its flags in
		 * memory: ENOSYS makes libraries fall back to clone. */
		allow_when(calls, "clone", 0, "SCMP_CMP_MASKED_EQ", 0x7e020000, 0);
		json_array_append_new(calls, json_pack("{s:[s],s:s,s:i}", "names", "clone3",
						     "action", "SCMP_ACT_ERRNO", "errnoRet", 38));
	}
	return json_pack("{s:s,s:i,s:o,s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
		1, "architectures", architectures(), "syscalls", calls);
}

/* What only real containers can show. The image is a busybox; scripts look from inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/contract.h"
#include "sys/fs.h"

#define POD(script, container, pod)                                                                \
	"{'terminationGracePeriodSeconds':1,'containers':[{'name':'main','image':'test','command'" \
	":"                                                                                        \
	"['/bin/sh','-c','" script "']" container "}]" pod "}"

/* Runs the pod until it is ready and gives what the script prints in it. */
static char *look(const char *name, const char *spec, const char *script)
{
	bench_start(name, spec);
	if (!bench_wait(is_ready, name, 8000)) {
		fprintf(stderr, "# %s: %s\n", name, bench_container(name, 0)->message);
		return mem_dup_string("not ready");
	}
	return bench_exec(name, script, NULL);
}

static void assert_shows(const char *name, const char *spec, const char *script,
	const char *expected)
{
	CLEANUP(mem_free_ptr) char *text = look(name, spec, script);
	bench_stop(name, 0);
	assert_string_equal(text, expected);
}

static void image_gives_what_the_pod_leaves_out(void **state)
{
	(void)state;
	const struct driver_logs all = {.tail_lines = -1};
	bench_start("n1", "{'containers':[{'name':'main','image':'test'}]}");
	assert_true(bench_wait(is_ready, "n1", 5000));
	CLEANUP(mem_free_ptr) char *seen = bench_exec("n1", "pwd; echo $FROM $HOSTNAME", NULL);
	assert_string_equal(seen, "/tmp\nimage n1\n");
	CLEANUP(mem_free_ptr) char *text = bench_logs("n1", &all);
	assert_string_equal(text, "from image\n");
	bench_stop("n1", 0);
	assert_shows("n2",
		"{'containers':[{'name':'main','image':'test','args':['/bin/sleep','50'],"
		"'workingDir':'/etc'}]}",
		"pwd; cat /proc/1/comm", "/etc\nsleep\n");
}

static void environment_comes_from_everywhere(void **state)
{
	(void)state;
	bench_object("ConfigMap", "settings", "{'LEVEL':'high','COLOR':'red'}");
	bench_object("Secret", "keys", "{'password':'czNjcmV0'}");
	assert_shows("o1",
		POD("sleep 50",
			",'envFrom':[{'prefix':'CM_','configMapRef':{'name':'settings'}}],'env':["
			"{'name':'A','value':'1'},{'name':'B','value':'$(A)$(NONE)$$(A)'},"
			"{'name':'PASSWORD','valueFrom':{'secretKeyRef':{'name':'keys','key':"
			"'password'}}},{'name':'NONE','valueFrom':{'configMapKeyRef':{'name':'gone'"
			","
			"'key':'x','optional':true}}},{'name':'POD','valueFrom':{'fieldRef':{"
			"'fieldPath':'metadata.name'}}}]",
			""),
		"echo $CM_LEVEL $CM_COLOR $A $B $PASSWORD ${NONE-unset} $POD $WEB_SERVICE_HOST",
		"high red 1 1$(NONE)$(A) s3cret unset o1 10.0.0.1\n");
	bench_objects_clear();
}

static void volumes_are_mounted_and_updated(void **state)
{
	(void)state;
	static const char spec[] = POD("sleep 50",
		",'volumeMounts':[{'name':'cm','mountPath':'/cm'},{'name':'sec','mountPath':'/"
		"sec'},"
		"{'name':'disk','mountPath':'/disk'},{'name':'disk','mountPath':'/"
		"sub','subPath':'a/b'},"
		"{'name':'ram','mountPath':'/ram'},{'name':'all','mountPath':'/all'}]",
		",'volumes':[{'name':'cm','configMap':{'name':'files','items':[{'key':'one','path':"
		"'dir/first'}]}},{'name':'sec','secret':{'secretName':'keys','defaultMode':256}},"
		"{'name':'disk','emptyDir':{}},{'name':'ram','emptyDir':{'medium':'Memory',"
		"'sizeLimit':'1Mi'}},{'name':'all','configMap':{'name':'files'}}]");
	bench_object("ConfigMap", "files", "{'one':'1st','two':'2nd'}");
	bench_object("Secret", "keys", "{'password':'czNjcmV0'}");
	CLEANUP(mem_free_ptr)
	char *text = look("p1", spec,
		"cat /cm/dir/first; ls /cm; cat /sec/password; stat -Lc %a /sec/password; "
		"echo x > /sub/f && cat /disk/a/b/f; grep -c \" /ram tmpfs\" /proc/mounts; "
		"echo y 2>/dev/null > /cm/no || echo read-only");
	assert_string_equal(text, "1stdir\ns3cret400\nx\n1\nread-only\n");
	bench_object("ConfigMap", "files", "{'one':'changed'}");
	bench_update("p1", spec);
	bench_sleep(200); /* a job; nothing tells when it is through */
	CLEANUP(mem_free_ptr)
	char *after = bench_exec("p1", "cat /cm/dir/first; ls /all; ls -A /all | wc -l", NULL);
	assert_string_equal(after, "changedone\n3\n"); /* with ..data and what it leads to */
	bench_stop("p1", 0);
	bench_objects_clear();
}

/* Updates that follow each other at once: the last one stays. */
static void updates_do_not_overtake_each_other(void **state)
{
	(void)state;
	static const char spec[] =
		POD("sleep 50", ",'volumeMounts':[{'name':'cm','mountPath':'/cm'}]",
			",'volumes':[{'name':'cm','configMap':{'name':'files'}}]");
	bench_object("ConfigMap", "files", "{'key':'first'}");
	bench_start("pu", spec);
	bench_object("ConfigMap", "files", "{'key':'early'}");
	bench_update("pu", spec); /* while it is being made */
	assert_true(bench_wait(is_ready, "pu", 5000));
	bench_sleep(100);
	CLEANUP(mem_free_ptr) char *early = bench_exec("pu", "cat /cm/key", NULL);
	assert_string_equal(early, "early");
	for (int i = 0; i < 40; i++) {
		CLEANUP(mem_free_ptr) char *data = mem_format("{'key':'%d','only-%d':''}", i, i);
		bench_object("ConfigMap", "files", data);
		bench_update("pu", spec);
	}
	bench_sleep(500); /* jobs; nothing tells when they are through */
	CLEANUP(mem_free_ptr)
	char *seen = bench_exec("pu", "cat /cm/key; ls /cm; ls -A /cm | wc -l", NULL);
	assert_string_equal(seen, "39key\nonly-39\n4\n");
	assert_false(bench_event("pu", "FailedMount"));
	bench_stop("pu", 0);
	bench_objects_clear();
}

static void pods_know_themselves(void **state)
{
	(void)state;
	bench.privilege = "privileged";
	assert_shows("pk",
		POD("sleep 50",
			",'volumeMounts':[{'name':'self','mountPath':'/"
			"self'}],'resources':{'requests':"
			"{'memory':'100Mi'}},'env':[{'name':'NODE','valueFrom':{'fieldRef':{"
			"'fieldPath':'spec.nodeName'}}},{'name':'HOST','valueFrom':{'fieldRef':{"
			"'fieldPath':'status.hostIP'}}},{'name':'POD','valueFrom':{'fieldRef':{"
			"'fieldPath':'status.podIP'}}}]",
			",'hostNetwork':true,'volumes':[{'name':'self','downwardAPI':{'items':[{'"
			"path':"
			"'labels','fieldRef':{'fieldPath':'metadata.labels'}},{'path':'app',"
			"'fieldRef':{'fieldPath':'metadata.labels[\\u0027app\\u0027]'}},{'path':"
			"'cpu','resourceFieldRef':{'containerName':'main','resource':'limits.cpu'}}"
			",{"
			"'path':'memory','resourceFieldRef':{'containerName':'main','resource':"
			"'requests.memory','divisor':'1Mi'}}]}}]"),
		"echo $NODE $HOST $POD; cd /self; cat labels; echo; cat app; echo; cat cpu; echo; "
		"cat memory",
		"node-1 192.0.2.9 192.0.2.9\napp=\"web\"\nweb\n4\n100");
	assert_string_equal(bench_seen("pk")->ip, "192.0.2.9");
	bench.privilege = "baseline";
}

static void memory_scores_follow_the_class(void **state)
{
	(void)state;
	assert_shows("po1", POD("sleep 50", "", ""), "cat /proc/1/oom_score_adj", "1000\n");
	CLEANUP(mem_free_ptr)
	char *burstable =
		look("po2", POD("sleep 50", ",'resources':{'requests':{'memory':'512Mi'}}", ""),
			"cat /proc/1/oom_score_adj");
	assert_true(atoi(burstable) > 2 && atoi(burstable) < 1000);
	bench_stop("po2", 0);
	CLEANUP(mem_free_ptr)
	char *guaranteed = look("po3",
		POD("sleep 50", ",'resources':{'limits':{'memory':'64Mi','cpu':'1'}}", ""),
		"cat /proc/1/oom_score_adj");
	assert_true(atoi(guaranteed) <= 0); /* -997 where the machine lets us */
	bench_stop("po3", 0);
}

static void privileged_containers_have_the_hosts_devices(void **state)
{
	(void)state;
	static const char look_for[] =
		"test -c /dev/kmsg && echo kmsg; test -c /dev/net/tun && echo tun";
	CLEANUP(mem_free_ptr)
	char *expected = mem_format("%s%s", access("/dev/kmsg", F_OK) ? "" : "kmsg\n",
		access("/dev/net/tun", F_OK) ? "" : "tun\n");
	assert_true(*expected);
	assert_shows("pv1", POD("sleep 50", "", ""), look_for, "");
	bench.privilege = "privileged";
	assert_shows("pv2", POD("sleep 50", ",'securityContext':{'privileged':true}", ""), look_for,
		expected);
	bench.privilege = "baseline";
}

static void network_files_are_the_pods(void **state)
{
	(void)state;
	assert_shows("q1", POD("sleep 50", "", ",'hostname':'web-0'"),
		"hostname; cat /etc/hostname; grep web-0 /etc/hosts; cat /etc/resolv.conf; "
		"ls /sys/class/net",
		"web-0\nweb-0\n127.0.0.1\tweb-0\nnameserver 10.96.0.10\nsearch "
		"default.svc.cluster.local cluster.local\noptions ndots:5\nlo\n");
}

/* A container may write into them: that must not fill the tmpfs of all pods. What an earlier boot
 * left says nothing. */
static void network_files_lie_on_the_disk(void **state)
{
	(void)state;
	CLEANUP(mem_free_ptr)
	char *folder = mem_format("%s/pods/q2/etc", bench.config.state_folder);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/hosts", folder);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	assert_int_equal(fs_make_folders(fs_real(), folder, 0700, &e), 0);
	assert_int_equal(fs_write_atomic(fs_real(), path, "stale\n", 6, 0644, &e), 0);
	CLEANUP(mem_free_ptr)
	char *text = look("q2", POD("sleep 50", "", ""),
		"grep stale /etc/hosts; echo mine >>/etc/hosts; grep -c q2 /etc/hosts");
	assert_string_equal(text, "1\n");
	assert_int_equal(fs_read(fs_real(), path, &b, &e), 0);
	assert_true(str_ends(buf_text(&b), "\nmine\n"));
	bench_stop("q2", 0);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void users_are_who_they_should_be(void **state)
{
	(void)state;
	static const char show[] = "id -u; id -g; id -G; grep NoNewPrivs /proc/1/status | cut -f2";
	assert_shows("r1",
		POD("sleep 50", ",'securityContext':{'allowPrivilegeEscalation':false}",
			",'securityContext':{'runAsUser':1000,'runAsGroup':1001,'fsGroup':2000,"
			"'supplementalGroups':[3000]}"),
		show, "1000\n1001\n1001 2000 3000\n1\n");
	bench.user = "web";
	assert_shows("r2", POD("sleep 50", "", ""), show, "101\n102\n102 500\n0\n");
	bench.user = "nobody-there";
	bench_start("r3", POD("sleep 50", "", ""));
	assert_true(bench_wait(is_waiting_with_reason, "r3", 5000));
	assert_string_equal(bench_container("r3", 0)->reason, "CreateContainerConfigError");
	assert_non_null(strstr(bench_container("r3", 0)->message, "nobody-there"));
	bench_stop("r3", 0);
	bench.user = NULL;
	bench_start("r4", POD("sleep 50", ",'securityContext':{'runAsNonRoot':true}", ""));
	assert_true(bench_wait(is_waiting_with_reason, "r4", 5000));
	assert_string_equal(bench_container("r4", 0)->reason, "CreateContainerConfigError");
	bench_stop("r4", 0);
}

static void privileges_are_few(void **state)
{
	(void)state;
	static const char show[] = "grep CapEff /proc/1/status | cut -f2; grep Seccomp: "
				   "/proc/1/status | cut -f2; touch /x 2>/dev/null && echo wrote; "
				   "mount -t tmpfs t /tmp 2>/dev/null && echo mounted";
	assert_shows("s1", POD("sleep 50", "", ""), show, "00000000a80425fb\n2\nwrote\n");
	assert_shows("s2",
		POD("sleep 50",
			",'securityContext':{'readOnlyRootFilesystem':true,'capabilities':{'drop':["
			"'ALL'],'add':['NET_BIND_SERVICE']},'seccompProfile':{'type':"
			"'RuntimeDefault'}}",
			""),
		show, "0000000000000400\n2\n");
	bench_start("s3", POD("sleep 50", ",'securityContext':{'privileged':true}", ""));
	assert_true(bench_wait(is_waiting_with_reason, "s3", 5000));
	assert_string_equal(bench_container("s3", 0)->reason, "CreateContainerConfigError");
	assert_non_null(strstr(bench_container("s3", 0)->message, "rivileged"));
	bench_stop("s3", 0);
}

static void host_is_reached_by_the_privileged_only(void **state)
{
	(void)state;
	static const char spec[] = POD("sleep 50",
		",'volumeMounts':[{'name':'host','mountPath':'/host','readOnly':true}]",
		",'hostNetwork':true,'volumes':[{'name':'host','hostPath':{'path':'/etc','type':"
		"'Directory'}}]");
	bench_start("t1", spec);
	assert_true(bench_wait(is_waiting_with_reason, "t1", 5000));
	assert_non_null(strstr(bench_container("t1", 0)->message, "hostPath"));
	bench_stop("t1", 0);
	bench.privilege = "privileged";
	CLEANUP(mem_free_ptr)
	char *inside = look("t2", spec, "ls /host/passwd; readlink /proc/self/ns/net");
	char own[64] = {0};
	assert_true(readlink("/proc/self/ns/net", own, sizeof(own) - 1) > 0);
	CLEANUP(mem_free_ptr) char *expected = mem_format("/host/passwd\n%s\n", own);
	assert_string_equal(inside, expected);
	bench_stop("t2", 0);
	bench.privilege = "baseline";
}

static void devices_are_injected(void **state)
{
	(void)state;
	assert_shows("u1", POD("sleep 50", ",'resources':{'limits':{'continuo.dev/null':'2'}}", ""),
		"test -c /dev/camera && echo x > /dev/camera && echo there; : > /dev/camera1 && "
		"echo opened; (: < /dev/camera1) 2>/dev/null || echo shut; echo "
		"$CONTINUO_DEVICE_NULL",
		"there\nopened\nshut\n/dev/camera,/dev/camera1\n");
	assert_shows("u2", POD("sleep 50", "", ""), "test -e /dev/camera || echo absent",
		"absent\n");
	bench_start("u3", POD("sleep 50", ",'resources':{'limits':{'continuo.dev/gone':'1'}}", ""));
	assert_true(bench_wait(is_waiting_with_reason, "u3", 5000));
	assert_non_null(strstr(bench_container("u3", 0)->message, "continuo.dev/gone"));
	bench_stop("u3", 0);
}

static void limits_are_in_the_cgroup(void **state)
{
	(void)state;
	static const char v1[] = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes "
				 "cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max";
	static const char v2[] = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max";
	bool hybrid = access("/sys/fs/cgroup/memory", F_OK) == 0;
	assert_shows("v1",
		POD("sleep 50",
			",'resources':{'limits':{'memory':'32Mi','cpu':'500m'},'requests':{'cpu':"
			"'250m'}}",
			""),
		hybrid ? v1 : v2,
		hybrid ? "33554432\n50000\n256\n4096\n" : "33554432\n50000 100000\n4096\n");
}

static bool is_podman(void)
{
	return str_equal(getenv("engine_kind"), "podman");
}

static bool is_oom_killed(const char *name)
{
	return str_equal(bench_container(name, 0)->reason, "OOMKilled");
}

static void memory_kills_have_their_reason(void **state)
{
	(void)state;
	/* Podman 4.3 does not see them with cgroups v1. */
	if (is_podman() && access("/sys/fs/cgroup/memory", F_OK) == 0)
		skip();
	bench_start("w1",
		"{'restartPolicy':'Never','containers':[{'name':'main','image':'test','command':["
		"'/bin/sh','-c','exec tail "
		"/dev/zero'],'resources':{'limits':{'memory':'16Mi'}}}]}");
	assert_true(bench_wait(is_oom_killed, "w1", 10000));
	assert_int_equal(bench_container("w1", 0)->exit_code, 137);
	bench_stop("w1", 0);
}

static void missing_commands_are_told(void **state)
{
	(void)state;
	bench_start("x1",
		"{'containers':[{'name':'main','image':'test','command':['/bin/gone']}]}");
	assert_true(bench_wait(is_waiting_with_reason, "x1", 5000));
	assert_string_equal(bench_container("x1", 0)->reason, "CreateContainerError");
	assert_non_null(strstr(bench_container("x1", 0)->message, "/bin/gone"));
	bench_stop("x1", 0);
}

static bool log_is_long(const char *name)
{
	(void)name;
	const struct driver_logs last = {.tail_lines = 1};
	CLEANUP(mem_free_ptr) char *text = bench_logs("y1", &last);
	return str_equal(text, "end\n");
}

/* Tails that end within a part, at its begin, in an older one, and beyond all. */
static void tails_are_ends_of(const char *text)
{
	size_t size = strlen(text);
	for (int lines = 0; lines <= 3002; lines += lines < 10 ? 1 : 11) {
		const struct driver_logs last = {.tail_lines = lines};
		CLEANUP(mem_free_ptr) char *tail = bench_logs("y1", &last);
		size_t at = size;
		for (int n = 0; at > 0; at--)
			if (text[at - 1] == '\n' && ++n > lines)
				break;
		assert_string_equal(tail, text + at);
	}
}

/* However long what is written already is: a log that was flooded must not cost the node its
 * session. */
static void tails_hold_nobody_up(const char *part)
{
	CLEANUP(mem_free_ptr) char *old = mem_format("%s", part);
	old[strlen(old) - 1] = '4';
	int fd = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
	close(fd);
	struct timespec before, after;
	const struct driver_logs last = {.tail_lines = 1};
	clock_gettime(CLOCK_MONOTONIC, &before);
	CLEANUP(mem_free_ptr) char *text = bench_logs("y1", &last);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_string_equal(text, "end\n");
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 <
		    100);
	unlink(old);
}

/* Who does not follow gets what was there, however fast more comes. */
static void logs_end_where_they_were(void **state)
{
	(void)state;
	const struct driver_logs last = {.tail_lines = 2};
	bench_start("y2", POD("while :; do echo a; done", "", ""));
	assert_true(bench_wait(is_ready, "y2", 5000));
	bench_sleep(500);
	CLEANUP(mem_free_ptr)
	char *log = mem_format("%s/pods/y2/logs/main/0.log", bench.config.state_folder);
	CLEANUP(mem_free_ptr) char *part = mem_format("%s.1", log);
	for (int i = 0; i < 100; i++) {
		/* From then on a rotation is under way; before it there may be others. */
		for (int try = 0; i == 5 && !bench.docker && rename(log, part) < 0 && try < 1000;
			try++)
			bench_sleep(1);
		CLEANUP(mem_free_ptr) char *text = bench_logs("y2", &last);
		if (strlen(text) > 4)
			fail_msg("read %d gave %zu characters", i, strlen(text));
	}
	bench_stop("y2", 0);
}

/* 3000 lines of 20 bytes and more, at 40,000 bytes a part, written over 3 s; another container runs
 * calmly meanwhile and must not put the next look off. */
static void logs_rotate_without_loss(void **state)
{
	(void)state;
	const struct driver_logs all = {.tail_lines = -1};
	bench_start("y0", POD("sleep 50", "", ""));
	assert_true(bench_wait(is_ready, "y0", 5000));
	bench_sleep(1000);
	bench_start("y1",
		POD("for i in 1 2 3; do seq 1000; sleep 1.2; done; echo end; sleep 50", "", ""));
	assert_true(bench_wait(is_ready, "y1", 5000));
	for (int i = 0; i < 100 && !log_is_long("y1"); i++)
		bench_sleep(100);
	CLEANUP(mem_free_ptr) char *text = bench_logs("y1", &all);
	int lines = 0;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 3001);
	CLEANUP(mem_free_ptr)
	char *part = mem_format("%s/pods/y1/logs/main/0.log.1", bench.config.state_folder);
	bool ours = !bench.docker || is_podman(); /* dockerd alone keeps logs itself */
	assert_true(!ours || access(part, F_OK) == 0);
	tails_are_ends_of(text);
	if (ours)
		tails_hold_nobody_up(part);
	bench_stop("y0", 0);
	bench_stop("y1", 0);
}

static bool is_terminated(const char *name)
{
	return bench_container(name, 0)->state == CONTAINER_TERMINATED;
}

static void pods_are_adopted(void **state)
{
	(void)state;
	int64_t cpu_ns, memory;
	int pid;
	bench_start("z1", POD("sleep 50", "", ""));
	bench_start("z2",
		"{'restartPolicy':'Never','containers':[{'name':'main','image':'test','command':["
		"'/bin/sh','-c','sleep 1; exit 6']}]}");
	bench_start("z3", POD("sleep 50", ",'readinessProbe':{'exec':{'command':['true']}}", ""));
	assert_true(bench_wait(is_ready, "z1", 5000));
	assert_true(bench_wait(is_ready, "z2", 5000));
	assert_true(bench_wait(is_ready, "z3", 5000));
	pid = bench_container("z1", 0)->pid;
	bench.driver->ops->free(bench.driver);
	bench_sleep(1500); /* z2 ends while nobody watches */
	bench_open();
	assert_true(bench_wait(is_terminated, "z2", 2000));
	assert_int_equal(bench_container("z2", 0)->exit_code, 6);
	assert_string_equal(bench_seen("z2")->phase, "Failed");
	bench_start("z1", POD("sleep 50", "", ""));
	bench_sleep(200);
	assert_int_equal(bench_container("z1", 0)->pid, pid);
	assert_int_equal(bench_container("z1", 0)->restarts, 0);
	assert_true(bench_wait(is_ready, "z3", 5000));
	assert_int_equal(bench.driver->ops->stats(bench.driver, "z1", &cpu_ns, &memory, NULL), 0);
	bench_stop("z1", 0);
	bench_stop("z2", 0);
	bench_stop("z3", 0);
}

/* ---- probes of a server in a container; it has the host's network, since the bench has none ----
 */

static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

#define HTTPD(before, port, probes)                                                                \
	"{'hostNetwork':true,'terminationGracePeriodSeconds':1,'containers':[{'name':'main',"      \
	"'image':'test','ports':[{'name':'web','containerPort':" port                              \
	"}],'command':['/bin/sh','-c','mkdir -p /www; touch /www/up; " before                      \
	"httpd -p 127.0.0.1:" port " -h /www; sleep 100']," probes "}]}"

static bool is_unready(const char *name)
{
	return is_running(name) && !is_ready(name);
}

static bool is_ready_anew(const char *name)
{
	return is_ready(name) && bench_container(name, 0)->restarts >= 1;
}

static void readiness_flips_and_liveness_kills(void **state)
{
	(void)state;
	bench.privilege = "privileged";
	int port = free_port();
	CLEANUP(mem_free_ptr)
	char *spec =
		mem_format(HTTPD("", "%d",
				   "'readinessProbe':{'httpGet':{'host':'127.0.0.1','port':'web','"
				   "path':'/up'},"
				   "'periodSeconds':1,'failureThreshold':1},'livenessProbe':{"
				   "'tcpSocket':{'host':'127.0.0.1','port':%d},'periodSeconds':1,"
				   "'initialDelaySeconds':1,'failureThreshold':2}"),
			port, port, port);
	CLEANUP(mem_free_ptr) char *first = look("pr", spec, "rm /www/up && echo ready");
	assert_string_equal(first, "ready\n");
	assert_true(bench_wait(is_unready, "pr", 8000));
	free(bench_exec("pr", "touch /www/up", NULL));
	assert_true(bench_wait(is_ready, "pr", 8000));
	assert_int_equal(bench_container("pr", 0)->restarts, 0);
	free(bench_exec("pr", "killall httpd", NULL));
	assert_true(bench_wait(is_ready_anew, "pr", 15000));
	assert_true(bench_event("pr", "Unhealthy"));
	bench_stop("pr", 0);
	bench.privilege = "baseline";
}

static void startup_holds_liveness_back(void **state)
{
	(void)state;
	bench.privilege = "privileged";
	int port = free_port();
	CLEANUP(mem_free_ptr)
	char *spec =
		mem_format(HTTPD("sleep 3; ", "%d",
				   "'startupProbe':{'tcpSocket':{'host':'127.0.0.1','port':'web'},'"
				   "periodSeconds':"
				   "1,'failureThreshold':20},'livenessProbe':{'httpGet':{'host':'"
				   "127.0.0.1','port':"
				   "'web','path':'/up'},'periodSeconds':1,'failureThreshold':1}"),
			port, port);
	bench_start("ps", spec);
	assert_true(bench_wait(is_running, "ps", 5000));
	assert_false(bench_container("ps", 0)->started);
	assert_true(bench_wait(is_ready, "ps", 10000));
	bench_sleep(1500); /* liveness is asked now */
	assert_int_equal(bench_container("ps", 0)->restarts, 0);
	free(bench_exec("ps", "rm /www/up", NULL));
	assert_true(bench_wait(is_ready_anew, "ps", 15000));
	bench_stop("ps", 0);
	bench.privilege = "baseline";
}

static bool only_one_is_left(const char *name)
{
	return bench_container(name, 0)->restarts >= 1 && is_ready(name);
}

/* Prints the process that is 1 where pid is; to be closed with pclose. */
static FILE *first_of_namespace(int pid)
{
	CLEANUP(mem_free_ptr)
	char *command =
		mem_format("for p in /proc/[0-9]*; do [ \"$(readlink $p/ns/pid)\" = \"$(readlink "
			   "/proc/%d/ns/pid)\" ] && grep -q '^NSpid:.*[^0-9]1$' $p/status && echo "
			   "${p##*/}; done 2>/dev/null",
			pid);
	return popen(command, "re");
}

static void containers_share_processes(void **state)
{
	(void)state;
	static const char spec[] =
		"{'shareProcessNamespace':true,'terminationGracePeriodSeconds':1,'containers':[{"
		"'name':'main','image':'test','command':['/bin/sh','-c','sleep 5001']},{'name':"
		"'side','image':'test','command':['/bin/sh','-c','sleep 5002']}]}";
	CLEANUP(mem_free_ptr)
	char *seen = look("pp", spec,
		"cat /proc/1/comm; ps | grep -c '[s]leep 500'; ls /proc/1/root/ 2>/dev/null | wc "
		"-l; "
		"(sh -c 'sleep 0.1 & exit' &); sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status "
		"2>/dev/null | wc -l");
	assert_string_equal(seen, "continuo-pause\n2\n0\n0\n");
	CLEANUP(mem_free_ptr)
	char *path = mem_format("%s/pods/pp/pause.pid", bench.config.run_folder);
	FILE *file = fopen(path, "re");
	int pause = 0, pid = bench_container("pp", 0)->pid, other = bench_container("pp", 1)->pid;
	if (bench.docker)
		file = first_of_namespace(other);
	assert_int_equal(fscanf(file, "%d", &pause), 1);
	if (bench.docker)
		pclose(file);
	else
		fclose(file);
	CLEANUP(mem_free_ptr)
	char *small = mem_format("awk '/^Pss:/ { exit $2 > 100 }' /proc/%d/smaps_rollup", pause);
	assert_int_equal(system(small), 0);
	/* One that ends takes nobody along; the agent's restart finds all of it again. */
	bench.driver->ops->free(bench.driver);
	bench_sleep(100);
	bench_open();
	CLEANUP(mem_free_ptr) char *end = mem_format("kill -KILL %d", pid);
	assert_int_equal(system(end), 0);
	assert_true(bench_wait(only_one_is_left, "pp", 8000));
	assert_int_equal(bench_container("pp", 1)->pid, other);
	assert_int_equal(bench_container("pp", 1)->restarts, 0);
	bench_stop("pp", 0);
	assert_true(bench_process_is_gone(pause));
	assert_true(bench_process_is_gone(other));
}

static bool folder_is_gone(const char *folder, const char *name)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/pods/%s", folder, name);
	return access(path, F_OK) < 0;
}

static bool forgotten;
static void on_forgotten(void *arg, const struct err *e)
{
	(void)arg;
	forgotten = !e;
}

static void nothing_is_left(void **state)
{
	(void)state;
	bench_start("za", POD("sleep 50", "", ""));
	assert_true(bench_wait(is_ready, "za", 5000));
	bench_stop("za", 0);
	assert_true(folder_is_gone(bench.config.run_folder, "za"));
	assert_true(bench.docker || !folder_is_gone(bench.config.state_folder, "za")); /* logs */
	bench.driver->ops->forget(bench.driver, "za", on_forgotten, NULL);
	bench_sleep(300);
	assert_true(forgotten);
	assert_true(folder_is_gone(bench.config.state_folder, "za"));
	/* Podman's monitors end a little after their containers. */
	assert_true(bench.docker ? bench_wait(bench_is_clean, "za", 8000) : bench_is_clean("za"));
}

/* As after a boot: the driver does not know the pod, whose files are there. */
static void logs_outlive_the_pod(void **state)
{
	(void)state;
	struct driver_logs spec = {.container = "main", .tail_lines = -1};
	bench_start("zb", POD("echo result=7", "", ",'restartPolicy':'Never'"));
	assert_true(bench_wait(is_succeeded, "zb", 5000));
	bench_stop("zb", 0);
	bench.driver->ops->free(bench.driver);
	bench_open();
	CLEANUP(mem_free_ptr) char *text = bench_logs("zb", &spec);
	bool ours = !bench.docker || is_podman(); /* dockerd removes its logs with containers */
	assert_true(!ours || str_equal(text, "result=7\n"));
	spec.container = "../main";
	CLEANUP(mem_free_ptr) char *none = bench_logs("zb", &spec);
	assert_non_null(strstr(none, "has not got the pod"));
	spec = (struct driver_logs){.container = "main", .tail_lines = -1, .previous = true};
	CLEANUP(mem_free_ptr) char *previous = bench_logs("zb", &spec);
	assert_true(!ours || strstr(previous, "has no previous run"));
}

static void leftovers_are_swept(void **state)
{
	(void)state;
	static const char *const both[] = {"zd", "zc"}, *const one[] = {"zc"};
	CLEANUP(mem_free_ptr)
	char *left = mem_format("%s/pods/zd/volumes/e", bench.config.state_folder);
	assert_int_equal(fs_make_folders(fs_real(), left, 0700, NULL), 0);
	bench_start("ze", POD("sleep 50", "", ""));
	assert_true(bench_wait(is_ready, "ze", 5000));
	bench.driver->ops->keep_only(bench.driver, both, 2);
	bench_sleep(300);
	assert_false(folder_is_gone(bench.config.state_folder, "zd"));
	bench.driver->ops->keep_only(bench.driver, one, 1);
	bench_sleep(300);
	assert_true(folder_is_gone(bench.config.state_folder, "zd"));
	assert_false(folder_is_gone(bench.config.state_folder, "ze")); /* it runs */
	bench_stop("ze", 0);
}

/* How long thirty at once and one alone take; printed, as the machine decides. */
static void starts_are_quick(void **state)
{
	(void)state;
	char name[16];
	int64_t begin_ms = loop_now_ms(bench.loop);
	bench_start("zz", POD("sleep 50", "", ""));
	assert_true(bench_wait(is_ready, "zz", 5000));
	int64_t one_ms = loop_now_ms(bench.loop) - begin_ms;
	begin_ms = loop_now_ms(bench.loop);
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "zz%d", i);
		bench_start(name, POD("sleep 50", "", ""));
	}
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "zz%d", i);
		assert_true(bench_wait(is_ready, name, 30000));
	}
	fprintf(stderr, "# one pod runs after %lld ms, thirty after %lld ms\n", (long long)one_ms,
		(long long)(loop_now_ms(bench.loop) - begin_ms));
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "zz%d", i);
		bench_stop_only(name, 0);
	}
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "zz%d", i);
		bench_stop(name, 0);
	}
	bench_stop("zz", 0);
}

extern const struct CMUnitTest contract_oci[];
extern const size_t contract_oci_count;
const struct CMUnitTest contract_oci[] = {
	cmocka_unit_test(image_gives_what_the_pod_leaves_out),
	cmocka_unit_test(environment_comes_from_everywhere),
	cmocka_unit_test(volumes_are_mounted_and_updated),
	cmocka_unit_test(updates_do_not_overtake_each_other),
	cmocka_unit_test(pods_know_themselves),
	cmocka_unit_test(memory_scores_follow_the_class),
	cmocka_unit_test(privileged_containers_have_the_hosts_devices),
	cmocka_unit_test(network_files_are_the_pods),
	cmocka_unit_test(network_files_lie_on_the_disk),
	cmocka_unit_test(users_are_who_they_should_be),
	cmocka_unit_test(privileges_are_few),
	cmocka_unit_test(host_is_reached_by_the_privileged_only),
	cmocka_unit_test(devices_are_injected),
	cmocka_unit_test(limits_are_in_the_cgroup),
	cmocka_unit_test(memory_kills_have_their_reason),
	cmocka_unit_test(missing_commands_are_told),
	cmocka_unit_test(logs_rotate_without_loss),
	cmocka_unit_test(logs_end_where_they_were),
	cmocka_unit_test(readiness_flips_and_liveness_kills),
	cmocka_unit_test(startup_holds_liveness_back),
	cmocka_unit_test(containers_share_processes),
	cmocka_unit_test(pods_are_adopted),
	cmocka_unit_test(starts_are_quick),
	cmocka_unit_test(nothing_is_left),
	cmocka_unit_test(logs_outlive_the_pod),
	cmocka_unit_test(leftovers_are_swept),
};
const size_t contract_oci_count = ARRAY_SIZE(contract_oci);

/* ---- an engine that is a daemon of its own; ENGINE kill, ENGINE start end and start it ---- */

static bool restarted_twice(const char *name)
{
	return bench_container(name, 0)->restarts >= 2;
}

static void engine(const char *verb)
{
	CLEANUP(mem_free_ptr) char *command = mem_format("%s %s", getenv("ENGINE"), verb);
	assert_int_equal(system(command), 0);
}

static bool is_run_anew(const char *name)
{
	return is_ready(name) && bench_container(name, 0)->restarts >= 1;
}

/* Containers that outlive their engine (live restore) are found as they were. Others end with it,
 * and so do the pod's namespaces: all of it comes back by itself. */
static void engines_may_die(void **state)
{
	(void)state;
	bool live = getenv("ENGINE_LIVE") != NULL;
	if (!getenv("ENGINE"))
		skip();
	bench_start("ze", POD("trap exit TERM; sleep 500 & wait", "", ""));
	bench_start("zf",
		"{'restartPolicy':'Never','containers':[{'name':'main','image':'test','command':["
		"'/bin/sh','-c','while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 6']}]}");
	assert_true(bench_wait(is_ready, "ze", 8000));
	assert_true(bench_wait(is_ready, "zf", 8000));
	int pid = bench_container("ze", 0)->pid;
	CLEANUP(mem_free_ptr)
	char *end = mem_format("touch /proc/%d/root/tmp/end", bench_container("zf", 0)->pid);
	engine("kill");
	assert_int_equal(system(end), 0);
	bench_sleep(500); /* it ends while nobody watches */
	bench_start("zg", POD("sleep 500", "", ""));
	engine("start");
	assert_true(bench_wait(is_terminated, "zf", 15000));
	assert_int_equal(bench_container("zf", 0)->exit_code, 6);
	if (live) {
		assert_int_equal(bench_container("ze", 0)->pid, pid);
		assert_int_equal(bench_container("ze", 0)->restarts, 0);
	} else {
		assert_true(bench_wait(is_run_anew, "ze", 20000));
		assert_true(bench_event("ze", "SandboxChanged"));
	}
	assert_true(bench_wait(is_ready, "zg", 20000));
	CLEANUP(mem_free_ptr) char *inside = bench_exec("ze", "ls /sys/class/net", NULL);
	assert_string_equal(inside, "lo\n");
	bench_stop("ze", 0);
	bench_stop("zf", 0);
	bench_stop("zg", 0);
}

/* Somebody else removes what is ours: the pod comes back. */
static void removed_containers_come_back(void **state)
{
	(void)state;
	if (!getenv("ENGINE"))
		skip();
	bench_start("zh", POD("sleep 500", "", ""));
	assert_true(bench_wait(is_ready, "zh", 8000));
	engine("remove continuo_main_zh_0");
	assert_true(bench_wait(is_run_anew, "zh", 15000));
	engine("remove continuo-pause_zh");
	assert_true(bench_wait(restarted_twice, "zh", 15000));
	assert_true(bench_wait(is_ready, "zh", 15000));
	bench_stop("zh", 0);
}

/* The same for an engine that watches its containers by itself. */
extern const struct CMUnitTest contract_docker[];
extern const size_t contract_docker_count;
const struct CMUnitTest contract_docker[] = {
	cmocka_unit_test(image_gives_what_the_pod_leaves_out),
	cmocka_unit_test(environment_comes_from_everywhere),
	cmocka_unit_test(volumes_are_mounted_and_updated),
	cmocka_unit_test(updates_do_not_overtake_each_other),
	cmocka_unit_test(pods_know_themselves),
	cmocka_unit_test(memory_scores_follow_the_class),
	cmocka_unit_test(privileged_containers_have_the_hosts_devices),
	cmocka_unit_test(network_files_are_the_pods),
	cmocka_unit_test(network_files_lie_on_the_disk),
	cmocka_unit_test(users_are_who_they_should_be),
	cmocka_unit_test(privileges_are_few),
	cmocka_unit_test(host_is_reached_by_the_privileged_only),
	cmocka_unit_test(devices_are_injected),
	cmocka_unit_test(limits_are_in_the_cgroup),
	cmocka_unit_test(memory_kills_have_their_reason),
	cmocka_unit_test(missing_commands_are_told),
	cmocka_unit_test(logs_rotate_without_loss),
	cmocka_unit_test(logs_end_where_they_were),
	cmocka_unit_test(readiness_flips_and_liveness_kills),
	cmocka_unit_test(startup_holds_liveness_back),
	cmocka_unit_test(containers_share_processes),
	cmocka_unit_test(pods_are_adopted),
	cmocka_unit_test(engines_may_die),
	cmocka_unit_test(removed_containers_come_back),
	cmocka_unit_test(starts_are_quick),
	cmocka_unit_test(nothing_is_left),
	cmocka_unit_test(logs_outlive_the_pod),
	cmocka_unit_test(leftovers_are_swept),
};
const size_t contract_docker_count = ARRAY_SIZE(contract_docker);

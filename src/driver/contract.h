/*
 * The bench on which drivers are held against their contract: a loop, a host that has one image and
 * no network, and what the driver told of its pods. Tests only.
 */
#ifndef CONTINUO_DRIVER_CONTRACT_H
#define CONTINUO_DRIVER_CONTRACT_H

#include "base/map.h"
#include "base/vec.h"
#include "driver/driver.h"
#include "sys/loop_uv.h"

struct seen_container {
	char name[64], reason[32], message[300], last_reason[32];
	enum container_state state;
	int exit_code, restarts, pid, last_exit_code;
	bool init, started, ready, has_last;
	int64_t started_ms, finished_ms;
};

struct seen {
	char phase[16], ip[64], reason[32];
	bool stopped, initialized, containers_ready;
	struct seen_container containers[6];
	size_t count;
	int changes;
};

struct bench {
	struct loop *loop;
	struct log log;
	struct driver_config config;
	struct driver *driver;
	bool real;                    /* containers are real ones */
	const char *docker;           /* socket of a container engine; null: the engine is oci */
	struct map seen;              /* uid → struct seen */
	struct buf events;            /* "UID REASON message\n" ... */
	const char *rootfs;           /* the image's only layer */
	const char *user;             /* of the image's configuration; null: none */
	VEC(struct object *) objects; /* given with every pod */
	const char *privilege;
	int64_t time_ms; /* what the host says of the server's time; -1: it is not known */
	int64_t revision;
};

/* arguments of the program: fake, oci STATE_FOLDER RUN_FOLDER CGROUP ROOTFS RUNTIME, or docker with
 * a SOCKET in place of the runtime */
extern struct bench bench;
int bench_setup(int argc, char **argv);
void bench_done(void);
void bench_open(void); /* a driver again after ops->free: the agent restarts */

/* spec: a PodSpec in JSON, with ' instead of ". The uid is the name. */
void bench_start(const char *name, const char *spec);
void bench_update(const char *name, const char *spec);
void bench_stop(const char *name, int64_t grace_s); /* and waits for its end */
void bench_stop_only(const char *name, int64_t grace_s);
void bench_object(const char *kind, const char *name, const char *data);
void bench_objects_clear(void);

const struct seen *bench_seen(const char *name);
const struct seen_container *bench_container(const char *name, size_t index);
bool bench_wait(bool (*condition)(const char *name), const char *name, int64_t timeout_ms);
void bench_sleep(int64_t ms); /* runs the loop */
bool bench_event(const char *name, const char *reason);

bool is_running(const char *name);
bool is_ready(const char *name);
bool is_succeeded(const char *name);
bool is_failed(const char *name);
bool is_waiting_with_reason(const char *name); /* any but ContainerCreating */
/* No exit file, no mount, no control group of any pod; the listing tells what there is. */
bool bench_is_clean(const char *name);
bool bench_process_is_gone(int pid); /* or waits to be reaped */

/* Output of a command in the first container; the exit code to ret_code. Freed with free(). */
char *bench_exec(const char *name, const char *script, int *ret_code);
char *bench_logs(const char *name, const struct driver_logs *spec);
/* The same for the spec's follow: until `until` was seen, then cancelled; or the end. */
char *bench_follow(const char *name, const char *until, bool *ret_ended);

#endif

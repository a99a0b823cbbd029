/* Private to the adopted containers' files. */
#ifndef CONTINUO_DRIVER_ADOPTED_PRIVATE_H
#define CONTINUO_DRIVER_ADOPTED_PRIVATE_H

#include "base/map.h"
#include "driver/adopted.h"
#include "driver/container.h"
#include "driver/docker_api.h"

struct adopted {
	struct container_engine base;
	struct loop *loop;
	struct log *log;
	struct docker_api *api;
	struct container_events events;
	char *folder;    /* of records */
	struct map pods; /* uid → struct adopted_container */
	/* Docker removed a container that did not run any more. */
	void (*on_gone)(void *arg, const char *uid);
	void *gone_arg;
	bool closed;
	int references; /* the driver's and one of each call under way */

	struct http_call *watch; /* the events; null: not connected */
	struct buf lines;        /* of the events, not whole yet */
	struct loop_timer *retry;
	int failures; /* of the connection, in a row */
};

/* What the end of its pod means for a container. */
enum adopted_fate {
	ADOPTED_KEPT,    /* its pod does not end */
	ADOPTED_REMOVED, /* stopped and removed: the server asked for it */
	ADOPTED_LET_GO,  /* left as it is */
};

/* One pod with its container. */
struct adopted_container {
	struct adopted *engine;
	char *uid;
	char docker_id[72];
	char id[CONTAINER_ID_SIZE]; /* of the run as pod.c names it */
	int attempt;
	int pid;
	bool running;   /* taken or started, and its end was not told yet */
	bool deleted;   /* the server said so of its pod */
	bool hand_back; /* and that the container is to stay */
	bool refused;   /* the pod may not have the container that it names */
	bool gone;      /* Docker has it no more */
	enum adopted_fate fate;
	bool tty;
	bool checking, check_again;
	int signal; /* that it was told to end with; 0: none */
	int grace_s;
	char ip[64], image_id[80];
	int64_t started_ms; /* wall_ms, as Docker has it */
};

/* adopted_engine.c */
struct adopted *adopted_engine_new(const struct driver_config *config) MUST_CHECK;
struct adopted *adopted_ref(struct adopted *x);
void adopted_unref(struct adopted *x);
struct adopted *adopted_of(struct container_engine *x);
struct adopted_container *adopted_find(struct adopted *x, const char *uid); /* null: none */
struct adopted_container *adopted_by_run(struct adopted *x, const char *id);
/* What the pod's annotations say now. */
void adopted_note(struct adopted *x, const struct object *pod);
/* Decides what becomes of the container; before its pod is stopped. */
void adopted_decide(struct adopted *x, const char *uid);
/* Reads what inspect says into c; whether it runs, with which process (0: none just now). */
bool adopted_read(struct adopted_container *c, const json_t *inspected, int *ret_pid);
void adopted_send_signal(struct adopted_container *c);
/* A request about a container; path below /containers/ID. done gets null for c when the pod was
 * dropped meanwhile. */
typedef void adopted_answer(struct adopted *x, struct adopted_container *c, const json_t *answer,
	const struct err *e, void *arg);
void adopted_call(struct adopted_container *c, const char *method, const char *path,
	adopted_answer *done, void *arg);

/* adopted_watch.c */
void adopted_watch_start(struct adopted *x);
void adopted_watch_stop(struct adopted *x);
void adopted_check(struct adopted_container *c); /* whether it still runs; tells its end */

/* adopted_io.c */
struct driver_logs_call *adopted_logs(struct container_engine *x, const char *uid, const char *name,
	int attempt, bool live, const struct driver_logs *spec);
void adopted_logs_cancel(struct driver_logs_call *call);
void adopted_logs_pause(struct driver_logs_call *call, bool paused);
void adopted_exec(struct container_engine *x, const char *id, const struct driver_exec *spec,
	struct driver_exec_call **ret_call);
void adopted_exec_input(struct driver_exec_call *call, const void *data, size_t size);
size_t adopted_exec_queued(const struct driver_exec_call *call);
void adopted_exec_pause(struct driver_exec_call *call, bool paused);
void adopted_exec_cancel(struct driver_exec_call *call);

#endif

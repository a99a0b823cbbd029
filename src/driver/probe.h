/*
 * Probes of one container with Kubernetes' semantics: what to ask (probe_spec), one question
 * (probe_check), and the watch that asks in periods and counts in thresholds (probe_watch).
 * Lifecycle hooks are questions too. HTTPS does not verify the certificate, as kubelet does not;
 * unlike kubelet a redirect is not followed, it counts as success.
 * https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes
 */
#ifndef CONTINUO_DRIVER_PROBE_H
#define CONTINUO_DRIVER_PROBE_H

#include "codec/json.h"
#include "driver/container.h"

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
enum probe_action { PROBE_EXEC, PROBE_HTTP, PROBE_TCP, PROBE_SLEEP };

struct probe_spec {
	enum probe_action action;
	int64_t initial_delay_ms, period_ms;
	int64_t timeout_ms; /* 0: none */
	int64_t grace_ms;   /* of the stop that it leads to; -1: the pod's */
	int64_t sleep_ms;
	int success_threshold, failure_threshold;
	char *host; /* null: the pod's address */
	int port;
	bool https;
	bool any_status; /* HTTP: whatever is answered is success */
	bool has_host;   /* request names the host itself */
	char *request;   /* HTTP: the request without the last empty line */
	char **command;  /* exec: null terminated */
};

/* From a container of a pod; null when it has no such probe, or one that is not supported (gRPC, a
 * port name that the container does not have): then *ret_problem says so, else null. */
struct probe_spec *probe_spec_new(const json_t *container, enum probe_kind kind,
	const char **ret_problem) MUST_CHECK;
/* A hook, "postStart" or "preStop", in the same way: exec, httpGet and sleep; tcpSocket fails here
 * as it does in Kubernetes. */
struct probe_spec *probe_spec_hook(const json_t *container, const char *hook,
	const char **ret_problem) MUST_CHECK;
void probe_spec_free(struct probe_spec *s);

/* Where a probe is asked. The strings must live as long as the watch. */
struct probe_target {
	struct loop *loop;
	struct container_engine *engine;
	const char *ip; /* of the pod; the node's when it has the host's network */
	const char *id; /* of the container */
};

/* One question. done comes once, on a later turn; text says what was answered. */
struct probe_check;
struct probe_check *probe_check_start(const struct probe_spec *s, const struct probe_target *t,
	void (*done)(void *arg, bool ok, const char *text), void *arg) MUST_CHECK;
void probe_check_cancel(struct probe_check *c); /* null is fine; no callback any more */

/* The probes of one run of a container: liveness and readiness wait for startup. started, ready:
 * what was known of an adopted one. */
struct probe_events {
	/* Once: the startup probe passed, or there is none (then not called). */
	void (*on_started)(void *arg);
	void (*on_ready)(void *arg, bool ready);
	/* Startup or liveness failed for good: the container is to be restarted. */
	void (*on_dead)(void *arg, enum probe_kind kind, const char *text);
	/* Each failed answer. */
	void (*on_failure)(void *arg, enum probe_kind kind, const char *text);
	void *arg;
};
struct probe_watch;
struct probe_watch *probe_watch_new(struct probe_spec *const specs[static PROBE_KINDS],
	const struct probe_target *t, bool started, bool ready,
	const struct probe_events *events) MUST_CHECK;
void probe_watch_free(struct probe_watch *w); /* null is fine */

#endif

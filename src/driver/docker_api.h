/*
 * The Docker Engine API (https://docs.docker.com/engine/api/v1.41/) over the engine's unix socket:
 * JSON requests and answers, streams, and hijacked connections (exec). Spoken by dockerd from 20.10
 * on and by Podman's `system service`. Knows nothing of pods, so that others may use it too.
 *
 * Runs on the loop's thread and does not block. Connects when a call needs it; a call fails with
 * -ERR_UNAVAILABLE, -ERR_CLOSED or -ERR_TIMEOUT when the engine is not there, and the next one
 * tries again.
 */
#ifndef CONTINUO_DRIVER_DOCKER_API_H
#define CONTINUO_DRIVER_DOCKER_API_H

#include "codec/json.h"
#include "net/http.h"

#define DOCKER_SOCKET "/var/run/docker.sock"
#define DOCKER_API_VERSION "v1.41"

/* Labels of all that the driver makes. What lacks LABEL_NODE is not ours. */
#define DOCKER_LABEL_NODE "dev.continuo.node"           /* its name */
#define DOCKER_LABEL_ROLE "dev.continuo.role"           /* "container" or "pause" */
#define DOCKER_LABEL_UID "dev.continuo.pod-uid"         /* of the pod */
#define DOCKER_LABEL_NAMESPACE "dev.continuo.namespace" /* of the pod */
#define DOCKER_LABEL_POD "dev.continuo.pod"             /* its name */
#define DOCKER_LABEL_CONTAINER "dev.continuo.container" /* its name in the pod */
#define DOCKER_LABEL_ID "dev.continuo.id"               /* 32 hexadecimal digits, of one run */
#define DOCKER_LABEL_ATTEMPT "dev.continuo.attempt"     /* which run of the container it is */

struct docker_api;

/* socket: path of the unix socket; copied. */
struct docker_api *docker_api_new(struct loop *l, const char *socket) MUST_CHECK;
/* Calls under way end with -ERR_CANCELLED on a later turn; streams become deaf. */
void docker_api_free(struct docker_api *a);

/* answer: the JSON of the body, null when there is none; valid during the call. e: the call failed,
 * or the engine refused (its message; -ERR_NOT_FOUND for 404, -ERR_CONFLICT for 409, ...).
 * 304 (it is so already) is a success. */
typedef void docker_answer(void *arg, int status, const json_t *answer, const struct err *e);

/* path: below the version, with its query, "/containers/json?all=1". body: null for none; borrowed.
 * Answers are at most 3 MiB. */
void docker_api_call(struct docker_api *a, const char *method, const char *path, const json_t *body,
	docker_answer *done, void *arg);

/* A call whose answer or request is a stream (http.h): events, logs, image loads. upgrade: the
 * connection becomes a plain one ("tcp", for exec). Freed by the caller. */
struct docker_stream {
	const char *method, *path;
	const json_t *body;       /* null: none */
	const char *content_type; /* of a body that is streamed by http_call_write; null: none */
	bool upgrade;
};
struct http_call *docker_api_stream(struct docker_api *a, const struct docker_stream *stream,
	const struct http_call_events *events, void *arg) MUST_CHECK;

/* The sentence in the engine's answer to a refused request: {"message": "..."}. */
void docker_api_refusal(int status, const char *body, size_t size, struct err *e);

/* Whether a container's "State" is that of one with processes. Podman says of one that it is
 * stopping, which may take its whole grace period, that it does not run. */
bool docker_api_runs(const json_t *state);

/* Appends text percent-encoded, as the value of a query. */
void docker_query_append(struct buf *b, const char *text);
/* "?filters=..." of one or more labels, "KEY=VALUE", null terminated; extra: more of the query, or
 * "". Freed with free(). */
char *docker_label_query(const char *extra, const char *const *labels) MUST_CHECK;

#endif

/*
 * What servers and agents say to each other: feed (down), reports (up), reverse calls. All of it
 * over HTTPS opened by the agent; messages are JSON, one a line, at most WIRE_LINE_MAX bytes.
 *
 *   POST /agent/v1/join      {token, csr, name}  -> {certificate, ca, domain, name}
 *                            without a client's certificate
 *   POST /agent/v1/renew     {csr}               -> {certificate, ca}
 *   POST /agent/v1/feed      hello line          -> feed lines, as long as the session lives
 *   POST /agent/v1/report    report lines        -> {revision, refused}; an empty body is a
 * heartbeat ?session=N: that of the session line POST /agent/v1/calls/ID  output of a reverse call
 * -> input of it (both streamed) GET  /agent/v1/objects/KEY -> one object of what the slice may
 * name (a miss)
 *
 * hello:
 *   {"type":"hello","epoch":E,"revision":N,"version":V,"node":{Node object},
 *    "held":[[key,uid,revision],...]}     N: of the last bookmark of that epoch, 0: none
 *
 * feed:
 *   {"type":"session","session":N,"epoch":E,"domain":D,"heartbeat_ms":N,"now_ms":N,...}
 *   {"type":"put","object":{...}}
 *   {"type":"delete","key":K,"uid":U}
 *   {"type":"peers","peers":[[node,address,cidr],...]}
 *   {"type":"peer_news","peers":[...],"gone":[node,...]}   what changed of them
 *   {"type":"bookmark","revision":N}   after the difference, then about every 5 s when idle
 *   {"type":"call","id":I,"verb":"logs|exec","pod":UID,"query":{...}}
 *   {"type":"cancel","id":I}
 *   {"type":"ping","id":N}             answered by a report {"type":"pong","id":N} within 500 ms
 *   {"type":"lease","beat":N,"ms":N}   answers a beat (docs/time-and-leases.md)
 *
 * report:
 *   {"type":"status","key":K,"uid":U,"status":{...}}
 *   {"type":"gone","key":K,"uid":U}
 *   {"type":"node","status":{...}}
 *   {"type":"pong","id":N}   {"type":"beat","id":N}
 *   {"type":"event","key":K,"uid":U,"warning":B,"reason":R,"message":M,"id":I,"first_ms":N,
 *    "last_ms":N,"count":N}            may come late, and twice: I tells; K: a pod or the node
 * itself
 *   {"type":"progress","pod":UID,"image":R,"done":N,"total":N}
 *
 * Details:
 *   join: the answer of a refused token is 401; of a name that is taken 409. Answers other than 200
 *     carry a Status object. "name" may be empty when the token names the node.
 *   session: also "server", "silence_ms", "pod_cidr", "domain_cidr", "service_cidr",
 *     "cluster_domain" and "report_all": the server had held the node for lost, so the agent
 * reports the status of every pod again. After it come deletes and puts (the difference to "held"),
 *     peers, then a bookmark: from there on the slice is complete, and pods that the driver has but
 *     the slice lacks are to be stopped. In another epoch than the agent's, "held" is compared by
 *     uid and the agent by spec, not revision.
 *   report: answered 200 when everything in it is durable but the lines that no server could take:
 *     those are left out, counted as "refused" and logged. The agent keeps what was not answered
 * and sends it again (statuses are whole, so the newest per pod is enough). 401, 403: the node was
 *     revoked. 409: that session is not open (any more): open the feed first. 5xx: the server
 * cannot take it now; the session goes on. status of a pod: the whole PodStatus. A pod with
 * deletionTimestamp whose containers are all gone is reported "gone"; the server then removes the
 * object.
 *
 * A reverse call's body (agent to server) is a sequence of frames: 1 byte channel, 4 bytes length
 * (big endian), data. Channels: WIRE_STDOUT (also log text), WIRE_STDERR, WIRE_END: JSON {"exit":N}
 * or {"error":{"reason":"NotFound","message":"..."}}, always last. The body down (server to agent)
 * is frames of channel WIRE_STDIN; one of length 0 is the end of the input. It does not end before
 * the call does, since an HTTP/1.1 client that has the whole response sends no more.
 * POST /api/v1/namespaces/NS/pods/NAME/exec?command=..&container=..&stdin=true passes the same
 * frames up to the client and takes plain bytes from it (until WebSocket and SPDY come with the
 * Kubernetes issue).
 *
 * GET pods/NAME/log gives plain text, or to who accepts WIRE_FRAMES_TYPE the same frames, which
 * tell an error from the end.
 *
 * Unknown types and fields are ignored, so that versions one apart understand each other.
 */
#ifndef CONTINUO_WIRE_WIRE_H
#define CONTINUO_WIRE_WIRE_H

#include "codec/json.h"

#define WIRE_FRAMES_TYPE "application/vnd.continuo.frames"
/* What a server takes of a node's events: so many at once, and so many a second. */
#define WIRE_EVENTS_BURST 1000
#define WIRE_EVENTS_PER_S 5
#define WIRE_LINE_MAX ((size_t)3 << 20)

/* Puts a byte stream together into lines and decodes each. */
struct wire_reader {
	struct buf buffer;
	bool skip_bad;  /* leaves out lines that cannot be decoded or that cb refuses */
	size_t skipped; /* such lines */
	struct err why; /* of the first of them */
};
typedef int wire_message_cb(void *arg, const char *type, json_t *message, struct err *e);
void wire_reader_done(struct wire_reader *r);
/* Calls cb for each whole line (message is borrowed). -ERR_DECODE, -ERR_TOO_LARGE, or cb's result;
 * with skip_bad only of a line that does not end. */
int wire_read(struct wire_reader *r, const void *data, size_t size, wire_message_cb *cb, void *arg,
	struct err *e) MUST_CHECK;

enum wire_channel { WIRE_STDOUT = 1, WIRE_STDERR = 2, WIRE_END = 3, WIRE_STDIN = 4 };
#define WIRE_FRAME_MAX ((size_t)256 << 10) /* bytes of one frame's data */

/* Puts a byte stream together into frames. Calls cb for each whole frame. -ERR_PROTOCOL, or cb's
 * result. */
typedef int wire_frame_cb(void *arg, int channel, const char *data, size_t size, struct err *e);
int wire_read_frames(struct wire_reader *r, const void *data, size_t size, wire_frame_cb *cb,
	void *arg, struct err *e) MUST_CHECK;
/* Appends frames for data of any size (split at WIRE_FRAME_MAX; none for size 0). */
void wire_write_frame(struct buf *b, int channel, const void *data, size_t size);
/* A frame of length 0: the end of the input (WIRE_STDIN). */
void wire_write_input_end(struct buf *b);
/* The last frame: an exit code, or an error (e not null). */
void wire_write_end(struct buf *b, int exit_code, const struct err *e);
/* Reads the data of a WIRE_END frame; returns 0 and the exit code, or the error that it carries. */
int wire_parse_end(const char *data, size_t size, int *ret_exit_code, struct err *e) MUST_CHECK;

/* Appends a message and its newline. */
void wire_write(struct buf *b, const json_t *message);

#endif

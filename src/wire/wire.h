/*
 * What servers and agents say to each other: feed (down), reports (up), reverse calls. All of it
 * over HTTPS opened by the agent; messages are JSON, one a line, at most WIRE_LINE_MAX bytes.
 *
 *   POST /agent/v1/join      {token, csr, name}        -> {certificate, ca, domain, name}   no
 * client certificate POST /agent/v1/renew     {csr}                     -> {certificate, ca} POST
 * /agent/v1/feed      hello line, then nothing  -> feed lines, as long as the session lives POST
 * /agent/v1/report    report lines              -> {revision}; an empty body is a heartbeat POST
 * /agent/v1/calls/ID  output of a reverse call  -> input of it (both streamed) GET
 * /agent/v1/objects/KEY                         -> one object of what the slice may name (a miss)
 *
 * hello: {"type":"hello","epoch":E,"version":V,"node":{Node
 * object},"held":[[key,uid,revision],...]} feed:
 * {"type":"session","epoch":E,"domain":D,"heartbeat_ms":N,"now_ms":N,"pod_cidr":C,...}
 *        {"type":"put","object":{...}}            {"type":"delete","key":K,"uid":U}
 *        {"type":"peers","peers":[[node,address,cidr],...]}
 *        {"type":"bookmark","revision":N}         after the difference, then about every 5 s when
 * idle
 *        {"type":"call","id":I,"verb":"logs|exec","pod":UID,"query":{...}}
 *        {"type":"cancel","id":I}
 *        {"type":"ping","id":N}                   answered by a report {"type":"pong","id":N}
 * within 500 ms report: {"type":"status","key":K,"uid":U,"status":{...}}
 * {"type":"gone","key":K,"uid":U}
 *         {"type":"node","status":{...}}   {"type":"event",...}   {"type":"pong","id":N}
 *         {"type":"progress","pod":UID,"image":R,"done":N,"total":N}
 * Unknown types and fields are ignored, so that versions one apart understand each other.
 */
#ifndef CONTINUO_WIRE_WIRE_H
#define CONTINUO_WIRE_WIRE_H

#include "codec/json.h"

#define WIRE_LINE_MAX ((size_t)3 << 20)

/* Puts a byte stream together into lines and decodes each. */
struct wire_reader {
	struct buf buffer;
};
typedef int wire_message_cb(void *arg, const char *type, json_t *message, struct err *e);
void wire_reader_done(struct wire_reader *r);
/* Calls cb for each whole line (message is borrowed). -ERR_DECODE, -ERR_TOO_LARGE, or cb's result.
 */
int wire_read(struct wire_reader *r, const void *data, size_t size, wire_message_cb *cb, void *arg,
        struct err *e) MUST_CHECK;

/* Appends a message and its newline. */
void wire_write(struct buf *b, const json_t *message);

#endif

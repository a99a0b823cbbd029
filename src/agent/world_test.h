/* A whole agent with the fake driver against a server of a few lines, over virtual time: what its
 * tests share. */
#ifndef CONTINUO_AGENT_WORLD_TEST_H
#define CONTINUO_AGENT_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/test_loop.h"
#include "pki/pki.h"
#include "wire/wire.h"

#define SERVER "10.0.0.1:6443"
#define LIMIT_MS 60000

struct world {
	struct loop *l;
	struct log log;
	char folder[64];
	/* the server */
	struct http_server *http;
	struct listener *listener;
	struct http_request *feed;
	struct http_request *call;
	struct buf reports, hello, call_frames, feed_script, said;
	int heartbeats, sessions, refuse_feed, refuse_reports, refuse_with; /* 0: 500 */
	bool deaf; /* reports get no answer */
	bool engine_away;
	struct http_request *unanswered[16];
	size_t unanswered_count;
	struct pki_pair ca;
	int joins, renewals;
	int64_t life_ms; /* of certificates; 0: as servers have it */
	/* the agent */
	struct agent *agent;
	bool proves_identity;
	const char *token, *node_name;
	struct err fatal;
	/* the fake network and images */
	int opens, peers, services, attached;
	bool port_taken;    /* the network does not open */
	const char *adopts; /* see agent_config */
	char ip[64];
};

void feed_line(struct world *w, const char *line);
void server_up(struct world *w);
void server_down(struct world *w);
int agent_try(struct world *w, struct err *e);
void agent_up(struct world *w);
void agent_down(struct world *w);
struct world *world_new(void);
void world_free(struct world *w);
bool is_connected(void *arg);
void await_report(struct world *w, const char *text);
void await_connection(struct world *w);
void expect_said(struct world *w, const char *words);
void reboot_on_an_island(struct world *w);

#define POD(name, extra, revision)                                                                 \
	"{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"      \
	"\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"uid-" name                      \
	"\",\"resourceVersion\":\"" revision                                                       \
	"\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"" extra                                  \
	"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"}]}}}"
/* Never restarted, with more of its container. */
#define POD_OF(name, uid, extra)                                                                   \
	"{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"      \
	"\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"" uid                           \
	"\",\"resourceVersion\":\"9\"},\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"Never\"," \
	"\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"" extra "}]}}}"
#define SCRIPT(text) ",\"command\":[\"sh\",\"-c\",\"" text "\"]"
#define SECRET                                                                                     \
	"{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{"   \
	"\"name\":\"s\",\"namespace\":\"default\",\"uid\":\"u\",\"resourceVersion\":\"3\"},"       \
	"\"data\":{\"k\":\"aHVzaGh1c2g=\"}}}"
#define NAMESPACE                                                                                  \
	"{\"type\":\"put\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":" \
	"{"                                                                                        \
	"\"name\":\"default\",\"uid\":\"n\",\"resourceVersion\":\"2\",\"annotations\":{"           \
	"\"continuo.dev/cache-secrets\":\"false\"}}}}"
#define DELETED ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":30"

#endif

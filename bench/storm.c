/*
 * A load generator: many nodes' sessions from one process, each with its certificate, its own TLS
 * connection, heartbeats and way back, by the agent's own code (agent/session.h). No pods run.
 *
 *     storm SERVER CA.CRT CA.KEY DOMAIN COUNT
 *
 * Prints "all MS" (wall-clock) when each session has had a bookmark, and again each time that this
 * is so after SIGUSR1. The keys are signed here, with the CA's key: this is a bench, not a way to
 * join.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/session.h"
#include "base/mem.h"
#include "base/str.h"
#include "pki/pki.h"
#include "sys/loop_uv.h"

struct storm;

struct member {
	struct storm *storm;
	struct agent_identity identity;
	struct agent_reports reports;
	struct agent_session *session;
	char name[32];
	bool bookmarked;
};

struct storm {
	struct loop *loop;
	struct log log;
	struct agent_transport transport;
	struct member *members;
	size_t count, bookmarked;
	const char *servers[2];
};

static int64_t wall_ms(void *context)
{
	struct timespec t;
	(void)context;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void write_line(void *context, const char *line)
{
	(void)context;
	fputs(line, stderr);
}

static void die(const struct err *e)
{
	fprintf(stderr, "storm: %s\n", e->text);
	exit(1);
}

static char *read_file(const char *path)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	char chunk[4096];
	size_t size;
	FILE *f = fopen(path, "re");
	if (!f) {
		perror(path);
		exit(1);
	}
	while ((size = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_append(&b, chunk, size);
	fclose(f);
	return mem_dup_string(buf_text(&b));
}

/* ---- one node ---- */

static void write_hello(void *arg, struct buf *b)
{
	const struct member *m = arg;
	buf_printf(b,
		"{\"type\":\"hello\",\"epoch\":\"\",\"version\":\"bench\",\"held\":[],\"node\":{"
		"\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
		"\"continuo.dev/tier\":\"edge\",\"kubernetes.io/hostname\":\"%s\"}},\"status\":{"
		"\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"192.0.2.1\"}],\"capacity\":{"
		"\"cpu\":\"4\",\"memory\":\"4Gi\",\"pods\":\"110\"},\"allocatable\":{\"cpu\":\"4\","
		"\"memory\":\"4Gi\",\"pods\":\"110\"}}}}\n",
		m->name, m->name);
}

static int on_message(void *arg, const char *type, json_t *message, struct err *e)
{
	struct member *m = arg;
	struct storm *s = m->storm;
	(void)message;
	(void)e;
	if (m->bookmarked || !str_equal(type, "bookmark"))
		return 0;
	m->bookmarked = true;
	if (++s->bookmarked == s->count) {
		printf("all %lld\n", (long long)wall_ms(NULL));
		fflush(stdout);
	}
	return 0;
}

static void on_lost(void *arg)
{
	(void)arg;
}

static void on_refused(void *arg, const struct err *e)
{
	(void)arg;
	die(e);
}

static void on_news(void *arg)
{
	(void)arg;
}

static void on_acked(void *arg)
{
	(void)arg;
}

static int64_t no_clock(void *arg)
{
	(void)arg;
	return 0;
}

static uint64_t no_id(void *arg)
{
	(void)arg;
	return 0;
}

static void make_identity(struct member *m, const struct pki_pair *ca, const char *domain)
{
	char common_name[64], spiffe[256];
	struct pki_pair pair;
	struct err e = ERR_INIT;
	pki_node_spiffe(domain, m->name, spiffe);
	snprintf(common_name, sizeof(common_name), "system:node:%s", m->name);
	struct pki_subject subject = {.use = PKI_NODE,
		.common_name = common_name,
		.organization = "system:nodes",
		.spiffe_id = spiffe,
		.life_ms = PKI_NODE_LIFE_MS};
	if (pki_issue(ca, &subject, wall_ms(NULL), &pair, &e) < 0)
		die(&e);
	m->identity = (struct agent_identity){.certificate_pem = pair.certificate_pem,
		.key_pem = pair.key_pem,
		.ca_pem = ca->certificate_pem,
		.domain = mem_dup_string(domain),
		.node = m->name};
}

static void begin(struct storm *s, struct member *m)
{
	struct agent_session_config config = {.loop = s->loop,
		.log = &s->log,
		.transport = &s->transport,
		.identity = &m->identity,
		.servers = s->servers,
		.reports = &m->reports,
		.write_hello = write_hello,
		.on_message = on_message,
		.on_lost = on_lost,
		.on_refused = on_refused,
		.arg = m};
	struct agent_reports_config reports = {.on_news = on_news,
		.on_acked = on_acked,
		.clock_ms = no_clock,
		.new_id = no_id,
		.arg = m};
	agent_reports_init(&m->reports, &reports);
	m->session = agent_session_new(&config);
}

/* From now on, bookmarks of new sessions count; who has none yet, counts with its first. */
static void on_mark(void *arg, int number)
{
	struct storm *s = arg;
	(void)number;
	s->bookmarked = 0;
	for (size_t i = 0; i < s->count; i++)
		s->members[i].bookmarked = false;
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: storm SERVER CA.CRT CA.KEY DOMAIN COUNT\n");
		return 2;
	}
	struct storm s = {.loop = loop_uv_new(2),
		.log = {.level = LOG_ERROR,
			.role = "storm",
			.wall_ms = wall_ms,
			.write = write_line},
		.servers = {argv[1], NULL}};
	struct pki_pair ca = {read_file(argv[2]), read_file(argv[3])};
	s.count = (size_t)strtoul(argv[5], NULL, 10);
	static struct agent_clock clock;
	agent_clock_init(&clock, s.loop);
	static struct agent_tls tls = {.clock = &clock};
	s.transport = agent_transport_tls(&tls);
	s.members = mem_alloc_array(s.count, sizeof(*s.members));
	for (size_t i = 0; i < s.count; i++) {
		struct member *m = &s.members[i];
		m->storm = &s;
		snprintf(m->name, sizeof(m->name), "storm-%zu", i);
		make_identity(m, &ca, argv[4]);
		begin(&s, m);
	}
	struct loop_signal *mark = loop_uv_signal(s.loop, SIGUSR1, on_mark, &s);
	loop_uv_run(s.loop); /* until it is killed */
	loop_signal_free(mark);
	return 0;
}

#include "server/metrics.h"

#include "server/feed.h"
#include "server/request.h"

static void metric(struct buf *b, const char *name, const char *type, const char *help,
	double value)
{
	buf_printf(b, "# HELP continuo_%s %s\n# TYPE continuo_%s %s\ncontinuo_%s %.17g\n", name,
		help, name, type, name, value);
}

static void write_store(const struct server *s, struct buf *b)
{
	struct store_stats stats;
	store_stats(s->store, &stats);
	metric(b, "store_objects", "gauge", "Objects in the store.", (double)stats.objects);
	metric(b, "store_object_bytes", "gauge", "Bytes of all objects.",
		(double)stats.object_bytes);
	metric(b, "store_disk_bytes", "gauge", "Bytes of the store on disk.",
		(double)stats.disk_bytes);
	metric(b, "store_commits_total", "counter", "Commits acknowledged.", (double)stats.commits);
	metric(b, "store_conflicts_total", "counter", "Commits whose comparison failed.",
		(double)stats.conflicts);
	metric(b, "store_batches_total", "counter", "Groups of commits written.",
		(double)stats.batches);
	metric(b, "store_commit_seconds_total", "counter",
		"Time from commit to acknowledgement, summed.",
		(double)stats.commit_us_total / 1e6);
	metric(b, "store_watches", "gauge", "Watches open.", stats.watches);
	metric(b, "store_revision", "gauge", "Revision of the store.",
		(double)store_revision(s->store));
}

static void write_server(const struct server *s, struct buf *b)
{
	const struct server_counters *c = &s->counters;
	metric(b, "requests_total", "counter", "Requests taken.", (double)c->requests);
	metric(b, "request_errors_total", "counter", "Requests answered with an error.",
		(double)c->errors);
	metric(b, "request_seconds_total", "counter", "Time of API requests, summed.",
		(double)c->request_us_total / 1e6);
	metric(b, "watch_requests_total", "counter", "Watches that clients began.",
		(double)c->watches);
	metric(b, "sessions", "gauge", "Agents connected.", (double)feed_count(s->feed));
	metric(b, "sessions_lost_total", "counter", "Sessions that ended.",
		(double)c->sessions_lost);
	metric(b, "joins_total", "counter", "Nodes that joined.", (double)c->joins);
	metric(b, "reports_total", "counter", "Reports taken from agents.", (double)c->reports);
	metric(b, "report_lines_refused_total", "counter",
		"Lines of reports that could not be taken.", (double)c->report_lines_refused);
	metric(b, "heartbeats_total", "counter", "Reports without content.", (double)c->heartbeats);
	metric(b, "reverse_calls_total", "counter", "Logs and exec calls begun.", (double)c->calls);
}

void metrics_serve(struct server *s, struct http_request *http, const struct user *u)
{
	struct err e = ERR_INIT;
	if (auth_require_admin(u, "read metrics", &e) < 0) {
		respond_err(s, http, &e);
		return;
	}
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	write_server(s, &b);
	write_store(s, &b);
	control_metrics(s->control, &b);
	http_respond(http, 200, NULL, 0, "text/plain; version=0.0.4", b.data, b.size);
	http_request_free(http);
}

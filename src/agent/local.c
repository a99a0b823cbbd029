#include "agent/local.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct agent_local {
	const struct agent *agent;
	struct http_server *http;
	struct listener *listener;
};

static void respond_text(struct http_request *r, int status, const char *type, const char *text)
{
	http_respond(r, status, NULL, 0, type, text, strlen(text));
}

static void serve(void *arg, struct http_request *r)
{
	struct agent_local *x = arg;
	const char *path = http_request_path(r), *method = http_request_method(r);
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (!str_equal(method, "GET") && !str_equal(method, "HEAD")) {
		respond_text(r, 405, "text/plain", "only GET is served here\n");
	} else if (str_equal(path, "/metrics")) {
		agent_metrics(x->agent, &b);
		respond_text(r, 200, "text/plain; version=0.0.4", buf_text(&b));
	} else if (str_equal(path, "/healthz")) {
		respond_text(r, 200, "text/plain", "ok\n");
	} else if (str_equal(path, "/readyz")) {
		bool ready = agent_ready(x->agent);
		respond_text(r, ready ? 200 : 503, "text/plain",
			ready ? "ok\n" : "the slice is not complete yet\n");
	} else {
		respond_text(r, 404, "text/plain", "there are /metrics, /healthz and /readyz\n");
	}
	http_request_free(r);
}

static void on_accept(void *arg, struct stream *s)
{
	struct agent_local *x = arg;
	struct http_peer peer = {.address = stream_peer(s),
		.common_name = "",
		.organization = "",
		.spiffe_id = "",
		.serial = ""};
	http_server_take(x->http, s, &peer, false);
}

int agent_local_new(struct loop *l, const struct agent *agent, const char *address,
	struct agent_local **ret_local, struct err *e)
{
	struct agent_local *x = mem_new(struct agent_local);
	x->agent = agent;
	x->http = http_server_new(l, serve, x);
	int r = loop_listen(l, address, on_accept, x, &x->listener, e);
	if (r < 0) {
		agent_local_free(x);
		return r;
	}
	*ret_local = x;
	return 0;
}

void agent_local_free(struct agent_local *x)
{
	if (!x)
		return;
	listener_free(x->listener);
	http_server_free(x->http);
	free(x);
}

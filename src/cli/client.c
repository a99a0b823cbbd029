#include "cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/kubeconfig.h"
#include "net/tls.h"
#include "sys/loop_uv.h"

struct client {
	struct kubeconfig config;
	struct kubeconfig_url url;
	char *namespace, *authorization;
	struct loop *loop;
	struct tls_context *tls;
	struct tls_connector *connector;
	struct http_client *http;
	struct kind_registry *kinds;
};

static struct stream *connect_plain(void *context)
{
	struct client *c = context;
	return loop_connect(c->loop, c->url.address);
}

static int set_up_tls(struct client *c, struct err *e)
{
	struct tls_config config = {.certificate_pem = c->config.certificate_pem,
		.key_pem = c->config.key_pem,
		.ca_pem = c->config.ca_pem,
		.server_name = c->config.server_name ? c->config.server_name : c->url.host,
		.alpn = "h2,http/1.1"};
	if (!config.ca_pem)
		return err_set(e, ERR_NOT_FOUND,
			"kubeconfig: the cluster of context \"%s\" has no certificate-authority",
			c->config.context);
	int r = tls_context_new(&config, &c->tls, e);
	return r < 0 ? err_prefix(e, "kubeconfig, context \"%.80s\"", c->config.context) : 0;
}

static int set_up(struct client *c, const struct cli_common *common, struct err *e)
{
	int r = kubeconfig_load(common, &c->config, e);
	if (r == 0)
		r = kubeconfig_parse_url(c->config.server, &c->url, e);
	if (r == 0 && c->url.tls)
		r = set_up_tls(c, e);
	if (r < 0)
		return r;
	const char *chosen = common->namespace ? common->namespace : c->config.namespace;
	c->namespace = mem_dup_string(str_empty(chosen) ? "default" : chosen);
	if (c->config.token)
		c->authorization = mem_format("Bearer %s", c->config.token);
	c->loop = loop_uv_new(2);
	struct http_connector connector = {
		.connect = connect_plain, .context = c, .authority = c->url.address};
	if (c->tls) {
		c->connector = tls_connector_new(c->loop, c->tls, c->url.address);
		connector = tls_connector_http(c->connector);
	}
	c->http = http_client_new(c->loop, &connector, 0);
	c->kinds = kind_registry_new();
	return 0;
}

int client_new(const struct cli_common *common, struct client **ret_client, struct err *e)
{
	struct client *c = mem_new(struct client);
	int r = set_up(c, common, e);
	if (r < 0) {
		client_free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	http_client_free(c->http);
	tls_connector_free(c->connector);
	tls_context_free(c->tls);
	if (c->loop)
		loop_uv_free(c->loop);
	if (c->kinds)
		kind_registry_free(c->kinds);
	kubeconfig_done(&c->config);
	kubeconfig_url_done(&c->url);
	free(c->namespace);
	free(c->authorization);
	free(c);
}

void client_done(struct client **c)
{
	client_free(*c);
}

struct loop *client_loop(struct client *c)
{
	return c->loop;
}

struct http_client *client_http(struct client *c)
{
	return c->http;
}

const char *client_namespace(const struct client *c)
{
	return c->namespace;
}

const char *client_server(const struct client *c)
{
	return c->config.server;
}

const struct kind_registry *client_kinds(const struct client *c)
{
	return c->kinds;
}

/* ---- answers ---- */

int client_explain(const struct client *c, struct err *e)
{
	if (e->code == ERR_UNAUTHORIZED || e->code == ERR_PROTOCOL)
		return err_prefix(e, "%.120s (context \"%.60s\")", c->config.server,
			c->config.context);
	char text[sizeof(e->text)];
	str_copy(text, sizeof(text), e->text);
	return err_set(e, e->code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE,
		"cannot reach the server %.120s (context \"%.60s\"): %.180s", c->config.server,
		c->config.context, text);
}

int client_status_error(int status, const char *body, size_t size, struct err *e)
{
	CLEANUP(json_done) json_t *json = NULL;
	enum err_code code = err_from_http(status);
	if (size && json_decode(body, size, &json, NULL) == 0 &&
		str_equal(json_text(json, "", "kind"), "Status")) {
		const char *reason = json_text(json, "", "reason");
		if (*reason && err_from_name(reason) != ERR_INTERNAL)
			code = err_from_name(reason);
		return err_set(e, code, "%.390s", json_text(json, err_text(code), "message"));
	}
	return err_set(e, code, "the server answered %d: %.200s", status, size ? body : "");
}

/* RFC 9111 section 5.5: code, agent, quoted text. */
static void print_warning(const char *value)
{
	const char *text = strchr(value, '"');
	fputs("Warning: ", stderr);
	if (!text) {
		fprintf(stderr, "%s\n", value);
		return;
	}
	for (text++; *text && *text != '"'; text++) {
		if (*text == '\\' && text[1])
			text++;
		fputc(*text, stderr);
	}
	fputc('\n', stderr);
}

void client_print_warnings(const struct http_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(headers[i].name, "warning") == 0)
			print_warning(headers[i].value);
}

/* ---- requests ---- */

struct exchange {
	struct client *client;
	struct http_call *call;
	int status;
	struct buf body;
	client_data_cb *on_data; /* null: collect */
	void *arg;
	int result;
	struct err e;
	bool done;
};

static void finish(struct exchange *x)
{
	x->done = true;
	loop_uv_stop(x->client->loop);
}

static void on_response(void *arg, int status, const struct http_header *headers,
	size_t header_count)
{
	struct exchange *x = arg;
	x->status = status;
	client_print_warnings(headers, header_count);
}

static void on_body(void *arg, const uint8_t *data, size_t size)
{
	struct exchange *x = arg;
	if (x->done)
		return;
	if (!x->on_data || x->status >= 400) {
		buf_append(&x->body, data, size);
		return;
	}
	x->result = x->on_data(x->arg, (const char *)data, size, &x->e);
	if (x->result < 0)
		finish(x);
}

static void on_done(void *arg, const struct err *e)
{
	struct exchange *x = arg;
	if (x->done)
		return;
	if (e) {
		x->e = *e;
		x->result = client_explain(x->client, &x->e);
	}
	finish(x);
}

static const struct http_call_events events = {
	.on_response = on_response, .on_body = on_body, .on_done = on_done};

/* Runs the loop until the call is over. */
static int run(struct client *c, struct exchange *x, const struct http_call_spec *spec,
	struct err *e)
{
	x->client = c;
	x->call = http_call_start(c->http, spec, &events, x);
	while (!x->done)
		loop_uv_run(c->loop);
	http_call_free(x->call);
	if (x->result < 0) {
		if (e)
			*e = x->e;
		return x->result;
	}
	int r = buf_check(&x->body, "the server's answer", e);
	if (r == 0 && x->status >= 400)
		r = client_status_error(x->status, buf_text(&x->body), x->body.size, e);
	return r;
}

size_t client_headers(const struct client *c, const char *accept,
	struct http_header ret_headers[static CLIENT_HEADERS])
{
	size_t count = 0;
	ret_headers[count++] = (struct http_header){"accept", accept ? accept : "application/json"};
	ret_headers[count++] = (struct http_header){"user-agent", "continuo/" CONTINUO_VERSION};
	if (c->authorization)
		ret_headers[count++] = (struct http_header){"authorization", c->authorization};
	return count;
}

static int request(struct client *c, const char *method, const char *path, const char *accept,
	const char *content_type, const char *body, json_t **ret_json, struct err *e)
{
	struct http_header headers[CLIENT_HEADERS];
	struct http_call_spec spec = {.method = method,
		.path = path,
		.headers = headers,
		.header_count = client_headers(c, accept, headers),
		.content_type = content_type,
		.body = body,
		.body_size = body ? strlen(body) : 0};
	struct exchange x = {0};
	int r = run(c, &x, &spec, e);
	if (r == 0 && ret_json) {
		*ret_json = NULL;
		/* Larger than one document from outside may be: lists. */
		json_error_t why;
		*ret_json = json_loadb(buf_text(&x.body), x.body.size, JSON_DECODE_ANY, &why);
		if (!*ret_json && x.body.size)
			r = err_set(e, ERR_PROTOCOL,
				"%.100s answered with something that is not JSON",
				c->config.server);
	}
	buf_done(&x.body);
	return r;
}

int client_request(struct client *c, const char *method, const char *path, const char *content_type,
	const char *body, json_t **ret_json, struct err *e)
{
	return request(c, method, path, NULL, content_type, body, ret_json, e);
}

int client_get(struct client *c, const char *path, const char *accept, json_t **ret_json,
	struct err *e)
{
	return request(c, "GET", path, accept, NULL, NULL, ret_json, e);
}

int client_stream(struct client *c, const char *path, const char *accept, client_data_cb *on_data,
	void *arg, struct err *e)
{
	struct http_header headers[CLIENT_HEADERS];
	struct http_call_spec spec = {.method = "GET",
		.path = path,
		.headers = headers,
		.header_count = client_headers(c, accept, headers)};
	struct exchange x = {.on_data = on_data, .arg = arg};
	int r = run(c, &x, &spec, e);
	buf_done(&x.body);
	return r == -ERR_CANCELLED ? 0 : r;
}

/* ---- resources ---- */

int client_kind(struct client *c, const char *word, const struct kind **ret_kind, struct err *e)
{
	*ret_kind = kind_by_word(c->kinds, word);
	if (*ret_kind)
		return 0;
	return err_set(e, ERR_USAGE,
		"there is no kind \"%.60s\" (pods, deployments, services, nodes, ...)", word);
}

void client_escape(struct buf *b, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	for (; *text; text++) {
		if (strchr(plain, *text))
			buf_append_char(b, *text);
		else
			buf_printf(b, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

void client_path(const struct kind *k, const char *namespace, const char *name, struct buf *b)
{
	if (*k->group)
		buf_printf(b, "/apis/%s/%s", k->group, k->version);
	else
		buf_printf(b, "/api/%s", k->version);
	if (k->namespaced && !str_empty(namespace)) {
		buf_append_string(b, "/namespaces/");
		client_escape(b, namespace);
	}
	buf_printf(b, "/%s", k->plural);
	/* Without a name behind it the path would be that of all objects. */
	if (name && !*name)
		abort();
	if (name) {
		buf_append_char(b, '/');
		client_escape(b, name);
	}
}

int client_check_name(const char *name, const char *what, struct err *e)
{
	if (str_empty(name))
		return err_set(e, ERR_USAGE, "the name of the %s is empty", what);
	if (strchr(name, '/'))
		return err_set(e, ERR_USAGE, "\"%.80s\" is no name of a %s: it has a /", name,
			what);
	return 0;
}

const char *client_kind_text(const struct kind *k, char ret_text[static 128])
{
	snprintf(ret_text, 128, "%s%s%s", k->singular, *k->group ? "." : "", k->group);
	return ret_text;
}

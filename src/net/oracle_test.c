/* Our server over real sockets and threads, with curl(1) and openssl(1) as independent clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/tls.h"
#include "pki/pki.h"
#include "sys/loop_uv.h"

struct world {
	struct loop *l;
	struct http_server *server;
	struct tls_acceptor *acceptor;
	struct tls_context *context;
	char folder[64], address[64];
	bool done;
	int status;
	struct buf body;
	enum err_code code;
};

static void echo(void *arg, struct http_request *r, const char *data, size_t size,
	const struct err *e)
{
	(void)arg;
	http_respond(r, e ? 400 : 200, NULL, 0, "text/plain", data, size);
	http_request_free(r);
}

static void handle(void *arg, struct http_request *r)
{
	if (str_equal(http_request_method(r), "POST")) {
		http_request_collect(r, 64 << 20, echo, arg);
		return;
	}
	char text[400];
	int size = snprintf(text, sizeof(text), "%s %s\n", http_request_path(r),
		http_request_peer(r)->common_name);
	http_respond(r, 200, NULL, 0, "text/plain", text, (size_t)size);
	http_request_free(r);
}

static void write_file(const struct world *w, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", w->folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	struct world *w = mem_new(struct world);
	struct pki_pair ca CLEANUP(pki_pair_done) = {0}, pair CLEANUP(pki_pair_done) = {0},
			   user CLEANUP(pki_pair_done) = {0};
	static const char *const names[] = {"127.0.0.1", NULL};
	struct pki_subject server = {.use = PKI_SERVER,
		.common_name = "continuo",
		.dns_or_ips = names,
		.life_ms = PKI_ADMIN_LIFE_MS};
	struct pki_subject admin = {.use = PKI_USER,
		.common_name = "admin",
		.organization = "system:masters",
		.life_ms = PKI_ADMIN_LIFE_MS};
	int64_t wall_ms = (int64_t)time(NULL) * 1000; /* the clients judge by the real time */
	assert_int_equal(pki_ca_new("example", wall_ms, &ca, NULL), 0);
	assert_int_equal(pki_issue(&ca, &server, wall_ms, &pair, NULL), 0);
	assert_int_equal(pki_issue(&ca, &admin, wall_ms, &user, NULL), 0);
	struct tls_config config = {.certificate_pem = pair.certificate_pem,
		.key_pem = pair.key_pem,
		.ca_pem = ca.certificate_pem,
		.server = true,
		.request_client_certificate = true,
		.alpn = "h2,http/1.1"};
	assert_int_equal(tls_context_new(&config, &w->context, NULL), 0);
	w->l = loop_uv_new(2);
	w->server = http_server_new(w->l, handle, w);
	assert_int_equal(tls_acceptor_new(w->l, w->context, "127.0.0.1:0", w->server, &w->acceptor,
				 NULL),
		0);
	str_copy(w->address, sizeof(w->address), tls_acceptor_address(w->acceptor));
	str_copy(w->folder, sizeof(w->folder), "/tmp/net-oracle.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	write_file(w, "ca.pem", ca.certificate_pem);
	write_file(w, "user.pem", user.certificate_pem);
	write_file(w, "user.key", user.key_pem);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	tls_acceptor_free(w->acceptor);
	http_server_free(w->server);
	tls_context_free(w->context);
	loop_uv_free(w->l);
	snprintf(command, sizeof(command), "rm -r %s", w->folder);
	assert_int_equal(system(command), 0);
	buf_done(&w->body);
	free(w);
	return 0;
}

/* ---- a command beside the loop ---- */

struct command {
	const char *text;
	int status;
	bool done;
};

static void command_work(void *arg)
{
	struct command *command = arg;
	command->status = system(command->text);
}

static void command_done(void *arg)
{
	((struct command *)arg)->done = true;
}

static bool command_is_done(void *arg)
{
	return ((struct command *)arg)->done;
}

static void shell(struct world *w, const char *text)
{
	char line[1024];
	snprintf(line, sizeof(line), "cd %s && A=%s && %s", w->folder, w->address, text);
	struct command command = {.text = line};
	loop_job(w->l, command_work, command_done, &command);
	assert_true(loop_uv_run_until(w->l, command_is_done, &command, 60000));
	if (command.status != 0)
		fail_msg("failed: %s", text);
}

static void curl_agrees(void **state)
{
	struct world *w = *state;
	if (system("command -v curl >/dev/null 2>&1") != 0)
		skip(); /* curl(1) is not installed */
	shell(w, "curl -sS --http1.1 --cacert ca.pem https://$A/x >out && grep -qx '/x ' out");
	shell(w,
		"curl -sS --http2 --cacert ca.pem --cert user.pem --key user.key https://$A/x >out "
		"&& grep -qx '/x admin' out");
	shell(w, "head -c 20000000 /dev/urandom >big");
	shell(w, "curl -sS --http1.1 --cacert ca.pem --data-binary @big https://$A/x >out && cmp "
		 "big out");
	shell(w, "curl -sS --http2 --cacert ca.pem --data-binary @big https://$A/x >out && cmp big "
		 "out");
	shell(w, "curl -sS --http1.1 -H 'Transfer-Encoding: chunked' --cacert ca.pem --data-binary "
		 "@big "
		 "https://$A/x >out && cmp big out");
	shell(w, "curl -sS --parallel --http2 --cacert ca.pem \"https://$A/[1-100]\" >out "
		 "2>/dev/null && "
		 "test $(wc -l <out) = 100");
	shell(w, "! curl -sS --tls-max 1.2 --cacert ca.pem https://$A/x 2>/dev/null");
	shell(w, "! curl -sS --cert user.pem --key user.key https://$A/x 2>/dev/null");
}

static void openssl_agrees(void **state)
{
	struct world *w = *state;
	if (system("command -v openssl >/dev/null 2>&1") != 0)
		skip(); /* openssl(1) is not installed */
	shell(w, "printf 'GET /y HTTP/1.1\\r\\nhost: h\\r\\nconnection: close\\r\\n\\r\\n' | "
		 "openssl s_client -quiet -verify_quiet -verify_return_error -CAfile ca.pem "
		 "-connect $A "
		 ">out 2>/dev/null; grep -q '^/y' out");
	/* a session is resumed */
	shell(w, "printf 'GET /y HTTP/1.1\\r\\nhost: h\\r\\nconnection: close\\r\\n\\r\\n' | "
		 "openssl "
		 "s_client -ign_eof -sess_out session -CAfile ca.pem -cert user.pem -key user.key "
		 "-connect $A >out 2>&1; grep -q '^/y admin' out && "
		 "printf 'GET /z HTTP/1.1\\r\\nhost: h\\r\\nconnection: close\\r\\n\\r\\n' | "
		 "openssl "
		 "s_client -ign_eof -sess_in session -CAfile ca.pem -connect $A >out 2>&1; "
		 "grep -q '^Reused, TLSv1.3' out && grep -q '^/z admin' out");
}

/* ---- our client over real sockets ---- */

static void fetched(void *arg, int status, const char *body, size_t size, const struct err *e)
{
	struct world *w = arg;
	w->done = true;
	w->status = status;
	w->code = e ? e->code : ERR_OK;
	buf_clear(&w->body);
	buf_append(&w->body, body, size);
}

static bool fetch_done(void *arg)
{
	return ((struct world *)arg)->done;
}

static void our_client_works_over_sockets(void **state)
{
	struct world *w = *state;
	char ca[8192] = "", path[128];
	snprintf(path, sizeof(path), "%s/ca.pem", w->folder);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(ca, 1, sizeof(ca) - 1, file) > 0);
	fclose(file);
	static const char *const alpns[] = {"h2", "http/1.1"};
	for (size_t i = 0; i < ARRAY_SIZE(alpns); i++) {
		struct tls_config config = {
			.ca_pem = ca, .server_name = "127.0.0.1", .alpn = alpns[i]};
		struct tls_context *context = NULL;
		assert_int_equal(tls_context_new(&config, &context, NULL), 0);
		struct tls_connector *t = tls_connector_new(w->l, context, w->address);
		struct http_connector connector = tls_connector_http(t);
		struct http_client *client = http_client_new(w->l, &connector, 0);
		char *data = mem_alloc(3000000);
		struct http_call_spec spec = {.method = "POST",
			.path = "/x",
			.body = data,
			.body_size = 3000000,
			.content_type = "text/plain"};
		for (int round = 0; round < 3; round++) {
			w->done = false;
			http_fetch(client, &spec, fetched, w);
			assert_true(loop_uv_run_until(w->l, fetch_done, w, 20000));
			assert_int_equal(w->code, ERR_OK);
			assert_int_equal(w->status, 200);
			assert_int_equal(w->body.size, 3000000);
		}
		http_client_free(client);
		tls_connector_free(t);
		/* and an address where nobody listens */
		t = tls_connector_new(w->l, context, "127.0.0.1:1");
		connector = tls_connector_http(t);
		client = http_client_new(w->l, &connector, 0);
		w->done = false;
		http_fetch(client, &spec, fetched, w);
		assert_true(loop_uv_run_until(w->l, fetch_done, w, 20000));
		assert_int_not_equal(w->code, ERR_OK);
		http_client_free(client);
		tls_connector_free(t);
		tls_context_free(context);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_client_works_over_sockets),
		cmocka_unit_test(curl_agrees),
		cmocka_unit_test(openssl_agrees),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}

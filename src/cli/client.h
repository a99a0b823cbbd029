/* Talking to a server, in calls that block until there is an answer. One thread. */
#ifndef CONTINUO_CLI_CLIENT_H
#define CONTINUO_CLI_CLIENT_H

#include "cli/cli.h"
#include "codec/json.h"
#include "model/schema.h"
#include "net/http.h"

struct client;

/* Reads the kubeconfig; connects at the first request. */
int client_new(const struct cli_common *common, struct client **ret_client,
	struct err *e) MUST_CHECK;
void client_free(struct client *c); /* null is fine; for CLEANUP: client_done */
void client_done(struct client **c);

struct loop *client_loop(struct client *c);
struct http_client *client_http(struct client *c);
const char *client_namespace(const struct client *c); /* -n, the context's, or "default" */
const char *client_server(const struct client *c);    /* its URL */

/* One request. body and content_type may be null. ret_json (may be null): the decoded answer, new
 * reference, null when it is not JSON. The server's refusals come as errors with its own words and
 * code; its warnings are printed. */
int client_request(struct client *c, const char *method, const char *path, const char *content_type,
	const char *body, json_t **ret_json, struct err *e) MUST_CHECK;
/* GET with a choice of representation (accept; null: JSON). */
int client_get(struct client *c, const char *path, const char *accept, json_t **ret_json,
	struct err *e) MUST_CHECK;

/* A response that goes on: on_data gets it as it comes and may end it by a negative code, which is
 * then returned (-ERR_CANCELLED gives 0). */
typedef int client_data_cb(void *arg, const char *data, size_t size, struct err *e);
int client_stream(struct client *c, const char *path, const char *accept, client_data_cb *on_data,
	void *arg, struct err *e) MUST_CHECK;

/* The headers of every request (accept null: JSON), for verbs that make their own calls. Returns
 * how many there are; they point into c. */
#define CLIENT_HEADERS 3
size_t client_headers(const struct client *c, const char *accept,
	struct http_header ret_headers[static CLIENT_HEADERS]);

/* An error of a response that was refused (status >= 400), from its Status object. */
int client_status_error(int status, const char *body, size_t size, struct err *e);
/* Says with whom the connection failed and what to look at; returns e's code. */
int client_explain(const struct client *c, struct err *e);
/* Prints the server's Warning headers. */
void client_print_warnings(const struct http_header *headers, size_t count);

/* ---- resources ---- */

/* The kind for what a person types: "po", "deployments", "Deployment.apps". -ERR_USAGE. */
int client_kind(struct client *c, const char *word, const struct kind **ret_kind,
	struct err *e) MUST_CHECK;
const struct kind_registry *client_kinds(const struct client *c);
/* "/api/v1/namespaces/NS/pods/NAME": namespace null or "" for all, name null for the collection,
 * never "".
 * Appends to b, escaped. */
void client_path(const struct kind *k, const char *namespace, const char *name, struct buf *b);
/* Names come from scripts with variables that may be unset. -ERR_USAGE names what; what: "pod". */
int client_check_name(const char *name, const char *what, struct err *e) MUST_CHECK;
/* Appends text percent-encoded for a path or a query. */
void client_escape(struct buf *b, const char *text);
/* "deployment.apps", "pod": how objects are named in output. */
const char *client_kind_text(const struct kind *k, char ret_text[static 128]);

#endif

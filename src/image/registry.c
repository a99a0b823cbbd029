#include "image/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "image/auth.h"
#include "image/digest.h"

#define SMALL_LIMIT_S 60L   /* for a manifest, a config, a token */
#define FLOOR_BYTES_S 1024L /* of a layer, on average over FLOOR_OVER_S */
#define FLOOR_OVER_S 120L
#define TOKEN_MAX ((size_t)64 << 10)
#define SOURCES_MAX (REGISTRY_MIRRORS_MAX + 1)
#define PROBLEM_MAX ((size_t)16 << 10) /* bytes read of an error's body */

/* Where the repository can be had: the host itself, or a mirror of it. */
struct source {
	char host[256];
	char *ca_file; /* null: the system's */
	bool insecure;
	bool has_credentials;
	struct auth_credentials credentials;
	/* Under the lock: the header that worked last, and how often it changed. */
	char *authorization;
	unsigned generation;
	bool bad; /* a mirror that gave something wrong */
};

struct registry {
	struct image_reference reference;
	struct source sources[SOURCES_MAX];
	size_t source_count;
	size_t current; /* set by the manifest, before the threads start */
	pthread_mutex_t lock;
};

static int source_init(struct source *s, const char *host, const json_t *registries,
	const json_t *docker_config, const char *repository, struct err *e)
{
	const json_t *entry = registries ? json_object_get(registries, host) : NULL;
	if (!str_copy(s->host, sizeof(s->host), host))
		return err_set(e, ERR_INVALID, "registries file: the name of a host is too long");
	s->insecure = json_bool(entry, false, "insecure");
	const char *ca = json_text(entry, "", "ca");
	s->ca_file = ca[0] ? mem_dup_string(ca) : NULL;
	s->has_credentials =
		docker_config && auth_find(docker_config, host, repository, &s->credentials);
	return 0;
}

/* "mirror": "host", or a list of them. */
static int add_mirrors(struct registry *r, const json_t *registries, const json_t *docker_config,
	struct err *e)
{
	const char *host = r->reference.host;
	const json_t *mirrors =
		json_at(registries ? json_object_get(registries, host) : NULL, "mirror");
	size_t count = json_is_array(mirrors) ? json_array_size(mirrors) : mirrors != NULL;
	if (count > REGISTRY_MIRRORS_MAX)
		return err_set(e, ERR_INVALID, "registries file: %s has more than %d mirrors", host,
			REGISTRY_MIRRORS_MAX);
	for (size_t i = 0; i < count; i++) {
		const json_t *one = json_is_array(mirrors) ? json_array_get(mirrors, i) : mirrors;
		const char *mirror = json_text_or(one, NULL);
		if (!mirror || (!mirror[0] && json_is_array(mirrors)))
			return err_set(e, ERR_INVALID,
				"registries file: mirror of %s must be \"HOST:PORT\" or a list of "
				"such texts",
				host);
		int rc = mirror[0] ? source_init(&r->sources[r->source_count++], mirror, registries,
					     docker_config, r->reference.repository, e)
				   : 0;
		if (rc != 0)
			return rc;
	}
	return 0;
}

int registry_open(const struct image_reference *reference, const json_t *registries,
	const json_t *docker_config, struct registry **ret_registry, struct err *e)
{
	struct registry *r = mem_new(struct registry);
	r->reference = *reference;
	pthread_mutex_init(&r->lock, NULL);
	int rc = add_mirrors(r, registries, docker_config, e);
	if (rc == 0)
		rc = source_init(&r->sources[r->source_count++], reference->host, registries,
			docker_config, reference->repository, e);
	if (rc != 0) {
		registry_free(r);
		return rc;
	}
	*ret_registry = r;
	return 0;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->source_count; i++) {
		free(r->sources[i].ca_file);
		free(r->sources[i].authorization);
		explicit_bzero(&r->sources[i].credentials, sizeof(r->sources[i].credentials));
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- mirrors that give wrong things ---- */

static bool is_bad(struct registry *r, size_t i)
{
	pthread_mutex_lock(&r->lock);
	bool bad = r->sources[i].bad;
	pthread_mutex_unlock(&r->lock);
	return bad;
}

bool registry_distrust(struct registry *r, unsigned from)
{
	bool some = false;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i + 1 < r->source_count; i++) {
		if (from & 1U << i)
			some = r->sources[i].bad = true;
	}
	pthread_mutex_unlock(&r->lock);
	return some;
}

unsigned registry_manifest_from(const struct registry *r)
{
	return 1U << r->current;
}

/* ---- errors ---- */

/* The first sentence of the registry's own explanation ({"errors": [{"message": ...}]}), made
 * printable; "" when it gave none. */
static void read_problem(struct transfer *t, char *ret_text, size_t size)
{
	ret_text[0] = '\0';
	CLEANUP(buf_done)
	struct buf body = BUF_INIT_LIMIT(PROBLEM_MAX);
	CLEANUP(json_done)
	json_t *json = NULL;
	if (transfer_read_all(t, &body, NULL) != 0 ||
		json_decode(buf_text(&body), body.size, &json, NULL) != 0)
		return;
	const json_t *first = json_array_get(json_at(json, "errors"), 0);
	const char *message = json_text(first, json_text(first, "", "code"), "message");
	snprintf(ret_text, size, ": %.*s", (int)str_cut(message, 120), message);
	for (char *c = ret_text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	if (message[0] == '\0')
		ret_text[0] = '\0';
}

static int status_error(const struct source *s, struct transfer *t, bool tried, struct err *e)
{
	const struct transfer_answer *a = transfer_answer(t);
	char problem[140];
	read_problem(t, problem, sizeof(problem));
	if (a->status == 401 || a->status == 403)
		return err_set(e, ERR_UNAUTHORIZED, "registry %s answers %d%s; %s", s->host,
			a->status, problem,
			tried && s->has_credentials ? "the credentials that it was given do not do"
						    : "no credentials for it were given");
	if (a->status == 404)
		return err_set(e, ERR_NOT_FOUND, "registry %s has no such image (404%s)", s->host,
			problem);
	if (a->status == 429)
		return err_set(e, ERR_BUSY, "registry %s gets too many requests (429%s%s%s)",
			s->host, a->retry_after[0] ? ", try again after " : "", a->retry_after,
			problem);
	if (a->status == 407)
		return err_set(e, ERR_UNAVAILABLE,
			"the proxy on the way to registry %s wants other credentials (407): give "
			"them in its URL, http://USER:PASSWORD@HOST:PORT",
			s->host);
	if (a->status >= 500)
		return err_set(e, ERR_UNAVAILABLE, "registry %s answers %d%s", s->host, a->status,
			problem);
	return err_set(e, ERR_PROTOCOL, "registry %s answers %d%s", s->host, a->status, problem);
}

/* ---- tokens ---- */

static void append_escaped(struct buf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			strchr("-._~:/,", c))
			buf_append_char(b, *text);
		else
			buf_printf(b, "%%%02X", c);
	}
}

static void token_url(const struct registry *r, const struct auth_challenge *c, struct buf *ret_url)
{
	buf_append_string(ret_url, c->realm);
	buf_append_char(ret_url, strchr(c->realm, '?') ? '&' : '?');
	buf_append_string(ret_url, "scope=");
	if (c->scope[0])
		append_escaped(ret_url, c->scope);
	else
		buf_printf(ret_url, "repository:%s:pull", r->reference.repository);
	if (c->service[0]) {
		buf_append_string(ret_url, "&service=");
		append_escaped(ret_url, c->service);
	}
}

static int read_token(struct transfer *t, const struct source *s, struct buf *ret_header,
	struct err *e)
{
	if (transfer_answer(t)->status != 200) {
		int rc = status_error(s, t, true, e);
		err_prefix(e, "the token server");
		return rc;
	}
	CLEANUP(buf_done)
	struct buf body = BUF_INIT_LIMIT(TOKEN_MAX);
	CLEANUP(json_done)
	json_t *json = NULL;
	int rc = transfer_read_all(t, &body, e);
	if (rc != 0)
		return rc;
	rc = json_decode(buf_text(&body), body.size, &json, NULL);
	const char *token = json_text(json, json_text(json, "", "access_token"), "token");
	if (rc != 0 || token[0] == '\0' || strpbrk(token, "\r\n"))
		return err_set(e, ERR_PROTOCOL, "the token server of %s gave no token", s->host);
	buf_printf(ret_header, "Bearer %s", token);
	return 0;
}

static int fetch_token(struct registry *r, const struct source *s, struct transfer_client *client,
	const struct auth_challenge *c, struct buf *ret_header, struct err *e)
{
	if (!s->insecure && !str_starts(c->realm, "https://"))
		return err_set(e, ERR_PROTOCOL,
			"registry %s sends us to %.100s for a token; only https is trusted",
			s->host, c->realm);
	CLEANUP(buf_done)
	struct buf url = BUF_INIT;
	CLEANUP(buf_done)
	struct buf basic = BUF_INIT;
	token_url(r, c, &url);
	if (s->has_credentials)
		auth_basic(&s->credentials, &basic);
	struct transfer_request request = {
		.url = buf_text(&url),
		.authorization = s->has_credentials ? buf_text(&basic) : NULL,
		.ca_file = s->ca_file,
		.limit_s = SMALL_LIMIT_S,
		.allow_http = s->insecure,
	};
	struct transfer *t;
	int rc = transfer_open(client, &request, &t, e);
	if (rc != 0) {
		err_prefix(e, "the token server of %s", s->host);
		return rc;
	}
	rc = read_token(t, s, ret_header, e);
	transfer_close(t);
	return rc;
}

/* Answers a 401. seen: the generation that was refused; when another thread has renewed it
 * meanwhile, that is used. */
static int authorize(struct registry *r, struct source *s, struct transfer_client *client,
	const char *header, unsigned seen, struct err *e)
{
	struct auth_challenge challenge;
	int rc = auth_parse_challenge(header, &challenge, e);
	if (rc != 0) {
		err_prefix(e, "registry %s", s->host);
		return rc;
	}
	pthread_mutex_lock(&r->lock);
	CLEANUP(buf_done)
	struct buf value = BUF_INIT;
	if (s->generation == seen) {
		if (challenge.bearer)
			rc = fetch_token(r, s, client, &challenge, &value, e);
		else
			auth_basic(&s->credentials, &value);
		if (rc == 0) {
			free(s->authorization);
			s->authorization = buf_take(&value, NULL);
			s->generation++;
		}
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- requests ---- */

static char *copy_authorization(struct registry *r, const struct source *s,
	unsigned *ret_generation)
{
	pthread_mutex_lock(&r->lock);
	char *copy = mem_dup_string(s->authorization);
	*ret_generation = s->generation;
	pthread_mutex_unlock(&r->lock);
	return copy;
}

static int request_once(struct registry *r, struct source *s, struct transfer_client *client,
	const char *url, const char *accept, bool small, int64_t offset, unsigned *ret_generation,
	struct transfer **ret_transfer, struct err *e)
{
	CLEANUP(mem_free_ptr)
	char *authorization = copy_authorization(r, s, ret_generation);
	struct transfer_request request = {
		.url = url,
		.accept = accept,
		.offset = offset,
		.limit_s = small ? SMALL_LIMIT_S : 0,
		.floor_bytes_s = small ? 0 : FLOOR_BYTES_S,
		.floor_over_s = FLOOR_OVER_S,
		.authorization = authorization,
		.ca_file = s->ca_file,
		.allow_http = s->insecure,
	};
	int rc = transfer_open(client, &request, ret_transfer, e);
	if (rc != 0)
		err_prefix(e, "registry %s", s->host);
	return rc;
}

/* Whether a 401 can be answered: with a token from somewhere, or with credentials that we have. */
static bool can_authorize(const struct source *s, const struct transfer_answer *a)
{
	if (a->status != 401 || a->challenge[0] == '\0')
		return false;
	return s->has_credentials || strncasecmp(a->challenge, "bearer", 6) == 0;
}

/* GET of path below /v2/REPOSITORY/, from offset on; a 401 is answered once. *ret_transfer has
 * status 200, or 206 where a part was asked for. */
static int get(struct registry *r, struct source *s, struct transfer_client *client,
	const char *path, const char *accept, bool small, int64_t offset,
	struct transfer **ret_transfer, struct err *e)
{
	const char *host = strcmp(s->host, "docker.io") == 0 ? "registry-1.docker.io" : s->host;
	CLEANUP(mem_free_ptr)
	char *url = mem_format("%s://%s/v2/%s/%s", s->insecure ? "http" : "https", host,
		r->reference.repository, path);
	for (bool tried = false;; tried = true) {
		struct transfer *t;
		unsigned generation;
		int rc = request_once(r, s, client, url, accept, small, offset, &generation, &t, e);
		if (rc != 0)
			return rc;
		const struct transfer_answer *a = transfer_answer(t);
		if (a->status == 200 || (a->status == 206 && offset > 0)) {
			*ret_transfer = t;
			return 0;
		}
		if (tried || !can_authorize(s, a)) {
			rc = status_error(s, t, tried, e);
			transfer_close(t);
			return rc;
		}
		char challenge[sizeof(a->challenge)];
		memcpy(challenge, a->challenge, sizeof(challenge));
		transfer_close(t);
		rc = authorize(r, s, client, challenge, generation, e);
		if (rc != 0)
			return rc;
	}
}

static int manifest_from(struct registry *r, struct source *s, struct transfer_client *client,
	const char *tag, struct buf *ret_text, char *ret_digest, struct err *e)
{
	CLEANUP(mem_free_ptr)
	char *path = mem_format("manifests/%s", tag);
	struct transfer *t;
	int rc = get(r, s, client, path, MANIFEST_ACCEPT, true, 0, &t, e);
	if (rc != 0)
		return rc;
	rc = transfer_read_all(t, ret_text, e);
	char named[sizeof(transfer_answer(t)->digest)];
	memcpy(named, transfer_answer(t)->digest, sizeof(named));
	transfer_close(t);
	if (rc != 0) {
		err_prefix(e, "the manifest from registry %s", s->host);
		return rc;
	}
	digest_of(buf_text(ret_text), ret_text->size, ret_digest);
	const char *wanted = strchr(tag, ':') ? tag : named;
	if (image_digest_valid(wanted) && strcmp(wanted, ret_digest) != 0)
		return err_set(e, ERR_CORRUPT,
			"registry %s gave a manifest with the digest %s instead of %s", s->host,
			ret_digest, wanted);
	return 0;
}

int registry_get_manifest(struct registry *r, struct transfer_client *client, const char *tag,
	struct buf *ret_text, char ret_digest[static MANIFEST_DIGEST_SIZE], struct err *e)
{
	int rc = 0;
	/* What is wrong with a mirror says nothing about the host behind it. */
	for (size_t i = r->current; i < r->source_count; i++) {
		if (is_bad(r, i))
			continue;
		r->current = i;
		buf_clear(ret_text);
		ret_text->limit = MANIFEST_SIZE_MAX;
		rc = manifest_from(r, &r->sources[i], client, tag, ret_text, ret_digest, e);
		if (rc == 0)
			break;
	}
	return rc;
}

/* ---- blobs ---- */

struct registry_blob {
	struct transfer *transfer;
	const struct source *source;
	unsigned from; /* see registry_distrust */
	int64_t to_skip;
};

/* Whether "bytes 100-199/200" begins where it was asked to. */
static bool range_begins_at(const char *range, int64_t offset)
{
	long long first;
	int end = 0;
	return sscanf(range, "bytes %lld-%n", &first, &end) == 1 && end > 0 && first == offset;
}

static int open_from(struct registry *r, struct source *s, struct transfer_client *client,
	const char *path, bool small, int64_t offset, struct registry_blob **ret_blob,
	struct err *e)
{
	struct transfer *t;
	int rc = get(r, s, client, path, NULL, small, offset, &t, e);
	if (rc != 0)
		return rc;
	const struct transfer_answer *a = transfer_answer(t);
	if (a->status == 206 && !range_begins_at(a->content_range, offset)) {
		rc = err_set(e, ERR_PROTOCOL,
			"registry %s gives \"%s\" when asked for byte %lld on", s->host,
			a->content_range, (long long)offset);
		transfer_close(t);
		return rc;
	}
	struct registry_blob *b = mem_new(struct registry_blob);
	b->transfer = t;
	b->source = s;
	b->to_skip = a->status == 206 ? 0 : offset;
	*ret_blob = b;
	return 0;
}

int registry_open_blob(struct registry *r, struct transfer_client *client,
	const struct manifest_blob *blob, bool small, int64_t offset,
	struct registry_blob **ret_blob, struct err *e)
{
	CLEANUP(mem_free_ptr)
	char *path = mem_format("blobs/%s", blob->digest);
	struct err first = ERR_INIT;
	/* A mirror may have lost the blob, or be gone by now; what it said is what is told. */
	for (size_t i = r->current; i < r->source_count; i++) {
		struct err why = ERR_INIT;
		if (is_bad(r, i))
			continue;
		if (open_from(r, &r->sources[i], client, path, small, offset, ret_blob, &why) ==
			0) {
			(*ret_blob)->from = 1U << i;
			return 0;
		}
		if (first.code == ERR_OK)
			first = why;
	}
	if (e)
		*e = first;
	return -(int)first.code;
}

static int read_some(struct registry_blob *b, const void **ret_data, size_t *ret_size,
	struct err *e)
{
	int rc = transfer_read(b->transfer, ret_data, ret_size, e);
	if (rc != 0)
		err_prefix(e, "registry %s", b->source->host);
	return rc;
}

int registry_read_blob(struct registry_blob *b, const void **ret_data, size_t *ret_size,
	struct err *e)
{
	for (;;) {
		int rc = read_some(b, ret_data, ret_size, e);
		if (rc != 0 || *ret_size == 0 || b->to_skip == 0)
			return rc;
		if ((int64_t)*ret_size > b->to_skip) {
			*ret_data = (const char *)*ret_data + b->to_skip;
			*ret_size -= (size_t)b->to_skip;
			b->to_skip = 0;
			return 0;
		}
		b->to_skip -= (int64_t)*ret_size;
	}
}

const char *registry_blob_host(const struct registry_blob *b)
{
	return b->source->host;
}

unsigned registry_blob_from(const struct registry_blob *b)
{
	return b->from;
}

void registry_close_blob(struct registry_blob *b)
{
	if (!b)
		return;
	transfer_close(b->transfer);
	free(b);
}

#include "image/transfer.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/proxy.h"

#define CONNECT_TIMEOUT_S 10L
#define LIMIT_SLACK_MS 100
#define STALL_TIMEOUT_S                                                                            \
	30L /* less than STALL_BYTES_S for so long, and the link counts as broken                  \
	     */
#define STALL_BYTES_S 64L
#define REDIRECTS_MAX 5L
#define PENDING_MAX ((size_t)256 << 10) /* bytes that wait for the reader before curl is paused */

struct transfer_client {
	CURLM *multi;
	CURL *easy;
};

struct transfer {
	struct transfer_client *client;
	struct curl_slist *headers;
	struct transfer_answer answer;
	struct buf pending; /* came, not yet handed out */
	struct buf given;   /* what the reader holds */
	bool started;       /* the headers of the last answer are in */
	bool paused;
	bool done;
	CURLcode result;
	long limit_s, floor_bytes_s, floor_over_s;
	curl_off_t window_us, window_bytes; /* where the present stretch began */
	bool slow;
	char error[CURL_ERROR_SIZE];
};

struct transfer_client *transfer_client_new(void)
{
	struct transfer_client *c = mem_new(struct transfer_client);
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	if (!c->multi || !c->easy)
		abort();
	return c;
}

void transfer_client_free(struct transfer_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	free(c);
}

static bool copy_header(const char *line, size_t size, const char *name, char *ret_value,
	size_t value_size)
{
	size_t length = strlen(name);
	if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':')
		return false;
	line += length + 1;
	size -= length + 1;
	while (size > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		size--;
	}
	while (size > 0 && strchr("\r\n \t", line[size - 1]))
		size--;
	if (size >= value_size)
		size = value_size - 1;
	memcpy(ret_value, line, size);
	ret_value[size] = '\0';
	return true;
}

static void take_challenge(struct transfer_answer *a, const char *line, size_t size)
{
	char value[sizeof(a->challenge)];
	if (!copy_header(line, size, "www-authenticate", value, sizeof(value)))
		return;
	/* A registry may offer both; the token is the better one. */
	if (a->challenge[0] == '\0' || strncasecmp(value, "bearer ", 7) == 0)
		memcpy(a->challenge, value, sizeof(value));
}

static size_t on_header(char *line, size_t unit, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t size = unit * count;
	struct transfer_answer *a = &t->answer;
	if (size > 5 && memcmp(line, "HTTP/", 5) == 0) {
		*a = (struct transfer_answer){0};
		return size;
	}
	take_challenge(a, line, size);
	copy_header(line, size, "docker-content-digest", a->digest, sizeof(a->digest));
	copy_header(line, size, "retry-after", a->retry_after, sizeof(a->retry_after));
	copy_header(line, size, "content-type", a->content_type, sizeof(a->content_type));
	copy_header(line, size, "content-range", a->content_range, sizeof(a->content_range));
	return size;
}

static size_t on_body(char *data, size_t unit, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t size = unit * count;
	t->started = true;
	if (t->pending.size > 0 && t->pending.size + size > PENDING_MAX) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	buf_append(&t->pending, data, size);
	return t->pending.failed ? 0 : size;
}

static void add_header(struct transfer *t, const char *name, const char *value)
{
	if (!value)
		return;
	char *line = mem_format("%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(t->headers, line);
	free(line);
	if (!longer)
		abort();
	t->headers = longer;
}

/* curl reads https_proxy, http_proxy and no_proxy itself; but the exceptions are to be those of the
 * agent (net/proxy.h), which are a few more. Redirects are left to curl. */
static bool goes_directly(const char *url)
{
	const char *host = strstr(url, "://");
	const char *rules = getenv("no_proxy");
	bool skips = false;
	if (!host)
		return false;
	host += 3;
	CLEANUP(mem_free_ptr) char *name = mem_dup_bytes(host, strcspn(host, "/?#"));
	const char *end = name[0] == '[' ? strchr(name, ']') : name;
	bool has_port = end && strchr(end, ':');
	CLEANUP(mem_free_ptr)
	char *address =
		has_port ? mem_dup_string(name)
			 : mem_format("%s:%s", name, strncmp(url, "http:", 5) == 0 ? "80" : "443");
	int rc = proxy_skips(rules ? rules : getenv("NO_PROXY"), address, &skips, NULL);
	return rc == 0 && skips;
}

static void set_options(struct transfer *t, const struct transfer_request *r)
{
	CURL *easy = t->client->easy;
	const char *protocols = r->allow_http ? "http,https" : "https";
	add_header(t, "Accept", r->accept);
	add_header(t, "Authorization", r->authorization);
	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_URL, r->url);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "continuo-pull/" CONTINUO_VERSION);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* curl drops an Authorization header of ours when a redirect leads to another host, port or
	 * scheme: blob stores get no credentials. */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_S);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_TIMEOUT_S);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, r->limit_s);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 65536L);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (goes_directly(r->url))
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	if (r->offset > 0) {
		char range[32];
		snprintf(range, sizeof(range), "%lld-", (long long)r->offset);
		curl_easy_setopt(easy, CURLOPT_RANGE, range);
	}
	if (r->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca_file);
}

/* libcurl's clocks: the one that ends a transfer is of milliseconds, and begins a little earlier.
 */
static bool limit_is_over(const struct transfer *t)
{
	curl_off_t took_us = 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_TOTAL_TIME_T, &took_us);
	return t->limit_s && took_us / 1000 >= (curl_off_t)t->limit_s * 1000 - LIMIT_SLACK_MS;
}

/* A registry that dribbles would else keep a place for pulls as long as it likes. What the reader
 * holds up does not count. */
static void judge_speed(struct transfer *t)
{
	curl_off_t now_us = 0, bytes = 0;
	curl_easy_getinfo(t->client->easy, CURLINFO_TOTAL_TIME_T, &now_us);
	curl_easy_getinfo(t->client->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
	curl_off_t took_us = now_us - t->window_us;
	if (!t->paused && took_us < (curl_off_t)t->floor_over_s * 1000000)
		return;
	if (!t->paused && bytes - t->window_bytes < (curl_off_t)t->floor_bytes_s * t->floor_over_s)
		t->slow = t->done = t->started = true;
	t->window_us = now_us;
	t->window_bytes = bytes;
}

static int proxy_error(long status, struct err *e)
{
	const char *what =
		status == 407 || status == 401 ? "wants other credentials: give them in its URL, "
						 "http://USER:PASSWORD@HOST:PORT"
		: status == 403 ? "does not allow a way there: have it permit CONNECT, or "
				  "name the host in no_proxy"
				: "cannot reach it";
	return err_set(e, ERR_UNAVAILABLE, "the proxy answers %ld: it %s", status, what);
}

static int transfer_error(const struct transfer *t, struct err *e)
{
	const char *text = t->error[0] ? t->error : curl_easy_strerror(t->result);
	long connected = 0;
	if (t->slow)
		return err_set(e, ERR_TIMEOUT, "less than %ld bytes a second for %ld s",
			t->floor_bytes_s, t->floor_over_s);
	if (t->result == CURLE_OPERATION_TIMEDOUT && limit_is_over(t))
		return err_set(e, ERR_TIMEOUT, "it was not whole after %ld s", t->limit_s);
	curl_easy_getinfo(t->client->easy, CURLINFO_HTTP_CONNECTCODE, &connected);
	if (connected >= 300)
		return proxy_error(connected, e);
	switch (t->result) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return err_set(e, ERR_UNAVAILABLE,
			"its certificate is not trusted (%s); name its CA as \"ca\" in the "
			"registries file",
			text);
	case CURLE_SSL_CACERT_BADFILE:
		return err_set(e, ERR_UNAVAILABLE, "its CA file cannot be read: %s", text);
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_BAD_CONTENT_ENCODING:
		return err_set(e, ERR_PROTOCOL, "%s", text);
	default:
		return err_set(e, ERR_UNAVAILABLE, "%s", text);
	}
}

/* One turn of curl: waits for something to happen, at most a second. */
static void turn(struct transfer *t)
{
	int running = 0;
	curl_multi_perform(t->client->multi, &running);
	int left = 0;
	for (CURLMsg *m; (m = curl_multi_info_read(t->client->multi, &left));) {
		if (m->msg == CURLMSG_DONE) {
			t->done = t->started = true;
			t->result = m->data.result;
		}
	}
	if (!t->done && t->floor_bytes_s)
		judge_speed(t);
	if (!t->done && t->pending.size == 0)
		curl_multi_poll(t->client->multi, NULL, 0, 1000, NULL);
}

static bool failed(const struct transfer *t)
{
	return t->slow || t->result != CURLE_OK;
}

int transfer_open(struct transfer_client *c, const struct transfer_request *request,
	struct transfer **ret_transfer, struct err *e)
{
	struct transfer *t = mem_new(struct transfer);
	t->client = c;
	t->limit_s = request->limit_s;
	t->floor_bytes_s = request->floor_bytes_s;
	t->floor_over_s = request->floor_over_s;
	set_options(t, request);
	if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
		abort();
	while (!t->started)
		turn(t);
	if (t->done && failed(t) && t->pending.size == 0) {
		int rc = transfer_error(t, e);
		transfer_close(t);
		return rc;
	}
	long status = 0;
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	t->answer.status = (int)status;
	*ret_transfer = t;
	return 0;
}

const struct transfer_answer *transfer_answer(const struct transfer *t)
{
	return &t->answer;
}

int transfer_read(struct transfer *t, const void **ret_data, size_t *ret_size, struct err *e)
{
	while (t->pending.size == 0 && !t->done) {
		if (t->paused) {
			t->paused = false;
			curl_easy_pause(t->client->easy, CURLPAUSE_CONT);
		}
		turn(t);
	}
	if (t->pending.size == 0 && failed(t))
		return transfer_error(t, e);
	struct buf read = t->given;
	t->given = t->pending;
	buf_clear(&read);
	t->pending = read;
	*ret_data = buf_text(&t->given);
	*ret_size = t->given.size;
	return 0;
}

int transfer_read_all(struct transfer *t, struct buf *ret_body, struct err *e)
{
	for (;;) {
		const void *data;
		size_t size;
		int rc = transfer_read(t, &data, &size, e);
		if (rc != 0)
			return rc;
		if (size == 0)
			return buf_check(ret_body, "the answer", e);
		buf_append(ret_body, data, size);
		if (ret_body->failed)
			return buf_check(ret_body, "the answer", e);
	}
}

void transfer_close(struct transfer *t)
{
	if (!t)
		return;
	curl_multi_remove_handle(t->client->multi, t->client->easy);
	curl_easy_reset(t->client->easy);
	curl_slist_free_all(t->headers);
	buf_done(&t->pending);
	buf_done(&t->given);
	free(t);
}

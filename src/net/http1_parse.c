#include "net/http1_parse.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

#define METHOD_MAX 32
#define CHUNK_DIGITS_MAX 8

static bool is_token_char(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_token(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!is_token_char(*text))
			return false;
	return true;
}

static bool is_value_char(char c)
{
	unsigned char byte = (unsigned char)c;
	return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

int http1_head_size(const char *data, size_t size, size_t *scanned, size_t *ret_head_size,
	struct err *e)
{
	*ret_head_size = 0;
	for (size_t i = *scanned; i < size; i++) {
		if (i >= HTTP_HEAD_MAX)
			return err_set(e, ERR_TOO_LARGE, "the headers are larger than %zu bytes",
				HTTP_HEAD_MAX);
		bool after_cr = i > 0 && data[i - 1] == '\r';
		if ((data[i] == '\n') != after_cr)
			return err_set(e, ERR_PROTOCOL, "a line ends without CR LF in the headers");
		if (data[i] == '\0')
			return err_set(e, ERR_PROTOCOL, "a NUL in the headers");
		if (i >= 3 && memcmp(data + i - 3, "\r\n\r\n", 4) == 0) {
			*ret_head_size = i + 1;
			return 0;
		}
	}
	*scanned = size;
	return 0;
}

/* Cuts the next line, without its CR LF, off the text; null at the empty line. */
static char *next_line(char **text)
{
	char *line = *text;
	char *end = strstr(line, "\r\n");
	if (!end || end == line)
		return NULL;
	*end = '\0';
	*text = end + 2;
	return line;
}

static int parse_header(char *line, struct http_header *ret_header, struct err *e)
{
	if (*line == ' ' || *line == '\t')
		return err_set(e, ERR_PROTOCOL, "a header is folded over two lines");
	char *colon = strchr(line, ':');
	if (!colon)
		return err_set(e, ERR_PROTOCOL, "a header without a colon");
	*colon = '\0';
	if (!is_token(line))
		return err_set(e, ERR_PROTOCOL,
			"a header's name has characters that none may have");
	for (char *c = line; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	char *value = colon + 1 + strspn(colon + 1, " \t");
	size_t length = strlen(value);
	while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		value[--length] = '\0';
	for (char *c = value; *c; c++)
		if (!is_value_char(*c))
			return err_set(e, ERR_PROTOCOL, "header %.60s has a control character",
				line);
	*ret_header = (struct http_header){line, value};
	return 0;
}

static int parse_headers(char *text, struct arena *arena, struct http1_head *head, struct err *e)
{
	size_t lines = 0;
	for (const char *at = text; (at = strstr(at, "\r\n")); at += 2)
		lines++;
	if (lines > HTTP_HEADERS_MAX + 1)
		return err_set(e, ERR_TOO_LARGE, "more than %d headers", HTTP_HEADERS_MAX);
	head->headers = arena_new_array(arena, lines, struct http_header);
	for (char *line; (line = next_line(&text));) {
		int r = parse_header(line, &head->headers[head->header_count], e);
		if (r < 0)
			return r;
		head->header_count++;
	}
	return 0;
}

/* The value of a header that may come once only; null when absent. */
static int single_header(const struct http1_head *head, const char *name, const char **ret_value,
	struct err *e)
{
	*ret_value = NULL;
	for (size_t i = 0; i < head->header_count; i++) {
		if (strcmp(head->headers[i].name, name) != 0)
			continue;
		if (*ret_value)
			return err_set(e, ERR_PROTOCOL, "header %s is given twice", name);
		*ret_value = head->headers[i].value;
	}
	return 0;
}

/* Whether a list header (RFC 9110 section 5.6.1) has this member, in any case. */
static bool list_has(const struct http1_head *head, const char *name, const char *member)
{
	size_t length = strlen(member);
	for (size_t i = 0; i < head->header_count; i++) {
		if (strcmp(head->headers[i].name, name) != 0)
			continue;
		const char *at = head->headers[i].value;
		while (*(at += strspn(at, ", \t"))) {
			size_t size = strcspn(at, ", \t");
			if (size == length && strncasecmp(at, member, length) == 0)
				return true;
			at += size;
		}
	}
	return false;
}

static int parse_length(const char *text, uint64_t *ret_length, struct err *e)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 15 || text[digits])
		return err_set(e, ERR_PROTOCOL, "content-length \"%.40s\" is not a length", text);
	uint64_t length = 0;
	for (; *text; text++)
		length = length * 10 + (uint64_t)(*text - '0');
	*ret_length = length;
	return 0;
}

/* RFC 9112 section 6.3, refusing what it merely discourages. */
static int decide_framing(struct http1_head *head, bool response, struct err *e)
{
	const char *coding = NULL, *length = NULL;
	int r = single_header(head, "transfer-encoding", &coding, e);
	if (r == 0)
		r = single_header(head, "content-length", &length, e);
	if (r < 0)
		return r;
	if (coding && (length || head->minor == 0))
		return err_set(e, ERR_PROTOCOL,
			"transfer-encoding together with content-length or HTTP/1.0");
	if (coding && strcasecmp(coding, "chunked") != 0)
		return err_set(e, ERR_UNSUPPORTED, "transfer-encoding \"%.40s\"", coding);
	head->framing = response ? HTTP1_UNTIL_CLOSE : HTTP1_NO_BODY;
	if (coding)
		head->framing = HTTP1_CHUNKED;
	if (length) {
		head->framing = HTTP1_LENGTH;
		r = parse_length(length, &head->length, e);
	}
	bool bodiless =
		response && (head->status < 200 || head->status == 204 || head->status == 304 ||
				    strcmp(head->method, "HEAD") == 0);
	if (bodiless || (head->framing == HTTP1_LENGTH && head->length == 0))
		head->framing = HTTP1_NO_BODY;
	return r;
}

static void decide_connection(struct http1_head *head)
{
	head->keep_alive = head->minor == 1 ? !list_has(head, "connection", "close")
					    : list_has(head, "connection", "keep-alive");
	if (head->framing == HTTP1_UNTIL_CLOSE)
		head->keep_alive = false;
	head->upgrade = list_has(head, "connection", "upgrade");
	head->expects_continue = head->minor == 1 && list_has(head, "expect", "100-continue") &&
				 head->framing != HTTP1_NO_BODY;
}

static int parse_version(const char *text, int *ret_minor, struct err *e)
{
	if (strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0) {
		*ret_minor = text[7] - '0';
		return 0;
	}
	if (strncmp(text, "HTTP/", 5) == 0 && strlen(text) == 8)
		return err_set(e, ERR_UNSUPPORTED, "HTTP version \"%.12s\"", text);
	return err_set(e, ERR_PROTOCOL, "this is not HTTP");
}

/* origin-form stays, absolute-form loses its scheme and authority (RFC 9112 section 3.2). */
static int parse_target(char *target, struct http1_head *head, struct err *e)
{
	for (const char *c = target; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '#')
			return err_set(e, ERR_PROTOCOL,
				"the request's target has a character that "
				"must be percent-encoded");
	if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
		target = strstr(target, "://") + 3;
		target += strcspn(target, "/?");
		if (*target != '/')
			return err_set(e, ERR_PROTOCOL, "the request's target has no path");
	}
	if (*target != '/' && !(str_equal(target, "*") && str_equal(head->method, "OPTIONS")))
		return err_set(e, ERR_PROTOCOL, "the request's target is not a path");
	head->target = target;
	return 0;
}

static int parse_request_line(char *line, struct http1_head *head, struct err *e)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;
	if (!version)
		return err_set(e, ERR_PROTOCOL, "the request line is not METHOD TARGET VERSION");
	*target++ = '\0';
	*version++ = '\0';
	if (!is_token(line) || strlen(line) > METHOD_MAX)
		return err_set(e, ERR_PROTOCOL, "the request's method is not a word");
	head->method = line;
	int r = parse_version(version, &head->minor, e);
	return r < 0 ? r : parse_target(target, head, e);
}

static char *copy_head(const char *data, size_t size, struct arena *arena)
{
	char *text = arena_alloc(arena, size + 1);
	memcpy(text, data, size);
	return text;
}

int http1_parse_request(const char *data, size_t size, struct arena *arena,
	struct http1_head *ret_head, struct err *e)
{
	struct http1_head head = {0};
	char *text = copy_head(data, size, arena);
	char *line = next_line(&text);
	if (!line)
		return err_set(e, ERR_PROTOCOL, "an empty line where a request should be");
	int r = parse_request_line(line, &head, e);
	if (r == 0)
		r = parse_headers(text, arena, &head, e);
	if (r == 0)
		r = decide_framing(&head, false, e);
	if (r < 0)
		return r;
	const char *host = NULL;
	r = single_header(&head, "host", &host, e);
	if (r == 0 && !host && head.minor == 1)
		r = err_set(e, ERR_PROTOCOL, "the request has no host header");
	if (r < 0)
		return r;
	decide_connection(&head);
	*ret_head = head;
	return 0;
}

static int parse_status_line(char *line, struct http1_head *head, struct err *e)
{
	char *status = strchr(line, ' ');
	if (!status)
		return err_set(e, ERR_PROTOCOL, "the status line is not VERSION STATUS REASON");
	*status++ = '\0';
	int r = parse_version(line, &head->minor, e);
	if (r < 0)
		return r;
	if (strspn(status, "0123456789") != 3 || (status[3] && status[3] != ' ') ||
		status[0] < '1' || status[0] > '5')
		return err_set(e, ERR_PROTOCOL, "\"%.20s\" is not an HTTP status", status);
	head->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
	return 0;
}

int http1_parse_response(const char *data, size_t size, const char *request_method,
	struct arena *arena, struct http1_head *ret_head, struct err *e)
{
	struct http1_head head = {.method = request_method};
	char *text = copy_head(data, size, arena);
	char *line = next_line(&text);
	if (!line)
		return err_set(e, ERR_PROTOCOL, "an empty line where a response should be");
	int r = parse_status_line(line, &head, e);
	if (r == 0)
		r = parse_headers(text, arena, &head, e);
	if (r == 0)
		r = decide_framing(&head, true, e);
	if (r < 0)
		return r;
	decide_connection(&head);
	*ret_head = head;
	return 0;
}

void http1_body_init(struct http1_body *b, const struct http1_head *head)
{
	static const enum http1_body_state first[] = {
		[HTTP1_NO_BODY] = HTTP1_BODY_ENDED,
		[HTTP1_LENGTH] = HTTP1_BODY_PLAIN,
		[HTTP1_CHUNKED] = HTTP1_BODY_SIZE,
		[HTTP1_UNTIL_CLOSE] = HTTP1_BODY_PLAIN,
	};
	*b = (struct http1_body){.state = first[head->framing],
		.left = head->framing == HTTP1_LENGTH ? head->length : 0,
		.until_close = head->framing == HTTP1_UNTIL_CLOSE};
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int chunk_broken(struct err *e)
{
	return err_set(e, ERR_PROTOCOL, "the chunked body is malformed");
}

static int size_char(struct http1_body *b, char c, struct err *e)
{
	int value = hex_value(c);
	if (value >= 0 && b->digits < CHUNK_DIGITS_MAX) {
		b->left = b->left << 4 | (uint64_t)value;
		b->digits++;
		return 0;
	}
	if (b->digits == 0 || value >= 0)
		return chunk_broken(e);
	if (c == '\r')
		b->state = HTTP1_BODY_SIZE_LF;
	else if (c == ';')
		b->state = HTTP1_BODY_EXTENSION;
	else
		return chunk_broken(e);
	return 0;
}

/* A character of an extension or a trailer: both are read over, within a budget. */
static int skipped_char(struct http1_body *b, char c, enum http1_body_state after_cr, struct err *e)
{
	if (++b->overhead > HTTP1_TRAILER_MAX)
		return err_set(e, ERR_PROTOCOL, "chunk extensions and trailers over %d bytes",
			HTTP1_TRAILER_MAX);
	if (c == '\r')
		b->state = after_cr;
	else if (!is_value_char(c))
		return chunk_broken(e);
	return 0;
}

static int expect_char(struct http1_body *b, char c, char expected, enum http1_body_state next,
	struct err *e)
{
	if (c != expected)
		return chunk_broken(e);
	b->state = next;
	return 0;
}

static int framing_char(struct http1_body *b, char c, struct err *e)
{
	switch (b->state) {
	case HTTP1_BODY_SIZE:
		return size_char(b, c, e);
	case HTTP1_BODY_EXTENSION:
		return skipped_char(b, c, HTTP1_BODY_SIZE_LF, e);
	case HTTP1_BODY_SIZE_LF:
		b->digits = 0;
		return expect_char(b, c, '\n', b->left ? HTTP1_BODY_DATA : HTTP1_BODY_TRAILER, e);
	case HTTP1_BODY_DATA_CR:
		return expect_char(b, c, '\r', HTTP1_BODY_DATA_LF, e);
	case HTTP1_BODY_DATA_LF:
		return expect_char(b, c, '\n', HTTP1_BODY_SIZE, e);
	case HTTP1_BODY_TRAILER:
		if (c != '\r' && !is_token_char(c))
			return chunk_broken(e);
		b->state = HTTP1_BODY_TRAILER_LINE;
		return skipped_char(b, c, HTTP1_BODY_END_LF, e);
	case HTTP1_BODY_TRAILER_LINE:
		return skipped_char(b, c, HTTP1_BODY_TRAILER_LF, e);
	case HTTP1_BODY_TRAILER_LF:
		return expect_char(b, c, '\n', HTTP1_BODY_TRAILER, e);
	case HTTP1_BODY_END_LF:
		return expect_char(b, c, '\n', HTTP1_BODY_ENDED, e);
	default:
		return chunk_broken(e);
	}
}

static void body_run(struct http1_body *b, const char *data, size_t size, size_t *ret_used,
	const char **ret_data, size_t *ret_size)
{
	size_t run = size;
	if (!b->until_close && run > b->left)
		run = (size_t)b->left;
	*ret_data = data;
	*ret_size = run;
	*ret_used += run;
	if (b->until_close)
		return;
	b->left -= run;
	if (b->left == 0)
		b->state = b->state == HTTP1_BODY_PLAIN ? HTTP1_BODY_ENDED : HTTP1_BODY_DATA_CR;
}

int http1_body_read(struct http1_body *b, const char *data, size_t size, size_t *ret_used,
	const char **ret_data, size_t *ret_size, struct err *e)
{
	*ret_used = *ret_size = 0;
	*ret_data = data;
	while (*ret_used < size && b->state != HTTP1_BODY_ENDED) {
		if (b->state == HTTP1_BODY_PLAIN || b->state == HTTP1_BODY_DATA) {
			body_run(b, data + *ret_used, size - *ret_used, ret_used, ret_data,
				ret_size);
			return 0;
		}
		int r = framing_char(b, data[*ret_used], e);
		if (r < 0)
			return r;
		(*ret_used)++;
	}
	return 0;
}

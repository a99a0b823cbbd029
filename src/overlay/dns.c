#include "overlay/dns.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63
#define NAME_MAX_BYTES 255
#define CLASS_IN 1
#define OPT_SIZE 11
#define POINTER_TO_QUESTION 0xc00c

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080 };

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void set16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void set32(uint8_t *p, uint32_t v)
{
	set16(p, (uint16_t)(v >> 16));
	set16(p + 2, (uint16_t)v);
}

/* ---- names ---- */

static size_t put_label_text(char *text, size_t n, const uint8_t *label, size_t size)
{
	if (n)
		text[n++] = '.';
	for (size_t i = 0; i < size; i++) {
		uint8_t c = label[i];
		if (c > ' ' && c < 127 && c != '.' && c != '\\')
			text[n++] = (char)tolower(c);
		else
			n += (size_t)snprintf(text + n, 5, "\\%03u", c);
	}
	return n;
}

int dns_read_name(const uint8_t *data, size_t size, size_t at, char ret_name[static DNS_NAME_SIZE],
	size_t *ret_next, struct err *e)
{
	size_t n = 0, bytes = 1, lowest = at;
	bool jumped = false;
	for (;;) {
		if (at >= size)
			return err_set(e, ERR_DECODE, "a name runs out of the message");
		uint8_t length = data[at];
		if (length == 0)
			break;
		if ((length & 0xc0) == 0xc0) {
			if (at + 1 >= size)
				return err_set(e, ERR_DECODE, "a pointer runs out of the message");
			size_t to = get16(data + at) & 0x3fff;
			/* Backwards only, and each time further: no loop. */
			if (to >= lowest)
				return err_set(e, ERR_DECODE, "a pointer does not lead backwards");
			if (!jumped)
				*ret_next = at + 2;
			jumped = true;
			at = lowest = to;
			continue;
		}
		bytes += (size_t)length + 1;
		if (length > LABEL_MAX || bytes > NAME_MAX_BYTES || at + 1 + length > size)
			return err_set(e, ERR_DECODE, "a label or name is too long");
		n = put_label_text(ret_name, n, data + at + 1, length);
		at += (size_t)length + 1;
	}
	ret_name[n] = '\0';
	if (!jumped)
		*ret_next = at + 1;
	return 0;
}

/* The byte that the text at *text stands for. */
static uint8_t take_character(const char **text)
{
	const char *t = *text;
	if (t[0] == '\\' && isdigit((unsigned char)t[1]) && isdigit((unsigned char)t[2]) &&
		isdigit((unsigned char)t[3])) {
		*text += 4;
		return (uint8_t)((t[1] - '0') * 100 + (t[2] - '0') * 10 + (t[3] - '0'));
	}
	*text += 1;
	return (uint8_t)*t;
}

/* The name's bytes, without compression; 0 when it is not a name. */
static size_t encode_name(const char *text, uint8_t ret_data[static NAME_MAX_BYTES])
{
	size_t n = 0;
	while (*text) {
		size_t length_at = n++;
		while (*text && *text != '.') {
			if (n >= NAME_MAX_BYTES)
				return 0;
			ret_data[n++] = take_character(&text);
		}
		size_t length = n - length_at - 1;
		if (length == 0 || length > LABEL_MAX)
			return 0;
		ret_data[length_at] = (uint8_t)length;
		if (*text == '.')
			text++;
		if (n >= NAME_MAX_BYTES)
			return 0;
	}
	ret_data[n++] = 0;
	return n;
}

/* ---- queries ---- */

struct opt {
	bool found, dnssec, bad_version;
	uint16_t udp_size;
	int count;
};

static int see_opt(void *arg, const struct dns_record *r)
{
	struct opt *o = arg;
	if (r->type != DNS_OPT || r->section != DNS_ADDITIONAL)
		return 0;
	o->count++;
	o->found = true;
	o->udp_size = r->class;
	o->dnssec = r->ttl & 0x8000;
	o->bad_version = r->ttl >> 16 & 0xff;
	return 0;
}

/* A question repeats nothing that stands before it; and it is copied into the answer as it is. */
static bool is_compressed(const uint8_t *data, size_t end)
{
	size_t at = DNS_HEADER_SIZE;
	while (at < end && data[at] && data[at] < 0xc0)
		at += (size_t)data[at] + 1;
	return at + 1 != end;
}

int dns_parse_query(const uint8_t *data, size_t size, struct dns_query *ret_query,
	enum dns_rcode *ret_rcode, struct err *e)
{
	*ret_query = (struct dns_query){.udp_size = DNS_UDP_PLAIN};
	*ret_rcode = DNS_FORMERR;
	if (size < DNS_HEADER_SIZE || size > DNS_MESSAGE_MAX || get16(data + 2) & FLAG_QR)
		return err_set(e, ERR_DECODE, "not a DNS query");
	ret_query->id = get16(data);
	ret_query->flags = get16(data + 2);
	if (ret_query->flags >> 11 & 15) {
		*ret_rcode = DNS_NOTIMP;
		return 0;
	}
	size_t next = 0;
	if (get16(data + 4) != 1 ||
		dns_read_name(data, size, DNS_HEADER_SIZE, ret_query->name, &next, NULL) ||
		next + 4 > size || is_compressed(data, next))
		return 0;
	ret_query->type = get16(data + next);
	ret_query->class = get16(data + next + 2);
	ret_query->question = data + DNS_HEADER_SIZE;
	struct opt opt = {0};
	if (dns_walk(data, size, see_opt, &opt, NULL) || opt.count > 1)
		return 0;
	ret_query->question_size = next + 4 - DNS_HEADER_SIZE;
	ret_query->edns = opt.found;
	ret_query->dnssec = opt.dnssec;
	if (opt.udp_size > DNS_UDP_PLAIN)
		ret_query->udp_size = opt.udp_size;
	*ret_rcode = ret_query->class == CLASS_IN ? DNS_OK : DNS_REFUSED;
	return 0;
}

/* ---- reading responses ---- */

static int walk_section(const uint8_t *data, size_t size, size_t *at, enum dns_section section,
	dns_record_cb *cb, void *arg, struct err *e)
{
	char name[DNS_NAME_SIZE];
	uint16_t count = get16(data + 6 + 2 * section);
	for (uint16_t i = 0; i < count; i++) {
		struct dns_record r = {.section = section, .name_at = *at};
		size_t next;
		int code = dns_read_name(data, size, *at, name, &next, e);
		if (code)
			return code;
		if (next + 10 > size)
			return err_set(e, ERR_DECODE, "a record runs out of the message");
		r.type = get16(data + next);
		r.class = get16(data + next + 2);
		r.ttl_at = next + 4;
		r.ttl = get32(data + r.ttl_at);
		r.data_size = get16(data + next + 8);
		r.data_at = next + 10;
		if (r.data_at + r.data_size > size)
			return err_set(e, ERR_DECODE, "a record's data runs out of the message");
		*at = r.data_at + r.data_size;
		if (cb(arg, &r))
			return 1;
	}
	return 0;
}

int dns_walk(const uint8_t *data, size_t size, dns_record_cb *cb, void *arg, struct err *e)
{
	char name[DNS_NAME_SIZE];
	size_t at = DNS_HEADER_SIZE;
	if (size < DNS_HEADER_SIZE)
		return err_set(e, ERR_DECODE, "shorter than a header");
	for (uint16_t i = get16(data + 4); i > 0; i--) {
		int code = dns_read_name(data, size, at, name, &at, e);
		if (code)
			return code;
		if (at + 4 > size)
			return err_set(e, ERR_DECODE, "a question runs out of the message");
		at += 4;
	}
	for (int section = 0; section < DNS_SECTIONS; section++) {
		int code = walk_section(data, size, &at, (enum dns_section)section, cb, arg, e);
		if (code)
			return code < 0 ? code : 0;
	}
	return 0;
}

bool dns_answers(const uint8_t *data, size_t size, uint16_t id, const uint8_t *question,
	size_t question_size)
{
	if (size < DNS_HEADER_SIZE + question_size || get16(data) != id ||
		!(get16(data + 2) & FLAG_QR) || get16(data + 4) != 1)
		return false;
	for (size_t i = 0; i < question_size; i++)
		if (tolower(data[DNS_HEADER_SIZE + i]) != tolower(question[i]))
			return false;
	return true;
}

struct keeping {
	const uint8_t *data;
	size_t size;
	uint32_t answers, negative; /* UINT32_MAX: none seen */
};

static int see_ttl(void *arg, const struct dns_record *r)
{
	struct keeping *k = arg;
	if (r->section == DNS_ANSWER && r->ttl < k->answers)
		k->answers = r->ttl;
	if (r->section == DNS_AUTHORITY && r->type == DNS_SOA && r->data_size >= 22) {
		uint32_t minimum = get32(k->data + r->data_at + r->data_size - 4);
		k->negative = minimum < r->ttl ? minimum : r->ttl;
	}
	return 0;
}

uint32_t dns_keep_s(const uint8_t *data, size_t size)
{
	struct keeping k = {
		.data = data, .size = size, .answers = UINT32_MAX, .negative = UINT32_MAX};
	if (size < DNS_HEADER_SIZE || get16(data + 2) & FLAG_TC ||
		dns_walk(data, size, see_ttl, &k, NULL))
		return 0;
	uint16_t rcode = get16(data + 2) & 15;
	uint32_t keep = 0;
	if (rcode == DNS_OK && k.answers != UINT32_MAX)
		keep = k.answers;
	else if ((rcode == DNS_OK || rcode == DNS_NXDOMAIN) && k.negative != UINT32_MAX)
		keep = k.negative < k.answers ? k.negative : k.answers;
	return keep;
}

struct aging {
	uint8_t *data;
	uint32_t seconds;
};

static int age_record(void *arg, const struct dns_record *r)
{
	struct aging *a = arg;
	if (r->type != DNS_OPT) /* there it is not a time */
		set32(a->data + r->ttl_at, r->ttl > a->seconds ? r->ttl - a->seconds : 0);
	return 0;
}

void dns_age(uint8_t *data, size_t size, uint32_t seconds)
{
	struct aging a = {.data = data, .seconds = seconds};
	(void)!dns_walk(data, size, age_record, &a, NULL); /* it was accepted before */
}

/* ---- writing ---- */

void dns_begin(struct dns_writer *w, uint8_t *data, size_t limit, const struct dns_query *query)
{
	*w = (struct dns_writer){.data = data, .query = query};
	w->limit = limit - (query->edns ? OPT_SIZE : 0);
	memset(data, 0, DNS_HEADER_SIZE);
	w->size = DNS_HEADER_SIZE;
	if (query->question_size)
		memcpy(data + w->size, query->question, query->question_size);
	w->size += query->question_size;
}

static bool put(struct dns_writer *w, const void *data, size_t size)
{
	if (w->size + size > w->limit)
		return false;
	memcpy(w->data + w->size, data, size);
	w->size += size;
	return true;
}

static bool put_owner(struct dns_writer *w, const char *owner)
{
	uint8_t name[NAME_MAX_BYTES];
	if (!owner) {
		set16(name, POINTER_TO_QUESTION);
		return put(w, name, 2);
	}
	size_t size = encode_name(owner, name);
	return size && put(w, name, size);
}

/* A whole record or, when it does not fit, nothing of it. */
static void put_record(struct dns_writer *w, enum dns_section section, const char *owner,
	uint16_t type, uint32_t ttl, const void *data, size_t size)
{
	if (w->truncated)
		return;
	size_t before = w->size;
	uint8_t fixed[10];
	set16(fixed, type);
	set16(fixed + 2, CLASS_IN);
	set32(fixed + 4, ttl);
	set16(fixed + 8, (uint16_t)size);
	if (put_owner(w, owner) && put(w, fixed, sizeof(fixed)) && put(w, data, size)) {
		w->counts[section]++;
		return;
	}
	w->size = before;
	/* What is additional may be left out without a word (RFC 2181 section 9). */
	w->truncated = section != DNS_ADDITIONAL;
}

void dns_put_address(struct dns_writer *w, enum dns_section section, const char *owner,
	uint32_t ttl, uint16_t type, const void *address, size_t size)
{
	put_record(w, section, owner, type, ttl, address, size);
}

void dns_put_name(struct dns_writer *w, enum dns_section section, const char *owner, uint32_t ttl,
	uint16_t type, const char *target)
{
	uint8_t name[NAME_MAX_BYTES];
	size_t size = encode_name(target, name);
	if (size)
		put_record(w, section, owner, type, ttl, name, size);
}

void dns_put_srv(struct dns_writer *w, enum dns_section section, const char *owner, uint32_t ttl,
	uint16_t weight, uint16_t port, const char *target)
{
	uint8_t data[6 + NAME_MAX_BYTES] = {0};
	size_t size = encode_name(target, data + 6);
	set16(data + 2, weight);
	set16(data + 4, port);
	if (size)
		put_record(w, section, owner, DNS_SRV, ttl, data, 6 + size);
}

void dns_put_txt(struct dns_writer *w, enum dns_section section, const char *owner, uint32_t ttl,
	const char *text)
{
	uint8_t data[256];
	size_t size = strlen(text) < 255 ? strlen(text) : 255;
	data[0] = (uint8_t)size;
	memcpy(data + 1, text, size);
	put_record(w, section, owner, DNS_TXT, ttl, data, 1 + size);
}

void dns_put_soa(struct dns_writer *w, enum dns_section section, const char *owner,
	const char *zone, uint32_t ttl)
{
	uint8_t data[2 * NAME_MAX_BYTES + 20], name[NAME_MAX_BYTES];
	char text[DNS_NAME_SIZE + 16];
	size_t n = 0;
	static const char *const prefixes[] = {"ns.dns.", "hostmaster."};
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		snprintf(text, sizeof(text), "%s%s", prefixes[i], zone);
		size_t size = encode_name(text, name);
		if (!size)
			return;
		memcpy(data + n, name, size);
		n += size;
	}
	/* serial, refresh, retry, expire, minimum: nobody transfers this zone. */
	const uint32_t numbers[] = {1, 7200, 1800, 86400, ttl};
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++, n += 4)
		set32(data + n, numbers[i]);
	put_record(w, section, owner, DNS_SOA, ttl, data, n);
}

void dns_end(struct dns_writer *w, enum dns_rcode rcode, bool authoritative)
{
	const struct dns_query *q = w->query;
	if (q->edns) {
		w->limit += OPT_SIZE;
		uint8_t opt[OPT_SIZE] = {0};
		set16(opt + 1, DNS_OPT);
		set16(opt + 3, DNS_UDP_LARGE);
		if (put(w, opt, sizeof(opt)))
			w->counts[DNS_ADDITIONAL]++;
	}
	unsigned flags = FLAG_QR | FLAG_RA | (q->flags & (FLAG_RD | 15 << 11)) | rcode;
	flags |= authoritative ? FLAG_AA : 0;
	flags |= w->truncated ? FLAG_TC : 0;
	set16(w->data, q->id);
	set16(w->data + 2, (uint16_t)flags);
	set16(w->data + 4, q->question_size ? 1 : 0);
	for (int i = 0; i < DNS_SECTIONS; i++)
		set16(w->data + 6 + 2 * i, w->counts[i]);
}

size_t dns_write_query(const char *name, uint16_t type, uint16_t id,
	uint8_t ret_data[static DNS_UDP_PLAIN])
{
	memset(ret_data, 0, DNS_HEADER_SIZE);
	set16(ret_data, id);
	set16(ret_data + 2, FLAG_RD);
	set16(ret_data + 4, 1);
	size_t size = encode_name(name, ret_data + DNS_HEADER_SIZE);
	if (!size)
		return 0;
	set16(ret_data + DNS_HEADER_SIZE + size, type);
	set16(ret_data + DNS_HEADER_SIZE + size + 2, CLASS_IN);
	return DNS_HEADER_SIZE + size + 4;
}

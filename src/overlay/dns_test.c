#include "overlay/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A query for www.Example.com A with RD, id 0x1234, and OPT for 1400 bytes with DO. */
static const uint8_t plain[] = "\x12\x34\x01\x00\0\x01\0\0\0\0\0\x01"
			       "\x03www\x07"
			       "Example\x03"
			       "com\0\0\x01\0\x01"
			       "\0\0\x29\x05\x78\0\0\x80\0\0\0";
#define PLAIN_SIZE (sizeof(plain) - 1)

static void parses_a_query(void **state)
{
	(void)state;
	struct dns_query q;
	enum dns_rcode rcode;
	assert_int_equal(dns_parse_query(plain, PLAIN_SIZE, &q, &rcode, NULL), 0);
	assert_int_equal(rcode, DNS_OK);
	assert_string_equal(q.name, "www.example.com");
	assert_int_equal(q.type, DNS_A);
	assert_int_equal(q.id, 0x1234);
	assert_true(q.edns && q.dnssec);
	assert_int_equal(q.udp_size, 1400);
	assert_int_equal(q.question_size, 21);
}

static void refuses_what_ends_early(void **state)
{
	(void)state;
	for (size_t size = 0; size < PLAIN_SIZE; size++) {
		struct dns_query q;
		enum dns_rcode rcode;
		uint8_t copy[PLAIN_SIZE];
		memcpy(copy, plain, size);
		int code = dns_parse_query(copy, size, &q, &rcode, NULL);
		if (size < DNS_HEADER_SIZE)
			assert_int_equal(code, -ERR_DECODE);
		else
			assert_int_equal(rcode, DNS_FORMERR);
	}
}

static enum dns_rcode rcode_with(size_t at, uint8_t value)
{
	uint8_t copy[PLAIN_SIZE];
	struct dns_query q;
	enum dns_rcode rcode;
	memcpy(copy, plain, PLAIN_SIZE);
	copy[at] = value;
	return dns_parse_query(copy, PLAIN_SIZE, &q, &rcode, NULL) ? 99 : rcode;
}

static void answers_odd_queries_with_the_right_code(void **state)
{
	(void)state;
	assert_int_equal(rcode_with(2, 0x80), 99);           /* a response */
	assert_int_equal(rcode_with(2, 0x28), DNS_NOTIMP);   /* an update */
	assert_int_equal(rcode_with(5, 2), DNS_FORMERR);     /* two questions */
	assert_int_equal(rcode_with(32, 3), DNS_REFUSED);    /* class CHAOS */
	assert_int_equal(rcode_with(12, 0x43), DNS_FORMERR); /* a reserved kind of label */
	assert_int_equal(rcode_with(24, 0xc0), DNS_FORMERR); /* a compressed question */
	assert_int_equal(rcode_with(11, 9), DNS_FORMERR);    /* more records than there are */
}

static void follows_pointers_backwards_only(void **state)
{
	(void)state;
	char name[DNS_NAME_SIZE];
	size_t next;
	const uint8_t good[] = "\x03"
			       "com\0\x01"
			       "a\xc0\x00";
	assert_int_equal(dns_read_name(good, 9, 5, name, &next, NULL), 0);
	assert_string_equal(name, "a.com");
	assert_int_equal(next, 9);
	const uint8_t loop[] = "\x01"
			       "a\xc0\x00";
	assert_int_equal(dns_read_name(loop, 4, 0, name, &next, NULL), -ERR_DECODE);
	const uint8_t self[] = "\xc0\x00";
	assert_int_equal(dns_read_name(self, 2, 0, name, &next, NULL), -ERR_DECODE);
	const uint8_t ahead[] = "\xc0\x02\0";
	assert_int_equal(dns_read_name(ahead, 3, 0, name, &next, NULL), -ERR_DECODE);
}

static void escapes_odd_bytes_both_ways(void **state)
{
	(void)state;
	uint8_t data[DNS_UDP_PLAIN];
	char name[DNS_NAME_SIZE];
	size_t next;
	const uint8_t odd[] = "\x04"
			      "a.\\\x01\x01"
			      "B\0";
	assert_int_equal(dns_read_name(odd, 8, 0, name, &next, NULL), 0);
	assert_string_equal(name, "a\\046\\092\\001.b");
	assert_int_equal(dns_write_query(name, DNS_A, 1, data), DNS_HEADER_SIZE + 8 + 4);
	assert_memory_equal(data + DNS_HEADER_SIZE,
		"\x04"
		"a.\\\x01\x01"
		"b\0",
		8);
}

static void refuses_names_that_cannot_be(void **state)
{
	(void)state;
	uint8_t data[DNS_UDP_PLAIN];
	char name[400];
	assert_int_equal(dns_write_query("a..b", DNS_A, 1, data), 0);
	assert_int_equal(dns_write_query(".", DNS_A, 1, data), 0);
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	assert_int_equal(dns_write_query(name, DNS_A, 1, data), 0);
	name[63] = '\0';
	assert_int_not_equal(dns_write_query(name, DNS_A, 1, data), 0);
	memset(name, 'a', sizeof(name));
	for (size_t i = 50; i < sizeof(name); i += 51)
		name[i] = '.';
	name[300] = '\0';
	assert_int_equal(dns_write_query(name, DNS_A, 1, data), 0);
	name[253] = '\0';
	assert_int_equal(dns_write_query(name, DNS_A, 1, data), DNS_HEADER_SIZE + 255 + 4);
	name[253] = 'a';
	name[254] = '\0';
	assert_int_equal(dns_write_query(name, DNS_A, 1, data), 0);
}

struct seen {
	int count;
	uint16_t type;
	uint32_t ttl;
};

static int see(void *arg, const struct dns_record *r)
{
	struct seen *s = arg;
	s->count++;
	if (r->section == DNS_ANSWER) {
		s->type = r->type;
		s->ttl = r->ttl;
	}
	return 0;
}

static struct dns_query query_of(void)
{
	struct dns_query q;
	enum dns_rcode rcode;
	assert_int_equal(dns_parse_query(plain, PLAIN_SIZE, &q, &rcode, NULL), 0);
	return q;
}

static void writes_what_it_reads(void **state)
{
	(void)state;
	struct dns_query q = query_of();
	struct dns_writer w;
	struct seen seen = {0};
	uint8_t data[DNS_UDP_PLAIN];
	dns_begin(&w, data, sizeof(data), &q);
	dns_put_address(&w, DNS_ANSWER, NULL, 60, DNS_A, "\x0a\0\0\x01", 4);
	dns_put_soa(&w, DNS_AUTHORITY, "example.com", "example.com", 5);
	dns_end(&w, DNS_OK, true);
	assert_int_equal(dns_walk(data, w.size, see, &seen, NULL), 0);
	assert_int_equal(seen.count, 3); /* and OPT */
	assert_int_equal(seen.type, DNS_A);
	assert_true(dns_answers(data, w.size, 0x1234, q.question, q.question_size));
	assert_false(dns_answers(data, w.size, 0x1235, q.question, q.question_size));
	assert_int_equal(dns_keep_s(data, w.size), 60);
	dns_age(data, w.size, 50);
	assert_int_equal(dns_keep_s(data, w.size), 10);
	dns_age(data, w.size, 50);
	assert_int_equal(dns_keep_s(data, w.size), 0);
	assert_int_equal(data[2], 0x85); /* response, authoritative, recursion desired */
}

static void keeps_negative_answers_as_long_as_the_soa_says(void **state)
{
	(void)state;
	struct dns_query q = query_of();
	struct dns_writer w;
	uint8_t data[DNS_UDP_PLAIN];
	dns_begin(&w, data, sizeof(data), &q);
	dns_put_soa(&w, DNS_AUTHORITY, "example.com", "example.com", 7);
	dns_end(&w, DNS_NXDOMAIN, true);
	assert_int_equal(dns_keep_s(data, w.size), 7);
	dns_begin(&w, data, sizeof(data), &q);
	dns_end(&w, DNS_NXDOMAIN, true);
	assert_int_equal(dns_keep_s(data, w.size), 0);
	dns_begin(&w, data, sizeof(data), &q);
	dns_put_address(&w, DNS_ANSWER, NULL, 60, DNS_A, "\x0a\0\0\x01", 4);
	dns_end(&w, DNS_SERVFAIL, true);
	assert_int_equal(dns_keep_s(data, w.size), 0);
}

static void truncates_whole_records(void **state)
{
	(void)state;
	struct dns_query q = query_of();
	struct dns_writer w;
	struct seen seen = {0};
	uint8_t data[DNS_UDP_PLAIN];
	dns_begin(&w, data, sizeof(data), &q);
	for (int i = 0; i < 100; i++)
		dns_put_address(&w, DNS_ANSWER, NULL, 60, DNS_A, "\x0a\0\0\x01", 4);
	dns_end(&w, DNS_OK, true);
	assert_true(w.size <= sizeof(data));
	assert_int_equal(data[2] & 2, 2);
	assert_int_equal(dns_walk(data, w.size, see, &seen, NULL), 0);
	/* header 12, question 21, OPT 11: 468 bytes for records of 16 */
	assert_int_equal(seen.count, 29 + 1);
	assert_int_equal(dns_keep_s(data, w.size), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_a_query),
		cmocka_unit_test(refuses_what_ends_early),
		cmocka_unit_test(answers_odd_queries_with_the_right_code),
		cmocka_unit_test(follows_pointers_backwards_only),
		cmocka_unit_test(escapes_odd_bytes_both_ways),
		cmocka_unit_test(refuses_names_that_cannot_be),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(keeps_negative_answers_as_long_as_the_soa_says),
		cmocka_unit_test(truncates_whole_records),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

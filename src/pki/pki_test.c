#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pki/pki.h"

#define NOW ((int64_t)1790000000000) /* a fixed day; nothing here reads a clock */

static struct pki_pair ca;

static int setup(void **state)
{
	(void)state;
	return pki_ca_new("example", NOW, &ca, NULL);
}

static int teardown(void **state)
{
	(void)state;
	pki_pair_done(&ca);
	return 0;
}

static const struct pki_subject node_subject = {.use = PKI_NODE,
	.common_name = "system:node:gw-1",
	.organization = "system:nodes",
	.spiffe_id = "spiffe://example/node/gw-1",
	.life_ms = PKI_NODE_LIFE_MS};

static void a_csr_becomes_a_certificate(void **state)
{
	(void)state;
	char *key = NULL, *csr = NULL, *certificate = NULL;
	struct err e = ERR_INIT;
	assert_int_equal(pki_csr_new("whatever", &key, &csr, &e), 0);
	assert_int_equal(pki_sign_csr(&ca, csr, &node_subject, NOW, &certificate, &e), 0);
	struct pki_info info;
	assert_int_equal(pki_inspect(certificate, &info, &e), 0);
	assert_string_equal(info.common_name, "system:node:gw-1");
	assert_string_equal(info.organization, "system:nodes");
	assert_string_equal(info.spiffe_id, "spiffe://example/node/gw-1");
	assert_int_equal(strlen(info.serial), 32);
	assert_int_equal(info.not_before_ms, NOW - PKI_SKEW_MS);
	assert_int_equal(info.not_after_ms, NOW + PKI_NODE_LIFE_MS);
	assert_int_equal(pki_verify(ca.certificate_pem, certificate, NOW, &e), 0);
	free(key);
	free(csr);
	free(certificate);
}

/* An operator's clock may be hours behind the one that made them. */
static void a_servers_certificate_begins_early(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pki_pair fresh CLEANUP(pki_pair_done) = {0}, pair CLEANUP(pki_pair_done) = {0};
	struct pki_subject server = {
		.use = PKI_SERVER, .common_name = "server", .life_ms = PKI_NODE_LIFE_MS};
	const int64_t day_ms = (int64_t)24 * 3600 * 1000;
	assert_int_equal(pki_ca_new("example", NOW, &fresh, &e), 0);
	assert_int_equal(pki_issue(&fresh, &server, NOW, &pair, &e), 0);
	assert_int_equal(pki_verify(fresh.certificate_pem, pair.certificate_pem, NOW - day_ms, &e),
		0);
	assert_int_equal(pki_verify(fresh.certificate_pem, pair.certificate_pem, NOW - 3 * day_ms,
				 &e),
		-ERR_UNAUTHORIZED);
}

/* One bit of the DER is turned: the signature no longer fits the key. */
static void a_forged_csr_is_refused(void **state)
{
	(void)state;
	char *key = NULL, *csr = NULL, *certificate = NULL;
	struct err e = ERR_INIT;
	assert_int_equal(pki_csr_new("gw-1", &key, &csr, &e), 0);
	char *body = strchr(csr, '\n') + 1;
	char *end = strstr(body, "\n-----END");
	end[-6] = end[-6] == 'A' ? 'B' : 'A';
	int r = pki_sign_csr(&ca, csr, &node_subject, NOW, &certificate, &e);
	assert_true(r == -ERR_FORBIDDEN || r == -ERR_DECODE);
	assert_null(certificate);
	assert_int_equal(pki_sign_csr(&ca, "rubbish", &node_subject, NOW, &certificate, &e),
		-ERR_DECODE);
	assert_int_equal(pki_sign_csr(&ca, "", &node_subject, NOW, &certificate, &e), -ERR_DECODE);
	free(key);
	free(csr);
}

static void expiry_and_other_cas_are_noticed(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pki_pair pair CLEANUP(pki_pair_done) = {0}, other CLEANUP(pki_pair_done) = {0};
	assert_int_equal(pki_issue(&ca, &node_subject, NOW, &pair, &e), 0);
	assert_int_equal(pki_verify(ca.certificate_pem, pair.certificate_pem,
				 NOW - PKI_SKEW_MS - 1000, &e),
		-ERR_UNAUTHORIZED);
	assert_int_equal(pki_verify(ca.certificate_pem, pair.certificate_pem,
				 NOW + PKI_NODE_LIFE_MS + 1000, &e),
		-ERR_UNAUTHORIZED);
	assert_non_null(strstr(e.text, "expired"));
	assert_int_equal(pki_ca_new("example", NOW, &other, &e), 0);
	assert_int_equal(pki_verify(other.certificate_pem, pair.certificate_pem, NOW, &e),
		-ERR_UNAUTHORIZED);
	struct pki_subject forever = node_subject;
	forever.life_ms = 2 * PKI_CA_LIFE_MS;
	pki_pair_done(&pair);
	assert_int_equal(pki_issue(&ca, &forever, NOW, &pair, &e), 0);
	struct pki_info info;
	assert_int_equal(pki_inspect(pair.certificate_pem, &info, &e), 0);
	assert_int_equal(info.not_after_ms, NOW + PKI_CA_LIFE_MS);
}

static void a_pin_names_one_key(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct pki_pair other CLEANUP(pki_pair_done) = {0};
	char pin[65], again[65], wrong[65];
	assert_int_equal(pki_ca_new("example", NOW, &other, &e), 0);
	assert_int_equal(pki_pin(ca.certificate_pem, pin, &e), 0);
	assert_int_equal(pki_pin(ca.certificate_pem, again, &e), 0);
	assert_int_equal(pki_pin(other.certificate_pem, wrong, &e), 0);
	assert_int_equal(strlen(pin), 64);
	assert_true(pki_equal(pin, again));
	assert_false(pki_equal(pin, wrong));
	assert_int_equal(pki_pin("-----BEGIN", pin, &e), -ERR_DECODE);
}

static void spiffe_ids_name_nodes_of_the_domain_only(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char id[256], node[128];
	pki_node_spiffe("example", "gw-1", id);
	assert_string_equal(id, "spiffe://example/node/gw-1");
	assert_int_equal(pki_spiffe_node("example", id, node, &e), 0);
	assert_string_equal(node, "gw-1");
	static const char *const wrong[] = {"", "spiffe://other/node/gw-1",
		"spiffe://example/node/", "spiffe://example/node/a/b", "spiffe://example/user/x",
		"spiffe://example/node/A", "http://example/node/a"};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(pki_spiffe_node("example", wrong[i], node, &e), -ERR_FORBIDDEN);
}

static void tokens_survive_text_and_damage_is_noticed(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	unsigned char random[24];
	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (unsigned char)(i * 37 + 1);
	char pin[65], text[PKI_TOKEN_MAX], hash[65];
	assert_int_equal(pki_pin(ca.certificate_pem, pin, &e), 0);
	struct pki_token token, parsed;
	pki_token_new(random, pin, &token);
	assert_int_equal(strlen(token.id), 10);
	assert_int_equal(strlen(token.secret), 26);
	pki_token_format(&token, text);
	assert_int_equal(pki_token_parse(text, &parsed, &e), 0);
	assert_string_equal(parsed.id, token.id);
	assert_string_equal(parsed.secret, token.secret);
	assert_string_equal(parsed.pin, pin);
	for (size_t length = 0; length < strlen(text); length++) {
		char *cut = mem_dup_bytes(text, length);
		assert_int_equal(pki_token_parse(cut, &parsed, &e), -ERR_DECODE);
		free(cut);
	}
	strcat(text, "0");
	assert_int_equal(pki_token_parse(text, &parsed, &e), -ERR_DECODE);
	pki_token_hash("abc", hash); /* FIPS 180-2, appendix B.1 */
	assert_string_equal(hash,
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_seal_opens_only_what_it_sealed(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	unsigned char key[32] = {1, 2, 3}, other_key[32] = {3, 2, 1};
	struct pki_seal *seal = pki_seal_new(key), *other = pki_seal_new(other_key);
	struct buf sealed CLEANUP(buf_done) = BUF_INIT, opened CLEANUP(buf_done) = BUF_INIT;
	assert_int_equal(pki_seal(seal, "core/secrets/a/b", "hello", 5, &sealed, &e), 0);
	assert_int_equal(sealed.size, 5 + 29);
	assert_null(memmem(sealed.data, sealed.size, "hello", 5));
	assert_int_equal(pki_open(seal, "core/secrets/a/b", sealed.data, sealed.size, &opened, &e),
		0);
	assert_string_equal(buf_text(&opened), "hello");
	buf_clear(&opened);
	for (size_t i = 0; i < sealed.size; i++) {
		sealed.data[i] ^= 1;
		assert_int_equal(pki_open(seal, "core/secrets/a/b", sealed.data, sealed.size,
					 &opened, &e),
			-ERR_CORRUPT);
		sealed.data[i] ^= 1;
	}
	for (size_t size = 0; size < sealed.size; size++)
		assert_int_equal(pki_open(seal, "core/secrets/a/b", sealed.data, size, &opened, &e),
			-ERR_CORRUPT);
	assert_int_equal(pki_open(seal, "core/secrets/a/c", sealed.data, sealed.size, &opened, &e),
		-ERR_CORRUPT);
	assert_int_equal(pki_open(other, "core/secrets/a/b", sealed.data, sealed.size, &opened, &e),
		-ERR_CORRUPT);
	assert_int_equal(opened.size, 0);
	pki_seal_free(seal);
	pki_seal_free(other);
}

/* openssl(1) as an independent reader of what we write. */
static void openssl_agrees(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	if (system("command -v openssl >/dev/null 2>&1") != 0)
		skip(); /* openssl(1) is not installed */
	static const char *const names[] = {"server.example", "192.0.2.7", "2001:db8::1", NULL};
	struct pki_subject subject = {.use = PKI_SERVER,
		.common_name = "continuo-server",
		.dns_or_ips = names,
		.life_ms = PKI_NODE_LIFE_MS};
	struct pki_pair pair CLEANUP(pki_pair_done) = {0};
	assert_int_equal(pki_issue(&ca, &subject, NOW, &pair, &e), 0);
	char folder[] = "/tmp/pki-test.XXXXXX", path[64], command[512];
	assert_non_null(mkdtemp(folder));
	const char *const files[][2] = {
		{"ca.pem", ca.certificate_pem}, {"crt.pem", pair.certificate_pem}};
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i][0]);
		FILE *file = fopen(path, "w");
		assert_non_null(file);
		fputs(files[i][1], file);
		fclose(file);
	}
	static const char *const checks[] = {"-verify_hostname server.example",
		"-verify_ip 192.0.2.7", "-verify_ip 2001:db8::1",
		"-purpose sslserver -x509_strict"};
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		snprintf(command, sizeof(command),
			"openssl verify -attime %lld %s -CAfile %s/ca.pem %s/crt.pem >/dev/null "
			"2>&1",
			(long long)(NOW / 1000), checks[i], folder, folder);
		assert_int_equal(system(command), 0);
	}
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_csr_becomes_a_certificate),
		cmocka_unit_test(a_servers_certificate_begins_early),
		cmocka_unit_test(a_forged_csr_is_refused),
		cmocka_unit_test(expiry_and_other_cas_are_noticed),
		cmocka_unit_test(a_pin_names_one_key),
		cmocka_unit_test(spiffe_ids_name_nodes_of_the_domain_only),
		cmocka_unit_test(tokens_survive_text_and_damage_is_noticed),
		cmocka_unit_test(the_seal_opens_only_what_it_sealed),
		cmocka_unit_test(openssl_agrees),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* What strangers and agents may send: a join with its CSR, report lines, frames of a reverse call.
 * Whatever comes, it ends with a result or an error, and a certificate says what we chose. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "wire/join.h"
#include "wire/wire.h"

#define NOW_MS ((int64_t)1790000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_join(const char *text, size_t size, const struct pki_pair *ca)
{
	CLEANUP(wire_join_done) struct wire_join join;
	CLEANUP(mem_free_ptr) char *certificate = NULL;
	struct err e = ERR_INIT;
	if (wire_join_decode(text, size, &join, &e) < 0) {
		if (e.code == ERR_OK || !e.text[0])
			abort();
		return;
	}
	if (wire_check_node_name(join.node, &e) == 0 && strlen(join.node) > 63)
		abort();
	const struct pki_subject subject = {.use = PKI_NODE,
		.common_name = "system:node:n",
		.organization = "system:nodes",
		.spiffe_id = "spiffe://d/node/n",
		.life_ms = PKI_NODE_LIFE_MS};
	if (pki_sign_csr(ca, join.csr, &subject, NOW_MS, &certificate, &e) < 0)
		return;
	struct pki_info info;
	if (pki_inspect(certificate, &info, &e) < 0 ||
		!str_equal(info.organization, "system:nodes") ||
		!str_equal(info.spiffe_id, "spiffe://d/node/n") ||
		pki_verify(ca->certificate_pem, certificate, NOW_MS, &e) < 0)
		abort();
}

static int on_message(void *arg, const char *type, json_t *message, struct err *e)
{
	(void)arg, (void)e;
	if (!type || !json_is_object(message))
		abort();
	return 0;
}

static int on_frame(void *arg, int channel, const char *data, size_t size, struct err *e)
{
	int exit_code;
	(void)arg;
	if (size > WIRE_FRAME_MAX)
		abort();
	return channel == WIRE_END ? wire_parse_end(data, size, &exit_code, e) : 0;
}

/* In two pieces, as a network may cut it. */
static void check_streams(const char *text, size_t size)
{
	struct wire_reader lines = {0}, frames = {0};
	struct err e = ERR_INIT;
	size_t half = size / 2;
	if (wire_read(&lines, text, half, on_message, NULL, &e) == 0)
		(void)!wire_read(&lines, text + half, size - half, on_message, NULL, &e);
	if (wire_read_frames(&frames, text, half, on_frame, NULL, &e) == 0)
		(void)!wire_read_frames(&frames, text + half, size - half, on_frame, NULL, &e);
	wire_reader_done(&lines);
	wire_reader_done(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pki_pair ca;
	struct err e = ERR_INIT;
	if (!ca.key_pem && pki_ca_new("d", NOW_MS - 1000, &ca, &e) < 0)
		abort();
	CLEANUP(mem_free_ptr) char *text = mem_dup_bytes(data, size);
	check_join(text, size, &ca);
	check_streams(text, size);
	return 0;
}

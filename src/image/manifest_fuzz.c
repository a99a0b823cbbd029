/* What a registry may send as a manifest, config or challenge: whatever comes, the parsers end with
 * a result or an error, and a result keeps within its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/auth.h"
#include "image/image.h"
#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_blob(const struct manifest_blob *b)
{
	if (!image_digest_valid(b->digest) || b->size < 0 || b->size > MANIFEST_BLOB_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct manifest_platform platform = {"arm", "v7"};
	CLEANUP(mem_free_ptr) char *text = mem_dup_bytes(data, size);
	CLEANUP(mem_free_ptr) struct manifest *m = mem_new(struct manifest);
	struct err e = ERR_INIT;
	if (manifest_parse(text, size, &platform, m, &e) == 0) {
		if (m->is_index) {
			check_blob(&m->chosen);
		} else {
			check_blob(&m->config);
			if (m->layer_count > MANIFEST_LAYERS_MAX)
				abort();
			for (size_t i = 0; i < m->layer_count; i++)
				check_blob(&m->layers[i]);
		}
	} else if (e.code == ERR_OK || e.text[0] == '\0') {
		abort();
	}
	m->layer_count = 1;
	if (manifest_check_config(m, text, size, &e) > 0)
		abort();
	struct auth_challenge challenge;
	if (auth_parse_challenge(text, &challenge, &e) == 0 && challenge.bearer &&
		!challenge.realm[0])
		abort();
	struct image_reference reference, again;
	char whole[IMAGE_REFERENCE_SIZE];
	if (image_reference_parse(text, &reference, &e) == 0) {
		image_reference_format(&reference, whole);
		if (image_reference_parse(whole, &again, &e) != 0 ||
			memcmp(&reference, &again, sizeof(again)) != 0)
			abort();
	}
	return 0;
}

/* What decodes must encode to text that decodes to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(json_done) json_t *json = NULL;
	CLEANUP(json_done) json_t *again = NULL;
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	if (json_decode((const char *)data, size, &json, NULL) < 0)
		return 0;
	json_encode(json, &text);
	if (json_decode(buf_text(&text), text.size, &again, NULL) < 0 || !json_equal(json, again))
		abort();
	return 0;
}

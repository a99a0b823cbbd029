/* What decodes must encode to YAML that decodes to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int keep(void *arg, json_t *document, int line, struct err *e)
{
	(void)line;
	(void)e;
	json_t **kept = arg;
	*kept = json_incref(document);
	return 0;
}

static int check(void *arg, json_t *document, int line, struct err *e)
{
	(void)arg;
	(void)line;
	(void)e;
	CLEANUP(json_done) json_t *again = NULL;
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	yaml_encode(document, &text);
	if (yaml_decode(buf_text(&text), text.size, keep, &again, NULL) < 0 ||
		!json_equal(document, again))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	(void)!yaml_decode((const char *)data, size, check, NULL, &e);
	return 0;
}

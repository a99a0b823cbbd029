/* Text from a query string: label and field selectors, quantities. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/model.h"
#include "model/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The canonical form is the same amount, or its next whole number for binary ones. */
static void check_quantity(const char *text)
{
	char canonical[QUANTITY_TEXT_SIZE];
	struct quantity before = {0}, after = {0};
	enum quantity_format format;
	if (quantity_canonical(text, canonical, NULL) < 0)
		return;
	if (quantity_parse(text, &before, &format, NULL) < 0 ||
		quantity_parse(canonical, &after, &format, NULL) < 0)
		abort();
	int64_t units = after.units - before.units;
	int32_t nano = after.nano - before.nano;
	if (units > 1 || units < -1 || (units == 1 && nano >= 0) || (units == -1 && nano <= 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct label labels[] = {{"app", "web"}, {"tier", "edge"}};
	CLEANUP(mem_free_ptr) char *text = mem_dup_bytes(data, size);
	struct selector *s = NULL;
	struct field_selector *fields = NULL;
	if (selector_parse(text, &s, NULL) == 0)
		(void)selector_matches(s, labels, ARRAY_SIZE(labels));
	selector_free(s);
	if (field_selector_parse(text, &fields, NULL) == 0)
		field_selector_free(fields);
	check_quantity(text);
	return 0;
}

/* What the tests of validation share: documents with a patch on top, and what is wrong with them.
 * Only tests include this. */
#ifndef CONTINUO_MODEL_TESTING_H
#define CONTINUO_MODEL_TESTING_H

#include "base/str.h"
#include "model/model.h"

struct row {
	const char *patch, *error; /* error null: the document is right */
};

json_t *testing_parse(const char *text);
/* Each patch on base gives an error that has the row's text in it; update: as a change of base. */
void testing_check_rows(const struct kind *k, const char *base, const struct row *rows,
	size_t count, bool update);

#define CREATE(kind, base, rows)                                                                   \
	testing_check_rows(&(kind), (base), (rows), ARRAY_SIZE(rows), false)
#define UPDATE(kind, base, rows) testing_check_rows(&(kind), (base), (rows), ARRAY_SIZE(rows), true)

#endif

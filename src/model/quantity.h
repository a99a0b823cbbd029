/* The whole of resource.Quantity for this room; model.h shows what others need. Format:
 * Kubernetes, apimachinery/pkg/api/resource, Quantity. */
#ifndef CONTINUO_MODEL_QUANTITY_H
#define CONTINUO_MODEL_QUANTITY_H

#include <stdint.h>

#include "base/err.h"

enum quantity_format { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };

#define QUANTITY_BILLION 1000000000

/* Both parts have the same sign: -1.5 is {-1, -500000000}. */
struct quantity {
	int64_t units;
	int32_t nano; /* billionths, less than a unit */
};

/* Exact to a billionth, rounded up (away from zero) below it. -ERR_DECODE; -ERR_INVALID when it is
 * over 2^63 - 1. */
int quantity_parse(const char *text, struct quantity *ret_quantity,
	enum quantity_format *ret_format, struct err *e) MUST_CHECK;

/* Less than, equal to or greater than 0, as a to b. */
int quantity_compare(struct quantity a, struct quantity b);

/* The form in which Kubernetes stores it: "1000m" is "1", "1.5Gi" is "1536Mi", "1024" stays. */
#define QUANTITY_TEXT_SIZE 64
int quantity_canonical(const char *text, char ret_text[static QUANTITY_TEXT_SIZE],
	struct err *e) MUST_CHECK;

#endif

/* The whole of resource.Quantity for this room; model.h shows what others need. Format:
 * Kubernetes, apimachinery/pkg/api/resource, Quantity. */
#ifndef CONTINUO_MODEL_QUANTITY_H
#define CONTINUO_MODEL_QUANTITY_H

#include <stdint.h>

#include "base/err.h"

enum quantity_format { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };

__extension__ typedef __int128 quantity_nano; /* billionths */

/* Exact to a billionth, rounded up (away from zero) below it. -ERR_DECODE; -ERR_INVALID when it is
 * over 2^63 - 1. */
int quantity_parse(const char *text, quantity_nano *ret_nano, enum quantity_format *ret_format,
	struct err *e) MUST_CHECK;

/* The form in which Kubernetes stores it: "1000m" is "1", "1.5Gi" is "1536Mi", "1024" stays. */
#define QUANTITY_TEXT_SIZE 64
int quantity_canonical(const char *text, char ret_text[static QUANTITY_TEXT_SIZE],
	struct err *e) MUST_CHECK;

#endif

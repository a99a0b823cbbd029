/* Base64 (RFC 4648 section 4, padded) and base64url (section 5, unpadded). */
#ifndef CONTINUO_CODEC_BASE64_H
#define CONTINUO_CODEC_BASE64_H

#include "base/buf.h"

void base64_encode(const void *data, size_t size, struct buf *b);
void base64url_encode(const void *data, size_t size, struct buf *b);
int base64_decode(const char *text, size_t size, struct buf *b,
	struct err *e) MUST_CHECK; /* -ERR_DECODE */
int base64url_decode(const char *text, size_t size, struct buf *b, struct err *e) MUST_CHECK;

#endif

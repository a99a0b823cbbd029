/* SHA-256 over a stream (OpenSSL's EVP), for digests as images write them. */
#ifndef CONTINUO_IMAGE_DIGEST_H
#define CONTINUO_IMAGE_DIGEST_H

#include <stddef.h>

#define DIGEST_TEXT_SIZE 72

struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, const void *data, size_t size);
/* "sha256:..."; the digest takes no more data. */
void digest_end(struct digest *d, char ret_text[static DIGEST_TEXT_SIZE]);
void digest_free(struct digest *d);
void digest_of(const void *data, size_t size, char ret_text[static DIGEST_TEXT_SIZE]);

#endif

#include "sim/trace.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void sim_trace_init(struct sim_trace *t)
{
	*t = (struct sim_trace){.digest = EVP_MD_CTX_new()};
	if (!t->digest || !EVP_DigestInit_ex(t->digest, EVP_sha256(), NULL))
		abort();
}

void sim_trace_done(struct sim_trace *t)
{
	EVP_MD_CTX_free(t->digest);
	t->digest = NULL;
}

void sim_trace_line(struct sim_trace *t, int64_t now_us, const char *format, ...)
{
	char line[2048];
	int at = snprintf(line, sizeof(line), "%" PRId64 " ", now_us);
	va_list args;
	va_start(args, format);
	int size = vsnprintf(line + at, sizeof(line) - (size_t)at - 1, format, args);
	va_end(args);
	size_t end = (size_t)at + (size_t)(size < 0 ? 0 : size);
	if (end > sizeof(line) - 2)
		end = sizeof(line) - 2;
	line[end] = '\n';
	if (!EVP_DigestUpdate(t->digest, line, end + 1))
		abort();
	if (t->copy)
		fwrite(line, 1, end + 1, t->copy);
	t->lines++;
	if (t->watched && memmem(line, end, t->watched, strlen(t->watched)))
		t->seen++;
}

void sim_trace_hash(const struct sim_trace *t, char ret_hex[static 33])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	if (!copy || !EVP_MD_CTX_copy_ex(copy, t->digest) || !EVP_DigestFinal_ex(copy, sum, NULL))
		abort();
	EVP_MD_CTX_free(copy);
	str_hex(sum, 16, ret_hex);
}

uint64_t sim_trace_sum(const void *data, size_t size)
{
	const unsigned char *p = data;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
	return sum;
}

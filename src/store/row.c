#include "store/row.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ROW_VERSION 1
#define ROW_FIXED 10
#define ROW_SUM 16
#define ROW_HEADER (ROW_FIXED + ROW_SUM)

enum { ROW_DELETED = 1, ROW_SEALED = 2 };

static void put64(unsigned char *out, int64_t number)
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
}

static int64_t get64(const unsigned char *in)
{
	uint64_t number = 0;
	for (int i = 0; i < 8; i++)
		number = number << 8 | in[i];
	return (int64_t)number;
}

static void free_digest(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

static int checksum(int64_t row, const char *key, const unsigned char *fixed, const void *data,
	size_t size, unsigned char ret_sum[static ROW_SUM], struct err *e)
{
	CLEANUP(free_digest)
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char number[8], digest[EVP_MAX_MD_SIZE];
	put64(number, row);
	if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL) ||
		!EVP_DigestUpdate(context, number, sizeof(number)) ||
		!EVP_DigestUpdate(context, key, strlen(key) + 1) ||
		!EVP_DigestUpdate(context, fixed, ROW_FIXED) ||
		!EVP_DigestUpdate(context, data, size) ||
		!EVP_DigestFinal_ex(context, digest, NULL))
		return err_set(e, ERR_INTERNAL, "SHA-256 is not available");
	memcpy(ret_sum, digest, ROW_SUM);
	return 0;
}

static int append_data(const struct store_row *row, const struct store_seal *seal,
	unsigned char *flags, struct buf *out, struct err *e)
{
	if (!row->object) {
		*flags = ROW_DELETED;
		return 0;
	}
	if (!row->object->kind->sealed) {
		buf_append(out, row->object->blob, row->object->blob_size);
		return 0;
	}
	if (!seal)
		return err_set(e, ERR_UNSUPPORTED, "%s: no key to encrypt it with", row->key);
	*flags = ROW_SEALED;
	return seal->seal(seal->context, row->key, row->object->blob, row->object->blob_size, out,
		e);
}

int store_row_encode(const struct store_row *row, const struct store_seal *seal, struct buf *out,
	struct err *e)
{
	unsigned char header[ROW_HEADER] = {ROW_VERSION};
	size_t start = out->size;
	buf_append(out, header, sizeof(header));
	int r = append_data(row, seal, &header[1], out, e);
	if (r < 0)
		return r;
	r = buf_check(out, row->key, e);
	if (r < 0)
		return r;
	put64(header + 2, row->object ? row->object->create_revision : 0);
	r = checksum(row->row, row->key, header, out->data + start + ROW_HEADER,
		out->size - start - ROW_HEADER, header + ROW_FIXED, e);
	if (r == 0)
		memcpy(out->data + start, header, sizeof(header));
	return r;
}

/* "core/pods/..." and "apps/deployments/...": the kind of a key. */
static const struct kind *kind_of(const struct kind_registry *kinds, const char *key)
{
	char group[OBJECT_KEY_MAX], plural[OBJECT_KEY_MAX];
	const char *first = strchr(key, '/');
	const char *second = first ? strchr(first + 1, '/') : NULL;
	if (!second || second - key >= OBJECT_KEY_MAX)
		return NULL;
	memcpy(group, key, (size_t)(first - key));
	group[first - key] = '\0';
	memcpy(plural, first + 1, (size_t)(second - first - 1));
	plural[second - first - 1] = '\0';
	return kind_by_plural(kinds, strcmp(group, "core") == 0 ? "" : group, NULL, plural);
}

static int decode_object(int64_t row, const char *key, const unsigned char *header,
	const void *data, size_t size, const struct kind_registry *kinds,
	const struct store_seal *seal, struct object **ret_object, struct err *e)
{
	const struct kind *kind = kind_of(kinds, key);
	if (!kind)
		return err_set(e, ERR_UNSUPPORTED,
			"%s is of a kind that this version does not know", key);
	CLEANUP(buf_done)
	struct buf opened = BUF_INIT;
	if (header[1] & ROW_SEALED) {
		if (!seal)
			return err_set(e, ERR_UNSUPPORTED, "%s is encrypted and no key was given",
				key);
		int r = seal->open(seal->context, key, data, size, &opened, e);
		if (r < 0)
			return r;
		data = buf_text(&opened);
		size = opened.size;
	}
	return object_from_blob(kind, data, size, row / STORE_ROW(1, 0), get64(header + 2),
		ret_object, e);
}

int store_row_decode(int64_t row, const char *key, const void *data, size_t size,
	const struct kind_registry *kinds, const struct store_seal *seal,
	struct object **ret_object, struct err *e)
{
	const unsigned char *header = data;
	if (size < ROW_HEADER)
		return err_set(e, ERR_CORRUPT, "%s: stored object is cut off", key);
	if (header[0] != ROW_VERSION)
		return err_set(e, ERR_UNSUPPORTED, "%s: stored in the newer format %d", key,
			header[0]);
	unsigned char sum[ROW_SUM];
	int r = checksum(row, key, header, header + ROW_HEADER, size - ROW_HEADER, sum, e);
	if (r < 0)
		return r;
	if (memcmp(sum, header + ROW_FIXED, ROW_SUM) != 0)
		return err_set(e, ERR_CORRUPT, "%s: the checksum of revision %lld is wrong", key,
			(long long)(row / STORE_ROW(1, 0)));
	*ret_object = NULL;
	if (header[1] & ROW_DELETED)
		return 0;
	return decode_object(row, key, header, header + ROW_HEADER, size - ROW_HEADER, kinds, seal,
		ret_object, e);
}

/* The stored form of an object: compact JSON in schema order. Private to this room. */
#ifndef CONTINUO_MODEL_BLOB_H
#define CONTINUO_MODEL_BLOB_H

#include "codec/json.h"
#include "model/schema.h"

/* Writes json as a blob; fields that are FIELD_UNSTORED or null are left out, fields that the
 * schema does not know come last (a newer version wrote them). ret_revision_offset: where a member
 * with a comma behind it may be put into metadata. An overflow marks b as failed. */
void blob_write(const struct kind *kind, const json_t *json, struct buf *b,
	size_t *ret_revision_offset);

#endif

/*
 * JSON (RFC 8259) in and out, over jansson: the tree is jansson's json_t, used directly where a
 * tree is needed. No parsed tree outlives its request; what is kept is text. What comes from
 * outside is bounded here: size, depth, duplicate keys, NUL bytes and invalid UTF-8 are errors with
 * line and column.
 */
#ifndef CONTINUO_CODEC_JSON_H
#define CONTINUO_CODEC_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_DEPTH_MAX 64
#define JSON_SIZE_MAX ((size_t)3 << 20) /* bytes of one document */

/* One document, of any type, nothing behind it. -ERR_DECODE "line 3, column 7: ...",
 * -ERR_TOO_LARGE. The caller owns *ret_json (json_decref). */
int json_decode(const char *text, size_t size, json_t **ret_json, struct err *e) MUST_CHECK;

/* Compact, in the order of insertion. A buffer that overflows is marked as failed. */
void json_encode(const json_t *json, struct buf *b);
char *json_encode_string(const json_t *json); /* freed with free() */

/* Appends text as a JSON string with its quotes. What is no UTF-8 in it (str_character) becomes
 * U+FFFD: containers, registries and files say what they like. */
void json_write_string(struct buf *b, const char *text);
/* The same as a value; jansson's own makes none of what is no UTF-8. */
json_t *json_string_of(const char *text);

/* For CLEANUP(json_done): drops the reference in the variable. */
void json_done(json_t **json);

/* Walks nested objects: json_at(pod, "spec", "nodeName"). Null when anything on the way is missing.
 */
#define json_at(json, ...) json_at_keys((json), (const char *const[]){__VA_ARGS__, NULL})
json_t *json_at_keys(const json_t *json, const char *const *keys);

/* The same for values; the fallback when missing or of another type. */
#define json_text(json, fallback, ...) json_text_or(json_at((json), __VA_ARGS__), (fallback))
#define json_int(json, fallback, ...) json_int_or(json_at((json), __VA_ARGS__), (fallback))
#define json_bool(json, fallback, ...) json_bool_or(json_at((json), __VA_ARGS__), (fallback))
const char *json_text_or(const json_t *json, const char *fallback);
int64_t json_int_or(const json_t *json, int64_t fallback);
bool json_bool_or(const json_t *json, bool fallback);

/* Gives the object at a key, made when missing (borrowed reference). */
json_t *json_ensure_object(json_t *object, const char *key);

#endif

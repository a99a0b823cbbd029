/*
 * What is done with a document before it becomes an object: decode, default, validate, patch,
 * select, show. Pure: time and uids come in.
 */
#ifndef CONTINUO_MODEL_MODEL_H
#define CONTINUO_MODEL_MODEL_H

#include "base/arena.h"
#include "base/vec.h"
#include "model/object.h"

/* One thing that is wrong with a document, or worth a warning. Strings live in the report's arena.
 */
struct finding {
	const char *path;   /* "spec.containers[0].image" */
	const char *reason; /* Kubernetes' cause: FieldValueRequired, FieldValueInvalid,
			       FieldValueNotSupported, ... */
	const char *text;   /* errors: what is said behind the path; warnings: the whole sentence */
};

struct findings {
	VEC(struct finding) errors; /* 422 with these as details.causes */
	VEC(struct finding)
	warnings; /* HTTP Warning headers: unknown and not yet supported fields */
	struct arena arena;
};
void findings_done(struct findings *f);

/* A sentence of all errors for people: `Pod "x" is invalid: spec.containers: Required value, ...`;
 * 0 when there are none, else -ERR_INVALID. */
int findings_check(const struct findings *f, const struct kind *k, const char *name,
	struct err *e) MUST_CHECK;

/* Type checks, drops unknown fields (each a warning; each an error when strict), makes numbers of
 * quantities strings, drops nulls. Changes json in place. Wrong types are -ERR_DECODE with the
 * field's path. */
int model_prune(const struct kind *k, json_t *json, bool strict, struct findings *f,
	struct err *e) MUST_CHECK;

/* Fills in the defaults of the schema and those that depend on other fields (default.c). */
void model_default(const struct kind *k, json_t *json);

/* Rules of the schema and of the kind (validate.c). old null on creation; on update immutable
 * fields are compared. All findings at once. */
void model_validate(const struct kind *k, const json_t *json, const json_t *old,
	struct findings *f);

/* JSON merge patch (RFC 7386), in place. */
void model_merge_patch(json_t *target, const json_t *patch);

/* Label selectors: "app=web,tier!=edge,x in (a,b),!y", or from a LabelSelector object. */
struct selector;
int selector_parse(const char *text, struct selector **ret_selector, struct err *e) MUST_CHECK;
int selector_from_json(const json_t *label_selector, struct selector **ret_selector,
	struct err *e) MUST_CHECK;
/* Labels sorted by key, as objects have them. A null selector matches all. */
bool selector_matches(const struct selector *s, const struct label *labels, size_t count);
void selector_free(struct selector *s);

/* Field selectors of Kubernetes: metadata.name, metadata.namespace, spec.nodeName, status.phase,
 * type, involvedObject.*; "=", "==", "!=". -ERR_DECODE for another field. */
struct field_selector;
int field_selector_parse(const char *text, struct field_selector **ret_selector,
	struct err *e) MUST_CHECK;
bool field_selector_matches(const struct field_selector *s, const struct object *o);
void field_selector_free(struct field_selector *s);

/* resource.Quantity. Exact in thousandths, rounded up; -ERR_DECODE, -ERR_INVALID when out of range.
 */
int quantity_milli(const char *text, int64_t *ret_milli, struct err *e) MUST_CHECK;
int quantity_units(const char *text, int64_t *ret_units, struct err *e) MUST_CHECK; /* rounded up */
/* As it is, fractions and sign included. */
int quantity_number(const char *text, double *ret_number, struct err *e) MUST_CHECK;
void quantity_format_milli(int64_t milli, char ret_text[static 32]); /* "250m", "2" */
void quantity_format_bytes(int64_t bytes, char ret_text[static 32]); /* "64Mi" */

/* A duration as Go and Kubernetes write it, of 0 or more: "20ms", "1m30s", "0". -ERR_DECODE. */
int duration_ms(const char *text, double *ret_ms, struct err *e) MUST_CHECK;

/* The effective requests of a pod's tree (Kubernetes: max of init containers and the sum of the
 * others); resource null: count of pods. name "cpu" in milli, all else in units. */
int64_t model_pod_request(const json_t *pod, const char *resource);

/* Table rows: the cells of one object, in the order of its columns, as JSON values. */
json_t *table_cells(const struct object *o, int64_t wall_ms) MUST_CHECK;
/* A whole meta.k8s.io/v1 Table of a list. */
void table_write(const struct kind *k, struct object *const *objects, size_t count,
	int64_t list_revision, const char *continue_token, int64_t wall_ms, struct buf *b);

/* metadata of a document that is being created: uid, creationTimestamp, generation 1, a name from
 * generateName with the suffix. uid_bytes: 16 random bytes (a UUIDv4 is made of them). */
void model_stamp_new(json_t *json, const unsigned char uid_bytes[static 16], int64_t wall_ms);

/* A Status object (meta/v1) for an error. */
void model_write_status(const struct err *e, const struct kind *k, const char *name,
	const struct findings *f, struct buf *b);

#endif

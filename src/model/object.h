/*
 * Objects as they are kept: one immutable JSON blob (no white space, keys in schema order) and a
 * fixed record of what lists, selectors and reconcilers ask for, so that no parsed tree outlives
 * its request. Reference counted with atomics: may be read and unreferenced on any thread.
 *
 * The blob carries everything but metadata.resourceVersion, which the store gives at commit:
 * object_write puts it in on the way out.
 */
#ifndef CONTINUO_MODEL_OBJECT_H
#define CONTINUO_MODEL_OBJECT_H

#include "codec/json.h"
#include "model/schema.h"

#define OBJECT_SIZE_MAX ((size_t)1 << 20) /* bytes of a blob */

struct label {
	const char *key, *value;
};

struct object {
	const struct kind *kind;
	/* Given by the store at commit (0 before): */
	int64_t revision;        /* of this state; metadata.resourceVersion */
	int64_t create_revision; /* of the put that made the key */
	/* The index record; strings point into the object: */
	const char *namespace; /* "" for cluster scope */
	const char *name;
	const char *uid;
	const char *owner_uid;      /* of the controlling owner reference; "" */
	const char *node;           /* pods: spec.nodeName; "" */
	const char *phase;          /* status.phase; "" */
	const char *generate_name;  /* "" */
	const struct label *labels; /* sorted by key */
	size_t label_count;
	int64_t generation;
	int64_t created_ms;  /* creationTimestamp, wall_ms */
	int64_t deletion_ms; /* deletionTimestamp, wall_ms; 0: not being deleted */
	bool has_finalizers;
	bool ready;                      /* pods and nodes: condition Ready is True */
	int64_t cpu_milli, memory_bytes; /* pods: effective requests */
	/* The blob: */
	const char *blob;
	size_t blob_size;
	size_t revision_offset; /* where object_write puts "resourceVersion":"N", */
};

/* Builds an object from a tree that was decoded, defaulted and validated: writes the blob in schema
 * order without resourceVersion, managedFields, apiVersion differences; fills the record.
 * -ERR_TOO_LARGE, -ERR_INVALID. One reference for the caller; the tree stays the caller's. */
int object_from_json(const struct kind *kind, const json_t *json, struct object **ret_object,
	struct err *e) MUST_CHECK;

/* From stored bytes that object_from_json once made. -ERR_CORRUPT. */
int object_from_blob(const struct kind *kind, const char *blob, size_t size, int64_t revision,
	int64_t create_revision, struct object **ret_object, struct err *e) MUST_CHECK;

struct object *object_ref(const struct object *o);
void object_unref(const struct object *o); /* null is fine */
void object_done(struct object **o);       /* for CLEANUP */

/* The store's alone, before anybody else sees the object. */
void object_stamp(struct object *o, int64_t revision, int64_t create_revision);

/* The object as clients see it, with resourceVersion. */
void object_write(const struct object *o, struct buf *b);
/* The same as a tree (new reference); aborts on a corrupt blob, which cannot be. */
json_t *object_tree(const struct object *o) MUST_CHECK;

const char *object_label(const struct object *o, const char *key); /* null when absent */

/* "core/pods/NAMESPACE/NAME", "apps/deployments/NS/NAME", "core/nodes//NAME": the store's key. */
#define OBJECT_KEY_MAX 512
void object_key(const struct object *o, char ret_key[static OBJECT_KEY_MAX]);
int object_key_of(const struct kind *k, const char *namespace, const char *name,
	char ret_key[static OBJECT_KEY_MAX], struct err *e) MUST_CHECK; /* -ERR_INVALID: too long */
/* The prefix of all of a kind, or of those in one namespace ("" or null: all). */
void object_prefix(const struct kind *k, const char *namespace,
	char ret_prefix[static OBJECT_KEY_MAX]);

#endif

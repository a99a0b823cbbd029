/*
 * The schema engine: one description of a kind from which everything is done with its objects:
 * decoding, defaulting, pruning, validation, patching, tables, documentation. The built-in kinds
 * are C tables generated from api/ (model/gen); a CustomResourceDefinition loads the same struct at
 * run time. Immutable once made; readable from any thread.
 */
#ifndef CONTINUO_MODEL_SCHEMA_H
#define CONTINUO_MODEL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum schema_type {
	SCHEMA_OBJECT, /* fields[] */
	SCHEMA_MAP,    /* string keys, values of type item */
	SCHEMA_LIST,   /* items of type item */
	SCHEMA_STRING,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_BOOLEAN,
	SCHEMA_INT_OR_STRING, /* "80%", 8080, "http" */
	SCHEMA_QUANTITY, /* resource.Quantity: "100m", "64Mi"; numbers are taken and made strings */
	SCHEMA_TIME,     /* RFC 3339 */
	SCHEMA_BYTES,    /* base64 */
	SCHEMA_ANY       /* kept as it is (x-kubernetes-preserve-unknown-fields) */
};

/* How server-side apply and strategic merge treat a list (Kubernetes: x-kubernetes-list-type). */
enum schema_list { SCHEMA_ATOMIC, SCHEMA_SET, SCHEMA_KEYED };

/* Formats beyond the type, checked by name: see validate.c. */
enum schema_format {
	FORMAT_NONE,
	FORMAT_DNS_LABEL,     /* RFC 1123 label, at most 63 */
	FORMAT_DNS_SUBDOMAIN, /* RFC 1123 subdomain, at most 253 */
	FORMAT_DNS_1035_LABEL,
	FORMAT_LABEL_KEY,
	FORMAT_LABEL_VALUE,
	FORMAT_ENV_NAME,
	FORMAT_CONFIG_KEY,
	FORMAT_PORT, /* 1 to 65535 */
	FORMAT_PORT_NAME,
	FORMAT_IP,
	FORMAT_IMAGE,
	FORMAT_PATH_ABSOLUTE,
	FORMAT_DURATION, /* as Go writes it: "20ms", "1h30m"; see duration_ms */
	FORMAT_COUNTRY   /* ISO 3166-1 alpha-2: "DE" */
};

enum schema_flags {
	FIELD_REQUIRED = 1,
	FIELD_IMMUTABLE = 2,   /* cannot change after creation */
	FIELD_UNSUPPORTED = 4, /* stored, not carried out yet: named in a warning */
	FIELD_REFUSED = 8, /* not carried out and security depends on it: the object is refused */
	FIELD_STATUS =
		16, /* the whole subtree is status: kept from the old object on ordinary writes */
	FIELD_UNSTORED = 32 /* taken from clients, never part of a blob (resourceVersion) */
};

struct schema;

struct schema_field {
	const char *name;
	const struct schema *schema;
	unsigned flags;
	const char *default_json; /* null: none; "\"Always\"", "30" */
	const char *doc;          /* our own sentence; may be null */
};

struct schema {
	enum schema_type type;
	enum schema_format format;
	enum schema_list list;
	const char *const *keys;           /* SCHEMA_KEYED: the merge keys, null terminated */
	const char *const *values;         /* the allowed strings, null terminated; null: any */
	const struct schema_field *fields; /* in schema order, which is the order in blobs */
	size_t field_count;
	const struct schema *item; /* of maps and lists */
	const struct schema *key;  /* of maps: what a key must look like; may be null */
	bool has_minimum, has_maximum;
	int64_t minimum, maximum; /* numbers: value; strings, lists and maps: length */
};

/* A column of kubectl's tables. */
struct kind_column {
	const char *name; /* "READY" shown as given */
	const char *type; /* "string", "integer", "number", "date" */
	const char *path; /* ".spec.nodeName", or "@name" of a cell function in table.c */
	int priority;     /* 0: always, 1: with -o wide */
};

struct kind {
	const char *group;   /* "" for core */
	const char *version; /* served and stored */
	const char *name;    /* "Deployment" */
	const char *plural, *singular;
	const char *const *short_names; /* null terminated */
	const char *const *categories;
	bool namespaced;
	bool has_status; /* has the subresource status */
	bool in_memory;  /* never on disk, exempt from the promise (Event) */
	bool sealed;     /* its data is encrypted at rest (Secret) */
	const struct schema *schema;
	const struct kind_column *columns;
	size_t column_count;
};

/* The kinds a domain serves; grows with CustomResourceDefinitions. */
struct kind_registry;
struct kind_registry *kind_registry_new(void) MUST_CHECK; /* with the built-in kinds */
void kind_registry_free(struct kind_registry *r);
/* By what stands in a URL; null when unknown. version null: the served one. */
const struct kind *kind_by_plural(const struct kind_registry *r, const char *group,
	const char *version, const char *plural);
/* By apiVersion ("apps/v1") and kind ("Deployment"). */
const struct kind *kind_by_name(const struct kind_registry *r, const char *api_version,
	const char *name);
/* By what people type: plural, singular, short name, any case, "deployments.apps" too. */
const struct kind *kind_by_word(const struct kind_registry *r, const char *word);
const struct kind *kind_next(const struct kind_registry *r,
	size_t *position); /* walk; null at the end */

/* The built-in kinds that code names: kind_pod.name is "Pod". Generated. */
extern const struct kind kind_namespace, kind_node, kind_pod, kind_deployment, kind_replicaset,
	kind_service, kind_endpointslice, kind_configmap, kind_secret, kind_event, kind_site,
	kind_application;

void kind_api_version(const struct kind *k, char ret_text[static 128]); /* "apps/v1", "v1" */

#endif

/*
 * From a Docker container to the pod that says the same: pure functions over what `docker inspect`
 * gives (Docker Engine API 1.40 and later, ContainerInspect and ImageInspect). What a pod cannot
 * say, and what a person should know before such a pod takes the container's place, becomes a
 * warning: a sentence without the container's name.
 */
#ifndef CONTINUO_CLI_ADOPT_SPEC_H
#define CONTINUO_CLI_ADOPT_SPEC_H

#include <stdbool.h>

#include "base/attr.h"
#include "codec/json.h"

struct adopt_spec {
	const json_t *container; /* as inspected */
	const json_t *image;     /* as inspected; null when Docker has lost it */
	const char *name;        /* of the container in the pod, a DNS label */
	json_t *warnings;        /* array of texts, added to */
};

/* The pod's spec: a template for such containers, without a node. New reference. */
json_t *adopt_spec_pod(const struct adopt_spec *s) MUST_CHECK;

void adopt_spec_warn(const struct adopt_spec *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* Private to the mapping: the parts of it. They add to the pod's spec and to its container. */
void adopt_spec_volumes(const struct adopt_spec *s, json_t *pod, json_t *container);
void adopt_spec_network(const struct adopt_spec *s, json_t *pod, json_t *container);
void adopt_spec_security(const struct adopt_spec *s, json_t *pod, json_t *container);
void adopt_spec_leftovers(const struct adopt_spec *s);

/* A DNS label (RFC 1123) of at most 50 characters from any text; "x" when nothing is left. */
#define ADOPT_LABEL_SIZE 51
void adopt_label(const char *text, char ret_label[static ADOPT_LABEL_SIZE]);

#endif

/*
 * YAML in and out, over libyaml, as Kubernetes reads it (sigs.k8s.io/yaml: YAML 1.1 scalars for
 * true/false/null/numbers in plain style, then JSON). Multi-document. Aliases are expanded within a
 * budget; depth, size and duplicate keys are bounded as in json.h, errors carry line and column.
 */
#ifndef CONTINUO_CODEC_YAML_H
#define CONTINUO_CODEC_YAML_H

#include "codec/json.h"

/* Calls cb for each document that is not empty (cb takes no reference) with the line it starts at.
 * A cb that returns non-zero ends it with that. JSON is YAML, so JSON files are read too. */
typedef int yaml_document_cb(void *arg, json_t *document, int line, struct err *e);
int yaml_decode(const char *text, size_t size, yaml_document_cb *cb, void *arg,
	struct err *e) MUST_CHECK;

/* Block style, keys in order, strings quoted only where a reader would take them for something
 * else. */
void yaml_encode(const json_t *json, struct buf *b);

#endif

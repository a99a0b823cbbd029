/* What a plain YAML 1.1 scalar means, as Go's yaml.v2 (and so Kubernetes) resolves it. Private to
 * this room. */
#ifndef CONTINUO_CODEC_YAML_SCALAR_H
#define CONTINUO_CODEC_YAML_SCALAR_H

#include <jansson.h>

#include "base/err.h"

/* null, true/yes/on/y, 0644 (octal), 0x1F, 0b11, 1_000, 1.5e3; a string otherwise. A new
 * reference; null when it has no JSON form (.nan, .inf, text that is not UTF-8). */
json_t *yaml_resolve(const char *text, size_t size) MUST_CHECK;

#endif

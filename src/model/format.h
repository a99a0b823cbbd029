/* The formats of schema.h as checks of text, and a few names that have a form. Private to this
 * room. Sources: RFC 1123 and 1035 (host names), RFC 6335 (service names), Kubernetes'
 * apimachinery/util/validation. */
#ifndef CONTINUO_MODEL_FORMAT_H
#define CONTINUO_MODEL_FORMAT_H

#include "model/schema.h"

/* Null when text has the format, else what it must be (a static sentence). */
const char *format_check(enum schema_format format, const char *text) MUST_CHECK;

/* Names of containers' ports: IANA service names with at least one letter. */
const char *format_check_port_name(const char *text) MUST_CHECK;

/* Paths in volumes: relative, no "..". */
const char *format_check_relative_path(const char *text) MUST_CHECK;

#endif

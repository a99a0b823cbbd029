/*
 * Points in time as text. Nothing here reads a clock: times come in as milliseconds since
 * 1970-01-01 UTC (wall_ms) or as milliseconds of a clock that never jumps (now_ms).
 */
#ifndef CONTINUO_BASE_TIME_H
#define CONTINUO_BASE_TIME_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define TIME_TEXT_SIZE 32

/* RFC 3339 in UTC to the second, as Kubernetes' metav1.Time: "2026-11-22T18:45:40Z". */
void time_format(int64_t wall_ms, char ret_text[static TIME_TEXT_SIZE]);

/* With microseconds, as metav1.MicroTime: "2026-11-22T18:45:40.123000Z". */
void time_format_micro(int64_t wall_ms, char ret_text[static TIME_TEXT_SIZE]);

/* Any RFC 3339 time, with fraction and offset. -ERR_DECODE. */
int time_parse(const char *text, int64_t *ret_wall_ms, struct err *e) MUST_CHECK;

/* An age as kubectl shows it (apimachinery, duration.HumanDuration): "42s", "5m3s", "3h", "12d". */
void time_format_age(int64_t age_ms, char ret_text[static TIME_TEXT_SIZE]);

/* "90" (seconds), "30m", "24h", "7d". -ERR_USAGE. */
int time_parse_duration(const char *text, int64_t *ret_s, struct err *e) MUST_CHECK;

#endif

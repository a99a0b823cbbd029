/*
 * The trace of a simulation: a line for everything that happens, in order, hashed (SHA-256). Two
 * runs with equal hashes had the same history. Lines hold times, names, sizes and digests of what
 * was delivered, never addresses of memory.
 */
#ifndef CONTINUO_SIM_TRACE_H
#define CONTINUO_SIM_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"

struct sim_trace {
	void *digest; /* EVP_MD_CTX */
	FILE *copy;   /* lines go there too; null: nowhere */
	uint64_t lines;
	const char *watched; /* a text of which lines are counted; null: none */
	uint64_t seen;       /* how many had it */
};

void sim_trace_init(struct sim_trace *t);
void sim_trace_done(struct sim_trace *t);
void sim_trace_line(struct sim_trace *t, int64_t now_us, const char *format, ...) PRINTF_LIKE(3, 4);
/* Hexadecimal of the first 16 bytes of the hash so far; more may follow. */
void sim_trace_hash(const struct sim_trace *t, char ret_hex[static 33]);

/* FNV-1a, 64 bits: a short name for bytes that were delivered. */
uint64_t sim_trace_sum(const void *data, size_t size);

#endif

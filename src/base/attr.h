/* Compiler attributes under readable names; nothing else. */
#ifndef CONTINUO_BASE_ATTR_H
#define CONTINUO_BASE_ATTR_H

#include <features.h>

#define PRINTF_LIKE(text_arg, first_arg) __attribute__((format(printf, text_arg, first_arg)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

/* Calls function(&variable) when the variable leaves its scope; see also take_ptr in mem.h. */
#define CLEANUP(function) __attribute__((cleanup(function)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The function is compiled for wide registers too, and which one runs is decided when the program
 * is loaded. What it calls must be inlined to gain from it. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&                 \
	!defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define WIDE_TOO __attribute__((target_clones("avx2", "default")))
#else
#define WIDE_TOO
#endif
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* The struct that holds a member, from the member's address. */
#define CONTAINER_OF(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

#endif

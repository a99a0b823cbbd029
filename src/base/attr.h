/* Compiler attributes under readable names; nothing else. */
#ifndef CONTINUO_BASE_ATTR_H
#define CONTINUO_BASE_ATTR_H

#define PRINTF_LIKE(text_arg, first_arg) __attribute__((format(printf, text_arg, first_arg)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

/* Calls function(&variable) when the variable leaves its scope; see also take_ptr in mem.h. */
#define CLEANUP(function) __attribute__((cleanup(function)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds a member, from the member's address. */
#define CONTAINER_OF(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

#endif

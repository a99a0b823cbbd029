/*
 * A growable array of any type: VEC(struct pod) pods = {0}; *vec_add(&pods) = pod; then pods.items,
 * pods.count. vec_done frees the array, never what its items point to.
 */
#ifndef CONTINUO_BASE_VEC_H
#define CONTINUO_BASE_VEC_H

#include <stddef.h>
#include <stdlib.h>

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *items;                                                                       \
		size_t count;                                                                      \
		size_t capacity;                                                                   \
	}

/* Adds one zeroed item and gives its address, valid until the next vec_add. */
#define vec_add(v)                                                                                 \
	((__typeof__((v)->items))vec_add_item((void **)&(v)->items, &(v)->count, &(v)->capacity,   \
		sizeof(*(v)->items)))

#define vec_push(v, ...) ((void)(*vec_add(v) = (__VA_ARGS__)))

/* Removes item i and keeps the order of the others. */
#define vec_remove(v, i) vec_remove_item((v)->items, &(v)->count, (i), sizeof(*(v)->items))

#define vec_done(v)                                                                                \
	do {                                                                                       \
		free((v)->items);                                                                  \
		(v)->items = NULL;                                                                 \
		(v)->count = (v)->capacity = 0;                                                    \
	} while (0)

/* for each: VEC_EACH(&pods, struct pod, pod) { pod->... } */
#define VEC_EACH(v, type, item)                                                                    \
	for (type *item = (v)->items; item && item < (v)->items + (v)->count; item++)

void *vec_add_item(void **items, size_t *count, size_t *capacity, size_t size);
void vec_remove_item(void *items, size_t *count, size_t index, size_t size);

#endif

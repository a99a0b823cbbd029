/* A doubly linked list whose links live inside the items. An initialised head is a ring of itself.
 */
#ifndef CONTINUO_BASE_LIST_H
#define CONTINUO_BASE_LIST_H

#include <stdbool.h>

#include "base/attr.h"

struct list {
	struct list *next;
	struct list *previous;
};

static inline void list_init(struct list *head)
{
	head->next = head->previous = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_append(struct list *head, struct list *item)
{
	item->previous = head->previous;
	item->next = head;
	head->previous->next = item;
	head->previous = item;
}

/* Takes the item out; the item is then an empty list, so that removing it twice is harmless. */
static inline void list_remove(struct list *item)
{
	item->previous->next = item->next;
	item->next->previous = item->previous;
	list_init(item);
}

/* The loop variable is a struct list *; CONTAINER_OF gives the item. The item may be removed. */
#define LIST_EACH(head, link)                                                                      \
	for (struct list *link = (head)->next, *link##_next = link->next; link != (head);          \
		link = link##_next, link##_next = link->next)

#define LIST_ITEM(link, type, member) CONTAINER_OF(link, type, member)

#endif

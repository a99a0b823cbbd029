#include "store/core.h"

struct store *store_memory_new(struct loop *l, const struct kind_registry *kinds)
{
	struct store *s = store_new(l, kinds);
	store_make_epoch(s);
	return s;
}

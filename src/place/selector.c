#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "place/tables.h"

static int compile_values(struct place *p, const struct place_requirement *from, const char *what,
	struct requirement *to, struct err *e)
{
	bool number = from->operator== PLACE_GT || from->operator== PLACE_LT;
	bool list = from->operator== PLACE_IN || from->operator== PLACE_NOT_IN;
	if (from->value_count > PLACE_ITEMS_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s: \"%s\" has %u values, at most %u are allowed",
			what, from->key, from->value_count, PLACE_ITEMS_MAX);
	if (number     ? from->value_count != 1
		: list ? from->value_count == 0
		       : from->value_count != 0)
		return err_set(e, ERR_INVALID, "%s: wrong number of values for \"%s\": %u", what,
			from->key, from->value_count);
	to->values = mem_alloc_array(from->value_count, sizeof(*to->values));
	to->value_count = from->value_count;
	for (uint32_t i = 0; i < from->value_count; i++)
		to->values[i] = place_intern(p, from->values[i]);
	if (number && str_to_int64(from->values[0], from->key, &to->number, NULL) != 0)
		return err_set(e, ERR_INVALID,
			"%s: \"%s\" is compared with \"%s\", which is no number", what, from->key,
			from->values[0]);
	return 0;
}

int place_conjunction_compile(struct place *p, const struct place_selector *selector,
	bool for_nodes, const char *what, struct conjunction *ret_conjunction, struct err *e)
{
	if (selector->count > PLACE_ITEMS_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s: %u requirements, at most %u are allowed",
			what, selector->count, PLACE_ITEMS_MAX);
	struct conjunction c = {
		mem_alloc_array(selector->count, sizeof(struct requirement)), selector->count};
	for (uint32_t i = 0; i < selector->count; i++) {
		const struct place_requirement *from = &selector->items[i];
		struct requirement *to = &c.items[i];
		*to = (struct requirement){
			place_intern(p, from->key), from->operator, from->field, 0, NULL, 0};
		int rc = 0;
		if (str_empty(from->key) || (unsigned)from->operator> PLACE_LT)
			rc = err_set(e, ERR_INVALID, "%s: a requirement without key or operator",
				what);
		else if (!for_nodes && (from->operator>= PLACE_GT || from->field))
			rc = err_set(e, ERR_INVALID,
				"%s: \"%s\" has an operator that only nodes know", what, from->key);
		else
			rc = compile_values(p, from, what, to, e);
		if (rc != 0) {
			place_conjunction_done(&c);
			return rc;
		}
	}
	*ret_conjunction = c;
	return 0;
}

void place_conjunction_done(struct conjunction *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		free(c->items[i].values);
	free(c->items);
	*c = (struct conjunction){0};
}

static void requirement_write(const struct place *p, const struct requirement *r, struct buf *b)
{
	static const char *const words[] = {[PLACE_IN] = "in", [PLACE_NOT_IN] = "not in"};
	const char *key = place_text(p, r->key);
	if (r->operator== PLACE_EXISTS || r->operator== PLACE_DOES_NOT_EXIST) {
		buf_printf(b, "%s%s", r->operator== PLACE_EXISTS ? "" : "!", key);
		return;
	}
	if (r->operator== PLACE_GT || r->operator== PLACE_LT) {
		buf_printf(b, "%s%c%lld", key, r->operator== PLACE_GT ? '>' : '<',
			(long long)r->number);
		return;
	}
	if (r->value_count == 1) {
		buf_printf(b, "%s%s%s", key,
			r->operator== PLACE_IN ? "=" : "!=", place_text(p, r->values[0]));
		return;
	}
	buf_printf(b, "%s %s (", key, words[r->operator]);
	for (uint32_t i = 0; i < r->value_count; i++)
		buf_printf(b, "%s%s", i ? "," : "", place_text(p, r->values[i]));
	buf_append_char(b, ')');
}

void place_conjunction_write(const struct place *p, const struct conjunction *c, struct buf *b)
{
	for (uint32_t i = 0; i < c->count; i++) {
		if (i)
			buf_append_char(b, ',');
		requirement_write(p, &c->items[i], b);
	}
}

uint32_t place_pair_value(const struct pair *labels, size_t count, uint32_t key)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (labels[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && labels[low].key == key ? labels[low].value : PLACE_NONE;
}

static bool requirement_holds(const struct place *p, const struct requirement *r, uint32_t value)
{
	bool among = false;
	int64_t number;
	switch (r->operator) {
	case PLACE_EXISTS:
		return value != PLACE_NONE;
	case PLACE_DOES_NOT_EXIST:
		return value == PLACE_NONE;
	case PLACE_IN:
	case PLACE_NOT_IN:
		for (uint32_t i = 0; i < r->value_count && !among; i++)
			among = r->values[i] == value;
		return among == (r->operator== PLACE_IN);
	case PLACE_GT:
	case PLACE_LT:
		if (value == PLACE_NONE ||
			str_to_int64(place_text(p, value), "label", &number, NULL) != 0)
			return false;
		return r->operator== PLACE_GT ? number > r->number : number<r->number;
	}
	return false;
}

bool place_conjunction_matches(const struct place *p, const struct conjunction *c,
	const struct pair *labels, size_t label_count, uint32_t field_name)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct requirement *r = &c->items[i];
		uint32_t value =
			r->field ? field_name : place_pair_value(labels, label_count, r->key);
		if (!requirement_holds(p, r, value))
			return false;
	}
	return true;
}

int place_pair_compare(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	return x->key < y->key ? -1 : x->key > y->key;
}

void place_pairs_compile(struct place *p, const struct place_label *labels, uint32_t count,
	struct pair *ret_pairs)
{
	for (uint32_t i = 0; i < count; i++)
		ret_pairs[i] = (struct pair){
			place_intern(p, labels[i].key), place_intern(p, labels[i].value)};
	qsort(ret_pairs, count, sizeof(*ret_pairs), place_pair_compare);
}

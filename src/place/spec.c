#include "place/spec.h"

#include <string.h>

#include "base/buf.h"

void place_spec_write_text(struct buf *b, const char *text)
{
	buf_printf(b, "%zu:%s,", text ? strlen(text) : 0, text ? text : "");
}

void place_spec_write_selector(struct buf *b, const struct place_selector *s)
{
	buf_printf(b, "[%u", s->count);
	for (uint32_t i = 0; i < s->count; i++) {
		const struct place_requirement *r = &s->items[i];
		buf_printf(b, "(%d%d%u", (int)r->operator, r->field, r->value_count);
		place_spec_write_text(b, r->key);
		for (uint32_t k = 0; k < r->value_count; k++)
			place_spec_write_text(b, r->values[k]);
	}
}

void place_spec_write_labels(struct buf *b, char tag, const struct place_label *labels,
	uint32_t count)
{
	buf_printf(b, "%c%u:", tag, count);
	for (uint32_t i = 0; i < count; i++) {
		place_spec_write_text(b, labels[i].key);
		place_spec_write_text(b, labels[i].value);
	}
}

void place_spec_write_demands(struct buf *b, const struct place_spec *s)
{
	place_spec_write_labels(b, 'N', s->node_selector, s->node_selector_count);
	for (uint32_t i = 0; i < s->required_count; i++) {
		const struct place_node_terms *r = &s->required[i];
		buf_printf(b, "R%d.%u", (int)r->source, r->count);
		for (uint32_t k = 0; k < r->count; k++)
			place_spec_write_selector(b, &r->terms[k]);
	}
	buf_printf(b, "M%d", s->trust_min);
	place_spec_write_text(b, s->runtime);
	for (uint32_t i = 0; i < s->preferred_count; i++) {
		buf_printf(b, "P%d", s->preferred[i].weight);
		place_spec_write_selector(b, &s->preferred[i].term);
	}
	for (uint32_t i = 0; i < s->toleration_count; i++) {
		const struct place_toleration *t = &s->tolerations[i];
		buf_printf(b, "T%d%d", t->exists, (int)t->effect);
		place_spec_write_text(b, t->key);
		place_spec_write_text(b, t->value);
	}
}

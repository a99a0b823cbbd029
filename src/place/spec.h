/* Pieces of the canonical text of a spec: equal texts mean equal demands. Private to src/place. */
#ifndef CONTINUO_PLACE_SPEC_H
#define CONTINUO_PLACE_SPEC_H

#include "place/place.h"

struct buf;
void place_spec_write_text(struct buf *b, const char *text); /* null: as empty */
void place_spec_write_selector(struct buf *b, const struct place_selector *s);
void place_spec_write_labels(struct buf *b, char tag, const struct place_label *labels,
	uint32_t count);
/* What the spec demands of a node by itself: selector, affinity, tolerations. */
void place_spec_write_demands(struct buf *b, const struct place_spec *s);

#endif

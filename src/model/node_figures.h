/* What a node's annotations and labels tell placement: power, price, trust. */
#ifndef CONTINUO_MODEL_NODE_FIGURES_H
#define CONTINUO_MODEL_NODE_FIGURES_H

#include "base/buf.h"
#include "codec/json.h"

struct node_figures {
	double idle_watts, full_watts; /* continuo.dev/idle-watts, full-watts; 0: unknown */
	double price_per_hour;         /* continuo.dev/price-per-hour, the domain's currency */
	int trust;                     /* label continuo.dev/trust, 0 to 100 */
};

/* What cannot be true is left at 0 and appended to problems as sentences, "; " between them; a
 * number over its end is told of and set to the end. problems null: not told. */
void node_figures_read(const json_t *node, struct node_figures *ret_figures, struct buf *problems);

#endif

#include "place/graph.h"
bool graph_assign(struct graph *g, const uint32_t *counts, uint32_t *ret_nodes){(void)g;(void)counts;(void)ret_nodes;return false;}

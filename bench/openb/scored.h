/*
 * Policies that give each node a score and take the highest; of equals the node of the smallest
 * number. A score depends on the shape and on what is left on the node alone, so that it is
 * kept until that node changes: a decision rescores the nodes that changed since the last pod of
 * its shape.
 */
#ifndef CONTINUO_BENCH_OPENB_SCORED_H
#define CONTINUO_BENCH_OPENB_SCORED_H

#include "openb/policy.h"

/* The score of a node on which the pod fits, and the devices that it would take there. */
typedef double openb_score(const void *context, const struct openb_seat *seat,
	const struct openb_shape *s, uint8_t *ret_devices);

struct openb_scored;

/* context is borrowed. */
struct openb_scored *openb_scored_new(const struct openb_setting *setting, openb_score *score,
	const void *context);
void openb_scored_free(struct openb_scored *s);
bool openb_scored_choose(struct openb_scored *s, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice);

#endif

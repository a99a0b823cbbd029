/* Pods that are taken off their nodes to see what is without them, and put back as they were. */
#include "place/tables.h"

#include "place/solver.h"

void place_pod_lift(struct place *p, uint32_t pod)
{
	struct pod *x = &p->pods.items[pod];
	place_node_count_pods(p, x->node, x->shape, -1);
	if (x->previous == PLACE_NONE)
		p->nodes.items[x->node].first_pod = x->next;
	else
		p->pods.items[x->previous].next = x->next;
	if (x->next != PLACE_NONE)
		p->pods.items[x->next].previous = x->previous;
	x->node = PLACE_NONE; /* it still knows its neighbours */
	p->pod_count--;
}

/* Whether those that were beside it still stand together on that node. */
static bool gap_is_there(const struct place *p, const struct pod *x, uint32_t node)
{
	if (x->previous == PLACE_NONE)
		return p->nodes.items[node].first_pod == x->next;
	const struct pod *before = &p->pods.items[x->previous];
	return before->node == node && before->next == x->next;
}

void place_pod_return(struct place *p, uint32_t pod, uint32_t node)
{
	struct pod *x = &p->pods.items[pod];
	if (!gap_is_there(p, x, node)) {
		x->previous = PLACE_NONE;
		x->next = p->nodes.items[node].first_pod;
	}
	if (x->previous == PLACE_NONE)
		p->nodes.items[node].first_pod = pod;
	else
		p->pods.items[x->previous].next = pod;
	if (x->next != PLACE_NONE)
		p->pods.items[x->next].previous = pod;
	x->node = node;
	p->pod_count++;
	place_node_count_pods(p, node, x->shape, 1);
}

void place_pod_drop(struct place *p, uint32_t pod)
{
	struct pod *x = &p->pods.items[pod];
	uint32_t shape = x->shape;
	*x = (struct pod){PLACE_NONE, PLACE_NONE, p->free_pod, PLACE_NONE, 0, PLACE_NONE};
	p->free_pod = pod;
	place_shape_release(p, shape);
}

/*
 * The view as the runtime sees it: fed by watches and by the runtime's own commits. Private to
 * src/control.
 *
 * Each key carries the revision that was applied last. A commit's own result is applied when it is
 * acknowledged, before the watch delivers it; what the watch then brings is older or equal and is
 * passed over. A deleted key is remembered until the watch has brought its deletion, so that an
 * older state of it is not taken for news.
 */
#ifndef CONTINUO_CONTROL_VIEW_H
#define CONTINUO_CONTROL_VIEW_H

#include "control/control.h"

struct control_view *view_new(const struct kind_registry *kinds) MUST_CHECK;
void view_free(struct control_view *v);

/* Where view_node_state asks; without it every node is connected. */
void view_set_node_state(struct control_view *v,
	struct control_node_state (*node_state)(void *context, const char *node), void *context);

/* Where view_lease_over asks; without it no lease is over. */
void view_set_lease_over(struct control_view *v,
	bool (*lease_over)(void *context, const char *node, const char *pod_uid, bool end),
	void *context);

/* object null: the key was deleted at this revision. Takes no reference of the caller's. When this
 * is news returns true, *ret_previous is a new reference to the state before (null: none). */
bool view_apply(struct control_view *v, const char *key, const struct object *object,
	int64_t revision, struct object **ret_previous);
/* The watch has delivered everything of this key up to the revision. */
void view_delivered(struct control_view *v, const char *key, int64_t revision);

/* After a step: lists are freed. */
void view_end_step(struct control_view *v);
size_t view_count(const struct control_view *v);

#endif

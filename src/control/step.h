/* What the steps of several reconcilers share. Private to src/control. */
#ifndef CONTINUO_CONTROL_STEP_H
#define CONTINUO_CONTROL_STEP_H

#include "control/control.h"

/* Adds a write. tree is taken. */
void step_create(struct control_out *out, const struct kind *kind, json_t *tree);
void step_update(struct control_out *out, const struct object *base, json_t *tree);
void step_status(struct control_out *out, const struct object *base, json_t *tree);
void step_delete(struct control_out *out, const struct object *base);
void step_remove(struct control_out *out, const struct object *base);
/* The message is copied. */
void step_event(struct control_out *out, const struct object *about, const char *component,
	bool warning, const char *reason, const char *format, ...) PRINTF_LIKE(6, 7);

/* base-xxxxx, as the API makes a name from generateName; in the step's arena. */
const char *step_name(struct control_out *out, const char *base);

/* The controlling ownerReference to an object (new reference). */
json_t *step_owner(const struct object *owner);

/* Adds the key of the object that controls this one, when it is of the kind. */
void step_add_owner(struct control_view *v, const struct object *object, const struct kind *kind,
	void (*queue_add)(void *queue, const char *key), void *queue);
void step_add(const struct object *object, void (*queue_add)(void *queue, const char *key),
	void *queue);

/* Sets a condition in an array of them; lastTransitionTime moves only when the status does. Returns
 * whether anything changed. */
bool step_condition(json_t *conditions, const char *type, bool status, const char *reason,
	const char *message, int64_t wall_ms);

bool step_pod_over(const struct object *pod);   /* Succeeded or Failed */
bool step_pod_active(const struct object *pod); /* neither over nor being deleted */

#endif

#include "control/step.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

static void add(struct control_out *out, int verb, const struct kind *kind, json_t *tree,
	const struct object *base)
{
	struct control_write *w = vec_add(&out->writes);
	w->verb = (unsigned)verb;
	w->kind = kind;
	w->tree = tree;
	w->base = base;
}

void step_create(struct control_out *out, const struct kind *kind, json_t *tree)
{
	add(out, CONTROL_CREATE, kind, tree, NULL);
}

void step_update(struct control_out *out, const struct object *base, json_t *tree)
{
	add(out, CONTROL_UPDATE, base->kind, tree, base);
}

void step_status(struct control_out *out, const struct object *base, json_t *tree)
{
	add(out, CONTROL_STATUS, base->kind, tree, base);
}

void step_delete(struct control_out *out, const struct object *base)
{
	add(out, CONTROL_DELETE, base->kind, NULL, base);
}

void step_remove(struct control_out *out, const struct object *base)
{
	add(out, CONTROL_REMOVE, base->kind, NULL, base);
}

void step_event(struct control_out *out, const struct object *about, const char *component,
	bool warning, const char *reason, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	str_end_whole(text);
	vec_push(&out->events, (struct control_event){about, warning, reason,
				       arena_dup(out->arena, text), component});
}

const char *step_name(struct control_out *out, const char *base)
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789"; /* nothing that spells words */
	char suffix[6] = "";
	for (size_t i = 0; i < 5; i++)
		suffix[i] = letters[rand_below(out->rand, sizeof(letters) - 1)];
	return arena_format(out->arena, "%.57s-%s", base, suffix);
}

json_t *step_owner(const struct object *owner)
{
	char version[128];
	kind_api_version(owner->kind, version);
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion", version, "kind",
		owner->kind->name, "name", owner->name, "uid", owner->uid, "controller", 1,
		"blockOwnerDeletion", 1);
}

void step_add(const struct object *object, void (*queue_add)(void *queue, const char *key),
	void *queue)
{
	char key[OBJECT_KEY_MAX];
	object_key(object, key);
	queue_add(queue, key);
}

void step_add_owner(struct control_view *v, const struct object *object, const struct kind *kind,
	void (*queue_add)(void *queue, const char *key), void *queue)
{
	const struct object *owner =
		object && object->owner_uid[0] ? view_get_uid(v, object->owner_uid) : NULL;
	if (owner && owner->kind == kind)
		step_add(owner, queue_add, queue);
}

static bool set_text(json_t *object, const char *key, const char *text)
{
	if (str_equal(json_text_or(json_object_get(object, key), NULL), text))
		return false;
	json_object_set_new(object, key, json_string(text));
	return true;
}

bool step_condition(json_t *conditions, const char *type, bool status, const char *reason,
	const char *message, int64_t wall_ms)
{
	json_t *found = NULL, *condition;
	size_t i;
	json_array_foreach (conditions, i, condition)
		if (str_equal(json_text(condition, "", "type"), type))
			found = condition;
	if (!found) {
		found = json_pack("{s:s}", "type", type);
		json_array_append_new(conditions, found);
	}
	char now[TIME_TEXT_SIZE];
	time_format(wall_ms, now);
	bool moved = set_text(found, "status", status ? "True" : "False");
	bool changed = set_text(found, "reason", reason);
	changed = set_text(found, "message", message) || changed;
	if (moved)
		json_object_set_new(found, "lastTransitionTime", json_string(now));
	return moved || changed;
}

bool step_pod_over(const struct object *pod)
{
	return strcmp(pod->phase, "Succeeded") == 0 || strcmp(pod->phase, "Failed") == 0;
}

bool step_pod_active(const struct object *pod)
{
	return !step_pod_over(pod) && pod->deletion_ms == 0;
}

/* Field paths, and findings about them, as the checks of this room make them. Private to it. */
#ifndef CONTINUO_MODEL_FINDING_H
#define CONTINUO_MODEL_FINDING_H

#include "model/model.h"

/* One step of a path, on the stack of whoever walks a document; up is null at the root. */
struct path {
	const struct path *up;
	const char *name; /* a field; null: an item of a list, or of a map when key is set */
	const char *key;
	size_t index;
};

#define PATH_FIELD(up_, name_) (&(struct path){.up = (up_), .name = (name_)})
#define PATH_ITEM(up_, index_) (&(struct path){.up = (up_), .index = (index_)})
#define PATH_KEY(up_, key_) (&(struct path){.up = (up_), .key = (key_)})

/* "spec.containers[0].image", "metadata.labels[app]"; in the arena. */
const char *path_text(const struct path *p, struct arena *a) MUST_CHECK;

/* Adds an error. The sentence is Kubernetes' ErrorBody: "Required value: must have a name". */
void find_error(struct findings *f, const struct path *p, const char *reason, const char *format,
	...) PRINTF_LIKE(4, 5);
void find_warning(struct findings *f, const struct path *p, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The usual ones (apimachinery, util/validation/field). Empty why: nothing behind the first words.
 */
void find_required(struct findings *f, const struct path *p, const char *why);
void find_invalid(struct findings *f, const struct path *p, const json_t *value, const char *why);
void find_invalid_text(struct findings *f, const struct path *p, const char *value,
	const char *why);
void find_duplicate(struct findings *f, const struct path *p, const char *value);
void find_forbidden(struct findings *f, const struct path *p, const char *why);
void find_not_found(struct findings *f, const struct path *p, const char *value);
void find_unsupported(struct findings *f, const struct path *p, const json_t *value,
	const char *const *allowed);

#endif

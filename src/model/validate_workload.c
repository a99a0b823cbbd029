#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/validate.h"

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

/* A LabelSelector against a tree of labels. */
static bool selects(const json_t *label_selector, const json_t *labels)
{
	struct selector *s = NULL;
	if (selector_from_json(label_selector, &s, NULL) < 0)
		return false;
	size_t count = 0;
	struct label *list = mem_alloc_array(json_object_size(labels) + 1, sizeof(*list));
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
		list[count++] = (struct label){key, json_text_or(value, "")};
	}
	qsort(list, count, sizeof(*list), compare_labels);
	bool result = selector_matches(s, list, count);
	free(list);
	selector_free(s);
	return result;
}

static void check_selector(const struct validation *v, const json_t *spec, const struct path *p,
	const char *what)
{
	const json_t *selector = json_object_get(spec, "selector");
	const struct path *at = PATH_FIELD(p, "selector");
	if (!selector)
		return;
	struct selector *parsed = NULL;
	struct err e = ERR_INIT;
	if (selector_from_json(selector, &parsed, &e) < 0)
		find_invalid(v->findings, at, selector, e.text);
	selector_free(parsed);
	if (!json_object_size(json_object_get(selector, "matchLabels")) &&
		!json_array_size(json_object_get(selector, "matchExpressions")))
		find_error(v->findings, at, "FieldValueInvalid",
			"Invalid value: {}: empty selector is invalid for %s", what);
	validate_label_values(v->findings, PATH_FIELD(at, "matchLabels"),
		json_object_get(selector, "matchLabels"));
	const json_t *labels = json_at(spec, "template", "metadata", "labels");
	const struct path *template = PATH_FIELD(PATH_FIELD(p, "template"), "metadata");
	if (e.code == ERR_OK && json_object_get(spec, "template") && !selects(selector, labels))
		find_invalid(v->findings, PATH_FIELD(template, "labels"), labels,
			"`selector` does not match template `labels`");
}

void validate_template(struct findings *f, const struct path *p, const json_t *owner)
{
	static const char *const always[] = {"Always", NULL};
	const json_t *template = json_object_get(owner, "template");
	const struct path *at = PATH_FIELD(p, "template");
	if (!template)
		return;
	validate_label_values(f, PATH_FIELD(PATH_FIELD(at, "metadata"), "labels"),
		json_at(template, "metadata", "labels"));
	validate_singleton(f, PATH_FIELD(at, "metadata"),
		json_at(template, "metadata", "annotations"));
	validate_countries(f, PATH_FIELD(at, "metadata"),
		json_at(template, "metadata", "annotations"));
	const json_t *pod = json_object_get(template, "spec");
	const struct path *pod_at = PATH_FIELD(at, "spec");
	if (!json_object_get(pod, "containers")) {
		if (!pod)
			find_required(f, PATH_FIELD(pod_at, "containers"), "");
		return;
	}
	validate_pod_spec(f, pod_at, pod);
	const json_t *policy = json_object_get(pod, "restartPolicy");
	if (policy && !str_equal(json_text_or(policy, ""), "Always"))
		find_unsupported(f, PATH_FIELD(pod_at, "restartPolicy"), policy, always);
	if (json_object_get(pod, "activeDeadlineSeconds"))
		find_forbidden(f, PATH_FIELD(pod_at, "activeDeadlineSeconds"),
			"activeDeadlineSeconds in ReplicaSet is not Supported");
}

/* "25%" or 3; zero when it counts as none. */
static bool check_share(const struct validation *v, const struct path *p, const json_t *share,
	bool *ret_zero)
{
	*ret_zero = false;
	if (!share)
		return true;
	int64_t number = 0;
	char digits[16];
	if (json_is_integer(share)) {
		number = json_int_or(share, 0);
	} else {
		const char *text = json_text_or(share, "");
		size_t size = strlen(text);
		if (size < 2 || size > 8 || text[size - 1] != '%' ||
			!str_copy(digits, sizeof(digits), text)) {
			find_invalid(v->findings, p, share,
				"must be an integer or a percentage (such as '5%')");
			return false;
		}
		digits[size - 1] = '\0';
		if (str_to_int64(digits, "percentage", &number, NULL) < 0)
			number = -1;
	}
	*ret_zero = number == 0;
	if (number < 0)
		find_invalid(v->findings, p, share, "must be greater than or equal to 0");
	return number >= 0;
}

static void check_strategy(const struct validation *v, const json_t *spec, const struct path *p)
{
	const json_t *strategy = json_object_get(spec, "strategy");
	const json_t *rolling = json_object_get(strategy, "rollingUpdate");
	const struct path *at = PATH_FIELD(PATH_FIELD(p, "strategy"), "rollingUpdate");
	if (!rolling)
		return;
	if (str_equal(json_text(strategy, "", "type"), "Recreate")) {
		find_forbidden(v->findings, at,
			"may not be specified when strategy `type` is 'Recreate'");
		return;
	}
	bool no_unavailable = false, no_surge = false;
	const json_t *unavailable = json_object_get(rolling, "maxUnavailable");
	bool good = check_share(v, PATH_FIELD(at, "maxUnavailable"), unavailable, &no_unavailable);
	good &= check_share(v, PATH_FIELD(at, "maxSurge"), json_object_get(rolling, "maxSurge"),
		&no_surge);
	if (good && no_unavailable && no_surge)
		find_invalid(v->findings, PATH_FIELD(at, "maxUnavailable"), unavailable,
			"may not be 0 when `maxSurge` is 0");
}

void validate_deployment(const struct validation *v)
{
	const json_t *spec = json_object_get(v->json, "spec");
	const struct path *p = PATH_FIELD(NULL, "spec");
	if (!spec)
		find_required(v->findings, p, "");
	check_selector(v, spec, p, "deployment");
	validate_template(v->findings, p, spec);
	check_strategy(v, spec, p);
	int64_t deadline = json_int(spec, INT32_MAX, "progressDeadlineSeconds");
	if (deadline <= json_int(spec, 0, "minReadySeconds"))
		find_invalid(v->findings, PATH_FIELD(p, "progressDeadlineSeconds"),
			json_object_get(spec, "progressDeadlineSeconds"),
			"must be greater than minReadySeconds");
}

void validate_replicaset(const struct validation *v)
{
	const json_t *spec = json_object_get(v->json, "spec");
	const struct path *p = PATH_FIELD(NULL, "spec");
	if (!spec)
		find_required(v->findings, p, "");
	check_selector(v, spec, p, "replicaset");
	validate_template(v->findings, p, spec);
}

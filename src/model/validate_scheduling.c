#include "base/str.h"
#include "model/format.h"
#include "model/validate.h"

/* What an operator asks of its values. */
static void check_expression(struct findings *f, const struct path *p, const json_t *expression)
{
	const char *op = json_text(expression, "", "operator");
	const json_t *values = json_object_get(expression, "values");
	size_t count = json_array_size(values);
	const struct path *at = PATH_FIELD(p, "values");
	if ((str_equal(op, "In") || str_equal(op, "NotIn")) && !count)
		find_required(f, at, "must be specified when `operator` is 'In' or 'NotIn'");
	if ((str_equal(op, "Exists") || str_equal(op, "DoesNotExist")) && count)
		find_forbidden(f, at,
			"may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	if (!str_equal(op, "Gt") && !str_equal(op, "Lt"))
		return;
	int64_t number;
	if (count != 1)
		find_required(f, at,
			"must be specified single value when `operator` is 'Lt' or 'Gt'");
	else if (str_to_int64(json_text_or(json_array_get(values, 0), ""), "", &number, NULL) < 0)
		find_invalid(f, PATH_ITEM(at, 0), json_array_get(values, 0), "must be an integer");
}

static void check_expressions(struct findings *f, const struct path *p, const json_t *list)
{
	size_t i;
	json_t *expression;
	json_array_foreach (list, i, expression) {
		check_expression(f, PATH_ITEM(p, i), expression);
	}
}

static void check_node_term(struct findings *f, const struct path *p, const json_t *term)
{
	check_expressions(f, PATH_FIELD(p, "matchExpressions"),
		json_object_get(term, "matchExpressions"));
	size_t i;
	json_t *field;
	json_array_foreach (json_object_get(term, "matchFields"), i, field) {
		const char *key = json_text(field, "", "key");
		const struct path *at = PATH_ITEM(PATH_FIELD(p, "matchFields"), i);
		if (!str_equal(key, "metadata.name"))
			find_invalid_text(f, PATH_FIELD(at, "key"), key,
				"not a valid field selector key");
		check_expression(f, at, field);
	}
}

static void check_node_affinity(struct findings *f, const struct path *p, const json_t *affinity)
{
	static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
	static const char preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
	size_t i;
	json_t *term;
	const struct path *terms = PATH_FIELD(PATH_FIELD(p, required), "nodeSelectorTerms");
	json_array_foreach (json_at(affinity, required, "nodeSelectorTerms"), i, term) {
		check_node_term(f, PATH_ITEM(terms, i), term);
	}
	json_array_foreach (json_object_get(affinity, preferred), i, term) {
		check_node_term(f, PATH_FIELD(PATH_ITEM(PATH_FIELD(p, preferred), i), "preference"),
			json_object_get(term, "preference"));
	}
}

static void check_pod_term(struct findings *f, const struct path *p, const json_t *term)
{
	const struct path *selector = PATH_FIELD(p, "labelSelector");
	check_expressions(f, PATH_FIELD(selector, "matchExpressions"),
		json_at(term, "labelSelector", "matchExpressions"));
	validate_label_values(f, PATH_FIELD(selector, "matchLabels"),
		json_at(term, "labelSelector", "matchLabels"));
}

static void check_pod_affinity(struct findings *f, const struct path *p, const json_t *affinity)
{
	static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
	static const char preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
	size_t i;
	json_t *term;
	json_array_foreach (json_object_get(affinity, required), i, term) {
		check_pod_term(f, PATH_ITEM(PATH_FIELD(p, required), i), term);
	}
	json_array_foreach (json_object_get(affinity, preferred), i, term) {
		check_pod_term(f,
			PATH_FIELD(PATH_ITEM(PATH_FIELD(p, preferred), i), "podAffinityTerm"),
			json_object_get(term, "podAffinityTerm"));
	}
}

static void check_toleration(struct findings *f, const struct path *p, const json_t *toleration)
{
	const char *op = json_text(toleration, "Equal", "operator");
	const char *value = json_text(toleration, "", "value");
	bool exists = str_equal(op, "Exists");
	if (str_empty(json_text(toleration, "", "key")) && !exists)
		find_invalid_text(f, PATH_FIELD(p, "operator"), op,
			"operator must be Exists when `key` is empty, which means \"match all "
			"values and all keys\"");
	if (exists && *value)
		find_invalid_text(f, PATH_FIELD(p, "operator"), value,
			"value must be empty when `operator` is 'Exists'");
	if (json_object_get(toleration, "tolerationSeconds") &&
		!str_equal(json_text(toleration, "", "effect"), "NoExecute"))
		find_invalid_text(f, PATH_FIELD(p, "effect"), json_text(toleration, "", "effect"),
			"effect must be 'NoExecute' when `tolerationSeconds` is set");
}

void validate_scheduling(struct findings *f, const struct path *p, const json_t *spec)
{
	const json_t *affinity = json_object_get(spec, "affinity");
	const struct path *at = PATH_FIELD(p, "affinity");
	check_node_affinity(f, PATH_FIELD(at, "nodeAffinity"),
		json_object_get(affinity, "nodeAffinity"));
	check_pod_affinity(f, PATH_FIELD(at, "podAffinity"),
		json_object_get(affinity, "podAffinity"));
	check_pod_affinity(f, PATH_FIELD(at, "podAntiAffinity"),
		json_object_get(affinity, "podAntiAffinity"));
	validate_label_values(f, PATH_FIELD(p, "nodeSelector"),
		json_object_get(spec, "nodeSelector"));
	size_t i;
	json_t *toleration;
	json_array_foreach (json_object_get(spec, "tolerations"), i, toleration) {
		check_toleration(f, PATH_ITEM(PATH_FIELD(p, "tolerations"), i), toleration);
	}
}

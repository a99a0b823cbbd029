#include <string.h>

#include "base/str.h"
#include "codec/base64.h"
#include "model/validate.h"

#define DATA_MAX ((size_t)1 << 20) /* bytes, decoded */

static size_t plain_size(const json_t *value, bool encoded)
{
	size_t size = json_string_length(value);
	if (!encoded)
		return size;
	const char *text = json_text_or(value, "");
	size_t padding = 0;
	while (padding < 2 && padding < size && text[size - padding - 1] == '=')
		padding++;
	return size / 4 * 3 - padding;
}

static size_t total_size(const json_t *data, bool encoded)
{
	size_t total = 0;
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)data, key, value) {
		total += plain_size(value, encoded);
	}
	return total;
}

static void check_total(const struct validation *v, size_t total)
{
	if (total > DATA_MAX)
		find_error(v->findings, PATH_FIELD(NULL, "data"), "FieldValueTooLong",
			"Too long: must have at most %zu bytes", DATA_MAX);
}

/* immutable: true can be set once and freezes the data. */
static void check_frozen(const struct validation *v, const char *const *members)
{
	if (!json_bool(v->old, false, "immutable"))
		return;
	if (!json_bool(v->json, false, "immutable"))
		find_forbidden(v->findings, PATH_FIELD(NULL, "immutable"),
			"field is immutable when `immutable` is set");
	for (; *members; members++) {
		const json_t *now = json_object_get(v->json, *members);
		const json_t *before = json_object_get(v->old, *members);
		if ((now || before) && !json_equal(now, before))
			find_forbidden(v->findings, PATH_FIELD(NULL, *members),
				"field is immutable when `immutable` is set");
	}
}

void validate_configmap(const struct validation *v)
{
	static const char *const members[] = {"data", "binaryData", NULL};
	const json_t *data = json_object_get(v->json, "data");
	const json_t *binary = json_object_get(v->json, "binaryData");
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)(uintptr_t)data, key, value) {
		if (json_object_get(binary, key))
			find_invalid_text(v->findings, PATH_KEY(PATH_FIELD(NULL, "data"), key), key,
				"duplicate of key present in binaryData");
	}
	check_total(v, total_size(data, false) + total_size(binary, true));
	check_frozen(v, members);
}

/* ---- secrets ---- */

static void check_key(const struct validation *v, const char *key)
{
	if (!json_at(v->json, "data", key))
		find_required(v->findings, PATH_KEY(PATH_FIELD(NULL, "data"), key), "");
}

/* The sentence never quotes the data. */
static void check_json(const struct validation *v, const char *key)
{
	CLEANUP(buf_done)
	struct buf text = BUF_INIT;
	CLEANUP(json_done)
	json_t *json = NULL;
	const char *encoded = json_text(v->json, "", "data", key);
	if (json_at(v->json, "data", key) &&
		(base64_decode(encoded, strlen(encoded), &text, NULL) < 0 ||
			json_decode(buf_text(&text), text.size, &json, NULL) < 0))
		find_error(v->findings, PATH_KEY(PATH_FIELD(NULL, "data"), key),
			"FieldValueInvalid",
			"Invalid value: \"<secret contents redacted>\": must be JSON");
	check_key(v, key);
}

static void check_secret_type(const struct validation *v, const char *type)
{
	static const char account[] = "kubernetes.io/service-account.name";
	if (str_equal(type, "kubernetes.io/tls")) {
		check_key(v, "tls.crt");
		check_key(v, "tls.key");
	} else if (str_equal(type, "kubernetes.io/dockerconfigjson")) {
		check_json(v, ".dockerconfigjson");
	} else if (str_equal(type, "kubernetes.io/dockercfg")) {
		check_json(v, ".dockercfg");
	} else if (str_equal(type, "kubernetes.io/ssh-auth")) {
		check_key(v, "ssh-privatekey");
	} else if (str_equal(type, "kubernetes.io/basic-auth")) {
		if (!json_at(v->json, "data", "password"))
			check_key(v, "username");
	} else if (str_equal(type, "kubernetes.io/service-account-token")) {
		const struct path *p = PATH_FIELD(PATH_FIELD(NULL, "metadata"), "annotations");
		if (str_empty(json_text(v->json, "", "metadata", "annotations", account)))
			find_required(v->findings, PATH_KEY(p, account), "");
	}
}

void validate_secret(const struct validation *v)
{
	static const char *const members[] = {"data", NULL};
	check_secret_type(v, json_text(v->json, "", "type"));
	check_total(v, total_size(json_object_get(v->json, "data"), true));
	check_frozen(v, members);
}

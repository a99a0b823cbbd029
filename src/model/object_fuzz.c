/* The way of a document that somebody sends: decode, prune, default, validate, make an object, show
 * it. What became an object must read back from its blob unchanged. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char uid_bytes[16] = {1, 2, 3};

static void check_object(const struct kind *kind, json_t *json)
{
	CLEANUP(object_done) struct object *o = NULL;
	CLEANUP(object_done) struct object *again = NULL;
	if (object_from_json(kind, json, &o, NULL) < 0)
		return;
	if (object_from_blob(kind, o->blob, o->blob_size, 2, 1, &again, NULL) < 0 ||
		strcmp(o->blob, again->blob) != 0)
		abort();
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	table_write(kind, &again, 1, 2, NULL, 0, &text);
	CLEANUP(json_done) json_t *table = NULL;
	if (json_decode(buf_text(&text), text.size, &table, NULL) < 0)
		abort();
}

static void check_status(const struct kind *kind, const struct err *e, const struct findings *f)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	CLEANUP(json_done) json_t *status = NULL;
	model_write_status(e, kind, "x", f, &text);
	if (json_decode(buf_text(&text), text.size, &status, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(json_done) json_t *json = NULL;
	CLEANUP(findings_done) struct findings f = {0};
	struct err e = ERR_INIT;
	if (json_decode((const char *)data, size, &json, &e) < 0) {
		check_status(&kind_pod, &e, NULL);
		return 0;
	}
	struct kind_registry *kinds = kind_registry_new();
	const struct kind *kind = kind_by_name(kinds, json_text(json, "v1", "apiVersion"),
		json_text(json, "Pod", "kind"));
	kind_registry_free(kinds);
	if (!kind)
		kind = &kind_pod;
	if (model_prune(kind, json, false, &f, &e) < 0) {
		check_status(kind, &e, &f);
		return 0;
	}
	CLEANUP(json_done) json_t *old = json_deep_copy(json);
	model_default(kind, json);
	model_stamp_new(json, uid_bytes, 0);
	model_validate(kind, json, NULL, &f);
	model_validate(kind, json, old, &f);
	if (findings_check(&f, kind, "x", &e) < 0)
		check_status(kind, &e, &f);
	check_object(kind, json);
	return 0;
}

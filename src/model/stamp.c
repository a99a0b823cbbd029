#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "model/model.h"

/* Kubernetes: SimpleNameGenerator; 63 characters in all, of which 5 are the suffix. */
#define BASE_MAX 58
#define SUFFIX_SIZE 5

static void set(json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value) < 0)
		abort();
}

static void set_uid(json_t *metadata, const unsigned char uid_bytes[static 16])
{
	unsigned char b[16];
	memcpy(b, uid_bytes, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 10 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	char hex[33], uid[37];
	str_hex(b, sizeof(b), hex);
	snprintf(uid, sizeof(uid), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		hex + 20);
	set(metadata, "uid", json_string(uid));
}

/* No vowels and nothing that looks like something else. */
static void set_name(json_t *metadata, const unsigned char uid_bytes[static 16])
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
	const char *base = json_text(metadata, "", "generateName");
	if (!*base || *json_text(metadata, "", "name"))
		return;
	char suffix[SUFFIX_SIZE + 1] = "", name[BASE_MAX + sizeof(suffix)];
	for (size_t i = 0; i < SUFFIX_SIZE; i++)
		suffix[i] = letters[uid_bytes[10 + i] % (sizeof(letters) - 1)];
	snprintf(name, sizeof(name), "%.*s%s", BASE_MAX, base, suffix);
	set(metadata, "name", json_string(name));
}

void model_stamp_new(json_t *json, const unsigned char uid_bytes[static 16], int64_t wall_ms)
{
	static const char *const cleared[] = {"deletionTimestamp", "deletionGracePeriodSeconds",
		"resourceVersion", "selfLink", "managedFields"};
	json_t *metadata = json_ensure_object(json, "metadata");
	for (size_t i = 0; i < ARRAY_SIZE(cleared); i++)
		json_object_del(metadata, cleared[i]);
	set_name(metadata, uid_bytes);
	set_uid(metadata, uid_bytes);
	set(metadata, "generation", json_integer(1));
	char text[TIME_TEXT_SIZE];
	time_format(wall_ms, text);
	set(metadata, "creationTimestamp", json_string(text));
}

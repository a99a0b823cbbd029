#include "image/manifest.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "codec/json.h"
#include "image/image.h"

struct machine_row {
	const char *machine;
	struct manifest_platform platform;
};

static const struct machine_row machines[] = {
	{"x86_64", {"amd64", ""}},
	{"aarch64", {"arm64", "v8"}},
	{"armv7l", {"arm", "v7"}},
	{"armv8l", {"arm", "v7"}},
	{"armv6l", {"arm", "v6"}},
	{"i686", {"386", ""}},
	{"i386", {"386", ""}},
	{"loongarch64", {"loong64", ""}},
};

/* Compressions are told apart by the unpacker; here only: is it a plain layer at all? */
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

void manifest_platform_of(const char *machine, struct manifest_platform *ret_platform)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		if (strcmp(machines[i].machine, machine) == 0) {
			*ret_platform = machines[i].platform;
			return;
		}
	}
	*ret_platform = (struct manifest_platform){0};
	snprintf(ret_platform->architecture, sizeof(ret_platform->architecture), "%.31s", machine);
}

static int parse_blob(const json_t *json, const char *what, struct manifest_blob *ret_blob,
	struct err *e)
{
	const char *digest = json_text(json, "", "digest");
	int64_t size = json_int(json, -1, "size");
	if (!image_digest_valid(digest)) {
		bool other = strchr(digest, ':') && !str_starts(digest, "sha256:");
		return err_set(e, other ? ERR_UNSUPPORTED : ERR_PROTOCOL,
			"%s of the manifest has the digest \"%.100s\"; sha256 is needed", what,
			digest);
	}
	if (size < 0)
		return err_set(e, ERR_PROTOCOL, "%s of the manifest has no size", what);
	if (size > MANIFEST_BLOB_MAX)
		return err_set(e, ERR_TOO_LARGE,
			"%s of the manifest has %lld bytes, more than %lld", what, (long long)size,
			(long long)MANIFEST_BLOB_MAX);
	str_copy(ret_blob->digest, sizeof(ret_blob->digest), digest);
	ret_blob->size = size;
	return 0;
}

static bool layer_type_known(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(layer_types); i++) {
		if (strcmp(layer_types[i], type) == 0)
			return true;
	}
	return false;
}

static int parse_image(const json_t *json, struct manifest *m, struct err *e)
{
	int rc = parse_blob(json_at(json, "config"), "the config", &m->config, e);
	if (rc != 0)
		return rc;
	if (m->config.size > (int64_t)MANIFEST_SIZE_MAX)
		return err_set(e, ERR_TOO_LARGE, "the image's config has %lld bytes, more than %zu",
			(long long)m->config.size, MANIFEST_SIZE_MAX);
	const json_t *layers = json_at(json, "layers");
	if (!json_is_array(layers))
		return err_set(e, ERR_PROTOCOL, "the manifest has no layers");
	if (json_array_size(layers) > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_TOO_LARGE, "the image has %zu layers, more than %d",
			json_array_size(layers), MANIFEST_LAYERS_MAX);
	size_t i;
	const json_t *layer;
	json_array_foreach (layers, i, layer) {
		const char *type = json_text(layer, "", "mediaType");
		if (!layer_type_known(type))
			return err_set(e, ERR_UNSUPPORTED,
				"layer %zu of the image has the media type \"%.120s\"", i + 1,
				type);
		rc = parse_blob(layer, "a layer", &m->layers[i], e);
		if (rc != 0)
			return rc;
	}
	m->layer_count = json_array_size(layers);
	return 0;
}

/* How well an entry suits: 0 not at all, more is better. The variants of one architecture are
 * compatible upwards (v6 runs on v7), so an older one is taken when there is no equal one. */
static int entry_score(const json_t *entry, const struct manifest_platform *platform)
{
	const char *variant = json_text(entry, "", "platform", "variant");
	if (strcmp(json_text(entry, "", "platform", "os"), "linux") != 0 ||
		strcmp(json_text(entry, "", "platform", "architecture"), platform->architecture) !=
			0)
		return 0;
	if (strcmp(variant, platform->variant) == 0)
		return 100;
	if (variant[0] == '\0')
		return 90;
	if (variant[0] != 'v' || variant[1] < '1' || variant[1] > '9' || variant[2] != '\0')
		return 0;
	/* amd64 without a variant is v1; arm64's only variant is v8. */
	const char *ours = platform->variant[0] ? platform->variant : "v1";
	return variant[1] <= ours[1] ? 10 + variant[1] - '0' : 0;
}

static int no_entry(const json_t *entries, const struct manifest_platform *platform, struct err *e)
{
	char found[160] = "";
	size_t i, used = 0;
	const json_t *entry;
	json_array_foreach (entries, i, entry) {
		const char *os = json_text(entry, "?", "platform", "os");
		const char *architecture = json_text(entry, "?", "platform", "architecture");
		if (strlen(os) + strlen(architecture) + 4 > sizeof(found) - used)
			break;
		used += (size_t)snprintf(found + used, sizeof(found) - used, "%s%s/%s",
			used ? ", " : "", os, architecture);
	}
	return err_set(e, ERR_NOT_FOUND, "the image has nothing for linux/%s, it has: %s",
		platform->architecture, found[0] ? found : "nothing");
}

static int parse_index(const json_t *entries, const struct manifest_platform *platform,
	struct manifest *m, struct err *e)
{
	if (!json_is_array(entries))
		return err_set(e, ERR_PROTOCOL, "the index of the image has no list of manifests");
	if (json_array_size(entries) > MANIFEST_ENTRIES_MAX)
		return err_set(e, ERR_TOO_LARGE, "the index has %zu manifests, more than %d",
			json_array_size(entries), MANIFEST_ENTRIES_MAX);
	int best = 0;
	size_t i;
	const json_t *entry, *chosen = NULL;
	json_array_foreach (entries, i, entry) {
		int score = entry_score(entry, platform);
		if (score > best) {
			best = score;
			chosen = entry;
		}
	}
	if (!chosen)
		return no_entry(entries, platform, e);
	m->is_index = true;
	return parse_blob(chosen, "an entry", &m->chosen, e);
}

int manifest_parse(const char *text, size_t size, const struct manifest_platform *platform,
	struct manifest *ret_manifest, struct err *e)
{
	if (size > MANIFEST_SIZE_MAX)
		return err_set(e, ERR_TOO_LARGE, "the manifest is larger than %zu bytes",
			MANIFEST_SIZE_MAX);
	CLEANUP(json_done)
	json_t *json = NULL;
	struct err why = ERR_INIT;
	if (json_decode(text, size, &json, &why) != 0)
		return err_set(e, ERR_PROTOCOL, "the manifest is no JSON: %.200s", why.text);
	*ret_manifest = (struct manifest){0};
	const char *type = json_text(json, "", "mediaType");
	int64_t version = json_int(json, 0, "schemaVersion");
	if (version == 1)
		return err_set(e, ERR_UNSUPPORTED,
			"the image has a manifest of schema 1; push it again with a newer tool");
	if (version != 2)
		return err_set(e, ERR_PROTOCOL, "what came is no image manifest (schemaVersion 2)");
	if (json_at(json, "manifests"))
		return parse_index(json_at(json, "manifests"), platform, ret_manifest, e);
	if (!json_at(json, "layers") && type[0] != '\0')
		return err_set(e, ERR_UNSUPPORTED, "\"%.120s\" is no image", type);
	return parse_image(json, ret_manifest, e);
}

int manifest_check_config(struct manifest *m, const char *text, size_t size, struct err *e)
{
	CLEANUP(json_done)
	json_t *json = NULL;
	struct err why = ERR_INIT;
	if (json_decode(text, size, &json, &why) != 0)
		return err_set(e, ERR_PROTOCOL, "the image's config is no JSON: %.200s", why.text);
	const json_t *diff_ids = json_at(json, "rootfs", "diff_ids");
	if (!json_is_object(json) || !json_is_array(diff_ids) ||
		json_array_size(diff_ids) != m->layer_count)
		return err_set(e, ERR_PROTOCOL,
			"the image's config does not list the %zu layers of its manifest",
			m->layer_count);
	for (size_t i = 0; i < m->layer_count; i++) {
		const char *id = json_text_or(json_array_get(diff_ids, i), "");
		if (!image_digest_valid(id))
			return err_set(e, ERR_PROTOCOL,
				"the image's config has a diff_id that is no sha256 digest: %.80s",
				id);
		str_copy(m->layers[i].diff_id, sizeof(m->layers[i].diff_id), id);
	}
	return 0;
}

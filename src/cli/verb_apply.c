#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/manifests.h"
#include "cli/patch.h"
#include "codec/base64.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct apply {
	struct client *client;
	bool namespace_given;
	int applied;
};

struct document {
	const struct kind *kind;
	const char *name, *namespace;
	json_t *json;
	struct buf path;
	char text[300]; /* "deployment.apps/web" */
};

/* ---- what the document is ---- */

static int name_document(struct apply *a, json_t *json, struct document *d, struct err *e)
{
	const char *version = json_text(json, NULL, "apiVersion");
	const char *kind = json_text(json, NULL, "kind");
	char kind_text[128];
	if (!version || !kind)
		return err_set(e, ERR_DECODE, "apiVersion or kind is missing");
	d->kind = kind_by_name(client_kinds(a->client), version, kind);
	if (!d->kind)
		return err_set(e, ERR_DECODE, "there is no kind \"%.60s\" in version \"%.60s\"",
			kind, version);
	d->name = json_text(json, NULL, "metadata", "name");
	if (str_empty(d->name))
		return err_set(e, ERR_DECODE, "metadata.name is missing");
	snprintf(d->text, sizeof(d->text), "%s/%.150s", client_kind_text(d->kind, kind_text),
		d->name);
	return 0;
}

/* The manifest's own namespace must not contradict -n. */
static int place_document(struct apply *a, struct document *d, struct err *e)
{
	json_t *metadata = json_object_get(d->json, "metadata");
	const char *own = json_text(metadata, NULL, "namespace");
	const char *chosen = client_namespace(a->client);
	if (!d->kind->namespaced) {
		json_object_del(metadata, "namespace");
		return 0;
	}
	if (own && a->namespace_given && !str_equal(own, chosen))
		return err_set(e, ERR_USAGE, "%s is for namespace \"%.60s\", but -n says \"%.60s\"",
			d->text, own, chosen);
	if (!own)
		json_object_set_new(metadata, "namespace", json_string(chosen));
	d->namespace = json_text(metadata, chosen, "namespace");
	return 0;
}

/* Writes the document down in its own annotation, for the next apply to compare with. */
static void annotate(struct document *d)
{
	json_t *metadata = json_ensure_object(d->json, "metadata");
	json_t *annotations = json_ensure_object(metadata, "annotations");
	CLEANUP(buf_done) struct buf text = BUF_INIT;
	json_object_del(annotations, LAST_APPLIED);
	json_encode(d->json, &text);
	buf_append_char(&text, '\n');
	json_object_set_new(annotations, LAST_APPLIED, json_string(buf_text(&text)));
}

/* ---- carrying it out ---- */

static void say(struct apply *a, const struct document *d, const char *what)
{
	a->applied++;
	printf("%s %s\n", d->text, what);
	fflush(stdout);
}

static int create(struct apply *a, struct document *d, struct err *e)
{
	CLEANUP(mem_free_ptr) char *body = json_encode_string(d->json);
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	client_path(d->kind, d->namespace, NULL, &path);
	int r = client_request(a->client, "POST", path.data, "application/json", body, NULL, e);
	if (r == 0)
		say(a, d, "created");
	return r;
}

static json_t *last_applied(const json_t *current)
{
	json_t *last = NULL;
	const char *text = json_text(current, NULL, "metadata", "annotations", LAST_APPLIED);
	if (text && json_decode(text, strlen(text), &last, NULL) < 0)
		return NULL;
	return last;
}

/* What a Secret says in plain text, the server keeps in data: compared there. */
static void move_string_data(json_t *secret)
{
	const char *key;
	json_t *value, *plain = json_object_get(secret, "stringData");
	if (!json_is_object(plain))
		return;
	json_t *data = json_ensure_object(secret, "data");
	json_object_foreach (plain, key, value) {
		CLEANUP(buf_done) struct buf b = BUF_INIT;
		base64_encode(json_string_value(value) ? json_string_value(value) : "",
			json_string_length(value), &b);
		json_object_set_new(data, key, json_string(buf_text(&b)));
	}
	json_object_del(secret, "stringData");
}

/* Compared without the annotation, so that only what it stands for counts. */
static json_t *make_patch(const struct document *d, const json_t *current)
{
	CLEANUP(json_done) json_t *last = last_applied(current);
	CLEANUP(json_done) json_t *wanted = json_deep_copy(d->json);
	json_object_del(json_at(wanted, "metadata", "annotations"), LAST_APPLIED);
	if (strcmp(d->kind->name, kind_secret.name) == 0) {
		move_string_data(last);
		move_string_data(wanted);
	}
	json_t *patch = patch_three_way(last, wanted, current);
	const char *now = json_text(d->json, "", "metadata", "annotations", LAST_APPLIED);
	const char *then = json_text(current, "", "metadata", "annotations", LAST_APPLIED);
	if (!str_equal(now, then)) {
		json_t *metadata = json_ensure_object(patch, "metadata");
		json_object_set_new(json_ensure_object(metadata, "annotations"), LAST_APPLIED,
			json_string(now));
	}
	return patch;
}

static int change(struct apply *a, struct document *d, const json_t *current, struct err *e)
{
	CLEANUP(json_done) json_t *patch = make_patch(d, current);
	CLEANUP(json_done) json_t *answer = NULL;
	if (json_object_size(patch) == 0) {
		say(a, d, "unchanged");
		return 0;
	}
	CLEANUP(mem_free_ptr) char *body = json_encode_string(patch);
	int r = client_request(a->client, "PATCH", d->path.data, "application/merge-patch+json",
		body, &answer, e);
	if (r < 0)
		return r;
	bool same = str_equal(json_text(answer, "", "metadata", "resourceVersion"),
		json_text(current, "-", "metadata", "resourceVersion"));
	say(a, d, same ? "unchanged" : "configured");
	return 0;
}

static int apply_document(struct apply *a, struct document *d, struct err *e)
{
	CLEANUP(json_done) json_t *current = NULL;
	client_path(d->kind, d->namespace, d->name, &d->path);
	annotate(d);
	int r = client_get(a->client, d->path.data, NULL, &current, e);
	if (r == -ERR_NOT_FOUND)
		return create(a, d, e);
	return r < 0 ? r : change(a, d, current, e);
}

static int on_document(void *arg, json_t *json, const char *where, struct err *e)
{
	struct apply *a = arg;
	struct document d = {.json = json};
	int r = name_document(a, json, &d, e);
	if (r == 0)
		r = place_document(a, &d, e);
	if (r == 0)
		r = apply_document(a, &d, e);
	buf_done(&d.path);
	if (r < 0 && d.text[0])
		return err_prefix(e, "%.100s: %.200s", where, d.text);
	return r < 0 ? err_prefix(e, "%.150s", where) : 0;
}

int verb_apply(int argc, char **argv)
{
	struct apply a = {0};
	struct cli_common common = {0};
	CLEANUP(cli_words_done) cli_words files = {0};
	bool recursive = false;
	const struct cli_option options[] = {
		{'f', "filename", CLI_LIST, &files, "FILE",
			"a manifest, a folder of them, or - for stdin"},
		{'R', "recursive", CLI_FLAG, &recursive, NULL, "folders within folders too"},
	};
	const struct cli_usage usage = {.synopsis = "apply -f FILE... [options]",
		.text = "Creates what the manifests describe, or changes what is there "
			"accordingly. What an "
			"earlier apply\n"
			"set and the manifest no longer has is removed; what others set stays.\n\n"
			"  continuo apply -f app.yaml\n"
			"  cat app.yaml | continuo apply -n test -f -\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count)
		r = err_set(&e, ERR_USAGE, "unexpected argument \"%.60s\"; manifests come with -f",
			args.words.items[0]);
	a.namespace_given = common.namespace;
	if (r == 0)
		r = client_new(&common, &a.client, &e);
	if (r == 0)
		r = manifests_each(&files, recursive, on_document, &a, &e);
	if (r == 0 && a.applied == 0)
		r = err_set(&e, ERR_USAGE, "there is no object in the manifests");
	client_free(a.client);
	return r < 0 ? cli_fail(&e) : r > 0;
}

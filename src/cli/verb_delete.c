#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/manifests.h"
#include "cli/targets.h"
#include "wire/wire.h"

/* An object that is on its way out. */
struct going {
	const struct kind *kind;
	char *namespace, *name, *uid;
};

struct removal {
	struct client *client;
	int64_t grace_s;      /* -1: the object's own */
	const char *selector; /* of the objects of a kind that go; "" for all */
	bool no_wait, ignore_missing;
	struct wire_reader reader;
	const char *waited_uid;
	VEC(struct going) going; /* waited for when all have been told to go */
};

/* ---- waiting until it is gone ---- */

static int on_event(void *arg, const char *type, json_t *message, struct err *e)
{
	struct removal *d = arg;
	const char *uid = json_text(message, "", "object", "metadata", "uid");
	if (strcmp(type, "ERROR") == 0)
		return err_set(e, ERR_GONE, "the watch ended");
	/* Another object of that name counts as gone too. */
	if (strcmp(type, "DELETED") == 0 || (*uid && !str_equal(uid, d->waited_uid)))
		return -ERR_CANCELLED;
	return 0;
}

static int on_data(void *arg, const char *data, size_t size, struct err *e)
{
	struct removal *d = arg;
	return wire_read(&d->reader, data, size, on_event, d, e);
}

static int wait_gone(struct removal *d, const struct kind *k, const char *namespace,
	const char *name, const char *uid, struct err *e)
{
	CLEANUP(buf_done) struct buf object = BUF_INIT;
	client_path(k, namespace, name, &object);
	for (;;) {
		CLEANUP(json_done) json_t *current = NULL;
		CLEANUP(buf_done) struct buf path = BUF_INIT;
		int r = client_get(d->client, object.data, NULL, &current, e);
		if (r == -ERR_NOT_FOUND)
			return 0;
		if (r < 0)
			return r;
		if (!str_equal(json_text(current, "", "metadata", "uid"), uid))
			return 0;
		client_path(k, namespace, NULL, &path);
		buf_append_string(&path, "?watch=true&fieldSelector=metadata.name%3D");
		client_escape(&path, name);
		buf_printf(&path, "&resourceVersion=%s",
			json_text(current, "0", "metadata", "resourceVersion"));
		d->waited_uid = uid;
		wire_reader_done(&d->reader);
		d->reader = (struct wire_reader){0};
		r = client_stream(d->client, path.data, NULL, on_data, d, e);
		if (r < 0 && r != -ERR_GONE)
			return r;
	}
}

static int delete_one(struct removal *d, const struct kind *k, const char *namespace,
	const char *name, struct err *e)
{
	char text[128];
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	client_path(k, namespace, name, &path);
	buf_append_string(&path, "?propagationPolicy=Background");
	if (d->grace_s >= 0)
		buf_printf(&path, "&gracePeriodSeconds=%lld", (long long)d->grace_s);
	int r = client_request(d->client, "DELETE", path.data, NULL, NULL, &answer, e);
	if (r == -ERR_NOT_FOUND && d->ignore_missing)
		return 0;
	if (r < 0)
		return r;
	printf("%s \"%s\" deleted\n", client_kind_text(k, text), name);
	fflush(stdout);
	/* A Status says that it is gone already; an object, that it is on its way. */
	const char *uid = json_text(answer, NULL, "metadata", "uid");
	if (d->no_wait || !uid || str_equal(json_text(answer, "", "kind"), "Status"))
		return 0;
	vec_push(&d->going, (struct going){k, mem_dup_string(namespace), mem_dup_string(name),
				    mem_dup_string(uid)});
	return 0;
}

static int wait_all(struct removal *d, struct err *e)
{
	int r = 0;
	VEC_EACH (&d->going, struct going, one) {
		if (r == 0)
			r = wait_gone(d, one->kind, one->namespace, one->name, one->uid, e);
		free(one->namespace);
		free(one->name);
		free(one->uid);
	}
	vec_done(&d->going);
	return r;
}

static int on_document(void *arg, json_t *json, const char *where, struct err *e)
{
	struct removal *d = arg;
	const char *version = json_text(json, "", "apiVersion"),
		   *kind = json_text(json, "", "kind");
	const struct kind *k = kind_by_name(client_kinds(d->client), version, kind);
	if (!k)
		return err_set(e, ERR_DECODE,
			"%.150s: there is no kind \"%.60s\" in version \"%.60s\"", where, kind,
			version);
	const char *name = json_text(json, NULL, "metadata", "name");
	if (str_empty(name))
		return err_set(e, ERR_DECODE, "%.150s: metadata.name is missing", where);
	const char *namespace =
		json_text(json, client_namespace(d->client), "metadata", "namespace");
	int r = delete_one(d, k, namespace, name, e);
	return r < 0 ? err_prefix(e, "%.150s", where) : 0;
}

/* One by one: what a delete of the collection did to each would not be told. Returns how many
 * failed, or an error. */
static int delete_selected(struct removal *d, const struct kind *k, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *list = NULL;
	client_path(k, k->namespaced ? client_namespace(d->client) : NULL, NULL, &path);
	buf_append_string(&path, "?labelSelector=");
	client_escape(&path, d->selector);
	int failures = 0, r = client_get(d->client, path.data, NULL, &list, e);
	if (r < 0)
		return r;
	size_t i;
	json_t *one;
	json_array_foreach (json_object_get(list, "items"), i, one) {
		struct err why = ERR_INIT;
		const char *name = json_text(one, "", "metadata", "name");
		r = delete_one(d, k, client_namespace(d->client), name, &why);
		if (r == 0 || r == -ERR_NOT_FOUND)
			continue;
		cli_fail(&why);
		failures++;
	}
	if (i == 0)
		fputs("No resources found.\n", stderr);
	return failures;
}

static int delete_named(struct removal *d, const cli_words *words, struct err *e)
{
	CLEANUP(targets_done) struct targets targets = {0};
	int failures = 0, r = targets_parse(d->client, words, !d->selector, &targets, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < targets.items.count && d->selector; i++) {
		if (targets.items.items[i].name)
			return err_set(e, ERR_USAGE, "either names, or --selector or --all");
		r = delete_selected(d, targets.items.items[i].kind, e);
		if (r < 0)
			return r;
		failures += r;
	}
	if (d->selector)
		return failures;
	for (size_t i = 0; i < targets.items.count; i++) {
		struct err why = ERR_INIT;
		const struct target *t = &targets.items.items[i];
		if (delete_one(d, t->kind, client_namespace(d->client), t->name, &why) == 0)
			continue;
		cli_fail(&why);
		failures++;
	}
	return failures;
}

int verb_delete(int argc, char **argv)
{
	struct removal d = {.grace_s = -1};
	struct cli_common common = {0};
	CLEANUP(cli_words_done) cli_words files = {0};
	bool recursive = false, wait = true, now = false, force = false, all = false;
	const struct cli_option options[] = {
		{'f', "filename", CLI_LIST, &files, "FILE",
			"what is in a manifest, a folder of them, or -"},
		{'R', "recursive", CLI_FLAG, &recursive, NULL, "folders within folders too"},
		{'l', "selector", CLI_TEXT, &d.selector, "LABELS",
			"those of a kind with such labels: app=web,tier!=edge"},
		{0, "all", CLI_FLAG, &all, NULL, "all of a kind in the namespace"},
		{0, "grace-period", CLI_NUMBER, &d.grace_s, "SECONDS",
			"how long pods may take to stop; default: their own"},
		{0, "now", CLI_FLAG, &now, NULL, "the same as --grace-period=1"},
		{0, "force", CLI_FLAG, &force, NULL,
			"the same as --grace-period=0: at once, whatever its node does"},
		{0, "wait", CLI_FLAG, &wait, NULL,
			"until it is gone (default; --wait=false: do not)"},
		{0, "ignore-not-found", CLI_FLAG, &d.ignore_missing, NULL,
			"what is gone is no error"},
	};
	const struct cli_usage usage = {
		.synopsis =
			"delete KIND NAME... | KIND/NAME... | KIND -l LABELS | -f FILE [options]",
		.text = "Deletes objects and what belongs to them, and waits until they are "
			"gone.\n\n"
			"  continuo delete pod web-1 --grace-period 5\n"
			"  continuo delete -f app.yaml --wait=false\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && force && (now || d.grace_s > 0))
		r = err_set(&e, ERR_USAGE, "--force leaves no time to stop: say no other");
	if (now)
		d.grace_s = 1;
	if (force)
		d.grace_s = 0;
	d.no_wait = !wait;
	if (r == 0 && (all || d.selector) && files.count)
		r = err_set(&e, ERR_USAGE, "--selector and --all go with a kind, not with -f");
	else if (r == 0 && d.selector && (all || !*d.selector))
		r = err_set(&e, ERR_USAGE, "say --all for all, or which by --selector");
	if (all)
		d.selector = "";
	if (r == 0)
		r = client_new(&common, &d.client, &e);
	if (r == 0)
		r = files.count ? manifests_each(&files, recursive, on_document, &d, &e)
				: delete_named(&d, &args.words, &e);
	int waited = wait_all(&d, r < 0 ? NULL : &e);
	r = r < 0 || waited == 0 ? r : waited;
	wire_reader_done(&d.reader);
	client_free(d.client);
	return r < 0 ? cli_fail(&e) : r > 0;
}

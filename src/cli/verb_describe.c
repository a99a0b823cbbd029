#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/table.h"
#include "cli/targets.h"
#include "codec/yaml.h"
#include "sys/loop.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct describe {
	struct client *client;
	bool printed; /* an object before this one */
};

/* ---- parts of an object ---- */

static void print_plain_line(const char *text)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT;
	table_plain(text, &plain);
	puts(buf_text(&plain));
}

static void print_map(const char *title, const json_t *map)
{
	const char *key;
	json_t *value;
	bool first = true;
	json_object_foreach ((json_t *)map, key, value) {
		CLEANUP(mem_free_ptr)
		char *line =
			mem_format("%-14s%s=%s", first ? title : "", key, json_text_or(value, ""));
		print_plain_line(line);
		first = false;
	}
	if (first)
		printf("%-14s<none>\n", title);
}

/* YAML, moved in by two columns. */
static void print_indented(const json_t *json)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	yaml_encode(json, &b);
	char *rest = (char *)(uintptr_t)buf_text(&b);
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			printf("  %s\n", line);
}

static void print_age(struct describe *d, const char *time, char *ret_text)
{
	int64_t then_ms;
	if (!time || time_parse(time, &then_ms, NULL) < 0)
		str_copy(ret_text, TIME_TEXT_SIZE, "<unknown>");
	else
		time_format_age(loop_wall_ms(client_loop(d->client)) - then_ms, ret_text);
}

static void print_conditions(struct describe *d, const json_t *conditions)
{
	CLEANUP(table_done) struct table table = {.columns = 5};
	static const char *const header[] = {"  TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"};
	size_t at;
	json_t *one;
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	json_array_foreach (conditions, at, one) {
		char age[TIME_TEXT_SIZE], type[80];
		print_age(d, json_text(one, NULL, "lastTransitionTime"), age);
		snprintf(type, sizeof(type), "  %.70s", json_text(one, "", "type"));
		table_add(&table, type);
		table_add(&table, json_text(one, "", "status"));
		table_add(&table, age);
		table_add(&table, json_text(one, "", "reason"));
		table_add(&table, json_text(one, "", "message"));
	}
	puts("Conditions:");
	table_print(&table, true, stdout);
}

/* Secrets are not for shoulders to look over: only how long each is. */
static void hide_data(json_t *object)
{
	const char *key;
	json_t *value;
	void *next;
	json_t *data = json_object_get(object, "data");
	json_object_foreach_safe (data, next, key, value) {
		char text[40];
		size_t size = json_string_length(value) / 4 * 3;
		const char *base64 = json_string_value(value);
		if (base64 && str_ends(base64, "=="))
			size -= 2;
		else if (base64 && str_ends(base64, "="))
			size -= 1;
		snprintf(text, sizeof(text), "<%zu bytes>", size);
		json_object_set_new(data, key, json_string(text));
	}
}

static void print_head(struct describe *d, const struct kind *k, const json_t *object)
{
	char age[TIME_TEXT_SIZE];
	json_t *metadata = json_object_get(object, "metadata"), *owner;
	const char *created = json_text(metadata, NULL, "creationTimestamp");
	size_t at;
	print_age(d, created, age);
	json_object_del(json_object_get(metadata, "annotations"), LAST_APPLIED);
	printf("%-14s%s\n", "Name:", json_text(metadata, "", "name"));
	if (k->namespaced)
		printf("%-14s%s\n", "Namespace:", json_text(metadata, "", "namespace"));
	print_map("Labels:", json_object_get(metadata, "labels"));
	print_map("Annotations:", json_object_get(metadata, "annotations"));
	printf("%-14s%s (%s ago)\n", "Created:", created ? created : "?", age);
	if (json_text(metadata, NULL, "deletionTimestamp"))
		printf("%-14ssince %s\n",
			"Terminating:", json_text(metadata, "", "deletionTimestamp"));
	json_array_foreach (json_object_get(metadata, "ownerReferences"), at, owner)
		printf("%-14s%s/%s\n", "Owned by:", json_text(owner, "", "kind"),
			json_text(owner, "", "name"));
}

static void print_object(struct describe *d, const struct kind *k, json_t *object)
{
	static const char *const shown[] = {"apiVersion", "kind", "metadata"};
	const char *key;
	json_t *value;
	print_head(d, k, object);
	json_t *conditions = json_incref(json_at(object, "status", "conditions"));
	json_object_del(json_object_get(object, "status"), "conditions");
	if (k->sealed)
		hide_data(object);
	json_object_foreach (object, key, value) {
		bool skip = json_is_object(value) && json_object_size(value) == 0;
		for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
			skip = skip || str_equal(key, shown[i]);
		if (skip)
			continue;
		if (json_is_string(value)) {
			CLEANUP(mem_free_ptr)
			char *line = mem_format("%c%s: %s", key[0] - 'a' + 'A', key + 1,
				json_string_value(value));
			print_plain_line(line);
			continue;
		}
		printf("%c%s:\n", key[0] - 'a' + 'A', key + 1);
		print_indented(value);
	}
	if (json_array_size(conditions) > 0)
		print_conditions(d, conditions);
	json_decref(conditions);
}

/* ---- events ---- */

static void add_event(struct describe *d, struct table *table, const json_t *event)
{
	char age[TIME_TEXT_SIZE], text[300];
	const char *last = json_text(event, NULL, "lastTimestamp");
	if (!last)
		last = json_text(event, NULL, "eventTime");
	if (!last)
		last = json_text(event, NULL, "metadata", "creationTimestamp");
	print_age(d, last, age);
	long long count = json_int(event, 1, "count");
	snprintf(text, sizeof(text), "  %.80s", json_text(event, "", "type"));
	table_add(table, text);
	table_add(table, json_text(event, "", "reason"));
	snprintf(text, sizeof(text), count > 1 ? "%s (%lld times)" : "%s", age, count);
	table_add(table, text);
	const char *from = json_text(event, "", "source", "component");
	table_add(table, *from ? from : json_text(event, "", "reportingComponent"));
	table_add(table, json_text(event, "", "message"));
}

static int print_events(struct describe *d, const struct kind *k, const char *name, const char *uid,
	struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	CLEANUP(table_done) struct table table = {.columns = 5};
	static const char *const header[] = {"  TYPE", "REASON", "AGE", "FROM", "MESSAGE"};
	client_path(&kind_event, k->namespaced ? client_namespace(d->client) : NULL, NULL, &path);
	buf_append_string(&path, "?fieldSelector=involvedObject.name%3D");
	client_escape(&path, name);
	int r = client_get(d->client, path.data, NULL, &answer, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		table_add(&table, header[i]);
	size_t at, shown = 0;
	json_t *event;
	json_array_foreach (json_object_get(answer, "items"), at, event) {
		const char *about = json_text(event, "", "involvedObject", "uid");
		if (!str_equal(json_text(event, "", "involvedObject", "kind"), k->name) ||
			(*about && !str_equal(about, uid)))
			continue;
		add_event(d, &table, event);
		shown++;
	}
	if (shown) {
		puts("Events:");
		table_print(&table, true, stdout);
	} else {
		puts("Events:       <none>");
	}
	return 0;
}

static int describe_one(struct describe *d, const struct kind *k, const char *name, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *object = NULL;
	client_path(k, client_namespace(d->client), name, &path);
	int r = client_get(d->client, path.data, NULL, &object, e);
	if (r < 0)
		return r;
	if (d->printed)
		putchar('\n');
	d->printed = true;
	CLEANUP(mem_free_ptr)
	char *uid = mem_dup_string(json_text(object, "", "metadata", "uid"));
	print_object(d, k, object);
	return print_events(d, k, name, uid, e);
}

/* Without a name: all of the kind. */
static int describe_all(struct describe *d, const struct kind *k, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *list = NULL;
	client_path(k, client_namespace(d->client), NULL, &path);
	int r = client_get(d->client, path.data, NULL, &list, e);
	size_t at;
	json_t *item;
	json_array_foreach (json_object_get(list, "items"), at, item) {
		if (r == 0)
			r = describe_one(d, k, json_text(item, "", "metadata", "name"), e);
	}
	return r;
}

int verb_describe(int argc, char **argv)
{
	struct describe d = {0};
	struct cli_common common = {0};
	const struct cli_usage usage = {
		.synopsis = "describe KIND [NAME...] | KIND/NAME... [options]",
		.text = "Shows objects for people, with the events about them.\n\n"
			"  continuo describe pod web-1\n",
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(targets_done) struct targets targets = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0)
		r = client_new(&common, &d.client, &e);
	if (r == 0)
		r = targets_parse(d.client, &args.words, false, &targets, &e);
	for (size_t i = 0; r == 0 && i < targets.items.count; i++) {
		const struct target *t = &targets.items.items[i];
		r = t->name ? describe_one(&d, t->kind, t->name, &e)
			    : describe_all(&d, t->kind, &e);
	}
	client_free(d.client);
	return r < 0 ? cli_fail(&e) : 0;
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/table.h"
#include "cli/targets.h"
#include "codec/yaml.h"
#include "wire/wire.h"

#define ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

enum format { FORMAT_TABLE, FORMAT_WIDE, FORMAT_YAML, FORMAT_JSON, FORMAT_NAME };

struct get {
	struct client *client;
	struct targets targets;
	const char *selector, *fields, *output;
	enum format format;
	bool all_namespaces, watch, no_headers;
	json_t *items; /* collected for yaml and json */
	bool printed;  /* something of an earlier kind */
};

static int choose_format(struct get *g, struct err *e)
{
	static const char *const names[] = {[FORMAT_TABLE] = "",
		[FORMAT_WIDE] = "wide",
		[FORMAT_YAML] = "yaml",
		[FORMAT_JSON] = "json",
		[FORMAT_NAME] = "name"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!str_equal(g->output ? g->output : "", names[i]))
			continue;
		g->format = (enum format)i;
		return 0;
	}
	return err_set(e, ERR_USAGE, "--output is wide, yaml, json or name, not \"%.40s\"",
		g->output);
}

static bool as_table(const struct get *g)
{
	return g->format == FORMAT_TABLE || g->format == FORMAT_WIDE;
}

static void add_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_append_char(path, strchr(path->data, '?') ? '&' : '?');
	buf_printf(path, "%s=", name);
	client_escape(path, value);
}

static void make_path(const struct get *g, const struct target *t, struct buf *path)
{
	const char *namespace = g->all_namespaces && !t->name ? NULL : client_namespace(g->client);
	client_path(t->kind, namespace, g->watch ? NULL : t->name, path);
	add_query(path, "labelSelector", g->selector);
	add_query(path, "fieldSelector", g->fields);
	if (g->watch && t->name) {
		CLEANUP(mem_free_ptr) char *selector = mem_format("metadata.name=%s", t->name);
		add_query(path, "fieldSelector", selector);
	}
}

/* "pod/" when several kinds are mixed in one answer. */
static void make_prefix(const struct get *g, const struct kind *k, char *ret_prefix, size_t size)
{
	char text[128];
	bool mixed = false;
	for (size_t i = 0; i < g->targets.items.count; i++)
		mixed = mixed || g->targets.items.items[i].kind != k;
	snprintf(ret_prefix, size, mixed ? "%s/" : "%.0s", client_kind_text(k, text));
}

static void print_table(struct get *g, const struct target *t, const json_t *answer,
	struct table *table)
{
	char prefix[160];
	make_prefix(g, t->kind, prefix, sizeof(prefix));
	if (g->printed && table->columns == 0)
		putchar('\n');
	table_add_server(table, answer, prefix, g->all_namespaces && t->kind->namespaced,
		g->format == FORMAT_WIDE, true);
	table_print(table, !g->no_headers, stdout);
	g->printed = true;
}

static void collect(struct get *g, const struct target *t, json_t *answer)
{
	char api_version[128];
	json_t *items = json_object_get(answer, "items"), *item;
	size_t at;
	if (!json_is_array(items)) {
		json_array_append(g->items, answer);
		return;
	}
	kind_api_version(t->kind, api_version);
	json_array_foreach (items, at, item) {
		/* Items of a list say their kind only in the list's own. */
		if (!json_at(item, "kind")) {
			json_object_set_new(item, "kind", json_string(t->kind->name));
			json_object_set_new(item, "apiVersion", json_string(api_version));
		}
		json_array_append(g->items, item);
	}
}

static void print_document(const json_t *json, enum format format)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT;
	if (format == FORMAT_YAML) {
		yaml_encode(json, &b);
		fputs(buf_text(&b), stdout);
		return;
	}
	json_dumpf(json, stdout, JSON_INDENT(4));
	putchar('\n');
}

static void print_names(const struct get *g)
{
	size_t at;
	json_t *item;
	json_array_foreach (g->items, at, item) {
		char text[128];
		const struct kind *k = kind_by_name(client_kinds(g->client),
			json_text(item, "", "apiVersion"), json_text(item, "", "kind"));
		printf("%s/%s\n", k ? client_kind_text(k, text) : "?",
			json_text(item, "", "metadata", "name"));
	}
}

static void print_collected(const struct get *g)
{
	bool single = g->targets.items.count == 1 && g->targets.items.items[0].name;
	if (g->format == FORMAT_NAME) {
		print_names(g);
	} else if (single) {
		print_document(json_array_get(g->items, 0), g->format);
	} else {
		CLEANUP(json_done)
		json_t *list = json_pack("{s:s, s:s, s:O, s:{s:s}}", "apiVersion", "v1", "kind",
			"List", "items", g->items, "metadata", "resourceVersion", "");
		print_document(list, g->format);
	}
}

static int get_one(struct get *g, const struct target *t, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	CLEANUP(table_done) struct table table = {0};
	make_path(g, t, &path);
	int r = client_get(g->client, path.data, as_table(g) ? ACCEPT_TABLE : NULL, &answer, e);
	if (r < 0)
		return r;
	if (!as_table(g))
		collect(g, t, answer);
	else if (json_array_size(json_object_get(answer, "rows")) > 0)
		print_table(g, t, answer, &table);
	return 0;
}

static void say_nothing_found(const struct get *g)
{
	bool namespaced = false;
	for (size_t i = 0; i < g->targets.items.count; i++)
		namespaced = namespaced || g->targets.items.items[i].kind->namespaced;
	if (namespaced && !g->all_namespaces)
		fprintf(stderr, "No resources found in namespace %s.\n",
			client_namespace(g->client));
	else
		fputs("No resources found.\n", stderr);
}

/* ---- watching ---- */

struct follow {
	struct get *get;
	const struct target *target;
	struct table table;
	struct wire_reader reader;
	bool header_due;
};

static int on_event(void *arg, const char *type, json_t *message, struct err *e)
{
	struct follow *f = arg;
	json_t *object = json_object_get(message, "object");
	if (strcmp(type, "ERROR") == 0)
		return err_set(e, err_from_name(json_text(object, "", "reason")), "%.300s",
			json_text(object, "the watch ended", "message"));
	if (strcmp(type, "BOOKMARK") == 0)
		return 0;
	if (!as_table(f->get)) {
		if (f->get->format == FORMAT_YAML)
			puts("---");
		print_document(object, f->get->format);
		fflush(stdout);
		return 0;
	}
	char prefix[160];
	make_prefix(f->get, f->target->kind, prefix, sizeof(prefix));
	table_add_server(&f->table, object, prefix,
		f->get->all_namespaces && f->target->kind->namespaced,
		f->get->format == FORMAT_WIDE, true);
	table_print(&f->table, f->header_due && !f->get->no_headers, stdout);
	f->header_due = false;
	return 0;
}

static int on_data(void *arg, const char *data, size_t size, struct err *e)
{
	struct follow *f = arg;
	return wire_read(&f->reader, data, size, on_event, f, e);
}

/* First what is there, then what changes, on one table. */
static int follow(struct get *g, const struct target *t, struct err *e)
{
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	CLEANUP(json_done) json_t *answer = NULL;
	struct follow f = {.get = g, .target = t, .header_due = true};
	const char *accept = as_table(g) ? ACCEPT_TABLE : NULL;
	make_path(g, t, &path);
	int r = client_get(g->client, path.data, accept, &answer, e);
	if (r == 0 && as_table(g) && json_array_size(json_object_get(answer, "rows")) > 0) {
		print_table(g, t, answer, &f.table);
		f.header_due = false;
	} else if (r == 0 && !as_table(g)) {
		size_t at;
		json_t *item;
		collect(g, t, answer);
		json_array_foreach (g->items, at, item) {
			print_document(item, g->format);
		}
	}
	if (r == 0) {
		add_query(&path, "watch", "true");
		add_query(&path, "resourceVersion",
			json_text(answer, "0", "metadata", "resourceVersion"));
		r = client_stream(g->client, path.data, accept, on_data, &f, e);
	}
	table_done(&f.table);
	wire_reader_done(&f.reader);
	return r;
}

static int get_all(struct get *g, struct err *e)
{
	int r = 0;
	if (g->watch && g->targets.items.count != 1)
		return err_set(e, ERR_USAGE, "--watch follows one kind at a time");
	if (g->watch)
		return follow(g, &g->targets.items.items[0], e);
	for (size_t i = 0; i < g->targets.items.count && r == 0; i++)
		r = get_one(g, &g->targets.items.items[i], e);
	if (r < 0)
		return r;
	if (as_table(g) ? !g->printed : json_array_size(g->items) == 0 && g->format == FORMAT_NAME)
		say_nothing_found(g);
	if (!as_table(g))
		print_collected(g);
	return 0;
}

int verb_get(int argc, char **argv)
{
	struct get g = {0};
	struct cli_common common = {0};
	const struct cli_option options[] = {
		{'o', "output", CLI_TEXT, &g.output, "FORMAT", "wide, yaml, json or name"},
		{'A', "all-namespaces", CLI_FLAG, &g.all_namespaces, NULL, "of all namespaces"},
		{'l', "selector", CLI_TEXT, &g.selector, "LABELS",
			"app=web,tier!=edge,x in (a,b),!y"},
		{0, "field-selector", CLI_TEXT, &g.fields, "FIELDS", "status.phase=Running"},
		{'w', "watch", CLI_FLAG, &g.watch, NULL, "go on with what changes"},
		{0, "no-headers", CLI_FLAG, &g.no_headers, NULL, "rows only"},
	};
	const struct cli_usage usage = {
		.synopsis = "get KIND[,KIND...] [NAME...] | KIND/NAME... [options]",
		.text = "Lists objects, or shows some of them.\n\n"
			"  continuo get pods -o wide\n"
			"  continuo get deploy,svc -A\n"
			"  continuo get pod web-1 -o yaml\n"
			"  continuo get pods -l app=web -w\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(json_done) json_t *items = json_array();
	struct err e = ERR_INIT;
	g.items = items;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0)
		r = choose_format(&g, &e);
	if (r == 0)
		r = client_new(&common, &g.client, &e);
	if (r == 0)
		r = targets_parse(g.client, &args.words, false, &g.targets, &e);
	if (r == 0)
		r = get_all(&g, &e);
	targets_done(&g.targets);
	client_free(g.client);
	return r < 0 ? cli_fail(&e) : 0;
}

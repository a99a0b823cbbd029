#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

#define COMMON_COUNT 3

struct parser {
	const struct cli_usage *usage;
	struct cli_option common[COMMON_COUNT];
	size_t common_count;
	int argc;
	char **argv;
	int at;
};

void cli_words_done(cli_words *w)
{
	vec_done(w);
}

void cli_args_done(struct cli_args *a)
{
	vec_done(&a->words);
	vec_done(&a->rest);
}

static const struct cli_option *option_at(const struct parser *p, size_t i)
{
	size_t count = p->usage->option_count;
	if (i < count)
		return &p->usage->options[i];
	return i - count < p->common_count ? &p->common[i - count] : NULL;
}

static const struct cli_option *by_name(const struct parser *p, const char *name, size_t size)
{
	const struct cli_option *o;
	for (size_t i = 0; (o = option_at(p, i)); i++)
		if (strlen(o->name) == size && strncmp(o->name, name, size) == 0)
			return o;
	return NULL;
}

static const struct cli_option *by_letter(const struct parser *p, char letter)
{
	const struct cli_option *o;
	for (size_t i = 0; (o = option_at(p, i)); i++)
		if (o->letter == letter)
			return o;
	return NULL;
}

/* ---- help ---- */

static void print_option(const struct cli_option *o)
{
	char left[64];
	int size = o->letter ? snprintf(left, sizeof(left), "-%c, --%s", o->letter, o->name)
			     : snprintf(left, sizeof(left), "    --%s", o->name);
	if (o->type != CLI_FLAG && size > 0 && (size_t)size < sizeof(left))
		snprintf(left + size, sizeof(left) - (size_t)size, " %s",
			o->argument ? o->argument : "VALUE");
	printf("  %-26s %s\n", left, o->help);
}

static void print_help(const struct parser *p)
{
	const struct cli_option *o;
	printf("Usage: continuo %s\n\n%s\n", p->usage->synopsis, p->usage->text);
	if (option_at(p, 0))
		puts("Options:");
	for (size_t i = 0; (o = option_at(p, i)); i++)
		print_option(o);
}

/* ---- values ---- */

static int set_value(const struct cli_option *o, const char *text, struct err *e)
{
	switch (o->type) {
	case CLI_FLAG:
		if (text && !str_equal(text, "true") && !str_equal(text, "false"))
			return err_set(e, ERR_USAGE, "--%s is true or false, not \"%.60s\"",
				o->name, text);
		*(bool *)o->value = !text || str_equal(text, "true");
		return 0;
	case CLI_TEXT:
		*(const char **)o->value = text;
		return 0;
	case CLI_LIST:
		vec_push((cli_words *)o->value, text);
		return 0;
	case CLI_NUMBER: {
		char what[64];
		snprintf(what, sizeof(what), "--%s", o->name);
		if (str_to_int64(text, what, o->value, e) == 0)
			return 0;
		return err_set(e, ERR_USAGE, "--%s wants a number, not \"%.60s\"", o->name, text);
	}
	}
	return 0;
}

/* The value is what is glued to the option, or else the next argument. */
static int take_value(struct parser *p, const struct cli_option *o, const char *glued,
	struct err *e)
{
	if (o->type == CLI_FLAG || glued)
		return set_value(o, glued, e);
	if (p->at + 1 >= p->argc)
		return err_set(e, ERR_USAGE, "--%s wants a value: %s", o->name,
			o->argument ? o->argument : "VALUE");
	return set_value(o, p->argv[++p->at], e);
}

static int parse_long(struct parser *p, const char *text, struct err *e)
{
	size_t size = strcspn(text, "=");
	const struct cli_option *o = by_name(p, text, size);
	if (!o)
		return err_set(e, ERR_USAGE, "there is no option --%.*s (see continuo %s --help)",
			(int)size, text, p->argv[0]);
	return take_value(p, o, text[size] ? text + size + 1 : NULL, e);
}

/* "-Aw", "-nNS", "-n NS" */
static int parse_letters(struct parser *p, const char *text, struct err *e)
{
	for (; *text; text++) {
		const struct cli_option *o = by_letter(p, *text);
		if (!o)
			return err_set(e, ERR_USAGE,
				"there is no option -%c (see continuo %s --help)", *text,
				p->argv[0]);
		if (o->type != CLI_FLAG) {
			const char *glued = text[1] == '=' ? text + 2 : text + 1;
			return take_value(p, o, *glued ? glued : NULL, e);
		}
		int r = set_value(o, NULL, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_common(struct parser *p)
{
	struct cli_common *c = p->usage->common;
	if (!c)
		return;
	p->common_count = COMMON_COUNT;
	p->common[0] = (struct cli_option){'n', "namespace", CLI_TEXT, &c->namespace, "NAME",
		"the namespace; default: that of the context, else default"};
	p->common[1] = (struct cli_option){0, "kubeconfig", CLI_TEXT, &c->kubeconfig, "FILE",
		"default: $KUBECONFIG, else ~/.kube/config"};
	p->common[2] = (struct cli_option){0, "context", CLI_TEXT, &c->context, "NAME",
		"one of the kubeconfig; default: its current one"};
}

int cli_parse(const struct cli_usage *usage, int argc, char **argv, struct cli_args *ret_args,
	struct err *e)
{
	struct parser p = {.usage = usage, .argc = argc, .argv = argv};
	add_common(&p);
	int r = 0;
	for (p.at = 1; p.at < argc && r == 0; p.at++) {
		const char *text = argv[p.at];
		if (ret_args->has_rest) {
			vec_push(&ret_args->rest, text);
		} else if (str_equal(text, "--")) {
			ret_args->has_rest = true;
		} else if (str_equal(text, "--help") || str_equal(text, "-h")) {
			print_help(&p);
			return 1;
		} else if (str_starts(text, "--")) {
			r = parse_long(&p, text + 2, e);
		} else if (text[0] == '-' && text[1]) {
			r = parse_letters(&p, text + 1, e);
		} else {
			vec_push(&ret_args->words, text);
		}
	}
	return r;
}

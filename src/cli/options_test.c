#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cli.h"

struct values {
	bool all, follow;
	const char *output;
	int64_t tail;
	cli_words files;
	struct cli_common common;
	struct cli_args args;
	struct err e;
};

static void values_done(struct values *v)
{
	cli_words_done(&v->files);
	cli_args_done(&v->args);
}

/* The arguments are cut at spaces. */
static int parse(struct values *v, const char *line)
{
	static char text[200];
	char *argv[20], *save = NULL;
	int argc = 0;
	const struct cli_option options[] = {
		{'A', "all", CLI_FLAG, &v->all, NULL, "all"},
		{'f', "follow", CLI_FLAG, &v->follow, NULL, "follow"},
		{'o', "output", CLI_TEXT, &v->output, "FORMAT", "how"},
		{0, "tail", CLI_NUMBER, &v->tail, "LINES", "how many"},
		{0, "file", CLI_LIST, &v->files, "FILE", "which"},
	};
	const struct cli_usage usage = {.synopsis = "test",
		.text = "",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &v->common};
	strcpy(text, line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return cli_parse(&usage, argc, argv, &v->args, &v->e);
}

static void options_and_words_mix(void **state)
{
	(void)state;
	CLEANUP(values_done) struct values v = {0};
	assert_int_equal(
		parse(&v, "get pods -Af -n shop web --output=yaml --tail 5 --file a --file=b "
			  "-- -x --y"),
		0);
	assert_true(v.all && v.follow && v.args.has_rest);
	assert_string_equal(v.common.namespace, "shop");
	assert_string_equal(v.output, "yaml");
	assert_int_equal(v.tail, 5);
	assert_int_equal(v.files.count, 2);
	assert_string_equal(v.files.items[1], "b");
	assert_int_equal(v.args.words.count, 2);
	assert_string_equal(v.args.words.items[1], "web");
	assert_int_equal(v.args.rest.count, 2);
	assert_string_equal(v.args.rest.items[0], "-x");
}

static void values_may_be_glued_to_letters(void **state)
{
	(void)state;
	CLEANUP(values_done) struct values v = {0};
	assert_int_equal(parse(&v, "get -Anshop -oyaml --follow=false - "), 0);
	assert_true(v.all);
	assert_false(v.follow);
	assert_string_equal(v.common.namespace, "shop");
	assert_string_equal(v.output, "yaml");
	assert_string_equal(v.args.words.items[0], "-");
}

static void mistakes_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *line, *text;
	} rows[] = {
		{"get --nothing", "--nothing"},
		{"get -z", "-z"},
		{"get --tail x", "a number"},
		{"get --tail", "wants a value"},
		{"get -n", "--namespace wants a value"},
		{"get --all=maybe", "true or false"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(values_done) struct values v = {0};
		assert_int_equal(parse(&v, rows[i].line), -ERR_USAGE);
		assert_non_null(strstr(v.e.text, rows[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_words_mix),
		cmocka_unit_test(values_may_be_glued_to_letters),
		cmocka_unit_test(mistakes_are_named),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

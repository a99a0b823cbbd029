#include "driver/fake_script.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void fake_script_init(struct fake_script *s, const char *const *args)
{
	*s = (struct fake_script){0};
	size_t count = 0;
	while (args[count])
		count++;
	if (count >= 3 && str_equal(args[1], "-c"))
		s->text = mem_dup_string(args[2]);
	else if (count == 2 && str_ends(args[0], "sleep"))
		s->text = mem_format("sleep %s", args[1]);
}

void fake_script_done(struct fake_script *s)
{
	free(s->text);
	s->text = NULL;
}

/* trap "exit 7" TERM, trap "" TERM */
static void read_trap(struct fake_script *s, const char *word)
{
	const char *code = strstr(word, "exit ");
	s->traps = true;
	s->trap_exit = code ? atoi(code + 5) : -1;
}

/* One statement, without blanks before it. */
static enum fake_pause run_statement(struct fake_script *s, const char *word, struct buf *output,
	int64_t *ret_sleep_ms)
{
	*ret_sleep_ms = 0;
	if (str_starts(word, "echo ")) {
		buf_append_string(output, word + 5);
		buf_append_char(output, '\n');
	} else if (str_starts(word, "sleep ")) {
		*ret_sleep_ms = (int64_t)(strtod(word + 6, NULL) * 1000);
	} else if (str_starts(word, "exit ")) {
		s->exit_code = atoi(word + 5);
		return FAKE_EXITS;
	} else if (str_starts(word, "trap ")) {
		read_trap(s, word);
	} else {
		return FAKE_RUNS_ON;
	}
	return FAKE_SLEEPS;
}

enum fake_pause fake_script_run(struct fake_script *s, struct buf *output, int64_t *ret_sleep_ms)
{
	*ret_sleep_ms = 0;
	if (!s->text)
		return FAKE_RUNS_ON;
	while (s->text[s->at]) {
		const char *start = s->text + s->at;
		size_t size = strcspn(start, ";\n");
		s->at += size + (start[size] ? 1 : 0);
		while (size > 0 && (*start == ' ' || *start == '\t')) {
			start++;
			size--;
		}
		if (!size)
			continue;
		CLEANUP(mem_free_ptr) char *word = mem_dup_bytes(start, size);
		enum fake_pause pause = run_statement(s, word, output, ret_sleep_ms);
		if (pause != FAKE_SLEEPS || *ret_sleep_ms > 0)
			return pause;
	}
	return FAKE_EXITS;
}

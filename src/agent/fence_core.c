#include "agent/fence_core.h"

#include <stdio.h>
#include <string.h>

enum fence_word fence_core_obey(struct fence_core *f, const char *line, int64_t now_ms)
{
	long long until_ms;
	if (strcmp(line, "quit") == 0)
		return FENCE_QUIT;
	if (sscanf(line, "until %lld", &until_ms) != 1 || f->fired || now_ms >= f->until_ms ||
		until_ms <= f->until_ms)
		return FENCE_NO_WORD;
	f->until_ms = until_ms;
	return FENCE_LATER;
}

bool fence_core_due(struct fence_core *f, int64_t now_ms)
{
	f->fired = f->fired || now_ms >= f->until_ms;
	return f->fired;
}

size_t fence_core_say(const struct fence_core *f, char ret_line[static FENCE_LINE_SIZE])
{
	int size = f->fired ? snprintf(ret_line, FENCE_LINE_SIZE, "fired\n")
			    : snprintf(ret_line, FENCE_LINE_SIZE, "until %lld\n",
				      (long long)f->until_ms);
	return (size_t)size;
}

size_t fence_core_take(char line[static FENCE_LINE_SIZE], const char *bytes, size_t size,
	bool *ret_whole)
{
	size_t used = strlen(line);
	*ret_whole = false;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			*ret_whole = true;
			return i + 1;
		}
		if (used + 1 < FENCE_LINE_SIZE) {
			line[used++] = bytes[i];
			line[used] = '\0';
		}
	}
	return size;
}

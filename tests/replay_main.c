/*
 * Runs a fuzz target over its corpus, so that what a fuzzer once found stays found: each file is
 *one test in TAP. REPLAY_FOLDER is the corpus (tests/corpus/NAME); files or folders given as
 *arguments replace it, to look at one finding.
 *
 * A target is FOO_fuzz.c beside foo.c with `int LLVMFuzzerTestOneInput(const uint8_t *, size_t)`,
 * registered in the room's meson.build with
 *	fuzz_targets += [['NAME', files('FOO_fuzz.c'), ROOM_dep]]
 * That gives test-fuzz-NAME (this replay, always) and, with `CC=clang meson setup build-fuzz
 * -Dfuzz=true`, the fuzzer itself: build-fuzz/fuzz-NAME tests/corpus/NAME
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count;

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file) {
		printf("not ok %d - %s\n", ++count, path);
		return 1;
	}
	size_t size = 0, capacity = 1 << 16;
	uint8_t *data = malloc(capacity);
	for (size_t got; data && (got = fread(data + size, 1, capacity - size, file)) > 0;) {
		size += got;
		if (size == capacity)
			data = realloc(data, capacity *= 2);
	}
	fclose(file);
	if (!data)
		abort();
	uint8_t *exact = malloc(size ? size : 1); /* so that reading past the end is noticed */
	if (!exact)
		abort();
	memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	const char *name = strrchr(path, '/');
	printf("ok %d - %s\n", ++count, name ? name + 1 : path);
	fflush(stdout);
	return 0;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay(const char *path)
{
	struct stat info;
	if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
		return replay_file(path);
	struct dirent **entries = NULL;
	int found = scandir(path, &entries, not_hidden, alphasort), failed = 0;
	for (int i = 0; i < found; i++) {
		char name[4096];
		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		failed += replay_file(name);
		free(entries[i]);
	}
	free(entries);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;
	for (int i = 1; i < argc; i++)
		failed += replay(argv[i]);
	if (argc < 2)
		failed += replay(REPLAY_FOLDER);
	if (count == 0) {
		printf("not ok 1 - the corpus is empty\n");
		count = failed = 1;
	}
	printf("1..%d\n", count);
	return failed ? 1 : 0;
}

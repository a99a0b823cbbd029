#include "image/partial.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/record.h"
#include "sys/tree.h"

#define BLOB_MIN ((int64_t)1 << 20)
#define ROOM_TIMES 8
#define TOTAL_MAX ((int64_t)1 << 30)

int partial_open(const char *folder, const char *digest, int64_t size)
{
	if (size < BLOB_MIN)
		return -1;
	CLEANUP(mem_free_ptr) char *path = record_path(folder, "partial", digest, "");
	int64_t free_bytes = fs_free_bytes(fs_real(), folder);
	bool there = access(path, F_OK) == 0;
	if (!there && free_bytes / ROOM_TIMES < size)
		return -1;
	partial_collect(folder, PARTIAL_AGE_MAX_S, TOTAL_MAX);
	return open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

void partial_remove(const char *folder, const char *digest)
{
	CLEANUP(mem_free_ptr) char *path = record_path(folder, "partial", digest, "");
	unlink(path);
}

/* ---- collection ---- */

struct kept {
	char *name;
	int64_t changed_s, size;
};

struct collection {
	const char *folder;
	VEC(struct kept) files;
	int64_t total;
};

static int add(void *arg, const char *name, bool is_folder)
{
	struct collection *c = arg;
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/partial/%s", c->folder, name);
	struct stat st;
	if (is_folder || lstat(path, &st) != 0)
		return 0;
	struct kept *k = vec_add(&c->files);
	*k = (struct kept){.name = mem_dup_string(name),
		.changed_s = st.st_mtim.tv_sec,
		.size = (int64_t)st.st_blocks * 512};
	c->total += k->size;
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;
	return (x->changed_s > y->changed_s) - (x->changed_s < y->changed_s);
}

/* Unless its blob is being fetched. */
static void remove_one(struct collection *c, const struct kept *k)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/partial/%s", c->folder, k->name);
	CLEANUP(mem_free_ptr) char *lock = mem_format("%s/locks/%s", c->folder, k->name);
	CLEANUP(tree_close) int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
		return;
	if (unlink(path) == 0)
		c->total -= k->size;
}

void partial_collect(const char *folder, int64_t age_s, int64_t total_bytes)
{
	struct collection c = {.folder = folder};
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/partial", folder);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now); /* that of the files' own times */
	if (fs_list(fs_real(), path, add, &c, NULL) == 0 && c.files.count > 0) {
		qsort(c.files.items, c.files.count, sizeof(*c.files.items), by_age);
		VEC_EACH (&c.files, struct kept, k) {
			if (now.tv_sec - k->changed_s >= age_s || c.total > total_bytes)
				remove_one(&c, k);
		}
	}
	VEC_EACH (&c.files, struct kept, k) {
		free(k->name);
	}
	vec_done(&c.files);
}

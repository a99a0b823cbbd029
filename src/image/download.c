#include "image/download.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/digest.h"

#define TRIES_MAX 5   /* in a row that bring nothing */
#define BREAKS_MAX 50 /* of one blob, whatever they bring */
#define PAUSE_FIRST_MS 200
#define PAUSE_MAX_MS 3000
#define LOOK_MS 100 /* whether somebody gave up */
#define REPLAY_SIZE ((size_t)64 << 10)

struct download {
	struct download_config config;
	struct registry_blob *source; /* null: not connected */
	struct digest *digest;
	int64_t size; /* handed out */
	int64_t kept; /* bytes of the partial file that are still to be handed out, from size on */
	char *replay; /* their buffer */
	bool keeps;   /* what comes is added to the partial file */
	bool resumed, complete;
	int failed_tries, breaks;
	unsigned from; /* see registry_distrust: what gave bytes of it */
};

struct download *download_new(const struct download_config *config)
{
	struct download *d = mem_new(struct download);
	struct stat st;
	d->config = *config;
	d->digest = digest_new();
	if (config->partial_fd >= 0 && fstat(config->partial_fd, &st) == 0) {
		d->keeps = true;
		d->kept = st.st_size < config->blob->size ? st.st_size : config->blob->size;
		d->resumed = d->kept > 0;
	}
	return d;
}

void download_free(struct download *d)
{
	if (!d)
		return;
	registry_close_blob(d->source);
	digest_free(d->digest);
	free(d->replay);
	free(d);
}

bool download_may_differ(const struct download *d)
{
	return d->resumed || registry_distrust(d->config.registry, d->from);
}

/* ---- the partial file ---- */

/* False: there is no more of it than was read. */
static bool read_kept(struct download *d, const void **ret_data, size_t *ret_size)
{
	if (!d->replay)
		d->replay = mem_alloc(REPLAY_SIZE);
	size_t wanted = d->kept < (int64_t)REPLAY_SIZE ? (size_t)d->kept : REPLAY_SIZE;
	ssize_t size;
	do
		size = pread(d->config.partial_fd, d->replay, wanted, d->size);
	while (size < 0 && errno == EINTR);
	if (size <= 0) {
		d->kept = 0;
		d->keeps = false; /* a file that cannot be read is not added to either */
		return false;
	}
	d->kept -= size;
	*ret_data = d->replay;
	*ret_size = (size_t)size;
	return true;
}

/* Without a partial file the blob comes all the same. */
static void keep(struct download *d, const char *data, size_t size)
{
	for (int64_t at = d->size; d->keeps && size > 0;) {
		ssize_t written = pwrite(d->config.partial_fd, data, size, at);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			d->keeps = false;
			if (ftruncate(d->config.partial_fd, 0) != 0)
				return;
			break;
		}
		data += written;
		size -= (size_t)written;
		at += written;
	}
}

/* ---- the connection ---- */

/* One that is too slow is so the next time, too; meanwhile other pulls wait. */
static bool worth_another_try(enum err_code code)
{
	return code == ERR_UNAVAILABLE || code == ERR_CLOSED;
}

static int wait_before_try(struct download *d, struct err *e)
{
	int64_t pause_ms = PAUSE_FIRST_MS << (d->failed_tries > 4 ? 4 : d->failed_tries - 1);
	if (pause_ms > PAUSE_MAX_MS)
		pause_ms = PAUSE_MAX_MS;
	for (; pause_ms > 0; pause_ms -= LOOK_MS) {
		if (d->config.given_up && d->config.given_up(d->config.arg))
			return err_set(e, ERR_CANCELLED, "nobody waits for it any more");
		struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* After an error of the connection: 0, and it is to be tried again, or what is wrong. */
static int broke(struct download *d, struct err *why, struct err *e)
{
	unsigned from = d->source ? registry_blob_from(d->source) : 0;
	registry_close_blob(take_ptr(d->source));
	d->failed_tries++;
	d->breaks++;
	bool enough = !worth_another_try(why->code) || d->failed_tries >= TRIES_MAX ||
		      d->breaks >= BREAKS_MAX;
	if (enough && registry_distrust(d->config.registry, from)) {
		d->failed_tries = d->breaks = 0;
		return 0;
	}
	if (enough) {
		if (e)
			*e = *why;
		return -(int)why->code;
	}
	return wait_before_try(d, e);
}

static int read_once(struct download *d, const void **ret_data, size_t *ret_size, struct err *e)
{
	const struct download_config *c = &d->config;
	*ret_size = 0;
	int rc = 0;
	if (!d->source)
		rc = registry_open_blob(c->registry, c->client, c->blob, c->small, d->size,
			&d->source, e);
	return rc == 0 ? registry_read_blob(d->source, ret_data, ret_size, e) : rc;
}

static int fetch_some(struct download *d, const void **ret_data, size_t *ret_size, struct err *e)
{
	const struct manifest_blob *wanted = d->config.blob;
	for (;;) {
		struct err why = ERR_INIT;
		*ret_size = 0;
		if (d->size == wanted->size && !d->source)
			return 0; /* it broke off behind the last byte */
		int read = read_once(d, ret_data, ret_size, &why);
		if (read == 0 && *ret_size > 0) {
			d->failed_tries = 0;
			d->from |= registry_blob_from(d->source);
		}
		if (read == 0 && (*ret_size > 0 || d->size >= wanted->size))
			return 0;
		if (read == 0)
			(void)err_set(&why, ERR_UNAVAILABLE,
				"registry %s ends after %lld of %lld bytes",
				registry_blob_host(d->source), (long long)d->size,
				(long long)wanted->size);
		int rc = broke(d, &why, e);
		if (rc != 0)
			return rc;
	}
}

/* ---- all of it ---- */

static int check_end(struct download *d, struct err *e)
{
	const struct manifest_blob *wanted = d->config.blob;
	char found[DIGEST_TEXT_SIZE];
	digest_end(d->digest, found);
	if (d->size != wanted->size || strcmp(found, wanted->digest) != 0)
		return err_set(e, ERR_CORRUPT,
			"registry %s gave %lld bytes with the digest %s instead of %lld bytes with "
			"%s",
			d->source ? registry_blob_host(d->source) : "that we asked before",
			(long long)d->size, found, (long long)wanted->size, wanted->digest);
	d->complete = true;
	return 0;
}

int download_read(struct download *d, const void **ret_data, size_t *ret_size, struct err *e)
{
	const struct manifest_blob *wanted = d->config.blob;
	*ret_size = 0;
	if (d->complete)
		return 0;
	if (d->kept > 0 && read_kept(d, ret_data, ret_size)) {
		digest_add(d->digest, *ret_data, *ret_size);
		d->size += (int64_t)*ret_size;
		return 0;
	}
	int rc = fetch_some(d, ret_data, ret_size, e);
	if (rc != 0)
		return rc;
	if (*ret_size == 0)
		return check_end(d, e);
	if (d->size + (int64_t)*ret_size > wanted->size)
		return err_set(e, ERR_CORRUPT, "registry %s gives more than the %lld bytes of %s",
			registry_blob_host(d->source), (long long)wanted->size, wanted->digest);
	digest_add(d->digest, *ret_data, *ret_size);
	keep(d, *ret_data, *ret_size);
	d->size += (int64_t)*ret_size;
	return 0;
}

/*
 * Images: from a registry to folders that can be mounted. The agent uses image_store (which runs
 * the short-lived continuo-pull as a child, so that libcurl, libarchive and their memory are gone
 * afterwards); registry.h, unpack.h and content.h are linked into continuo-pull alone.
 *
 * One content store per node: layers/sha256-DIGEST/ (unpacked, whiteouts as overlayfs wants them),
 * images, and refs: what a name was resolved to (record.h). A layer is complete when its folder has
 * its final name. Needs root and a file system with trusted xattrs.
 */
#ifndef CONTINUO_IMAGE_IMAGE_H
#define CONTINUO_IMAGE_IMAGE_H

#include "base/log.h"
#include "sys/loop.h"

struct image_store;

struct image_store_config {
	struct loop *loop;
	struct log *log;
	const char *folder;    /* of the content store */
	const char *pull_path; /* the program continuo-pull */
	/* JSON, read at each pull; null: none. Per host (with its port):
	 * {"registry.example:5000": {"ca": "/path/ca.pem", "insecure": true, "mirror":
	 * ["host:port"]}} ca: trusted besides the system's; insecure: plain http; mirror: one, or a
	 * list, asked in order (each with its own entry here), the host itself when they fail or
	 * have not got it.
	 */
	const char *registries_file;
	const char *const *pull_env; /* continuo-pull's environment; null: the agent's own */
	int max_parallel_pulls;      /* 0: 2 */
};

/* What a pull gave; valid during the callback. */
struct image_result {
	const char *id;            /* "sha256:...": digest of the config */
	const char *digest;        /* of the manifest */
	const char *const *layers; /* folders, lowest first; null terminated */
	const char *config_json;
	bool was_present;
	int64_t took_ms, bytes;
};

struct image_pull_events {
	/* May be null. Must not cancel pulls. */
	void (*on_progress)(void *arg, int64_t done_bytes, int64_t total_bytes);
	/* err: ERR_NOT_FOUND (image or tag), ERR_CORRUPT (digest), ERR_UNAVAILABLE,
	 * ERR_UNAUTHORIZED, ERR_BUSY (429), ERR_PROTOCOL (garbage), ERR_NO_SPACE, ERR_INVALID (the
	 * reference). */
	void (*on_done)(void *arg, const struct image_result *r, const struct err *e);
};

int image_store_open(const struct image_store_config *config, struct image_store **ret_store,
	struct err *e) MUST_CHECK;

/* policy: "Always", "IfNotPresent", "Never". auth_json: a Docker config.json, or null. Pulls of the
 * same reference are joined. Back-off after failures is the caller's. */
struct image_pull;
struct image_pull *image_store_pull(struct image_store *s, const char *ref, const char *policy,
	const char *auth_json, const struct image_pull_events *events, void *arg) MUST_CHECK;
void image_pull_cancel(struct image_pull *p); /* no callback any more */

/* Removes images that are not used (named by id, or as pods name them), those that were handed out
 * least recently first, and their layers, until free_bytes are free. In a job, when no pull is
 * under way and no other process works on the store. */
void image_store_collect(struct image_store *s, const char *const *used, size_t count,
	int64_t free_bytes);
bool image_store_collecting(const struct image_store *s); /* that is not over */
void image_store_close(struct image_store *s);

/* "nginx" → docker.io/library/nginx:latest; "host:5000/a/b:tag@sha256:..." (the grammar of
 * distribution/reference). -ERR_INVALID. */
struct image_reference {
	char host[256], repository[256], tag[129], digest[80];
};
int image_reference_parse(const char *text, struct image_reference *ret_reference,
	struct err *e) MUST_CHECK;

/* The whole name: "docker.io/library/nginx:latest", with "@sha256:..." where one was given. */
#define IMAGE_REFERENCE_SIZE 744
void image_reference_format(const struct image_reference *reference,
	char ret_text[static IMAGE_REFERENCE_SIZE]);

/* Whether text is "sha256:" and 64 lower-case hexadecimal digits: the only digests that are used.
 */
bool image_digest_valid(const char *text);

#endif

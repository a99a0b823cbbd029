/*
 * continuo-pull: brings images into a content store or an archive and ends. Started by the agent's
 * image_store and by `continuo image`; libcurl, libarchive and what they need live in no other
 * program.
 *
 * stdin, one JSON object:
 *   to pull one image: {"folder", "reference", "temporary"; optional: "registriesFile", "auth": a
 *     Docker config.json as a string, "parallel": layers at a time, "architecture", "variant"}
 *   to load an archive: {"mode": "load", "folder", "archive", "temporary"; optional: "name",
 *     "architecture", "variant"}
 *   to save images: {"mode": "save", "references": [], "archive"; optional: "registriesFile",
 *     "auth", "architecture", "variant"}
 * stdout, JSON lines:
 *   {"done": bytes, "total": bytes} at most ten times a second, of a pull
 *   {"name", "digest"} for each image that was loaded or is saved
 *   {"digest": "sha256:...", "present": bool} at the end of a pull
 *   {"error": text of its code, "message": sentence}
 * Exit status: 0 when all went well, 1 when not, 2 for a request that cannot be read.
 *
 * `continuo-pull export NAME FOLDER...` writes unpacked layers, lowest first, to stdout as the
 * archive that `docker load` takes; what failed is told on stderr.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/vec.h"
#include "codec/json.h"
#include "image/export.h"
#include "image/fetch.h"
#include "image/load.h"
#include "image/save.h"

#define REQUEST_MAX ((size_t)1 << 20)
#define REGISTRIES_MAX ((size_t)1 << 20)
#define PROGRESS_EVERY_MS 100

struct progress {
	int64_t shown_ms;
};

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void print_line(json_t *json)
{
	CLEANUP(buf_done) struct buf line = BUF_INIT;
	json_encode(json, &line);
	buf_append_char(&line, '\n');
	fwrite(buf_text(&line), 1, line.size, stdout);
	fflush(stdout);
	json_decref(json);
}

static void show_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
	struct progress *p = arg;
	int64_t now = now_ms();
	if (now - p->shown_ms < PROGRESS_EVERY_MS && done_bytes < total_bytes)
		return;
	p->shown_ms = now;
	print_line(json_pack("{s:I, s:I}", "done", (json_int_t)done_bytes, "total",
		(json_int_t)total_bytes));
}

static int show_error(const struct err *e, int status)
{
	print_line(json_pack("{s:s, s:o}", "error", err_text(e->code), "message",
		json_string_of(e->text)));
	return status;
}

static int read_request(json_t **ret_request, struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(REQUEST_MAX);
	char piece[4096];
	size_t size;
	while ((size = fread(piece, 1, sizeof(piece), stdin)) > 0)
		buf_append(&text, piece, size);
	int rc = buf_check(&text, "the request", e);
	if (rc == 0)
		rc = json_decode(buf_text(&text), text.size, ret_request, e);
	if (rc != 0)
		return err_prefix(e, "continuo-pull reads one request as JSON from stdin");
	return 0;
}

/* The request must have these texts. */
static int need(const json_t *request, const char *const *names, struct err *e)
{
	for (; *names; names++) {
		if (!json_is_string(json_object_get(request, *names)))
			return err_set(e, ERR_USAGE, "the request has no %s", *names);
	}
	return 0;
}

static int read_registries(const char *path, json_t **ret_json, struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(REGISTRIES_MAX);
	int rc = fs_read(fs_real(), path, &text, e);
	if (rc == 0)
		rc = json_decode(buf_text(&text), text.size, ret_json, e);
	if (rc != 0)
		return err_prefix(e, "registries file %s", path);
	return json_is_object(*ret_json)
		       ? 0
		       : err_set(e, ERR_INVALID, "registries file %s is no JSON object", path);
}

static int read_auth(const char *text, json_t **ret_json, struct err *e)
{
	int rc = json_decode(text, strlen(text), ret_json, e);
	return rc == 0 ? 0 : err_prefix(e, "the credentials (a Docker config.json)");
}

static void choose_platform(const json_t *request, struct manifest_platform *ret_platform)
{
	struct utsname host;
	if (uname(&host) == 0)
		manifest_platform_of(host.machine, ret_platform);
	if (json_at(request, "architecture")) {
		str_copy(ret_platform->architecture, sizeof(ret_platform->architecture),
			json_text(request, "", "architecture"));
		str_copy(ret_platform->variant, sizeof(ret_platform->variant),
			json_text(request, "", "variant"));
	}
}

/* Both may stay null. */
static int read_settings(const json_t *request, json_t **ret_registries, json_t **ret_config,
	struct err *e)
{
	const char *file = json_text(request, "", "registriesFile");
	const char *auth = json_text(request, "", "auth");
	int rc = file[0] ? read_registries(file, ret_registries, e) : 0;
	return rc == 0 && auth[0] ? read_auth(auth, ret_config, e) : rc;
}

static int pull(const json_t *request, struct err *e)
{
	CLEANUP(json_done) json_t *registries = NULL;
	CLEANUP(json_done) json_t *docker_config = NULL;
	CLEANUP(record_done) struct record record = {0};
	bool present = false;
	struct progress progress = {0};
	struct fetch f = {
		.folder = json_text(request, "", "folder"),
		.reference = json_text(request, "", "reference"),
		.temporary = json_text(request, "", "temporary"),
		.parallel = (int)json_int(request, 0, "parallel"),
		.progress = show_progress,
		.arg = &progress,
	};
	int rc = read_settings(request, &registries, &docker_config, e);
	if (rc != 0)
		return rc;
	f.registries = registries;
	f.docker_config = docker_config;
	choose_platform(request, &f.platform);
	rc = fetch_image(&f, &record, &present, e);
	if (rc == 0)
		print_line(json_pack("{s:s, s:b}", "digest", record.digest, "present",
			(int)present));
	return rc;
}

static void show_image(void *arg, const char *name, const char *digest)
{
	(void)arg;
	print_line(json_pack("{s:s, s:s}", "name", name, "digest", digest));
}

static int load(const json_t *request, struct err *e)
{
	struct load l = {.folder = json_text(request, "", "folder"),
		.archive = json_text(request, "", "archive"),
		.name = json_text(request, NULL, "name"),
		.temporary = json_text(request, "", "temporary"),
		.loaded = show_image};
	choose_platform(request, &l.platform);
	return load_archive(&l, e);
}

static int save(const json_t *request, struct err *e)
{
	CLEANUP(json_done) json_t *registries = NULL;
	CLEANUP(json_done) json_t *docker_config = NULL;
	VEC(const char *) references = {0};
	size_t i;
	json_t *reference;
	int rc = read_settings(request, &registries, &docker_config, e);
	if (rc != 0)
		return rc;
	json_array_foreach (json_object_get(request, "references"), i, reference)
		vec_push(&references, json_text_or(reference, ""));
	vec_push(&references, NULL);
	struct save s = {.references = references.items,
		.archive = json_text(request, "", "archive"),
		.registries = registries,
		.docker_config = docker_config,
		.saving = show_image};
	choose_platform(request, &s.platform);
	rc = save_archive(&s, e);
	vec_done(&references);
	return rc;
}

static const struct mode {
	const char *name;
	const char *const *needed;
	int (*run)(const json_t *request, struct err *e);
} modes[] = {
	{"pull", (const char *const[]){"folder", "reference", "temporary", NULL}, pull},
	{"load", (const char *const[]){"folder", "archive", "temporary", NULL}, load},
	{"save", (const char *const[]){"archive", NULL}, save},
};

static const struct mode *mode_of(const json_t *request)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (str_equal(modes[i].name, json_text(request, "pull", "mode")))
			return &modes[i];
	}
	return NULL;
}

static int export_layers(char **argv)
{
	struct err e = ERR_INIT;
	const struct export x = {
		.name = argv[2], .layers = (const char *const *)(argv + 3), .fd = STDOUT_FILENO};
	if (export_image(&x, &e) == 0)
		return 0;
	fprintf(stderr, "%s\n", e.text);
	return 1;
}

int main(int argc, char **argv)
{
	/* Nobody waits for the image when the agent is gone, and its next life cleans up tmp/. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	umask(022); /* folders that a layer only implies are open to all users of the container */
	if (argc > 3 && str_equal(argv[1], "export"))
		return export_layers(argv);
	struct err e = ERR_INIT;
	CLEANUP(json_done) json_t *request = NULL;
	int rc = read_request(&request, &e);
	const struct mode *mode = rc == 0 ? mode_of(request) : NULL;
	if (rc == 0)
		rc = mode ? need(request, mode->needed, &e)
			  : err_set(&e, ERR_USAGE, "the request has an unknown mode");
	if (rc != 0)
		return show_error(&e, 2);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	int status = mode->run(request, &e) == 0 ? 0 : show_error(&e, 1);
	curl_global_cleanup();
	return status;
}

/*
 * continuo-pull: brings one image into a content store and ends. Started by the agent's
 * image_store; libcurl, libarchive and what they need live in no other program.
 *
 * stdin, one JSON object: {"folder", "reference", "temporary"; optional: "registriesFile",
 *   "auth": a Docker config.json as a string, "parallel": layers at a time, "architecture",
 *   "variant"}
 * stdout, JSON lines: {"done": bytes, "total": bytes} at most ten times a second, then either
 *   {"digest": "sha256:...", "present": bool} or {"error": text of its code, "message": sentence}.
 * Exit status: 0 when the image is there, 1 when not, 2 for a request that cannot be read.
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
#include "codec/json.h"
#include "image/export.h"
#include "image/fetch.h"

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
	print_line(json_pack("{s:s, s:s}", "error", err_text(e->code), "message", e->text));
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
	static const char *const needed[] = {"folder", "reference", "temporary"};
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!json_is_string(json_at(*ret_request, needed[i])))
			return err_set(e, ERR_USAGE, "the request has no %s", needed[i]);
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

static int pull(const json_t *request, struct record *ret_record, bool *ret_present, struct err *e)
{
	CLEANUP(json_done) json_t *registries = NULL;
	CLEANUP(json_done) json_t *docker_config = NULL;
	struct progress progress = {0};
	struct fetch f = {
		.folder = json_text(request, "", "folder"),
		.reference = json_text(request, "", "reference"),
		.temporary = json_text(request, "", "temporary"),
		.parallel = (int)json_int(request, 0, "parallel"),
		.progress = show_progress,
		.arg = &progress,
	};
	const char *file = json_text(request, "", "registriesFile");
	const char *auth = json_text(request, "", "auth");
	int rc = file[0] ? read_registries(file, &registries, e) : 0;
	if (rc == 0 && auth[0])
		rc = read_auth(auth, &docker_config, e);
	if (rc != 0)
		return rc;
	f.registries = registries;
	f.docker_config = docker_config;
	choose_platform(request, &f.platform);
	return fetch_image(&f, ret_record, ret_present, e);
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
	if (read_request(&request, &e) != 0)
		return show_error(&e, 2);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	CLEANUP(record_done) struct record record = {0};
	bool present = false;
	int status = 0;
	if (pull(request, &record, &present, &e) != 0)
		status = show_error(&e, 1);
	else
		print_line(json_pack("{s:s, s:b}", "digest", record.digest, "present",
			(int)present));
	curl_global_cleanup();
	return status;
}

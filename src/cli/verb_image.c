/*
 * Images for places without a registry. continuo-pull does the work, as it does for agents: this
 * verb writes its request and reads its lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "codec/json.h"
#include "sys/fs.h"
#include "sys/loop_uv.h"
#include "sys/process.h"

#define STATE_FOLDER "/var/lib/continuo/agent" /* as the agent's, unless set there */
#define AUTH_MAX ((size_t)1 << 20)
#define LINE_MAX_SIZE ((size_t)64 << 10)

struct image_options {
	const char *input, *output, *state, *name, *platform, *auth, *registries, *programs;
};

/* ---- continuo-pull ---- */

struct run {
	struct loop *loop;
	struct buf line;
	const char *verb; /* "loaded", "saved" */
	struct err error;
	int status;
};

static enum err_code code_of(const char *text)
{
	for (enum err_code code = ERR_OK + 1; code < ERR_COUNT; code++) {
		if (str_equal(err_text(code), text))
			return code;
	}
	return ERR_INTERNAL;
}

static void take_line(struct run *r, const char *text, size_t size)
{
	CLEANUP(json_done) json_t *json = NULL;
	if (json_decode(text, size, &json, NULL) != 0)
		return;
	if (json_at(json, "error"))
		(void)err_set(&r->error, code_of(json_text(json, "", "error")), "%s",
			json_text(json, "", "message"));
	else if (json_at(json, "name"))
		printf("%s %s %s\n", r->verb, json_text(json, "", "name"),
			json_text(json, "", "digest"));
}

static void on_stdout(void *arg, const char *data, size_t size)
{
	struct run *r = arg;
	char *end;
	buf_append(&r->line, data, size);
	while (r->line.data && (end = memchr(r->line.data, '\n', r->line.size))) {
		size_t length = (size_t)(end - r->line.data);
		take_line(r, r->line.data, length);
		buf_consume(&r->line, length + 1);
	}
	fflush(stdout);
}

static void on_stderr(void *arg, const char *data, size_t size)
{
	(void)arg;
	fwrite(data, 1, size, stderr);
}

static void on_exit_of_pull(void *arg, int status)
{
	struct run *r = arg;
	r->status = status;
	loop_uv_stop(r->loop);
}

/* It lies beside this program unless it is said where. */
static char *pull_path(const struct image_options *o)
{
	char self[4096];
	if (o->programs)
		return mem_format("%s/continuo-pull", o->programs);
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[size > 0 ? size : 0] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	return mem_format("%s/continuo-pull", self);
}

/* request is taken. */
static int run_pull(const struct image_options *o, json_t *request, const char *verb, struct err *e)
{
	CLEANUP(mem_free_ptr) char *text = request ? json_encode_string(request) : NULL;
	CLEANUP(mem_free_ptr) char *path = pull_path(o);
	struct run r = {.verb = verb, .line = BUF_INIT_LIMIT(LINE_MAX_SIZE), .status = -1};
	const char *argv[] = {path, NULL};
	struct process *process;
	json_decref(request);
	if (!text)
		return err_set(e, ERR_USAGE, "an argument is no UTF-8");
	r.loop = loop_uv_new(1);
	const struct process_spec spec = {.argv = argv,
		.input = text,
		.input_size = strlen(text),
		.on_stdout = on_stdout,
		.on_stderr = on_stderr,
		.on_exit = on_exit_of_pull,
		.arg = &r};
	int rc = process_start(r.loop, &spec, &process, e);
	if (rc == 0)
		loop_uv_run(r.loop);
	loop_uv_free(r.loop);
	buf_done(&r.line);
	explicit_bzero(text, strlen(text));
	if (rc != 0)
		return rc;
	if (r.error.code != ERR_OK) {
		*e = r.error;
		return -(int)e->code;
	}
	return r.status == 0 ? 0
			     : err_set(e, ERR_INTERNAL, "%s ended with %s %d", path,
				       r.status < 0 ? "signal" : "status", abs(r.status));
}

/* ---- what both need ---- */

/* "linux/arm/v7" */
static int add_platform(json_t *request, const char *platform, struct err *e)
{
	if (!platform)
		return 0;
	const char *rest = str_starts(platform, "linux/") ? platform + 6 : "";
	const char *slash = strchr(rest, '/');
	size_t size = slash ? (size_t)(slash - rest) : strlen(rest);
	if (size == 0 || size > 31 || (slash && (!slash[1] || strchr(slash + 1, '/'))))
		return err_set(e, ERR_USAGE,
			"--platform %s: want linux/ARCHITECTURE[/VARIANT], such as linux/arm/v7",
			platform);
	CLEANUP(mem_free_ptr) char *architecture = mem_dup_bytes(rest, size);
	json_object_set_new(request, "architecture", json_string(architecture));
	json_object_set_new(request, "variant", json_string(slash ? slash + 1 : ""));
	return 0;
}

/* ---- load ---- */

static int load(const struct image_options *o, const cli_words *words, struct err *e)
{
	struct stat st;
	if (words->count != 1 || !o->input)
		return err_set(e, ERR_USAGE, "continuo image load -i FILE");
	if (o->output)
		return err_set(e, ERR_USAGE, "-o is an option of save; load reads -i FILE");
	if (stat(o->state, &st) != 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_NOT_FOUND,
			"there is no folder %s: name the state folder of this machine's agent "
			"(--state), or make it",
			o->state);
	CLEANUP(mem_free_ptr) char *state = realpath(o->state, NULL);
	if (!state)
		return err_set_errno(e, errno, "find the folder of --state, %s", o->state);
	CLEANUP(mem_free_ptr) char *folder = mem_format("%s/images", state);
	CLEANUP(mem_free_ptr) char *temporary = mem_format("l%d", (int)getpid());
	json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "mode", "load", "folder", folder,
		"archive", o->input, "temporary", temporary, "name", o->name);
	int r = request ? add_platform(request, o->platform, e) : 0;
	if (r < 0) {
		json_decref(request);
		return r;
	}
	return run_pull(o, request, "loaded", e);
}

/* ---- save ---- */

/* The file that was named, else Docker's own when it is there. */
static int read_auth(const struct image_options *o, struct buf *ret_text, struct err *e)
{
	const char *folder = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	CLEANUP(mem_free_ptr)
	char *usual = folder ? mem_format("%s/config.json", folder)
			     : mem_format("%s/.docker/config.json", home ? home : "");
	struct err why = ERR_INIT;
	int r = fs_read(fs_real(), o->auth ? o->auth : usual, ret_text, &why);
	if (r == 0 || (r == -ERR_NOT_FOUND && !o->auth))
		return 0;
	return err_set(e, why.code, "%s", why.text);
}

static int save(const struct image_options *o, const cli_words *words, struct err *e)
{
	CLEANUP(buf_done) struct buf auth = BUF_INIT_LIMIT(AUTH_MAX);
	if (words->count < 2 || !o->output)
		return err_set(e, ERR_USAGE, "continuo image save REFERENCE... -o FILE");
	if (o->input || o->name)
		return err_set(e, ERR_USAGE, "-i and --name are options of load");
	int r = read_auth(o, &auth, e);
	if (r < 0)
		return r;
	json_t *references = json_array();
	for (size_t i = 1; i < words->count; i++)
		json_array_append_new(references, json_string(words->items[i]));
	json_t *request = json_pack("{s:s, s:o, s:s, s:s*, s:s*}", "mode", "save", "references",
		references, "archive", o->output, "registriesFile", o->registries, "auth",
		auth.size ? auth.data : NULL);
	r = request ? add_platform(request, o->platform, e) : 0;
	if (r < 0) {
		json_decref(request);
		return r;
	}
	return run_pull(o, request, "saved", e);
}

int verb_image(int argc, char **argv)
{
	struct image_options o = {.state = STATE_FOLDER};
	const struct cli_option options[] = {
		{'i', "input", CLI_TEXT, &o.input, "FILE", "load: the archive"},
		{0, "state", CLI_TEXT, &o.state, "FOLDER",
			"load: state folder of this machine's agent, " STATE_FOLDER " unless set"},
		{0, "name", CLI_TEXT, &o.name, "REFERENCE",
			"load: of the one image in the archive, instead of its own"},
		{'o', "output", CLI_TEXT, &o.output, "FILE", "save: the archive"},
		{0, "auth", CLI_TEXT, &o.auth, "FILE",
			"save: credentials, a Docker config.json; else ~/.docker/config.json"},
		{0, "registries", CLI_TEXT, &o.registries, "FILE",
			"save: CA, mirrors and access by registry, as for agents"},
		{0, "platform", CLI_TEXT, &o.platform, "linux/ARCHITECTURE[/VARIANT]",
			"which image of several; this machine's unless set"},
		{0, "program-folder", CLI_TEXT, &o.programs, "FOLDER",
			"of continuo-pull; else this program's"},
	};
	const struct cli_usage usage = {
		.synopsis = "image load -i FILE | save REFERENCE... -o FILE",
		.text = "Carries images to places without a registry. save writes images from "
			"their "
			"registries into an\n"
			"OCI archive, which docker, podman and skopeo read too. load puts the "
			"images "
			"of an OCI or docker\n"
			"archive into the store of this machine's agent (also while it runs): pods "
			"with imagePullPolicy\n"
			"IfNotPresent or Never then start without a registry.\n\n"
			"  continuo image save registry.example/app:1 -o app.tar --platform "
			"linux/arm64\n"
			"  continuo image load -i app.tar\n",
		.options = options,
		.option_count = ARRAY_SIZE(options)};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	const char *what = args.words.count ? args.words.items[0] : "";
	if (r == 0 && str_equal(what, "load"))
		r = load(&o, &args.words, &e);
	else if (r == 0 && str_equal(what, "save"))
		r = save(&o, &args.words, &e);
	else if (r == 0)
		r = err_set(&e, ERR_USAGE,
			"continuo image load -i FILE, or save REFERENCE... -o FILE");
	return r < 0 ? cli_fail(&e) : 0;
}

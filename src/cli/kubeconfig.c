#include "cli/kubeconfig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "codec/yaml.h"

#define FILE_MAX ((size_t)4 << 20)

/* The files that count as one. */
struct source {
	json_t *json;
	char *folder;
};
typedef VEC(struct source) sources;

static void sources_done(sources *s)
{
	for (size_t i = 0; i < s->count; i++) {
		json_decref(s->items[i].json);
		free(s->items[i].folder);
	}
	vec_done(s);
}

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void kubeconfig_done(struct kubeconfig *k)
{
	free(k->context);
	free(k->server);
	free(k->server_name);
	free(k->namespace);
	free(k->ca_pem);
	free(k->certificate_pem);
	wipe(k->key_pem);
	wipe(k->token);
	*k = (struct kubeconfig){0};
}

static void file_done(FILE **file)
{
	if (*file && *file != stdin)
		fclose(*file);
}

int cli_read_file(const char *path, struct buf *ret_data, struct err *e)
{
	CLEANUP(file_done) FILE *file = str_equal(path, "-") ? stdin : fopen(path, "re");
	if (!file)
		return err_set_errno(e, errno, "cannot open %s", path);
	char part[16384];
	for (size_t size; (size = fread(part, 1, sizeof(part), file)) > 0;)
		buf_append(ret_data, part, size);
	if (ferror(file))
		return err_set_errno(e, errno ? errno : EIO, "cannot read %s", path);
	return buf_check(ret_data, path, e);
}

/* ---- entries ---- */

/* The entry of a list (clusters, users, contexts) with this name, and the file it is in. */
static const json_t *find_entry(const sources *s, const char *list, const char *member,
	const char *name, const char **ret_folder)
{
	for (size_t i = 0; i < s->count; i++) {
		json_t *entries = json_object_get(s->items[i].json, list), *entry;
		size_t at;
		json_array_foreach (entries, at, entry) {
			if (!str_equal(json_text(entry, "", "name"), name))
				continue;
			*ret_folder = s->items[i].folder;
			return json_object_get(entry, member);
		}
	}
	return NULL;
}

/* FIELD-data in base64, or the file that FIELD names. */
static int read_material(const json_t *entry, const char *field, const char *folder,
	char **ret_text, struct err *e)
{
	char data_field[64];
	snprintf(data_field, sizeof(data_field), "%s-data", field);
	const char *data = json_text(entry, NULL, data_field),
		   *path = json_text(entry, NULL, field);
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(FILE_MAX);
	int r = 0;
	if (data) {
		r = base64_decode(data, strlen(data), &b, e);
		if (r < 0)
			return err_prefix(e, "kubeconfig: %s", data_field);
	} else if (path) {
		CLEANUP(mem_free_ptr)
		char *full =
			path[0] == '/' ? mem_dup_string(path) : mem_format("%s/%s", folder, path);
		r = cli_read_file(full, &b, e);
		if (r < 0)
			return err_prefix(e, "kubeconfig: %s", field);
	} else {
		return 0;
	}
	*ret_text = buf_take(&b, NULL);
	return 0;
}

static int read_cluster(const json_t *cluster, const char *folder, struct kubeconfig *k,
	struct err *e)
{
	const char *server = json_text(cluster, NULL, "server");
	if (!server)
		return err_set(e, ERR_DECODE,
			"kubeconfig: the cluster of context \"%s\" has no server", k->context);
	if (json_bool(cluster, false, "insecure-skip-tls-verify"))
		return err_set(e, ERR_UNSUPPORTED,
			"kubeconfig: insecure-skip-tls-verify is not supported; give "
			"certificate-authority instead");
	k->server = mem_dup_string(server);
	k->server_name = mem_dup_string(json_text(cluster, NULL, "tls-server-name"));
	return read_material(cluster, "certificate-authority", folder, &k->ca_pem, e);
}

static int read_user(const json_t *user, const char *folder, struct kubeconfig *k, struct err *e)
{
	if (json_at(user, "exec") || json_at(user, "auth-provider"))
		return err_set(e, ERR_UNSUPPORTED,
			"kubeconfig: users with exec or auth-provider are not supported; use a "
			"certificate or a token");
	k->token = mem_dup_string(json_text(user, NULL, "token"));
	int r = read_material(user, "client-certificate", folder, &k->certificate_pem, e);
	if (r == 0)
		r = read_material(user, "client-key", folder, &k->key_pem, e);
	if (r == 0 && !k->certificate_pem != !k->key_pem)
		r = err_set(e, ERR_DECODE,
			"kubeconfig: client-certificate and client-key belong together");
	return r;
}

static int resolve(const sources *s, const char *wanted, struct kubeconfig *k, struct err *e)
{
	const char *name = wanted, *folder = NULL;
	for (size_t i = 0; !name && i < s->count; i++) {
		name = json_text(s->items[i].json, NULL, "current-context");
		if (str_empty(name))
			name = NULL;
	}
	if (!name)
		return err_set(e, ERR_NOT_FOUND,
			"the kubeconfig has no current-context: choose one with --context");
	const json_t *context = find_entry(s, "contexts", "context", name, &folder);
	if (!context)
		return err_set(e, ERR_NOT_FOUND, "the kubeconfig has no context \"%.100s\"", name);
	k->context = mem_dup_string(name);
	k->namespace = mem_dup_string(json_text(context, NULL, "namespace"));
	const char *cluster_name = json_text(context, "", "cluster");
	const char *user_name = json_text(context, "", "user");
	const json_t *cluster = find_entry(s, "clusters", "cluster", cluster_name, &folder);
	if (!cluster)
		return err_set(e, ERR_NOT_FOUND,
			"the kubeconfig has no cluster \"%.100s\", which context \"%.100s\" names",
			cluster_name, name);
	int r = read_cluster(cluster, folder, k, e);
	const json_t *user = find_entry(s, "users", "user", user_name, &folder);
	if (r == 0 && user)
		r = read_user(user, folder, k, e);
	return r;
}

/* ---- files ---- */

static int take_document(void *arg, json_t *document, int line, struct err *e)
{
	json_t **json = arg;
	if (*json)
		return err_set(e, ERR_DECODE, "line %d: a second document", line);
	*json = json_incref(document);
	return 0;
}

static int add_source(sources *s, const char *text, size_t size, const char *folder, struct err *e)
{
	json_t *json = NULL;
	int r = yaml_decode(text, size, take_document, &json, e);
	if (r == 0 && json && !json_is_object(json))
		r = err_set(e, ERR_DECODE, "this is not a kubeconfig");
	if (r < 0) {
		json_decref(json);
		return r;
	}
	if (json)
		vec_push(s, (struct source){json, mem_dup_string(folder)});
	return 0;
}

static int add_file(sources *s, const char *path, bool required, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(FILE_MAX);
	int r = cli_read_file(path, &b, e);
	if (r == -ERR_NOT_FOUND && !required)
		return 0;
	if (r < 0)
		return r;
	CLEANUP(mem_free_ptr) char *folder = mem_dup_string(path);
	char *slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	r = add_source(s, buf_text(&b), b.size, slash ? folder : ".", e);
	return r < 0 ? err_prefix(e, "%.200s", path) : 0;
}

static int add_listed(sources *s, const char *list, struct err *e)
{
	CLEANUP(mem_free_ptr) char *copy = mem_dup_string(list);
	char *rest = copy;
	int r = 0;
	for (char *path; r == 0 && (path = strsep(&rest, ":"));)
		if (*path)
			r = add_file(s, path, false, e);
	return r;
}

static int add_all(sources *s, const struct cli_common *common, struct err *e)
{
	const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
	if (common->kubeconfig)
		return add_file(s, common->kubeconfig, true, e);
	if (!str_empty(list))
		return add_listed(s, list, e);
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/.kube/config", home ? home : "");
	return add_file(s, path, false, e);
}

static int none_there(struct err *e)
{
	const char *list = getenv("KUBECONFIG");
	if (!str_empty(list))
		return err_set(e, ERR_NOT_FOUND,
			"there is no kubeconfig at %.300s, which $KUBECONFIG names: correct it, or "
			"give one with --kubeconfig (the server writes admin.kubeconfig into its "
			"state folder)",
			list);
	return err_set(e, ERR_NOT_FOUND,
		"there is no kubeconfig: give one with --kubeconfig or $KUBECONFIG, or put it at "
		"~/.kube/config (the server writes admin.kubeconfig into its state folder)");
}

int kubeconfig_load(const struct cli_common *common, struct kubeconfig *ret_config, struct err *e)
{
	CLEANUP(sources_done) sources s = {0};
	int r = add_all(&s, common, e);
	if (r < 0)
		return r;
	if (s.count == 0)
		return none_there(e);
	CLEANUP(kubeconfig_done) struct kubeconfig k = {0};
	r = resolve(&s, common->context, &k, e);
	if (r < 0)
		return r;
	*ret_config = k;
	k = (struct kubeconfig){0};
	return 0;
}

int kubeconfig_parse(const char *text, size_t size, const char *folder, const char *context,
	struct kubeconfig *ret_config, struct err *e)
{
	CLEANUP(sources_done) sources s = {0};
	CLEANUP(kubeconfig_done) struct kubeconfig k = {0};
	int r = add_source(&s, text, size, folder, e);
	if (r == 0)
		r = resolve(&s, context, &k, e);
	if (r < 0)
		return r;
	*ret_config = k;
	k = (struct kubeconfig){0};
	return 0;
}

/* ---- URLs ---- */

void kubeconfig_url_done(struct kubeconfig_url *u)
{
	free(u->address);
	free(u->host);
	*u = (struct kubeconfig_url){0};
}

int kubeconfig_parse_url(const char *url, struct kubeconfig_url *ret_url, struct err *e)
{
	bool tls = str_starts(url, "https://");
	if (!tls && !str_starts(url, "http://"))
		return err_set(e, ERR_INVALID, "server \"%.200s\" is not an https:// URL", url);
	const char *host = strstr(url, "://") + 3;
	size_t size = strcspn(host, "/");
	if (size == 0 || (host[size] == '/' && host[size + 1]))
		return err_set(e, ERR_INVALID,
			"server \"%.200s\" must be https://HOST:PORT without a path", url);
	size_t host_size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	if (host_size > size || (host_size < size && host[host_size] != ':'))
		return err_set(e, ERR_INVALID, "server \"%.200s\" is not a URL", url);
	bool bracketed = host[0] == '[';
	ret_url->tls = tls;
	ret_url->host = mem_dup_bytes(host + bracketed, host_size - 2 * (size_t)bracketed);
	if (host_size < size)
		ret_url->address = mem_dup_bytes(host, size);
	else
		ret_url->address = mem_format("%.*s:%d", (int)size, host, tls ? 443 : 80);
	return 0;
}

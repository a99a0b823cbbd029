#include "agent/config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/disk.h"
#include "agent/spool.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/yaml.h"
#include "model/model.h"

#define FILE_MAX ((size_t)1 << 20)

enum key_type { KEY_TEXT, KEY_LIST, KEY_MAP, KEY_DEVICES };

/* What can be set, in the order of the help text. */
static const struct key {
	const char *name; /* in the file */
	const char *flag;
	enum key_type type;
	const char *value, *help; /* value: what the flag takes */
} keys[] = {
	{"node", "--node", KEY_TEXT, "NAME", "name of this node; else as the token says"},
	{"servers", "--server", KEY_LIST, "HOST:PORT", "a server of the domain; repeat for more"},
	{"token", "--token", KEY_TEXT, "TOKEN", "one-time join token, for the first start only"},
	{"tokenFile", "--token-file", KEY_TEXT, "FILE", "file that holds the join token"},
	{"address", "--address", KEY_TEXT, "IP",
		"address at which other nodes reach this one; else the one that leads to the "
		"server"},
	{"tier", "--tier", KEY_TEXT, "TIER", "cloud, edge or iot"},
	{"zone", "--zone", KEY_TEXT, "NAME", "site: label topology.kubernetes.io/zone"},
	{"region", "--region", KEY_TEXT, "NAME", "label topology.kubernetes.io/region"},
	{"labels", "--label", KEY_MAP, "KEY=VALUE", "a label of the node; repeat for more"},
	{"devices", "--device", KEY_DEVICES, "NAME=PATH[:INSIDE[:rwm]]",
		"a device node that pods ask for as continuo.dev/NAME; repeat for more. "
		"The file also takes a match: conditions as in udev rules"},
	{"reservedCpu", "--reserve-cpu", KEY_TEXT, "CPU", "not for pods, such as 100m"},
	{"reservedMemory", "--reserve-memory", KEY_TEXT, "BYTES", "not for pods, such as 16Mi"},
	{"spoolBytes", "--spool-bytes", KEY_TEXT, "BYTES",
		"disk for what happens while there is no server, 8Mi unless set; 0: none"},
	{"keySeal", "--key-seal", KEY_TEXT, "HOW",
		"the key of the slice on disk: auto (unless set: sealed where a TPM 2.0 answers), "
		"tpm (never plain on the disk) or none"},
	{"keySealTcti", "--key-seal-tcti", KEY_TEXT, "NAME:CONFIGURATION",
		"the way to the TPM, device:/dev/tpmrm0 unless set"},
	{"maxPods", "--max-pods", KEY_TEXT, "N", "pods at once, 110 unless set"},
	{"imageGcHighPercent", "--image-gc-high-percent", KEY_TEXT, "N",
		"unused images are removed when so much of the disk is in use, 85 unless set"},
	{"imageGcLowPercent", "--image-gc-low-percent", KEY_TEXT, "N",
		"until so much is, 80 unless set"},
	{"registries", "--registries", KEY_TEXT, "FILE", "JSON: CA, mirror and access by registry"},
	{"proxy", "--proxy", KEY_TEXT, "URL",
		"http proxy for all that this agent and its pulls connect to; else HTTPS_PROXY and "
		"http_proxy of the environment; none: no proxy"},
	{"noProxy", "--no-proxy", KEY_TEXT, "LIST",
		"hosts, .suffixes, addresses and networks that are reached without the proxy; else "
		"NO_PROXY"},
	{"stateFolder", "--state-folder", KEY_TEXT, "FOLDER",
		"kept over reboots, " AGENT_STATE_FOLDER " unless set"},
	{"runFolder", "--run-folder", KEY_TEXT, "FOLDER",
		"emptied by reboots, " AGENT_RUN_FOLDER " unless set"},
	{"driver", "--driver", KEY_TEXT, "NAME",
		"oci unless set; docker, also for Podman; fake runs nothing, to try things out"},
	{"dockerSocket", "--docker-socket", KEY_TEXT, "PATH",
		"of the container engine, " AGENT_DOCKER_SOCKET
		" unless set; set with oci too: its containers may be adopted"},
	{"runtime", "--runtime", KEY_TEXT, "NAME", "runc or crun; else whichever works here"},
	{"cgroupParent", "--cgroup-parent", KEY_TEXT, "PATH",
		"control group of the pods; else below the agent's own"},
	{"network", "--network", KEY_TEXT, "NAME", "backend of the pod network, direct unless set"},
	{"resolvConf", "--resolv-conf", KEY_TEXT, "FILE",
		"upstream name servers, /etc/resolv.conf unless set"},
	{"programFolder", "--program-folder", KEY_TEXT, "FOLDER",
		"of continuo-pull, -runtime, -pause and -seal; else this program's"},
	{"listen", "--listen", KEY_TEXT, "IP:PORT",
		"for /metrics, /healthz and /readyz, " AGENT_LISTEN " unless set; none: nowhere"},
	{"logLevel", "--log-level", KEY_TEXT, "LEVEL", "debug, info, warn or error"},
};

void agent_options_help(struct buf *b)
{
	buf_append_string(b,
		"Usage: continuo-agent --server HOST:PORT [--token TOKEN] [FLAG ...]\n\n"
		"Runs this machine as a node of a Continuo domain. The first start needs a join "
		"token\n"
		"(`continuo token create` on a server); later starts need none. SIGTERM and SIGINT "
		"end\n"
		"the agent and leave its pods running: the next agent on the same state folder "
		"takes\n"
		"them over. To empty a node, cordon it (`continuo node cordon`) and delete its\n"
		"pods first.\n\n"
		"Flags, and the key of the file in parentheses:\n"
		"  --config FILE\n        YAML file with the keys; " AGENT_CONFIG_FILE
		" when it is there\n");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		buf_printf(b, "  %s %s\n        (%s) %s\n", keys[i].flag, keys[i].value,
			keys[i].name, keys[i].help);
	buf_append_string(b, "  --help, --version\n");
}

static const struct key *key_by_flag(const char *flag, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strlen(keys[i].flag) == size && strncmp(keys[i].flag, flag, size) == 0)
			return &keys[i];
	return NULL;
}

static const struct key *key_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (str_equal(keys[i].name, name))
			return &keys[i];
	return NULL;
}

/* ---- flags ---- */

/* "camera=/dev/video0:/dev/camera:rw" as the file has it. */
static int device_of_flag(const char *text, json_t **ret_device, struct err *e)
{
	struct arena a CLEANUP(arena_done) = {0};
	char *name = arena_dup(&a, text), *path = strchr(name, '=');
	if (!path || path == name || path[1] != '/')
		return err_set(e, ERR_USAGE, "--device %s: want NAME=PATH[:INSIDE[:PERMISSIONS]]",
			text);
	*path++ = '\0';
	char *inside = strchr(path, ':');
	if (inside)
		*inside++ = '\0';
	char *permissions = inside ? strchr(inside, ':') : NULL;
	if (permissions)
		*permissions++ = '\0';
	*ret_device = json_pack("{s:s, s:s}", "name", name, "path", path);
	if (!str_empty(inside))
		json_object_set_new(*ret_device, "containerPath", json_string(inside));
	if (!str_empty(permissions))
		json_object_set_new(*ret_device, "permissions", json_string(permissions));
	return 0;
}

static int set_flag(json_t *flags, const struct key *key, const char *value, struct err *e)
{
	json_t *list = json_object_get(flags, key->name), *device = NULL;
	int r = 0;
	switch (key->type) {
	case KEY_TEXT:
		json_object_set_new(flags, key->name, json_string(value));
		break;
	case KEY_LIST:
		if (!list)
			json_object_set_new(flags, key->name, list = json_array());
		json_array_append_new(list, json_string(value));
		break;
	case KEY_DEVICES:
		r = device_of_flag(value, &device, e);
		if (r == 0 && !list)
			json_object_set_new(flags, key->name, list = json_array());
		if (r == 0)
			json_array_append_new(list, device);
		break;
	case KEY_MAP: {
		const char *equals = strchr(value, '=');
		if (!equals || equals == value)
			return err_set(e, ERR_USAGE, "%s %s: want KEY=VALUE", key->flag, value);
		CLEANUP(mem_free_ptr) char *name = mem_dup_bytes(value, (size_t)(equals - value));
		json_object_set_new(json_ensure_object(flags, key->name), name,
			json_string(equals + 1));
		break;
	}
	}
	return r;
}

struct flags {
	json_t *values;
	const char *config;
	bool help, version;
};

static int read_flag(struct flags *f, int argc, char **argv, int *at, struct err *e)
{
	const char *flag = argv[*at], *equals = strchr(flag, '=');
	size_t size = equals ? (size_t)(equals - flag) : strlen(flag);
	if (str_equal(flag, "--help") || str_equal(flag, "-h")) {
		f->help = true;
		return 0;
	}
	if (str_equal(flag, "--version")) {
		f->version = true;
		return 0;
	}
	const struct key *key = key_by_flag(flag, size);
	bool config = size == strlen("--config") && strncmp(flag, "--config", size) == 0;
	if (!key && !config)
		return err_set(e, ERR_USAGE, "unknown flag %.*s; --help shows all", (int)size,
			flag);
	if (!equals && *at + 1 >= argc)
		return err_set(e, ERR_USAGE, "%s needs a value", flag);
	const char *value = equals ? equals + 1 : argv[++*at];
	if (config) {
		f->config = value;
		return 0;
	}
	return set_flag(f->values, key, value, e);
}

/* ---- the file ---- */

static int check_type(const struct key *key, const json_t *value, const char *path, struct err *e)
{
	static const char *const names[] = {"a text", "a list", "a map", "a list of devices"};
	bool scalar = json_is_string(value) || json_is_integer(value);
	bool ok = key->type == KEY_TEXT   ? scalar
		  : key->type == KEY_LIST ? json_is_array(value) || json_is_string(value)
		  : key->type == KEY_MAP  ? json_is_object(value)
					  : json_is_array(value);
	if (!ok)
		return err_set(e, ERR_INVALID, "%s: %s must be %s", path, key->name,
			names[key->type]);
	return 0;
}

struct file {
	const char *path;
	json_t *values;
};

static int on_document(void *arg, json_t *document, int line, struct err *e)
{
	struct file *f = arg;
	const char *name;
	json_t *value;
	(void)line;
	if (!json_is_object(document) || json_object_size(f->values) > 0)
		return err_set(e, ERR_DECODE, "%s: want one document, a map of keys", f->path);
	json_object_foreach (document, name, value) {
		const struct key *key = key_by_name(name);
		if (!key)
			return err_set(e, ERR_INVALID,
				"%s: unknown key \"%.60s\"; --help names all", f->path, name);
		int r = check_type(key, value, f->path, e);
		if (r < 0)
			return r;
		json_object_set(f->values, name, value);
	}
	return 0;
}

static int read_file(struct fs *fs, const char *path, bool must, json_t *values, struct err *e)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT_LIMIT(FILE_MAX);
	struct err why = ERR_INIT;
	int r = fs_read(fs, path, &text, &why);
	if (r == -ERR_NOT_FOUND && !must)
		return 0;
	if (r < 0)
		return err_set(e, why.code, "%s", why.text);
	struct file f = {path, values};
	r = yaml_decode(buf_text(&text), text.size, on_document, &f, e);
	return r < 0 && !strstr(e->text, path) ? err_prefix(e, "%s", path) : r;
}

/* ---- both together ---- */

static const char *text_of(struct agent_options *o, const json_t *values, const char *key,
	const char *fallback)
{
	const json_t *value = json_object_get(values, key);
	if (json_is_integer(value))
		return arena_format(&o->arena, "%lld", (long long)json_integer_value(value));
	return arena_dup(&o->arena, json_text_or(value, fallback));
}

static int set_servers(struct agent_options *o, const json_t *servers, struct err *e)
{
	size_t count = json_is_string(servers) ? 1 : json_array_size(servers);
	if (count == 0)
		return err_set(e, ERR_USAGE,
			"no server given: --server HOST:PORT, or servers in the configuration "
			"file");
	const char **list = arena_new_array(&o->arena, count + 1, const char *);
	for (size_t i = 0; i < count; i++) {
		const json_t *one = json_is_string(servers) ? servers : json_array_get(servers, i);
		list[i] = arena_dup(&o->arena, json_text_or(one, ""));
		if (!strrchr(list[i], ':'))
			return err_set(e, ERR_INVALID, "server \"%s\": want HOST:PORT", list[i]);
	}
	o->agent.servers = list;
	return 0;
}

static void set_labels(struct agent_options *o, const json_t *values)
{
	json_t *labels = json_object_get(values, "labels");
	const char **list = arena_new_array(&o->arena, json_object_size(labels) + 3, const char *);
	size_t count = 0;
	const char *name, *zone = text_of(o, values, "zone", NULL);
	const char *region = text_of(o, values, "region", NULL);
	json_t *value;
	json_object_foreach (labels, name, value) {
		list[count++] = json_is_integer(value)
					? arena_format(&o->arena, "%s=%lld", name,
						  (long long)json_integer_value(value))
					: arena_format(&o->arena, "%s=%s", name,
						  json_is_boolean(value)
							  ? (json_is_true(value) ? "true" : "false")
							  : json_text_or(value, ""));
	}
	if (zone)
		list[count++] = arena_format(&o->arena, "topology.kubernetes.io/zone=%s", zone);
	if (region)
		list[count++] = arena_format(&o->arena, "topology.kubernetes.io/region=%s", region);
	o->agent.labels = list;
}

static int set_devices(struct agent_options *o, const json_t *devices, struct err *e)
{
	return device_rules_parse(devices, &o->arena, &o->agent.devices, &o->agent.device_count, e);
}

static int set_token(struct fs *fs, struct agent_options *o, const json_t *values, struct err *e)
{
	o->agent.token = text_of(o, values, "token", NULL);
	const char *path = text_of(o, values, "tokenFile", NULL);
	if (o->agent.token || !path)
		return 0;
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(4096);
	struct err why = ERR_INIT;
	int r = fs_read(fs, path, &b, &why);
	if (r == -ERR_NOT_FOUND)
		return 0; /* used, and removed since; a node that has not joined says so */
	if (r < 0)
		return err_set(e, why.code, "%s", why.text);
	char *text = arena_dup(&o->arena, buf_text(&b));
	text[strcspn(text, " \t\r\n")] = '\0';
	o->agent.token = text;
	return 0;
}

static int set_spool(struct agent_options *o, const char *text, struct err *e)
{
	int64_t bytes;
	int r = quantity_units(text, &bytes, e);
	if (r == 0 && bytes != 0 && (bytes < SPOOL_BYTES_MIN || bytes > SPOOL_BYTES_MAX))
		r = err_set(e, ERR_INVALID, "spoolBytes \"%s\": want 0, or 64Ki to 1Gi", text);
	if (r == 0)
		o->agent.spool_bytes = bytes ? bytes : -1;
	return r;
}

static int set_image_gc(struct agent_options *o, const json_t *values, struct err *e)
{
	int64_t high = AGENT_DISK_HIGH_PERCENT, low = AGENT_DISK_LOW_PERCENT;
	const char *high_text = text_of(o, values, "imageGcHighPercent", NULL);
	const char *low_text = text_of(o, values, "imageGcLowPercent", NULL);
	int r = high_text ? str_to_int64(high_text, "imageGcHighPercent", &high, e) : 0;
	if (r == 0 && low_text)
		r = str_to_int64(low_text, "imageGcLowPercent", &low, e);
	if (r == 0 && (high < 1 || high > 100 || low < 0 || low >= high))
		r = err_set(e, ERR_INVALID,
			"imageGcLowPercent (%lld) and imageGcHighPercent (%lld) are not within 0 "
			"to 100, the low one below the high one",
			(long long)low, (long long)high);
	o->agent.image_gc_high_percent = high;
	o->agent.image_gc_low_percent = low;
	return r;
}

static int set_numbers(struct agent_options *o, const json_t *values, struct err *e)
{
	const char *cpu = text_of(o, values, "reservedCpu", NULL);
	const char *memory = text_of(o, values, "reservedMemory", NULL);
	const char *pods = text_of(o, values, "maxPods", NULL);
	const char *spool = text_of(o, values, "spoolBytes", NULL);
	int r = cpu ? quantity_milli(cpu, &o->agent.reserved_cpu_milli, e) : 0;
	if (r == 0 && memory)
		r = quantity_units(memory, &o->agent.reserved_memory_bytes, e);
	if (r == 0 && spool)
		r = set_spool(o, spool, e);
	if (r == 0 && pods)
		r = str_to_int64(pods, "maxPods", &o->agent.max_pods, e);
	if (r == 0)
		r = set_image_gc(o, values, e);
	if (r == 0 && pods && (o->agent.max_pods < 1 || o->agent.max_pods > 10000))
		r = err_set(e, ERR_INVALID, "maxPods is not within 1 to 10000");
	return r;
}

static int set_tier(struct agent_options *o, const json_t *values, struct err *e)
{
	static const char *const tiers[] = {"", "cloud", "edge", "iot"};
	o->agent.tier = text_of(o, values, "tier", "");
	for (size_t i = 0; i < ARRAY_SIZE(tiers); i++)
		if (str_equal(o->agent.tier, tiers[i]))
			return 0;
	return err_set(e, ERR_INVALID, "tier \"%s\": want cloud, edge or iot", o->agent.tier);
}

static int set_key_seal(struct agent_options *o, const json_t *values, struct err *e)
{
	static const char *const names[] = {
		[AGENT_SEAL_AUTO] = "auto", [AGENT_SEAL_TPM] = "tpm", [AGENT_SEAL_NONE] = "none"};
	const char *name = text_of(o, values, "keySeal", "auto");
	o->key_seal_tcti = text_of(o, values, "keySealTcti", NULL);
	if (o->key_seal_tcti && !*o->key_seal_tcti)
		return err_set(e, ERR_INVALID, "keySealTcti is empty: want NAME:CONFIGURATION");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(name, names[i])) {
			o->agent.key_seal = (enum agent_key_seal)i;
			return 0;
		}
	return err_set(e, ERR_INVALID, "keySeal \"%s\": want auto, tpm or none", name);
}

static void set_texts(struct agent_options *o, const json_t *values)
{
	o->agent.node_name = text_of(o, values, "node", "");
	o->agent.address = text_of(o, values, "address", "");
	o->agent.state_folder = text_of(o, values, "stateFolder", AGENT_STATE_FOLDER);
	o->agent.run_folder = text_of(o, values, "runFolder", AGENT_RUN_FOLDER);
	o->agent.runtime = text_of(o, values, "runtime", "");
	o->agent.cgroup_parent = text_of(o, values, "cgroupParent", NULL);
	o->agent.network_backend = text_of(o, values, "network", NULL);
	o->agent.resolv_conf = text_of(o, values, "resolvConf", NULL);
	o->proxy = text_of(o, values, "proxy", NULL);
	o->no_proxy = text_of(o, values, "noProxy", NULL);
	o->registries_file = text_of(o, values, "registries", NULL);
	o->program_folder = text_of(o, values, "programFolder", "");
	o->driver = text_of(o, values, "driver", "oci");
	o->docker_socket = text_of(o, values, "dockerSocket", AGENT_DOCKER_SOCKET);
	bool given = json_object_get(values, "dockerSocket") && !str_equal(o->driver, "fake");
	o->agent.adopts = given || str_equal(o->driver, "docker") ? "docker" : NULL;
	o->listen = text_of(o, values, "listen", AGENT_LISTEN);
}

static int check_driver(const struct agent_options *o, struct err *e)
{
	static const char *const drivers[] = {"oci", "docker", "fake"};
	bool known = false;
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		known = known || str_equal(o->driver, drivers[i]);
	if (!known)
		return err_set(e, ERR_INVALID, "driver \"%s\": want oci, docker or fake",
			o->driver);
	if (o->docker_socket[0] != '/' || strlen(o->docker_socket) > 107) /* sockaddr_un */
		return err_set(e, ERR_INVALID,
			"dockerSocket \"%.120s\": want an absolute path of at most 107 characters",
			o->docker_socket);
	return 0;
}

static int set_all(struct fs *fs, struct agent_options *o, const json_t *values, struct err *e)
{
	set_texts(o, values);
	set_labels(o, values);
	int r = set_servers(o, json_object_get(values, "servers"), e);
	if (r == 0)
		r = set_tier(o, values, e);
	if (r == 0)
		r = set_devices(o, json_object_get(values, "devices"), e);
	if (r == 0)
		r = set_numbers(o, values, e);
	if (r == 0)
		r = set_token(fs, o, values, e);
	if (r == 0)
		r = set_key_seal(o, values, e);
	if (r == 0)
		r = log_level_parse(text_of(o, values, "logLevel", "info"), &o->log_level, e);
	if (r == 0)
		r = check_driver(o, e);
	if (r == 0 && (o->agent.state_folder[0] != '/' || o->agent.run_folder[0] != '/'))
		r = err_set(e, ERR_INVALID, "state and run folder must be absolute paths");
	return r;
}

int agent_options_parse(struct fs *fs, int argc, char **argv, struct agent_options *ret_options,
	struct err *e)
{
	struct agent_options o = {0};
	CLEANUP(json_done) json_t *flags = json_object();
	CLEANUP(json_done) json_t *values = json_object();
	struct flags f = {.values = flags};
	int r = 0;
	for (int i = 1; r == 0 && i < argc; i++)
		r = read_flag(&f, argc, argv, &i, e);
	o.help = f.help;
	o.version = f.version;
	if (r == 0 && !o.help && !o.version) {
		r = read_file(fs, f.config ? f.config : AGENT_CONFIG_FILE, f.config != NULL, values,
			e);
		if (r == 0 && json_is_object(json_object_get(values, "labels")) &&
			json_object_get(flags, "labels")) {
			json_object_update(json_object_get(values, "labels"),
				json_object_get(flags, "labels"));
			json_object_del(flags, "labels");
		}
		json_object_update(values, flags);
		if (r == 0)
			r = set_all(fs, &o, values, e);
	}
	if (r < 0)
		agent_options_done(&o);
	else
		*ret_options = o;
	return r;
}

void agent_options_done(struct agent_options *o)
{
	arena_done(&o->arena);
}

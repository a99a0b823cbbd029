#include "agent/outgoing.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* What is taken out of continuo-pull's environment, and put in again as settled here. */
static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
	"all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

static const char *value_of(const char *entry, const char *name)
{
	size_t size = strlen(name);
	return strncmp(entry, name, size) == 0 && entry[size] == '=' ? entry + size + 1 : NULL;
}

/* The first of the two names that is set to something; null: neither is. */
static const char *look_up(const char *const *environment, const char *first, const char *second)
{
	const char *found = NULL;
	for (; *environment; environment++) {
		const char *value = value_of(*environment, first);
		if (!str_empty(value))
			return value;
		value = second ? value_of(*environment, second) : NULL;
		if (!found && !str_empty(value))
			found = value;
	}
	return found;
}

static bool is_proxy_name(const char *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (value_of(entry, names[i]))
			return true;
	return false;
}

static void make_environment(struct agent_outgoing *o, const char *const *given, const char *https,
	const char *http, const char *no_proxy)
{
	size_t count = 0, used = 0;
	while (given[count])
		count++;
	const char **list = arena_new_array(&o->arena, count + 4, const char *);
	for (size_t i = 0; i < count; i++)
		if (!is_proxy_name(given[i]))
			list[used++] = given[i];
	if (https)
		list[used++] = arena_format(&o->arena, "https_proxy=%s", https);
	if (http)
		list[used++] = arena_format(&o->arena, "http_proxy=%s", http);
	if (no_proxy)
		list[used++] = arena_format(&o->arena, "no_proxy=%s", no_proxy);
	o->environment = list;
}

int agent_outgoing_init(struct agent_outgoing *o, const struct agent_options *options,
	const char *const *environment, struct err *e)
{
	*o = (struct agent_outgoing){0};
	bool set = options->proxy;
	const char *https =
		set ? options->proxy : look_up(environment, "https_proxy", "HTTPS_PROXY");
	const char *http = set ? options->proxy : look_up(environment, "http_proxy", NULL);
	const char *no_proxy = options->no_proxy ? options->no_proxy
						 : look_up(environment, "no_proxy", "NO_PROXY");
	if (set && (str_empty(options->proxy) || str_equal(options->proxy, "none")))
		https = http = no_proxy = NULL;
	int r = https ? proxy_new(https, no_proxy, &o->proxy, e) : 0;
	if (r < 0)
		return err_prefix(e, "%s", set ? "proxy" : "HTTPS_PROXY of the environment");
	make_environment(o, environment, https, http, no_proxy);
	return 0;
}

void agent_outgoing_done(struct agent_outgoing *o)
{
	proxy_free(take_ptr(o->proxy));
	arena_done(&o->arena);
}

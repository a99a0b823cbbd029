/* The way to a server over TLS 1.3 (net/tls.h), through a proxy where one is set: HTTP/2 where the
 * server speaks it. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/tls.h"

struct agent_link {
	struct tls_context *context;
	struct tls_connector *connector;
};

/* The host of "HOST:PORT" or "[IPV6]:PORT". */
static char *host_of(const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t size = colon ? (size_t)(colon - address) : strlen(address);
	if (size >= 2 && address[0] == '[' && address[size - 1] == ']')
		return mem_dup_bytes(address + 1, size - 2);
	return mem_dup_bytes(address, size);
}

static int64_t clock_ms(void *context)
{
	return agent_clock_ms(context);
}

static int64_t clock_floor_ms(void *context)
{
	return agent_clock_floor_ms(context);
}

static int tls_open(void *context, const char *address, const struct agent_identity *identity,
	const char *pin, struct agent_link **ret_link, struct err *e)
{
	const struct agent_tls *tls = context;
	struct agent_clock *clock = tls->clock;
	CLEANUP(mem_free_ptr) char *host = host_of(address);
	struct tls_config config = {.server_name = host,
		.alpn = "h2,http/1.1",
		.wall_ms = clock_ms,
		.floor_ms = clock_floor_ms,
		.wall_context = clock,
		.forgive_early = true};
	if (identity) {
		config.certificate_pem = identity->certificate_pem;
		config.key_pem = identity->key_pem;
		config.ca_pem = identity->ca_pem;
	} else {
		config.pinned_ca_sha256 = pin;
	}
	struct agent_link *k = mem_new(struct agent_link);
	int r = tls_context_new(&config, &k->context, e);
	if (r < 0) {
		free(k);
		return r;
	}
	k->connector = tls_connector_new(clock->loop, k->context, address);
	tls_connector_set_proxy(k->connector, tls->proxy);
	*ret_link = k;
	return 0;
}

static struct http_connector tls_connector(struct agent_link *k)
{
	return tls_connector_http(k->connector);
}

static void tls_close(struct agent_link *k)
{
	tls_connector_free(k->connector);
	tls_context_free(k->context);
	free(k);
}

static struct stream *tls_knock(void *context, const char *address)
{
	const struct agent_tls *tls = context;
	return proxy_connect(tls->clock->loop, tls->proxy, address);
}

static int tls_check_time(struct agent_link *k, int64_t wall_ms, struct err *e)
{
	int64_t end_ms = tls_context_peer_end_ms(k->context);
	if (wall_ms <= end_ms)
		return 0;
	return err_set(e, ERR_UNAUTHORIZED,
		"the server says that it is %lld ms after the end of its own certificate: one of "
		"the two is not genuine",
		(long long)(wall_ms - end_ms));
}

struct agent_transport agent_transport_tls(struct agent_tls *tls)
{
	static const struct agent_transport_ops ops = {
		tls_open, tls_connector, tls_close, tls_knock, tls_check_time};
	return (struct agent_transport){.ops = &ops, .context = tls};
}

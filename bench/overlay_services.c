/*
 * How long the kernel takes to learn many services: COUNT services (10,000) with 10 endpoints each,
 * written by nft_step as the agent does, in a network namespace of its own. Needs root. Prints JSON
 * lines; the last argument of each figure is what was timed.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "overlay/nft.h"

#define ENDPOINTS 10
#define STEP_CHANGES 1500

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void print(const char *name, double value, const char *unit)
{
	printf("{\"bench\":\"overlay_services\",\"metric\":\"%s\",\"value\":%.2f,\"unit\":\"%s\","
	       "\"peer\":null,\"peer_value\":null,\"ratio\":null}\n",
		name, value, unit);
}

static void die(const struct err *e)
{
	fprintf(stderr, "%s\n", e->text);
	exit(1);
}

static struct overlay_service *make(struct arena *a, size_t count)
{
	struct overlay_service *s = arena_new_array(a, count, struct overlay_service);
	for (size_t i = 0; i < count; i++) {
		struct overlay_port *p = arena_new(a, struct overlay_port);
		struct overlay_endpoint *x = arena_new_array(a, ENDPOINTS, struct overlay_endpoint);
		for (size_t k = 0; k < ENDPOINTS; k++)
			x[k] = (struct overlay_endpoint){.ip = arena_format(a, "10.%zu.%zu.%zu",
								 64 + k, i / 250, i % 250 + 2),
				.port = 8080,
				.ready = true};
		*p = (struct overlay_port){
			.protocol = "TCP", .port = 80, .endpoints = x, .endpoint_count = ENDPOINTS};
		s[i] = (struct overlay_service){.namespace = "bench",
			.name = arena_format(a, "s%zu", i),
			.cluster_ip = arena_format(a, "10.43.%zu.%zu", i / 250, i % 250 + 1),
			.ports = p,
			.port_count = 1};
	}
	return s;
}

/* Builds, wants and writes; gives the time of all, and the longest step. */
static double publish(struct nft *nft, const struct nft_config *c, const struct overlay_service *s,
	size_t count, double *ret_longest)
{
	struct err e;
	struct services_state state;
	double start = now_ms();
	if (services_build(s, count, c->pods, c->domain, &state, &e))
		die(&e);
	nft_want(nft, &state);
	*ret_longest = 0;
	for (bool more = true; more;) {
		double step = now_ms();
		if (nft_step(nft, STEP_CHANGES, &more, &e))
			die(&e);
		step = now_ms() - step;
		*ret_longest = step > *ret_longest ? step : *ret_longest;
	}
	return now_ms() - start;
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
	const struct nft_config config = {.bridge = "cnt0",
		.pods = {.first = 0x0a400000, .prefix = 24},
		.domain = {.first = 0x0a400000, .prefix = 10},
		.services = {.first = 0x0a2b0000, .prefix = 16}};
	struct arena arena CLEANUP(arena_done) = {0};
	struct nft *nft;
	struct err e;
	double longest;
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "needs root: %s\n", strerror(errno));
		return 1;
	}
	struct overlay_service *s = make(&arena, count);
	if (nft_open(&config, &nft, &e))
		die(&e);
	print("load_ms", publish(nft, &config, s, count, &longest), "ms");
	print("longest_step_ms", longest, "ms");
	print("elements", (double)nft_element_count(nft), "elements");
	((struct overlay_endpoint *)s[count / 2].ports[0].endpoints)[3].ready = false;
	print("one_endpoint_less_ms", publish(nft, &config, s, count, &longest), "ms");
	print("its_transaction_ms", longest, "ms");
	nft_close(nft, true);
	double start = now_ms();
	if (nft_open(&config, &nft, &e))
		die(&e);
	print("adopt_ms", now_ms() - start, "ms");
	print("adopted_unchanged_ms", publish(nft, &config, s, count, &longest), "ms");
	nft_close(nft, false);
	return 0;
}

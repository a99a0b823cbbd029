/*
 * Users in a city centre, a session each on a machine at one of its base stations: how far away do
 * they end up? Stations and users are those of the EUA data set (125 stations, 816 users), network
 * latencies those of PlanetLab.
 *
 *   bench-edge STATIONS.csv USERS.csv LATENCIES.txt
 *
 * The model.
 *   Capacity    a station has room for sessions: small cells (their name says so) for one part, all
 *               others for three, so that all together have room for ROOM (1.1) times the users.
 *   Access      a user is served by the radio of the nearest station, wherever the session is.
 *   Radio       a message of 1,000 bytes one way: 1 ms for scheduling, and its transmission over a
 *               sixteenth of 20 MHz at 3.5 GHz, at Shannon's rate up to 7.4 bit/s/Hz, with the path
 *               loss of 3GPP TR 38.901, table 7.4.1-1, UMi street canyon without line of sight;
 *               33 dBm sent, noise at -92 dBm.
 *   Network     between stations: all pairs of PlanetLab hosts with at most 20 ms of round trip, in
 *               order; the k-th nearest pair of stations has half the round trip at the same
 *               quantile. Within a station nothing.
 *   Latency     of a user: radio and network, one way.
 *
 * Who decides.
 *   nearest     one user after the other gets the machine with the least latency that has room
 *   kubernetes  the default scoring of kube-scheduler 1.30 without images and wishes: least
 *               allocated (weight 1) and balanced allocation (1); equals by lot
 *   continuo    the engine, all sessions as one application with a consumer each (place.h)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "place/place.h"

#define LINE_MAX 65536
#define NEAR_MS 20.0     /* round trips of a metropolitan network */
#define TARGET_MS 2.0    /* that sessions ask for; what is above it counts more */
#define SESSION_CPU 1000 /* thousandths of a core */

struct point {
	double latitude, longitude;
	bool small;
};

struct city {
	VEC(struct point) stations, users;
	VEC(double) near_ms; /* round trips between PlanetLab hosts, sorted */
	double *network_ms;  /* station by station, one way */
	int *room, *access;  /* by station; by user: its station */
	double *radio_ms;    /* by user */
};

static void give_up(const char *what, const char *why)
{
	fprintf(stderr, "bench-edge: %s: %s\n", what, why);
	exit(1);
}

/* ---- data ---- */

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f)
		give_up(path, "cannot be read");
	return f;
}

/* The columns with these names; the fields of these files have no quotes. */
static void read_points(const char *path, int latitude, int longitude, int name, void *to)
{
	VEC(struct point) *points = to;
	char line[4096];
	FILE *f = open_file(path);
	bool header = true;
	while (fgets(line, sizeof(line), f)) {
		struct point p = {0};
		char *rest = line, *field;
		int column = 0;
		for (; (field = strsep(&rest, ",\r\n")); column++) {
			if (column == latitude)
				p.latitude = atof(field);
			else if (column == longitude)
				p.longitude = atof(field);
			else if (column == name)
				p.small = strcasestr(field, "cell");
		}
		if (!header && p.latitude != 0)
			vec_push(points, p);
		header = false;
	}
	fclose(f);
	if (!points->count)
		give_up(path, "no rows");
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return a < b ? -1 : a > b;
}

static void read_latencies(struct city *c, const char *path)
{
	char *line = malloc(LINE_MAX);
	FILE *f = open_file(path);
	for (int row = 0; line && fgets(line, LINE_MAX, f); row++) {
		char *rest = line, *field;
		for (int column = 0; (field = strsep(&rest, "\t \r\n")) && column < row; column++) {
			double ms = atof(field);
			if (ms > 0 && ms <= NEAR_MS)
				vec_push(&c->near_ms, ms);
		}
	}
	fclose(f);
	free(line);
	if (!c->near_ms.count)
		give_up(path, "no latencies");
	qsort(c->near_ms.items, c->near_ms.count, sizeof(double), compare_doubles);
}

/* ---- the model ---- */

/* Metres, on a plane: the city is small. */
static double distance(const struct point *a, const struct point *b)
{
	double degree = 111195, latitude = a->latitude * M_PI / 180;
	return hypot((a->latitude - b->latitude) * degree,
		(a->longitude - b->longitude) * degree * cos(latitude));
}

struct pair {
	double metres;
	size_t a, b;
};

static int compare_pairs(const void *left, const void *right)
{
	return compare_doubles(left, right);
}

static void set_network(struct city *c)
{
	size_t n = c->stations.count, count = n * (n - 1) / 2, k = 0;
	struct pair *pairs = mem_alloc_array(count, sizeof(*pairs));
	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < a; b++)
			pairs[k++] = (struct pair){
				distance(&c->stations.items[a], &c->stations.items[b]), a, b};
	qsort(pairs, count, sizeof(*pairs), compare_pairs);
	c->network_ms = mem_alloc_array(n * n, sizeof(double));
	for (k = 0; k < count; k++) {
		double ms = c->near_ms.items[k * c->near_ms.count / count] / 2;
		c->network_ms[pairs[k].a * n + pairs[k].b] = ms;
		c->network_ms[pairs[k].b * n + pairs[k].a] = ms;
	}
	free(pairs);
}

static void set_room(struct city *c, double factor)
{
	double parts = 0, wanted = factor * (double)c->users.count;
	c->room = mem_alloc_array(c->stations.count, sizeof(int));
	for (size_t i = 0; i < c->stations.count; i++)
		parts += c->stations.items[i].small ? 1 : 3;
	for (size_t i = 0; i < c->stations.count; i++)
		c->room[i] =
			(int)fmax(1, round((c->stations.items[i].small ? 1 : 3) * wanted / parts));
}

static double radio_ms(double metres)
{
	double loss_db = 22.4 + 35.3 * log10(fmax(metres, 10)) + 21.3 * log10(3.5);
	double efficiency = fmin(7.4, log2(1 + pow(10, (33 - loss_db + 92) / 10)));
	return 1 + 8000 / (20e6 / 16 * efficiency) * 1e3;
}

static void set_access(struct city *c)
{
	c->access = mem_alloc_array(c->users.count, sizeof(int));
	c->radio_ms = mem_alloc_array(c->users.count, sizeof(double));
	for (size_t u = 0; u < c->users.count; u++) {
		double nearest = INFINITY;
		for (size_t s = 0; s < c->stations.count; s++) {
			double metres = distance(&c->users.items[u], &c->stations.items[s]);
			if (metres >= nearest)
				continue;
			nearest = metres;
			c->access[u] = (int)s;
		}
		c->radio_ms[u] = radio_ms(nearest);
	}
}

/* ---- who decides: at[user] is a station, -1: none ---- */

static double network_to(const struct city *c, size_t user, size_t station)
{
	return c->network_ms[(size_t)c->access[user] * c->stations.count + station];
}

static void decide_nearest(const struct city *c, int *at)
{
	int *left = mem_alloc_array(c->stations.count, sizeof(int));
	memcpy(left, c->room, c->stations.count * sizeof(int));
	for (size_t u = 0; u < c->users.count; u++) {
		at[u] = -1;
		for (size_t s = 0; s < c->stations.count; s++)
			if (left[s] && (at[u] < 0 || network_to(c, u, s) <
							     network_to(c, u, (size_t)at[u])))
				at[u] = (int)s;
		if (at[u] >= 0)
			left[at[u]]--;
	}
	free(left);
}

/* With one resource that counts, balanced allocation is the same for all. */
static void decide_kubernetes(const struct city *c, int *at)
{
	int *left = mem_alloc_array(c->stations.count, sizeof(int));
	struct rand r;
	rand_init(&r, 1);
	memcpy(left, c->room, c->stations.count * sizeof(int));
	for (size_t u = 0; u < c->users.count; u++) {
		int best = -1, equals = 0;
		at[u] = -1;
		for (size_t s = 0; s < c->stations.count; s++) {
			int score = left[s] ? (left[s] - 1) * 100 / c->room[s] : -1;
			if (score < 0 || score < best)
				continue;
			equals = score > best ? 1 : equals + 1;
			best = score;
			if (rand_below(&r, (uint64_t)equals) == 0)
				at[u] = (int)s;
		}
		if (at[u] >= 0)
			left[at[u]]--;
	}
	free(left);
}

static void must(int rc, const struct err *e)
{
	if (rc != 0)
		give_up("placement", e->text);
}

static void add_stations(const struct city *c, struct place *p, struct arena *a)
{
	size_t n = c->stations.count;
	uint32_t *sites = arena_new_array(a, n, uint32_t);
	struct err e = ERR_INIT;
	for (size_t s = 0; s < n; s++) {
		const char *name = arena_format(a, "station-%03zu", s);
		const struct place_site site = {.name = name};
		const struct place_amount capacity[] = {
			{.resource = "cpu", .amount = (int64_t)c->room[s] * SESSION_CPU},
			{.resource = "pods", .amount = 1000}};
		const struct place_label labels[] = {
			{"kubernetes.io/hostname", name}, {"topology.kubernetes.io/zone", name}};
		const struct place_node node = {.name = name,
			.site = name,
			.capacity = capacity,
			.capacity_count = 2,
			.labels = labels,
			.label_count = 2};
		uint32_t index;
		must(place_site_set(p, &site, &sites[s], &e), &e);
		must(place_node_set(p, &node, &index, &e), &e);
	}
	for (size_t s = 0; s < n; s++)
		for (size_t t = 0; t < n; t++)
			if (s != t)
				must(place_path_set(p, sites[s], sites[t], c->network_ms[s * n + t],
					     1e10, &e),
					&e);
}

static void decide_continuo(const struct city *c, int *at)
{
	CLEANUP(arena_done) struct arena a = {0};
	CLEANUP(place_plan_done) struct place_plan plan = {0};
	size_t n = c->users.count;
	struct place *p = place_new();
	struct err e = ERR_INIT;
	const struct place_amount cpu = {.resource = "cpu", .amount = SESSION_CPU};
	const struct place_spec spec = {.namespace = "city", .requests = &cpu, .request_count = 1};
	struct place_want *wants = arena_new_array(&a, n, struct place_want);
	struct place_consumer *users = arena_new_array(&a, n, struct place_consumer);
	const char **names = arena_new_array(&a, n, const char *);
	uint32_t shape;
	add_stations(c, p, &a);
	must(place_shape(p, &spec, &shape, &e), &e);
	for (size_t u = 0; u < n; u++) {
		names[u] = arena_format(&a, "session-%03zu", u);
		wants[u] = (struct place_want){
			.shape = shape, .count = 1, .node = PLACE_NONE, .component = (uint32_t)u};
		users[u] = (struct place_consumer){
			.site = arena_format(&a, "station-%03d", c->access[u]),
			.component = (uint32_t)u,
			.latency_ms = fmax(0.001, TARGET_MS - c->radio_ms[u])};
		at[u] = -1;
	}
	const struct place_application application = {.name = "city",
		.components = names,
		.component_count = (uint32_t)n,
		.consumers = users,
		.consumer_count = (uint32_t)n};
	struct place_weights weights = {0};
	weights.of[PLACE_TERM_LATENCY] = 1;
	const struct place_problem problem = {.mode = PLACE_BATCH,
		.wants = wants,
		.want_count = (uint32_t)n,
		.application = &application,
		.weights = &weights};
	must(place_solve(p, &problem, &plan, &e), &e);
	for (uint32_t i = 0; i < plan.assignment_count; i++)
		at[plan.assignments[i].want] =
			atoi(place_node_name(p, plan.assignments[i].node) + strlen("station-"));
	place_free(p);
}

/* ---- what came of it ---- */

/* Counted again from what was decided, whoever it was. */
static void report(const struct city *c, const char *who, const int *at, double took_ms)
{
	VEC(double) all = {0};
	double sum = 0;
	int *used = mem_alloc_array(c->stations.count, sizeof(int));
	for (size_t u = 0; u < c->users.count; u++) {
		if (at[u] < 0)
			continue;
		if (++used[at[u]] > c->room[at[u]])
			give_up(who, "a station has more sessions than room");
		vec_push(&all, c->radio_ms[u] + network_to(c, u, (size_t)at[u]));
		sum += all.items[all.count - 1];
	}
	qsort(all.items, all.count, sizeof(double), compare_doubles);
	printf("%s_served %zu\n%s_p95_ms %.3f\n%s_p50_ms %.3f\n%s_mean_ms %.3f\n%s_worst_ms "
	       "%.3f\n%s_took_ms %.0f\n",
		who, all.count, who, all.items[(all.count * 95 + 99) / 100 - 1], who,
		all.items[all.count / 2], who, sum / (double)all.count, who,
		all.items[all.count - 1], who, took_ms);
	vec_done(&all);
	free(used);
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*decide)(const struct city *c, int *at);
	} all[] = {{"nearest", decide_nearest}, {"kubernetes", decide_kubernetes},
		{"continuo", decide_continuo}};
	struct city c = {0};
	const char *room = getenv("ROOM");
	if (argc != 4)
		give_up("usage", "bench-edge STATIONS.csv USERS.csv LATENCIES.txt");
	read_points(argv[1], 1, 2, 3, &c.stations);
	read_points(argv[2], 0, 1, -1, &c.users);
	read_latencies(&c, argv[3]);
	set_network(&c);
	set_room(&c, room ? atof(room) : 1.1);
	set_access(&c);
	printf("stations %zu\nusers %zu\n", c.stations.count, c.users.count);
	int *at = mem_alloc_array(c.users.count, sizeof(int));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		double began = now_ms();
		all[i].decide(&c, at);
		report(&c, all[i].name, at, now_ms() - began);
	}
	free(at);
	vec_done(&c.stations);
	vec_done(&c.users);
	vec_done(&c.near_ms);
	free(c.network_ms);
	free(c.room);
	free(c.access);
	free(c.radio_ms);
	return 0;
}

/*
 * The GPU-sharing experiment of "Beware of Fragmentation" (USENIX ATC 2023) with a policy of ours:
 *
 *     bench-openb [-d FOLDER] [-p POLICY] [-t TRACE] [-n SEEDS]
 *
 * FOLDER (or CONTINUO_OPENB) holds the published openb_node_list_gpu_node.csv and
 * openb_pod_list_TRACE.csv; without it there is nothing to run, and that is said. All traces that
 * are there are run unless one is named, with the seeds 42, 43, ... that the paper takes. Prints a
 * table and one JSON line per metric; openb_run_ms is the mean of the slowest trace.
 */
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"
#include "openb/published.h"
#include "openb/run.h"

#define SEED_FIRST 42
#define SEEDS_MAX 1000
#define POD_FILE_PREFIX "openb_pod_list_"

struct options {
	const char *folder, *trace;
	const struct openb_policy *policy;
	int64_t seeds;
};

struct figure {
	double sum, squares;
	int64_t count;
};

struct figures {
	struct figure at_100, at_130, run_ms, cpu, memory, dropped;
};

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void add(struct figure *f, double value)
{
	f->sum += value;
	f->squares += value * value;
	f->count++;
}

static double mean(const struct figure *f)
{
	return f->sum / (double)f->count;
}

static double spread(const struct figure *f)
{
	double n = (double)f->count;
	return n > 1 ? sqrt(fmax(0, (f->squares - f->sum * f->sum / n) / (n - 1))) : 0;
}

/* ---- output ---- */

/* Which column of the published table a policy stands beside: its own, ours beside FGD's. */
static int published_column(const struct openb_policy *p)
{
	for (int i = 0; i < OPENB_PUBLISHED_POLICIES; i++)
		if (openb_policies[i] == p)
			return i;
	return OPENB_PUBLISHED_POLICIES - 1;
}

static bool is_peer(const struct openb_policy *p)
{
	return openb_policies[published_column(p)] == p;
}

static void print_head(const struct options *o)
{
	printf("# %s, %lld seeds: allocated GPU thousandths in %%, mean and standard deviation, "
	       "published %s\n",
		o->policy->name, (long long)o->seeds,
		openb_policies[published_column(o->policy)]->name);
	printf("# %-12s %6s %5s %6s %6s   %6s %5s %6s %6s   %5s %6s %7s %7s\n", "trace", "100%",
		"+-", "publ.", "diff", "130%", "+-", "publ.", "diff", "cpu%", "memory%", "dropped",
		"run_ms");
}

static void print_figure(const struct figure *f, const double *published)
{
	printf(" %6.2f %5.2f", mean(f), spread(f));
	if (published)
		printf(" %6.2f %+6.2f  ", *published, mean(f) - *published);
	else
		printf(" %6s %6s  ", "-", "-");
}

static void print_row(const struct options *o, const char *trace, const struct figures *f)
{
	const struct openb_published *known = openb_published_find(trace);
	int column = published_column(o->policy);
	printf("  %-12s", trace);
	print_figure(&f->at_100, known ? &known->of[column].at_100 : NULL);
	print_figure(&f->at_130, known ? &known->of[column].at_130 : NULL);
	printf(" %5.1f %6.1f %7.0f %7.1f\n", mean(&f->cpu), mean(&f->memory), mean(&f->dropped),
		mean(&f->run_ms));
	fflush(stdout);
}

static void add_metric(struct buf *lines, const struct options *o, const char *trace, int percent,
	double value)
{
	const struct openb_published *known = openb_published_find(trace);
	int column = published_column(o->policy);
	CLEANUP(mem_free_ptr)
	char *metric = mem_format("%s_%s_%d", is_peer(o->policy) ? o->policy->name : "openb", trace,
		percent);
	buf_append_string(lines, "{\"bench\":\"openb\",\"metric\":");
	json_write_string(lines, metric);
	buf_printf(lines, ",\"value\":%.3f,\"unit\":\"percent\",\"peer\":", value);
	if (!known) {
		buf_append_string(lines, "null,\"peer_value\":null,\"ratio\":null}\n");
		return;
	}
	double peer = percent == 100 ? known->of[column].at_100 : known->of[column].at_130;
	buf_printf(lines, "\"%s, published\",\"peer_value\":%.2f,\"ratio\":%.4f}\n",
		openb_policies[column]->name, peer, value / peer);
}

/* ---- runs ---- */

static int run_trace(const struct options *o, const char *nodes, const char *pods,
	const char *trace, struct buf *lines, double *slowest_ms, struct err *e)
{
	CLEANUP(openb_trace_done) struct openb_trace t = OPENB_TRACE_INIT;
	struct figures f = {0};
	int status = openb_trace_read_nodes(&t, nodes, e);
	if (!status)
		status = openb_trace_read_pods(&t, pods, e);
	for (int64_t i = 0; !status && i < o->seeds; i++) {
		struct openb_arrivals arrivals;
		struct openb_result r;
		uint64_t seed = SEED_FIRST + (uint64_t)i;
		status = openb_arrivals_make(&t, seed, OPENB_LOAD, &arrivals, e);
		if (status)
			return err_prefix(e, "%s", pods);
		openb_run(&t, o->policy, &arrivals, seed, now_ms, &r);
		openb_arrivals_done(&arrivals);
		if (r.wronged)
			return err_set(e, ERR_INTERNAL, "%s: %zu pods of %s were dropped that fit",
				o->policy->name, r.wronged, trace);
		add(&f.at_100, r.allocated_100);
		add(&f.at_130, r.allocated_130);
		add(&f.run_ms, r.run_ms);
		add(&f.cpu, r.cpu_percent);
		add(&f.memory, r.memory_percent);
		add(&f.dropped, (double)r.dropped);
	}
	if (status)
		return status;
	print_row(o, trace, &f);
	*slowest_ms = fmax(*slowest_ms, mean(&f.run_ms));
	add_metric(lines, o, trace, 100, mean(&f.at_100));
	add_metric(lines, o, trace, 130, mean(&f.at_130));
	return 0;
}

static void add_run_ms(struct buf *lines, double slowest_ms)
{
	buf_printf(lines,
		"{\"bench\":\"openb\",\"metric\":\"openb_run_ms\",\"value\":%.1f,\"unit\":\"ms\","
		"\"peer\":null,\"peer_value\":null,\"ratio\":null}\n",
		slowest_ms);
}

static int run_all(const struct options *o, struct err *e)
{
	double slowest_ms = 0;
	CLEANUP(mem_free_ptr)
	char *nodes = mem_format("%s/openb_node_list_gpu_node.csv", o->folder);
	CLEANUP(mem_free_ptr)
	char *pattern =
		mem_format("%s/" POD_FILE_PREFIX "%s.csv", o->folder, o->trace ? o->trace : "*");
	CLEANUP(globfree) glob_t found = {0};
	CLEANUP(buf_done) struct buf lines = BUF_INIT;
	if (glob(pattern, 0, NULL, &found) != 0)
		return err_set(e, ERR_NOT_FOUND, "there is no %s; see -d", pattern);
	print_head(o);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1 + strlen(POD_FILE_PREFIX);
		CLEANUP(mem_free_ptr)
		char *trace = mem_format("%.*s", (int)(strlen(name) - strlen(".csv")), name);
		int status = run_trace(o, nodes, found.gl_pathv[i], trace, &lines, &slowest_ms, e);
		if (status)
			return status;
	}
	if (!is_peer(o->policy))
		add_run_ms(&lines, slowest_ms);
	fputs(buf_text(&lines), stdout);
	return 0;
}

static int parse(struct options *o, int argc, char **argv, struct err *e)
{
	int option;
	while ((option = getopt(argc, argv, "d:p:t:n:")) != -1) {
		int status = 0;
		if (option == 'd')
			o->folder = optarg;
		else if (option == 't')
			o->trace = optarg;
		else if (option == 'n')
			status = str_to_int64(optarg, "-n", &o->seeds, e);
		else if (option != 'p' || !(o->policy = openb_policy_find(optarg)))
			status = err_set(e, ERR_USAGE, "%s",
				option == 'p' ? "-p: there is no such policy"
					      : "usage: bench-openb [-d FOLDER] [-p POLICY] "
						"[-t TRACE] [-n SEEDS]");
		if (status)
			return status;
	}
	if (optind < argc)
		return err_set(e, ERR_USAGE, "what is \"%s\"? There are only options",
			argv[optind]);
	if (o->seeds < 1 || o->seeds > SEEDS_MAX)
		return err_set(e, ERR_USAGE, "-n: 1 to %d seeds are possible", SEEDS_MAX);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.folder = getenv("CONTINUO_OPENB"), .policy = &openb_policy_fgd, .seeds = 10};
	struct err e = ERR_INIT;
	int status = parse(&o, argc, argv, &e);
	if (!status && str_empty(o.folder)) {
		puts("# bench-openb: no data. Set CONTINUO_OPENB (or -d) to the folder of the "
		     "openb "
		     "trace");
		return 0;
	}
	if (!status)
		status = run_all(&o, &e);
	if (status)
		fprintf(stderr, "bench-openb: %s\n", e.text);
	return err_exit_status(e.code);
}

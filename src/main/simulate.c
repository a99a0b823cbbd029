#include "main/simulate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "cli/cli.h"
#include "sim/sim.h"

#define HOUR_MS 3600000.0

struct options {
	int64_t seed, nodes, bad_days;
	const char *hours, *faults, *plant, *story;
	bool trace;
};

#define PLANT_NAMES                                                                                \
	"lying-fsync, plain-secrets, haste, no-brake, fence-late, no-fence, early-handover, "      \
	"wild-drift"

static int plant_of(const char *name)
{
	static const char *const names[] = {[SIM_PLANT_LYING_FSYNC] = "lying-fsync",
		[SIM_PLANT_PLAIN_SECRETS] = "plain-secrets",
		[SIM_PLANT_HASTE] = "haste",
		[SIM_PLANT_NO_BRAKE] = "no-brake",
		[SIM_PLANT_FENCE_LATE] = "fence-late",
		[SIM_PLANT_NO_FENCE] = "no-fence",
		[SIM_PLANT_EARLY_HANDOVER] = "early-handover",
		[SIM_PLANT_WILD_DRIFT] = "wild-drift"};
	if (!name)
		return SIM_PLANT_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(names[i], name))
			return (int)i;
	return -1;
}

#define STORY_NAMES "half, storm, island, restore, bad-days, application"

static int story_of(const char *name)
{
	static const char *const names[] = {[SIM_STORY_HALF] = "half",
		[SIM_STORY_STORM] = "storm",
		[SIM_STORY_ISLAND] = "island",
		[SIM_STORY_RESTORE] = "restore",
		[SIM_STORY_BAD_DAYS] = "bad-days",
		[SIM_STORY_APPLICATION] = "application"};
	if (!name)
		return SIM_STORY_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(names[i], name))
			return (int)i;
	return -1;
}

static int configure(const struct options *o, struct sim_config *ret_config, struct err *e)
{
	char *end = NULL;
	double hours = strtod(o->hours, &end);
	if (*end || end == o->hours || !(hours > 0 && hours <= 1000))
		return err_set(e, ERR_USAGE,
			"--hours wants a number such as 0.5 or 24, not \"%.40s\"", o->hours);
	if (o->nodes < 1 || o->nodes > SIM_NODES_MAX)
		return err_set(e, ERR_USAGE, "--nodes is 1 to %d", SIM_NODES_MAX);
	int story = story_of(o->story);
	if (story < 0)
		return err_set(e, ERR_USAGE, "--story is one of " STORY_NAMES ", not \"%.40s\"",
			o->story);
	if (o->bad_days < 1 || o->bad_days > 100000)
		return err_set(e, ERR_USAGE, "--bad-days is 1 to 100000");
	int plant = plant_of(o->plant);
	if (plant < 0)
		return err_set(e, ERR_USAGE, "--plant is one of " PLANT_NAMES ", not \"%.40s\"",
			o->plant);
	*ret_config = (struct sim_config){.seed = (uint64_t)o->seed,
		.nodes = (int)o->nodes,
		.duration_ms = (int64_t)(hours * HOUR_MS),
		.plant = (enum sim_plant)plant,
		.story = (enum sim_story)story,
		.bad_days = (int)o->bad_days,
		.trace = o->trace ? stdout : NULL};
	return sim_faults_parse(o->faults, &ret_config->faults, e);
}

int main_simulate(int argc, char **argv)
{
	struct options o = {.seed = 1, .nodes = 10, .hours = "1", .faults = "all", .bad_days = 300};
	const struct cli_option options[] = {
		{0, "seed", CLI_NUMBER, &o.seed, "N", "where the history comes from; default 1"},
		{0, "nodes", CLI_NUMBER, &o.nodes, "N", "1 to 1000; default 10"},
		{0, "hours", CLI_TEXT, &o.hours, "H", "simulated; default 1"},
		{0, "faults", CLI_TEXT, &o.faults, "NAMES",
			"all (default), none, or some of " SIM_FAULT_NAMES},
		{0, "plant", CLI_TEXT, &o.plant, "NAME", "a bug put in on purpose: " PLANT_NAMES},
		{0, "story", CLI_TEXT, &o.story, "NAME",
			"in place of chance and --hours: " STORY_NAMES},
		{0, "bad-days", CLI_NUMBER, &o.bad_days, "N", "of that story; default 300"},
		{0, "trace", CLI_FLAG, &o.trace, NULL, "print everything that happens"},
	};
	const struct cli_usage usage = {.synopsis = "sim [options]",
		.text = "Runs a server and its agents over simulated time, network and disks, with "
			"faults, and "
			"checks\n"
			"after every step that nothing acknowledged was lost and no node is "
			"overcommitted. The "
			"last line is\n"
			"the outcome with a hash of all that happened: the same for the same "
			"options, "
			"everywhere.\n",
		.options = options,
		.option_count = ARRAY_SIZE(options)};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	struct sim_config config;
	struct sim_result result = {0};
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0 && args.words.count)
		r = err_set(&e, ERR_USAGE, "unexpected argument \"%.60s\"", args.words.items[0]);
	if (r == 0)
		r = configure(&o, &config, &e);
	if (r == 0)
		r = sim_run(&config, &result, &e);
	if (r < 0)
		return cli_fail(&e);
	if (!result.ok)
		fprintf(stderr, "violated: %s\n", result.violation);
	puts(result.line);
	return result.ok ? 0 : 1;
}

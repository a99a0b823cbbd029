/*
 * The placement engine as every user has it (place/place.h, default weights): a node's model is a
 * label, a pod that asks for models has a node affinity (In), GPUs are one shared resource. Pods
 * come one at a time; each is of a workload of its own, told apart by a label, as the pods of the
 * trace are. The engine is told nothing of what usually comes; the policy told is the same engine,
 * told the shapes of the trace and their counts, as FGD is.
 */
#include <stdio.h>

#include "base/mem.h"
#include "openb/policy.h"
#include "place/place.h"

#define GPU "gpu"
#define MODEL "model"

struct engine {
	struct place *place;
	const struct openb_trace *trace;
	uint32_t arrived;
	uint32_t *nodes; /* by seat */
	uint32_t *seats; /* by node */
};

static void must(int status, const struct err *e)
{
	if (status == 0)
		return;
	fprintf(stderr, "bench-openb: engine: %s\n", e->text);
	exit(1);
}

static void *start(const struct openb_setting *setting)
{
	struct engine *x = mem_new(struct engine);
	struct err e = ERR_INIT;
	*x = (struct engine){.place = place_new(), .trace = setting->trace};
	x->nodes = mem_alloc_array(setting->cluster->count, sizeof(*x->nodes));
	x->seats = mem_alloc_array(setting->cluster->count, sizeof(*x->seats));
	for (uint32_t i = 0; i < setting->cluster->count; i++) {
		const struct openb_node *n = setting->cluster->seats[i].node;
		struct place_amount capacity[] = {{"cpu", n->cpu_milli, false},
			{"memory", (int64_t)n->memory_mib << 20, false}, {"pods", 10000, false},
			{GPU, n->devices * OPENB_GPU_MILLI, true}};
		struct place_label label = {MODEL, setting->trace->models.items[n->model]};
		struct place_node node = {.name = n->name,
			.capacity = capacity,
			.capacity_count = n->devices ? 4 : 3,
			.labels = &label,
			.label_count = n->devices ? 1 : 0};
		must(place_node_set(x->place, &node, &x->nodes[i], &e), &e);
		x->seats[x->nodes[i]] = i;
	}
	return x;
}

/* what: "shape" or "pod", numbered: what the label says. */
static uint32_t intern(struct engine *x, const struct openb_shape *s, const char *what,
	uint32_t number)
{
	struct err e = ERR_INIT;
	char name[32];
	const char *models[OPENB_MODELS_MAX];
	uint32_t shape, count = 0;
	for (uint32_t m = 0; m < x->trace->models.count; m++)
		if (s->models >> m & 1u)
			models[count++] = x->trace->models.items[m];
	snprintf(name, sizeof(name), "%s-%u", what, number);
	struct place_label label = {"name", name};
	struct place_requirement in = {MODEL, PLACE_IN, models, count, false};
	struct place_selector term = {&in, 1};
	struct place_node_terms affinity = {PLACE_TERMS_AFFINITY, &term, 1};
	struct place_amount requests[] = {{"cpu", s->cpu_milli, false},
		{"memory", (int64_t)s->memory_mib << 20, false},
		{GPU, s->gpus * s->gpu_milli, true}};
	struct place_spec spec = {.namespace = "openb",
		.labels = &label,
		.label_count = 1,
		.requests = requests,
		.request_count = s->gpus ? 3 : 2,
		.required = &affinity,
		.required_count = count > 0};
	must(place_shape(x->place, &spec, &shape, &e), &e);
	return shape;
}

static bool choose(void *state, const struct openb_cluster *c, uint32_t shape,
	struct openb_choice *ret_choice)
{
	(void)c;
	struct engine *x = state;
	struct err e = ERR_INIT;
	struct place_want want = {
		.shape = intern(x, &x->trace->shapes.items[shape], "pod", x->arrived++),
		.count = 1,
		.node = PLACE_NONE};
	struct place_problem problem = {.mode = PLACE_ONLINE,
		.wants = &want,
		.want_count = 1,
		.apply = true,
		.brief = true};
	CLEANUP(place_plan_done) struct place_plan plan = {0};
	must(place_solve(x->place, &problem, &plan, &e), &e);
	place_shape_release(x->place, want.shape);
	if (plan.assignment_count == 0)
		return false;
	const struct place_assignment *a = plan.assignments;
	ret_choice->seat = x->seats[a->node];
	ret_choice->devices = (uint8_t)place_pod_devices(x->place, a->pod, GPU);
	return true;
}

static void end(void *state)
{
	struct engine *x = state;
	place_free(x->place);
	free(x->nodes);
	free(x->seats);
	free(x);
}

static void *start_told(const struct openb_setting *setting)
{
	struct engine *x = start(setting);
	struct err e = ERR_INIT;
	size_t count = setting->trace->shapes.count;
	struct place_usual *usuals = mem_alloc_array(count, sizeof(*usuals));
	for (uint32_t i = 0; i < count; i++) {
		const struct openb_shape *s = &setting->trace->shapes.items[i];
		usuals[i] = (struct place_usual){intern(x, s, "shape", i), s->count};
	}
	must(place_outlook_set(x->place, usuals, (uint32_t)count, &e), &e);
	for (size_t i = 0; i < count; i++)
		place_shape_release(x->place, usuals[i].shape);
	free(usuals);
	return x;
}

const struct openb_policy openb_policy_told = {"told", start_told, choose, end};
const struct openb_policy openb_policy_engine = {"engine", start, choose, end};

/*
 * The placement engine: tables in, plan out. Where should everything run, and why.
 *
 * Pure: no clock, no I/O, no JSON, no globals; the same calls with the same seed give the same
 * plan. A struct place holds the tables (nodes, shapes, the pods that run) and is changed a row at
 * a time, so that it lives as long as its owner and never has to be built anew. It belongs to one
 * thread at a time; the server hands it to a job together with the changes to apply, and takes it
 * back with the plan. Strings and arrays in arguments are borrowed for the call; what the tables
 * keep is interned and kept until place_free, every distinct string that they ever saw. Strings in
 * results belong to the tables too.
 *
 *   place_node_set ... place_shape ... place_pod_put      the world as it is
 *   place_solve                                           what should be done about the wants
 *   place_plan_undo                                       never mind
 *
 * Modes. Online and batch place wants. Preempt places them too, and takes pods of lower priority
 * off one node where nothing else helps. Rebalance places none: it says which pods are better off
 * elsewhere. What-if is a batch on tables with other nodes, and changes nothing.
 *
 * Meanings (operators, affinity, taints, spread) are those of Kubernetes 1.30. What the engine does
 * not carry out yet is in the tables and is answered with -ERR_UNSUPPORTED by the call that asks
 * for it; nothing is ignored in silence.
 */
#ifndef CONTINUO_PLACE_PLACE_H
#define CONTINUO_PLACE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PLACE_NONE UINT32_MAX /* no node, shape, pod, site, application */
#define PLACE_NODES_MAX 1000000u
#define PLACE_PODS_MAX 10000000u
#define PLACE_RESOURCES_MAX 256u
#define PLACE_ITEMS_MAX 256u /* entries of one list in a node or in a spec */
#define PLACE_SURVEY_MAX 100000u
#define PLACE_AMOUNT_MAX ((int64_t)1 << 60)
#define PLACE_SHARED_MAX 4u   /* shared resources in the tables */
#define PLACE_DEVICES_MAX 64u /* shared devices of one resource on a node */

/* ---- words ---- */

struct place_label {
	const char *key, *value;
};

/* Countable: "cpu" in thousandths of a core, "memory" and "ephemeral-storage" in bytes, "pods",
 * devices ("continuo.dev/camera") in units. A shared device is counted in thousandths of one: a
 * request below 1000 is served by one device, more than that by whole ones. A capacity of shared
 * devices and a request above 1000 are multiples of 1000. A resource is shared everywhere or
 * nowhere; cpu, memory and pods are not. */
struct place_amount {
	const char *resource;
	int64_t amount; /* 0 to PLACE_AMOUNT_MAX */
	bool shared;
};

enum place_operator {
	PLACE_IN,
	PLACE_NOT_IN, /* also true without the label */
	PLACE_EXISTS,
	PLACE_DOES_NOT_EXIST,
	PLACE_GT, /* the label's value is a number above values[0]; nodes only */
	PLACE_LT
};

struct place_requirement {
	const char *key;
	enum place_operator operator;
	const char *const *values;
	uint32_t value_count;
	bool field; /* key is "metadata.name" of the node instead of a label */
};

/* All of them must hold; none: matches everything. */
struct place_selector {
	const struct place_requirement *items;
	uint32_t count;
};

enum place_effect {
	PLACE_NO_SCHEDULE,
	PLACE_PREFER_NO_SCHEDULE,
	PLACE_NO_EXECUTE,
	PLACE_ANY_EFFECT
};

struct place_taint {
	const char *key, *value; /* value null: "" */
	enum place_effect effect;
};

struct place_toleration {
	const char *key; /* null or "" with exists: tolerates everything */
	const char *value;
	bool exists;              /* operator Exists; else Equal */
	enum place_effect effect; /* PLACE_ANY_EFFECT: all */
};

/* ---- sites ---- */

struct place_site {
	const char *name;
	const char *country;     /* null: unknown */
	double carbon_g_per_kwh; /* now */
	double price_per_kwh;    /* the domain's currency */
	double price_per_gigabyte_out;
};

/* Adds or replaces a site; nodes name their site. -ERR_INVALID names what is impossible. */
struct place;
int place_site_set(struct place *p, const struct place_site *site, uint32_t *ret_site,
	struct err *e) MUST_CHECK;

/* Measured between two sites, in one direction. Within a site: 0 and unlimited unless set. */
int place_path_set(struct place *p, uint32_t from, uint32_t to, double latency_ms,
	double bits_per_s, struct err *e) MUST_CHECK;

/* The tables know of no path then; nothing happens when they knew none. */
void place_path_remove(struct place *p, uint32_t from, uint32_t to);

/* ---- nodes ---- */

enum place_node_flags {
	PLACE_NODE_NOT_READY = 1, /* acts as the taint node.kubernetes.io/not-ready:NoSchedule */
	PLACE_NODE_UNSCHEDULABLE = 2, /* as node.kubernetes.io/unschedulable:NoSchedule */
	PLACE_NODE_OFF = 4            /* switched off; switching on costs energy (reserved) */
};

struct place_node {
	const char *name; /* the key */
	const char *site; /* null: none. A site that is not set is added with this name alone */
	unsigned flags;
	const struct place_amount *capacity; /* allocatable; what is not named is 0 */
	uint32_t capacity_count;
	const struct place_label *labels;
	uint32_t label_count;
	const struct place_taint *taints;
	uint32_t taint_count;
	const char *const *images; /* references that are in its content store */
	uint32_t image_count;
	double idle_watts, full_watts; /* power at no load and at full load; 0: unknown */
	double price_per_hour;
	int trust;                   /* 0 to 100 */
	const char *const *runtimes; /* isolation that it offers: "runc", "kata" */
	uint32_t runtime_count;
};

/* Adds the node or replaces what is known of it; its pods stay on it. */
int place_node_set(struct place *p, const struct place_node *node, uint32_t *ret_node,
	struct err *e) MUST_CHECK;
/* Takes the node and all pods on it out of the tables; its number may be given to another node. */
void place_node_remove(struct place *p, uint32_t node);
uint32_t place_node_find(const struct place *p, const char *name); /* PLACE_NONE when unknown */
const char *place_node_name(const struct place *p, uint32_t node);
uint32_t place_node_count(const struct place *p);
/* What is left of a resource on a node; 0 for an unknown resource. */
int64_t place_node_free(const struct place *p, uint32_t node, const char *resource);

/* How many devices of a shared resource a node has; what is left of each, in thousandths, is in
 * ret_left. Below 0: overcommitted. */
uint32_t place_node_devices(const struct place *p, uint32_t node, const char *resource,
	int32_t ret_left[static PLACE_DEVICES_MAX]);

/* ---- shapes: what a pod asks for, interned ---- */

/* One of the OR-ed terms of a required node affinity is a selector; an empty one matches nothing.
 */
struct place_node_terms {
	enum {
		PLACE_TERMS_AFFINITY,
		PLACE_TERMS_VOLUME,
		PLACE_TERMS_RESIDENCY,
		PLACE_TERMS_FENCE
	} source;
	const struct place_selector *terms;
	uint32_t count;
};
struct place_node_preference {
	int weight; /* 1 to 100 */
	struct place_selector term;
};

/* Pods that a term is about: those in the namespaces whose labels match. */
struct place_pod_term {
	bool required;
	bool anti;
	int weight; /* preferred: 1 to 100 */
	const char *topology_key;
	struct place_selector selector;
	bool nobody;                   /* the term has no labelSelector: it matches no pod */
	const char *const *namespaces; /* none: the pod's own */
	uint32_t namespace_count;
	bool all_namespaces;
};

struct place_spread {
	const char *topology_key;
	int max_skew;         /* from 1 */
	int min_domains;      /* 0: not asked for */
	bool required;        /* DoNotSchedule; else ScheduleAnyway */
	bool ignore_affinity; /* nodeAffinityPolicy Ignore (default Honor) */
	bool honor_taints;    /* nodeTaintsPolicy Honor (default Ignore) */
	struct place_selector selector;
};

struct place_port {
	const char *protocol; /* "TCP", "UDP", "SCTP" */
	const char *address;  /* null, "" and "0.0.0.0": all */
	int port;
};

/* Everything that matters about a pod for where it may and should run. Pods made from one template
 * are alike and share one shape. */
struct place_spec {
	const char *namespace;
	const struct place_label *labels;
	uint32_t label_count;
	const struct place_amount *requests; /* "pods" need not be named: each pod takes one */
	uint32_t request_count;
	const struct place_label *node_selector;
	uint32_t node_selector_count;
	const struct place_node_terms *required; /* all of them must hold */
	uint32_t required_count;
	const struct place_node_preference *preferred;
	uint32_t preferred_count;
	const struct place_pod_term *pod_terms;
	uint32_t pod_term_count;
	const struct place_spread *spreads;
	uint32_t spread_count;
	const struct place_toleration *tolerations;
	uint32_t toleration_count;
	const struct place_port *ports; /* host ports */
	uint32_t port_count;
	const char *const *images;
	uint32_t image_count;
	int trust_min;       /* 0 to 100: nodes of that trust or more */
	const char *runtime; /* isolation that the node must offer; null: any */
};

/* Interns a spec: equal specs give the same shape. One reference for the caller. -ERR_INVALID says
 * which field is impossible, -ERR_TOO_LARGE, -ERR_UNSUPPORTED. */
int place_shape(struct place *p, const struct place_spec *spec, uint32_t *ret_shape,
	struct err *e) MUST_CHECK;
void place_shape_release(struct place *p, uint32_t shape);

/* ---- pods that are on nodes ---- */

/* Counts a pod on its node, wherever it came from: it may overcommit the node. The tables hold a
 * reference to the shape as long as the pod is there. Shared devices are chosen for it; when none
 * can serve it, it has none and still counts in what is left of the resource. -ERR_TOO_LARGE. */
int place_pod_put(struct place *p, uint32_t shape, uint32_t node, int priority, uint32_t *ret_pod,
	struct err *e) MUST_CHECK;
/* The same of a pod that has its devices already. -ERR_INVALID: not as many as it asks for. */
struct place_pod_devices {
	const char *resource;
	uint64_t devices; /* bit i: device i */
};
int place_pod_put_with(struct place *p, uint32_t shape, uint32_t node, int priority,
	const struct place_pod_devices *devices, uint32_t count, uint32_t *ret_pod,
	struct err *e) MUST_CHECK;
/* Which devices of a shared resource the pod has: bit i is device i. */
uint64_t place_pod_devices(const struct place *p, uint32_t pod, const char *resource);
void place_pod_remove(struct place *p, uint32_t pod); /* tables become as if it had never been */
uint32_t place_pod_node(const struct place *p, uint32_t pod); /* PLACE_NONE: no such pod */
uint32_t place_pod_count(const struct place *p);

/* ---- what usually comes ---- */

/* Shapes and how often they come, which is what the term fragmentation measures by. Only pods with
 * shared devices matter. Without it (count 0) the engine takes for usual what runs, and looks again
 * when a problem comes and that has doubled, halved or been replaced since; what waits counts too
 * when more waits than runs. That serves better than being told of a workload that does not come.
 * Holds references to the shapes.
 * -ERR_INVALID: an unknown shape, a weight that is no number from 0. */
struct place_usual {
	uint32_t shape;
	double weight;
};
int place_outlook_set(struct place *p, const struct place_usual *usuals, uint32_t count,
	struct err *e) MUST_CHECK;

/* ---- applications ---- */

/* The graph of one application: what its components have to do with each other, with data and with
 * users. All replicas are placed at once; those that run stay where they are and count. Traffic of
 * a link is that of all replicas together, of those too that find no node, and is spread evenly
 * over them. A path that is not known, or has 0 bit/s, meets no bound that is required; else it
 * counts as far and without a limit. Within a site nothing is limited. Nodes without a site are
 * together at one without paths; so is a site that is not in the tables. Traffic that is required
 * shares the bandwidth of a path; what other applications send is not known here.
 *
 * Numbers are finite and from 0. -ERR_INVALID names the link, data set, consumer, pod or want that
 * is impossible, also a link from a component to itself when it has one replica in all.
 * -ERR_TOO_LARGE: more than 1,000 components, 10,000 links, data sets and consumers together, or
 * 1e15 bit/s in all. More than 4,096 replicas, or more than 8 million
 * wants times nodes, are placed one after the other. graph.h says how it is done. */
struct place_link {
	uint32_t from, to; /* components */
	double bits_per_s; /* from, to */
	double latency_ms; /* bound, one way; 0: none */
	bool required;     /* the bounds hold; else missing them costs */
};
struct place_data { /* each replica of the reader fetches it once */
	const char *name;
	const char *site;
	double size_bytes;
	uint32_t reader; /* component */
};
struct place_consumer { /* users at a site */
	const char *site;
	uint32_t component;
	double bits_per_s; /* to them */
	double latency_ms; /* as of a link */
	bool required;
};
struct place_present { /* a replica that runs */
	uint32_t component;
	uint32_t pod; /* in the tables */
};
struct place_application {
	const char *name;
	const char *const *components; /* names, for reasons; wants say which one they are of */
	uint32_t component_count;
	const struct place_present *present;
	uint32_t present_count;
	const struct place_link *links;
	uint32_t link_count;
	const struct place_data *data;
	uint32_t data_count;
	const struct place_consumer *consumers;
	uint32_t consumer_count;
};

/* ---- solving ---- */

/* A plan minimises the weighted sum of these. Each term of one assignment is 0 (best) to about 1.
 *
 * Of an application, each pair of replicas that a link joins has a share of it. A pair costs each
 * of its two ends half; all of it is the planned one's when the other runs already. With N and M
 * replicas at the ends (planned and running together), a pair's traffic is bits_per_s / (N M), and
 * its latency counts (N + M) / (2 N M) times: each replica pays for half of the mean latency to its
 * partners. Each replica pays for the whole mean latency to users.
 *
 *   LATENCY   ms / PLACE_LATENCY_MS; a ms above a bound that is not required counts
 *             PLACE_LATENCY_OVER times. A path that is not known, or that has no room for what is
 *             not required, counts as PLACE_FAR_MS
 *   TRAFFIC   bits a second between sites / PLACE_TRAFFIC_BITS_PER_S
 *   DATA      seconds to fetch what is at another site / PLACE_DATA_S, at the bandwidth of the path
 *             but at most PLACE_DATA_FAST; at PLACE_DATA_SLOW where no path is known
 *   ENERGY    watts / PLACE_ENERGY_WATTS: (full - idle) times the share of the node's cpu that is
 *             asked for, and idle watts when nothing else is on the node
 *   CARBON    of these watts, grams an hour / PLACE_CARBON_G_PER_HOUR
 *   MONEY     an hour / PLACE_MONEY_PER_HOUR: price_per_hour of the node times the greater share of
 *             cpu and memory, price_per_kwh of the watts, price_per_gigabyte_out of the traffic
 *   TRUST     (100 - the node's trust) / 100
 *
 * Figures that are not known are 0. ENERGY to TRUST count for any pod, TRAFFIC and DATA for those
 * of an application. With a weight for them more nodes are looked at, since rankings do not know
 * them. */
#define PLACE_LATENCY_MS 100.0
#define PLACE_LATENCY_OVER 5.0
#define PLACE_FAR_MS 500.0
#define PLACE_TRAFFIC_BITS_PER_S 1e8
#define PLACE_DATA_S 100.0
#define PLACE_DATA_FAST 1e9 /* bits a second */
#define PLACE_DATA_SLOW 1e7
#define PLACE_ENERGY_WATTS 100.0
#define PLACE_CARBON_G_PER_HOUR 50.0
#define PLACE_MONEY_PER_HOUR 0.1 /* the domain's currency */
enum place_term {
	PLACE_TERM_BALANCE, /* how full the node becomes, and how lopsided; weight < 0: consolidate
			     */
	PLACE_TERM_PREFERENCE, /* preferred node and pod affinities that are not met, soft taints */
	PLACE_TERM_SPREAD,     /* others of its kind on the node and at the site; soft spread */
	PLACE_TERM_IMAGE,      /* images that must be pulled first */
	PLACE_TERM_LATENCY,
	PLACE_TERM_TRAFFIC,
	PLACE_TERM_DATA,
	PLACE_TERM_ENERGY,
	PLACE_TERM_CARBON,
	PLACE_TERM_MONEY,
	PLACE_TERM_FRAGMENTATION, /* shared devices that the usual pods can use no more, in devices,
				   * by how many the pod asks for; by hundredths */
	PLACE_TERM_TRUST,
	PLACE_TERM_MOVE,
	PLACE_TERM_COUNT
};
const char *place_term_name(enum place_term term); /* "balance" */

struct place_weights {
	double of[PLACE_TERM_COUNT]; /* finite, -1000 to 1000; a term that is not built must be 0 */
};
/* What every user gets. */
struct place_weights place_weights_default(void);

enum place_mode {
	PLACE_ONLINE,    /* the wants in the order given, each at once */
	PLACE_BATCH,     /* all wants seen together: by priority, those with wishes first, and those
			  * that wait for others last */
	PLACE_REBALANCE, /* no wants: at most moves_max pods move, each to a node where it costs
			  * less by more than its move and gain_min. Of all such moves the one that
			  * gains most comes first. No pod moves twice; none leaves others there
			  * without the company that they seek, nor makes a required spread worse */
	PLACE_PREEMPT,   /* as batch; a pod that finds no node takes the place of pods of lower
			  * priority, all on one node: those with the least harm (place_harm) */
	PLACE_WHAT_IF    /* as batch, after the changes: with the pods that these displace */
};

struct place_want {
	uint32_t shape;
	uint32_t count; /* replicas alike, from 1 */
	int priority;
	uint32_t node; /* PLACE_NONE: any; else only this one */
	/* Fewer than so many are not placed at all; 0: each replica by itself. Wants with the same
	 * number of a gang (0: none) stand or fall together: each has its minimum, or none of them
	 * has any. What is above the minimum comes after, as far as there is room. */
	uint32_t gang_minimum, gang;
	/* With an application: */
	uint32_t component;
	bool expected; /* replicas that will come: they are planned with, and not put into the
			* tables */
};

/* How many of its pods may go now (a PodDisruptionBudget). Never broken: what would need more is
 * not planned. A pod may be in several; victims and moves count. */
struct place_budget {
	const char *name;
	uint32_t allowed;
};
struct place_pod_budget {
	uint32_t pod, budget; /* budget: which one of the problem */
};

/* For PLACE_WHAT_IF, in the order given. */
struct place_change {
	enum {
		PLACE_ADD,    /* a node that is not there */
		PLACE_REMOVE, /* the node; its pods are displaced, the pinned ones are gone */
		PLACE_DRAIN   /* it takes no pods; those that are there are displaced, if not pinned
			       */
	} kind;
	uint32_t node;                /* remove, drain */
	const struct place_node *add; /* add */
};

struct place_problem {
	enum place_mode mode;
	const struct place_want *wants;
	uint32_t want_count;
	const struct place_application *application; /* null: none */
	const struct place_weights *weights;         /* null: the default */
	uint64_t seed;                               /* of searches that draw lots */
	bool apply;                                  /* put the assigned pods into the tables */
	bool explain;       /* fill in terms and alternatives of assignments */
	bool brief;         /* refusals come without reasons, as undecided ones do */
	uint32_t moves_max; /* rebalance: from 1 */
	double gain_min;    /* rebalance: from 0 */
	/* Node evaluations before the rest is left undecided; 0: no bound. Rebalance: until then
	 * other plans are tried, with lots from the seed; 0: the first plan is taken. */
	uint64_t steps_max;
	const struct place_budget *budgets;
	uint32_t budget_count;
	const struct place_pod_budget *pod_budgets;
	uint32_t pod_budget_count;
	const uint32_t *pinned; /* pods that stay where they are: no victims, no moves */
	uint32_t pinned_count;
	const struct place_change *changes;
	uint32_t change_count;
};

struct place_cost {
	double total;                   /* the weighted sum */
	double terms[PLACE_TERM_COUNT]; /* unweighted */
};

enum place_constraint {
	PLACE_C_NODE_NAME,
	PLACE_C_UNSCHEDULABLE,
	PLACE_C_NOT_READY,
	PLACE_C_TAINT,    /* detail "key=value:NoSchedule" */
	PLACE_C_SELECTOR, /* detail "key=value" */
	PLACE_C_AFFINITY, /* detail: the terms as text */
	PLACE_C_VOLUME,
	PLACE_C_RESIDENCY,
	PLACE_C_PORT,         /* detail "TCP/80" */
	PLACE_C_RESOURCE,     /* detail: the resource */
	PLACE_C_SPREAD,       /* detail: the topology key */
	PLACE_C_POD_AFFINITY, /* detail: "topology key: selector" */
	PLACE_C_POD_ANTI_AFFINITY,
	PLACE_C_EXISTING_ANTI_AFFINITY, /* of a pod that is there; detail as above */
	PLACE_C_LATENCY,
	PLACE_C_BANDWIDTH,
	PLACE_C_TRUST,
	PLACE_C_RUNTIME,
	PLACE_C_FENCE,
	PLACE_C_COUNT
};
const char *place_constraint_name(enum place_constraint constraint); /* "taint" */

struct place_reason {
	enum place_constraint constraint;
	uint32_t index;     /* which of its kind in the spec (request, selector entry, term, ...) */
	const char *detail; /* for people; never null */
	uint32_t nodes;     /* how many it rules out */
	uint32_t alone;     /* how many of these nothing else rules out */
	uint32_t first;     /* how many are counted under it in Kubernetes' message */
	bool at_fault;      /* one of a minimal set: without exactly these the pod fits somewhere */
};

/* What victims lose, in the order in which it counts: less is better. */
struct place_harm {
	int highest; /* priority of any of them */
	/* Of priority + 2^31 (Kubernetes' order): in effect their number, then their priorities. */
	int64_t sum;
	uint32_t count;
};
struct place_victim {
	uint32_t pod, node;
	int priority;
	uint32_t want; /* for whom it goes */
};
struct place_move {
	uint32_t pod, from, to;
	double gain; /* cost before less cost after less the weight of PLACE_TERM_MOVE */
	struct place_cost before, after; /* as of its turn; after: with the move */
	uint32_t previous, next;         /* private: for undo */
};

struct place_assignment {
	uint32_t want; /* PLACE_NONE: the pod that is displaced */
	uint32_t node; /* PLACE_NONE: the one that is added */
	uint32_t pod;  /* in the tables when applied; else PLACE_NONE */
	/* Of an application: as if this one came last, with its own share of the links. */
	struct place_cost cost;
	uint32_t
		alternative; /* the best other node; PLACE_NONE: there was none, or not asked for */
	struct place_cost alternative_cost;
	/* With explain: how many nodes were possible, and what ruled out the others; of a large
	 * problem (more than PLACE_SURVEY_MAX nodes times wants) as of the first decision about its
	 * shape. */
	uint32_t feasible;
	struct place_reason *reasons;
	uint32_t reason_count;
	uint32_t displaced; /* what-if: the pod that moves; PLACE_NONE */
	uint32_t added;     /* what-if: the change that adds its node; PLACE_NONE */
	uint32_t order;     /* 0: decided first */
	uint32_t victim;    /* the first of its victims in the plan */
	struct place_harm harm;
};

struct place_refusal {
	uint32_t want;
	uint32_t count; /* replicas of the want that found no node */
	bool undecided; /* steps_max was reached before they were looked at: no reasons */
	uint32_t nodes; /* in the tables */
	struct place_reason *reasons; /* those that rule out most first; none: there are no nodes */
	uint32_t reason_count;
	uint32_t displaced; /* what-if: the pod that finds no place, want is PLACE_NONE then */
	/* Its gang is not whole: so many of the minimum found a node. Reasons are those of the want
	 * that lacked one, as of when the others had theirs. */
	uint32_t gang_minimum; /* of all its wants; 0: this is no such refusal */
	uint32_t gang_placed, gang_want;
};

struct place_plan {
	struct place_assignment *assignments; /* in the order of the wants */
	uint32_t assignment_count;
	struct place_refusal *refusals;
	uint32_t refusal_count;
	struct place_victim *victims; /* those of one assignment stand together */
	uint32_t victim_count;
	struct place_move *moves; /* can be carried out in this order, each when the one before is
				   * done */
	uint32_t move_count;
	struct place_cost cost; /* of the whole plan: sums; rebalance: less what it gains */
	double gain;            /* of all moves */
	uint64_t steps;         /* node evaluations */
	struct place *holds;    /* private: tables in which victims' rows are kept for undo */
};

/* Makes a plan. With an application both modes see all wants together; only the order in which they
 * are served when there is no room for all is that of the mode, and what is expected comes last.
 * Assignments with `alternative_cost`: what comes to the plan is counted there, whoever pays it.
 * Nothing changes in the tables unless problem->apply. A want that finds no node is a
 * refusal in the plan, not an error. On an error ret_plan is untouched and so are the tables.
 * -ERR_INVALID names what is impossible, -ERR_TOO_LARGE, -ERR_UNSUPPORTED (an application in
 * another mode than these two, or with gangs; weights that are not built). */
int place_solve(struct place *p, const struct place_problem *problem, struct place_plan *ret_plan,
	struct err *e) MUST_CHECK;
/* Takes applied pods out again, puts victims back and moves back what moved, if the tables have not
 * been changed since. */
void place_plan_undo(struct place *p, struct place_plan *plan);
/* For CLEANUP too. A plan with victims that was applied must be done before its tables are freed:
 * until then the numbers of the victims are not used again. */
void place_plan_done(struct place_plan *plan);

/* What rules out nodes for a shape as things are, whether or not others are possible: nodes and
 * reasons are filled in, nothing is at fault. Returns how many are possible. */
uint32_t place_survey(struct place *p, uint32_t shape, struct place_refusal *ret_refusal);
void place_refusal_done(struct place_refusal *refusal); /* of place_survey; for CLEANUP too */

/* "0/5 nodes are available: 2 Insufficient cpu, 3 node(s) didn't match Pod's node
 * affinity/selector." as Kubernetes says it. */
struct buf;
void place_refusal_write(const struct place_refusal *refusal, struct buf *b);

struct place *place_new(void) MUST_CHECK;
void place_free(struct place *p); /* null is fine */

#endif

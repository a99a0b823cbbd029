/*
 * What a struct place is made of: tables of interned strings, nodes, shapes, pods and counters.
 * Private to src/place.
 *
 * A shape is a compiled spec. Which nodes satisfy its fixed demands (selector, affinity, taints) is
 * kept as two bitsets, so that a decision looks only at what changes: resources, ports and
 * neighbours. Neighbours are counted, not searched: every distinct pod term or spread (namespaces,
 * selector, topology key) is one counter, with the number of pods it matches in each domain, and
 * the number of pods that hold it as a required anti-affinity there.
 */
#ifndef CONTINUO_PLACE_TABLES_H
#define CONTINUO_PLACE_TABLES_H

#include "base/map.h"
#include "base/vec.h"
#include "place/place.h"
#include "place/ranking.h"

#define PLACE_CPU 0u /* the resources that every table has */
#define PLACE_MEMORY 1u
#define PLACE_PODS 2u
#define PLACE_USUAL 3u
/* What a pod without requests counts for in scores, as in Kubernetes' scheduler. */
#define PLACE_SCORE_CPU_MILLI 100
#define PLACE_SCORE_MEMORY_BYTES ((int64_t)200 << 20)

struct pair { /* an interned label; 0 is no string */
	uint32_t key, value;
};

struct requirement {
	uint32_t key;
	enum place_operator operator;
	bool field;
	uint32_t value_count;
	uint32_t *values;
	int64_t number; /* of Gt and Lt */
};
struct conjunction {
	struct requirement *items;
	uint32_t count;
};

struct bits {
	uint64_t *words;
	uint32_t word_count;
};

/* ---- nodes ---- */

/* Shares of cpu and memory in two mixtures, 5:1 and 1:5, in RANK_FULL: the greater one is how full
 * and how lopsided a node is. That of a pod can be added to that of a node. */
struct fullness {
	int32_t u, v;
};
/* What turns amounts of cpu and memory into shares of a capacity; 0: there is none. */
struct measure {
	double cpu, memory;
};
struct stock { /* of a resource */
	int64_t capacity, taken;
};

/* How many pods of a shape are on each node that has any. */
struct node_count {
	uint32_t node, count; /* 0: the slot is free */
};
struct node_counts {
	struct node_count *slots;
	uint32_t used, size; /* size: 0 or a power of two */
};
struct node_shape { /* how many pods of a shape are on a node */
	uint32_t shape, count;
};
struct node_port {
	uint32_t protocol, address; /* address 0: all */
	int port;
	uint32_t count;
};

struct node {
	bool used;
	bool drained, drain_taint; /* in a what-if; it has a taint by that */
	uint32_t first_pod;        /* list through pod.next */
	struct stock usual[PLACE_USUAL];
	int64_t score_cpu, score_memory; /* taken, with what pods without requests count for */
	struct measure measure;
	struct fullness full; /* of these */
	uint32_t site;
	uint32_t devices; /* into place.devices, + 1; 0: it has none that are shared */
	VEC(struct node_shape) shapes;
	VEC(struct stock) others; /* resources from PLACE_USUAL on */
	VEC(struct node_port) ports;
	uint32_t name;
	unsigned flags;
	VEC(struct pair) labels; /* sorted by key */
	VEC(uint32_t) taints;    /* into place.taints */
	VEC(uint32_t) images;    /* into place.images */
	int trust;
	VEC(uint32_t) runtimes;
	uint32_t next_free;
};
struct machine { /* of a node; apart, since few decisions ask for it */
	double idle_watts, full_watts, price_per_hour;
};

struct taint {
	uint32_t key, value;
	enum place_effect effect;
	uint32_t text; /* "key=value:NoSchedule" */
};

struct path {
	uint32_t from, to;
	double latency_ms, bits_per_s;
};
struct path_index {
	uint32_t to, path; /* path: in place.paths */
};
struct site {
	uint32_t name;
	struct place_site facts;      /* strings are interned */
	VEC(struct path_index) paths; /* from it, sorted by where they lead to */
};

/* ---- neighbours ---- */

struct topology {
	uint32_t key;
	struct map domains;          /* value -> domain + 1 */
	VEC(uint32_t) domain_values; /* value of each domain */
	VEC(uint32_t) of_node;       /* domain of each node; PLACE_NONE: it lacks the label */
};

struct domain_count {
	uint32_t matching; /* pods there that the selector matches */
	uint32_t holders;  /* pods there that hold it as a required anti-affinity */
	int64_t pull; /* sum of weights of pods there that hold it as a wish; anti counts < 0 */
};

struct counter {
	bool used;
	uint32_t references; /* by shapes' terms and spreads */
	char *key;           /* its canonical text, in place.counter_ids */
	uint32_t topology;
	uint32_t text;
	bool nobody, all_namespaces;
	VEC(uint32_t) namespaces;
	struct conjunction selector;
	VEC(struct domain_count) domains;
	VEC(uint32_t) tallies;
	uint64_t matching, holders, pulls; /* totals; pulls: pods with a wish */
	uint32_t next_free;
};

/* What a spread needs to know of its domains: of those nodes that it counts. */
struct tally_domain {
	uint32_t nodes, pods; /* pods: that the counter matches */
};
struct tally {
	uint32_t references; /* by spreads of shapes; 0: free */
	uint32_t counter, profile;
	bool ignore_affinity, honor_taints;
	VEC(struct tally_domain) domains;
	VEC(uint32_t) by_pods; /* how many domains with nodes have so many pods */
	uint32_t domain_count; /* domains with nodes */
	uint32_t least, most;  /* pods: at most, at least so many are in any domain */
};

/* ---- shapes ---- */

struct want_amount {
	uint32_t resource;
	uint32_t shared; /* slot + 1; 0: no shared resource */
	int64_t amount;
};
struct shape_selector {
	struct pair label;
	uint32_t text;
};
struct shape_required {
	enum place_constraint constraint;
	struct conjunction *terms;
	uint32_t count;
	uint32_t text;
};
struct shape_preference {
	int weight;
	struct conjunction term;
};
struct shape_term {
	bool required, anti, matches_self;
	int weight;
	uint32_t counter;
};
struct shape_spread {
	int max_skew, min_domains;
	bool required, ignore_affinity, honor_taints, matches_self;
	uint32_t counter, tally;
};
struct shape_toleration {
	uint32_t key, value; /* key 0: all */
	bool exists;
	enum place_effect effect;
};
#define PLACE_AXES 2u
/* Nodes that cost a pod the same but for how full they are, or nearly. */
struct node_group {
	uint32_t site;                /* PLACE_NONE: none, or of any site where there are many */
	int cpu_class, memory_class;  /* eighths of an octave of the capacity */
	uint32_t open, soft;          /* weights of wishes not met, taints better avoided */
	uint32_t domains[PLACE_AXES]; /* by axis of the profile; PLACE_NONE: none, or of any */
	struct measure measure;       /* of the largest that was in it */
};
struct shape_port {
	uint32_t protocol, address;
	int port;
	uint32_t text;
};

/* What a shape demands of a node by itself: labels, taints, that it has the scarce resource at all.
 * Shapes that demand the same share it, with the bitsets and the ranking of the nodes that comply.
 */
struct profile {
	bool used;
	uint32_t references;
	char *key;       /* canonical text, in place.profile_ids */
	uint32_t scarce; /* resource; PLACE_NONE */
	VEC(struct shape_selector) selector;
	VEC(struct shape_required) required;
	VEC(struct shape_preference) preferred;
	VEC(struct shape_toleration) tolerations;
	int trust_min;
	uint32_t runtime;      /* 0: any */
	struct bits affine;    /* nodes: selector and required affinity hold */
	struct bits tolerated; /* nodes: flags and taints are tolerated */
	struct bits able;      /* nodes: trusted enough, with the runtime */
	/* Made at the first choice, dropped when many changes came without one. */
	VEC(uint32_t) topologies;  /* that terms and spreads of its shapes are about */
	uint32_t axes[PLACE_AXES]; /* those of them that split its groups */
	uint32_t axis_count;
	bool ranked;
	uint64_t idle_changes;
	struct ranking ranking; /* a tree for each group */
	VEC(struct node_group) groups;
	uint32_t next_free;
};

struct shape {
	bool used;
	bool seeks;  /* has a required pod affinity */
	bool shares; /* asks for shared devices */
	uint32_t profile;
	uint32_t references;
	char *key; /* canonical text, in place.shape_ids */
	uint32_t namespace;
	VEC(struct pair) labels;
	VEC(struct want_amount) requests; /* with one of PLACE_PODS */
	int64_t score_cpu, score_memory;
	VEC(struct shape_term) terms;
	VEC(struct shape_spread) spreads;
	VEC(struct shape_port) ports;
	VEC(uint32_t) images;
	VEC(uint32_t) matches; /* counters whose selector matches these pods */
	VEC(uint32_t) at_site; /* pods of it, by site */
	struct node_counts here;
	uint32_t next_free;
};

struct pod {
	uint32_t shape; /* PLACE_NONE: free */
	uint32_t node;
	uint32_t next, previous; /* on the node; next: also of the free list */
	int priority;
	uint32_t held; /* into place.held; PLACE_NONE: it has no shared devices */
};

struct holders { /* of an image */
	VEC(uint32_t) nodes;
};
#include "place/outlook.h"

struct place {
	struct map string_ids; /* text -> id */
	VEC(char *) strings;   /* [0] is "" */
	VEC(uint32_t) resources;
	VEC(struct site) sites;
	VEC(struct path) paths;
	VEC(struct taint) taints;
	VEC(struct topology) topologies;
	VEC(struct counter) counters;
	VEC(struct tally) tallies;
	VEC(struct node) nodes;
	VEC(struct machine) machines; /* by node */
	VEC(struct profile) profiles;
	VEC(uint32_t) ranked; /* profiles */
	VEC(struct shape) shapes;
	VEC(struct pod) pods;
	VEC(struct holders) images;
	struct map image_ids, node_ids, profile_ids, shape_ids, counter_ids,
		site_ids; /* -> index + 1 */
	uint32_t free_node, free_profile, free_shape, free_pod, free_counter;
	uint32_t node_count, pod_count;
	uint32_t device_nodes;       /* nodes that have shared devices */
	VEC(uint8_t) resource_kinds; /* by resource: place_resource_is_shared */
	uint32_t shared_count;       /* slots in use */
	VEC(struct node_devices) devices;
	VEC(struct held) held;
	uint32_t free_devices, free_held;
	uint32_t held_count;
	struct outlook outlook;
	struct kept_table kept;
};

/* ---- table.c ---- */

/* Null: not known. Valid until the next place_path_set. */
const struct path *place_path_find(const struct place *p, uint32_t from, uint32_t to);

/* ---- strings.c ---- */

uint32_t place_intern(struct place *p, const char *text); /* null and "" are 0 */
static inline const char *place_text(const struct place *p, uint32_t id)
{
	return p->strings.items[id];
}
uint32_t place_find_index(const struct map *m, const char *key); /* PLACE_NONE */
void place_keep_index(struct map *m, const char *key, uint32_t index);
/* The index of a resource, added when new; PLACE_NONE when there are too many. */
uint32_t place_resource(struct place *p, const char *name);
uint32_t place_taint_index(struct place *p, const char *key, const char *value,
	enum place_effect effect);

bool place_bits_get(const struct bits *b, uint32_t i);
void place_bits_set(struct bits *b, uint32_t i, bool on); /* grows */
void place_bits_done(struct bits *b);

/* ---- selector.c ---- */

/* Compiles; -ERR_INVALID names `what`. */
int place_conjunction_compile(struct place *p, const struct place_selector *selector,
	bool for_nodes, const char *what, struct conjunction *ret_conjunction,
	struct err *e) MUST_CHECK;
void place_conjunction_done(struct conjunction *c);
void place_conjunction_write(const struct place *p, const struct conjunction *c, struct buf *b);
bool place_conjunction_matches(const struct place *p, const struct conjunction *c,
	const struct pair *labels, size_t label_count, uint32_t field_name);
uint32_t place_pair_value(const struct pair *labels, size_t count, uint32_t key); /* PLACE_NONE */
int place_pair_compare(const void *a, const void *b);
/* Compiles labels, sorted by key. */
void place_pairs_compile(struct place *p, const struct place_label *labels, uint32_t count,
	struct pair *ret_pairs);

/* ---- counter.c ---- */

struct counter_want {
	const char *topology_key;
	const struct place_selector *selector;
	bool nobody, all_namespaces;
	const char *const *namespaces;
	uint32_t namespace_count;
};
/* Takes one reference. */
int place_counter_get(struct place *p, const struct counter_want *want, const char *what,
	uint32_t *ret_counter, struct err *e) MUST_CHECK;
void place_counter_release(struct place *p, uint32_t counter);
bool place_counter_matches(const struct place *p, const struct counter *c, const struct shape *s);
/* The domain of a node for a counter; PLACE_NONE. */
uint32_t place_counter_domain(const struct place *p, const struct counter *c, uint32_t node);
/* What is counted in the domain; zeroes when nothing is. */
struct domain_count place_counter_at(const struct counter *c, uint32_t domain);
/* Counts `count` (may be negative) pods of a shape on a node in all counters. */
void place_counter_add_pods(struct place *p, uint32_t shape, uint32_t node, int64_t count);
void place_topology_node_changed(struct place *p, uint32_t node);

/* ---- tally.c ---- */

uint32_t place_tally_get(struct place *p, const struct tally *want); /* takes one reference */
void place_tally_release(struct place *p, uint32_t tally);
void place_tallies_done(struct place *p);
void place_tally_add_pods(struct place *p, struct tally *t, uint32_t node, int64_t count);
void place_tallies_add_node(struct place *p, uint32_t node, int sign);
/* Pods in the domain that has fewest and in the one that has most; 0 without domains. */
void place_tally_bounds(struct tally *t, uint32_t *ret_least, uint32_t *ret_most);

/* ---- profile.c ---- */

/* What a spec demands of a node by itself; scarce: a resource, PLACE_NONE. Takes one reference. */
int place_profile_get(struct place *p, const struct place_spec *spec, uint32_t scarce,
	uint32_t *ret_profile, struct err *e) MUST_CHECK;
void place_profile_release(struct place *p, uint32_t profile);
void place_profiles_done(struct place *p);
void place_profile_node_changed(struct place *p, struct profile *x, uint32_t node);
bool place_profile_required_holds(const struct place *p, const struct shape_required *r,
	const struct node *n);
bool place_profile_tolerates(const struct profile *x, const struct taint *t);
bool place_profile_has_runtime(const struct profile *x, const struct node *n);
static inline const struct profile *place_profile_of(const struct place *p, const struct shape *s)
{
	return &p->profiles.items[s->profile];
}

/* ---- shape.c, node.c, pod.c ---- */

void place_shape_match_all(struct place *p, struct shape *s); /* fills matches */
void place_shape_done(struct place *p, struct shape *s);
void place_node_done(struct node *n);
void place_pod_undo(struct place *p, uint32_t pod); /* removes it as if it had never come */
void place_node_count_pods(struct place *p, uint32_t node, uint32_t shape, int64_t count);
/* For a what-if: a node without pods is as if it were not there; it is there again. */
void place_node_hide(struct place *p, uint32_t node);
void place_node_show(struct place *p, uint32_t node);
/* It takes no pods, whatever they tolerate; it takes them again. Not twice. */
void place_node_drain(struct place *p, uint32_t node, bool drained);
/* Pods on the node that the counter's selector matches. */
uint32_t place_node_matching(const struct place *p, uint32_t counter, const struct node *n);
uint32_t place_image(struct place *p, const char *name); /* its index, added when new */
static inline struct stock place_node_stock(const struct node *n, uint32_t resource)
{
	if (resource < PLACE_USUAL)
		return n->usual[resource];
	resource -= PLACE_USUAL;
	return resource < n->others.count ? n->others.items[resource] : (struct stock){0, 0};
}
static inline int64_t place_node_capacity(const struct node *n, uint32_t resource)
{
	return place_node_stock(n, resource).capacity;
}
static inline int64_t place_node_taken(const struct node *n, uint32_t resource)
{
	return place_node_stock(n, resource).taken;
}
/* The taints that flags of a node stand for. */
enum { PLACE_TAINT_NOT_READY, PLACE_TAINT_UNSCHEDULABLE };

/* ---- devices.c ---- */

/* Settles whether a resource is counted in shares, which holds for all nodes and pods: ret_shared
 * is its slot + 1, or 0. -ERR_INVALID, -ERR_TOO_LARGE name `who`. */
int place_resource_is_shared(struct place *p, uint32_t resource, bool shared, const char *who,
	uint32_t *ret_shared, struct err *e) MUST_CHECK;
int place_devices_check(struct place *p, const struct place_node *from, struct err *e) MUST_CHECK;
void place_devices_set_capacity(struct place *p, uint32_t node); /* as the stocks have it */
void place_devices_drop(struct place *p, uint32_t node);         /* before the node goes */
void place_devices_done(struct place *p);
static inline struct node_devices *place_devices_of(const struct place *p, const struct node *n)
{
	return n->devices ? &p->devices.items[n->devices - 1] : NULL;
}
/* Whether devices of the node can serve the request. */
bool place_devices_fit(const struct place *p, const struct node *n, const struct want_amount *r);
/* Those that serve it best; 0: it does not fit. *ret_worth: what they are worth then, 0 without an
 * outlook. */
uint64_t place_devices_choose(const struct place *p, const struct node_devices *d, uint32_t slot,
	int64_t amount, int64_t cpu_left, int64_t *ret_worth);
/* The outlook's sums of a node's devices; of all nodes. */
void place_devices_weigh(struct place *p, uint32_t node);
void place_devices_weigh_all(struct place *p);
void place_devices_pods_changed(struct place *p, uint32_t node); /* when any node has devices */
/* What a pod is to hold there: as told, or chosen. PLACE_NONE: it asks for none. */
int place_held_new(struct place *p, uint32_t shape, uint32_t node,
	const struct place_pod_devices *told, uint32_t told_count, uint32_t *ret_held,
	struct err *e) MUST_CHECK;
void place_held_count(struct place *p, uint32_t held, uint32_t shape, uint32_t node, int sign);
void place_held_free(struct place *p, uint32_t held);
static inline int64_t place_node_cpu_left(const struct node *n)
{
	return n->usual[PLACE_CPU].capacity - n->usual[PLACE_CPU].taken;
}

/* ---- outlook.c ---- */

/* Before a problem is solved: looks again at what usually comes when what runs has changed enough.
 * When more waits than runs, that is usual too, for this problem alone: what is put aside must be
 * given back after it (null: nothing), so that a plan that is undone leaves no trace. */
struct outlook *place_outlook_prepare(struct place *p,
	const struct place_problem *problem) MUST_CHECK;
void place_outlook_restore(struct place *p, struct outlook *aside);
void place_outlook_node_changed(struct place *p, uint32_t node);
void place_outlook_done(struct place *p);
/* The term: what the usual pods could take less, in parts of what the pod takes. */
int64_t place_fragmentation(const struct place *p, const struct shape *s, uint32_t node);

/* ---- kept.c ---- */

/* By node, what a pod of the shape costs at least; valid until anything changes. */
const int64_t *place_kept_least(struct place *p, uint32_t shape, const int64_t *weights);
void place_kept_node_changed(struct place *p, uint32_t node);
void place_kept_forget_profile(struct place *p, uint32_t profile);
void place_kept_done(struct place *p);

/* ---- filter.c ---- */

struct failure {
	enum place_constraint constraint;
	uint32_t index;
	uint32_t text;
	bool first; /* counted in Kubernetes' message */
};
struct failures {
	VEC(struct failure) items;
};

struct spread_view {      /* one spread constraint as of this decision */
	uint32_t *counts; /* by domain: matching pods on nodes that count; null: as the tally */
	const struct tally *tally;
	uint32_t domain_count;
	uint32_t least, most;
};

/* A bound of an application that keeps the pod from a site, as things are. */
struct site_bar {
	uint32_t place; /* 0: nodes without a site; site + 1 */
	enum place_constraint constraint;
	uint32_t index, text;
};
struct site_bars {
	VEC(struct site_bar) items;
};

/* One decision's view of the tables. */
struct look {
	const struct place *p;
	const struct shape *shape;
	const struct profile *profile;
	const int64_t *weights; /* place_look_weigh */
	uint32_t shape_index;
	uint32_t node;                  /* only this one; PLACE_NONE */
	const struct failures *relaxed; /* constraints that do not count; null */
	bool first_of_its_kind;         /* its affinity terms match no pod but itself */
	bool negative;                  /* a weight is below 0 */
	bool upkeep;                    /* one of energy, carbon, money or trust is not 0 */
	const struct counter *repels;   /* it keeps apart from its own kind; null */
	struct spread_view *spreads;
	int64_t preference_sum;
};
void place_look_init(struct look *l, struct place *p, uint32_t shape, uint32_t node,
	const struct failures *relaxed);
void place_look_done(struct look *l);
/* Whether the pod fits. With ret_failures: all that speaks against the node is added. */
bool place_look_fits(const struct look *l, uint32_t node, struct failures *ret_failures);
/* The same of an application's bounds; null: there are none. */
bool place_look_bars(const struct look *l, const struct site_bars *bars, uint32_t node,
	struct failures *f);
/* False: the pod fits on no node of the group. */
bool place_look_group_fits(const struct look *l, const struct node_group *g);
bool place_failures_have(const struct failures *f, enum place_constraint constraint,
	uint32_t index);

static inline uint32_t place_spread_count(const struct spread_view *v, uint32_t domain)
{
	if (v->counts)
		return v->counts[domain];
	return domain < v->tally->domains.count ? v->tally->domains.items[domain].pods : 0;
}

/* ---- score.c ---- */

void place_weights_fix(const struct place_weights *w, int64_t *ret_weights); /* 2^-12 */
static inline int64_t place_weigh(int64_t weight, int64_t term)
{
	return weight * term >> RANK_WEIGHT_SHIFT;
}
struct measure place_measure(int64_t cpu, int64_t memory);
struct fullness place_fullness_of_node(const struct node *n);
/* Balance counts little for pods that take shared devices: what is left of these decides. */
int64_t place_balance(const struct shape *s, const struct node *n);
struct fullness place_fullness_of_pod(const struct shape *s, const struct measure *m);
uint32_t place_profile_open(const struct place *p, const struct profile *x, const struct node *n);
uint32_t place_profile_soft_taints(const struct place *p, const struct profile *x,
	const struct node *n);
/* What the terms cost at least in a group. */
int64_t place_look_preference_least(const struct look *l, const struct node_group *g);
int64_t place_look_spread_least(const struct look *l, const struct node_group *g);
/* What comes to that on a node that has pods of this shape, weighted; RANK_NEVER / 2: they keep
 * this one out. */
int64_t place_look_here_least(const struct look *l, uint32_t node);
/* Before anything is scored. Weights are those of place_weights_fix. */
void place_look_weigh(struct look *l, const int64_t *weights);
/* Figures are finite, but may be absurd: a cost of more than 2^16 is all the same. */
double place_cost_bound(double cost);
/* A cost of a real number in RANK_UNIT. */
int64_t place_cost_fix(double cost);
/* In RANK_UNIT; the terms too when wanted, in an array of PLACE_TERM_COUNT: up to the image term,
 * fragmentation, and the others from energy to trust if l->upkeep. */
int64_t place_look_total(const struct look *l, uint32_t node, int64_t *ret_terms);
void place_look_score(const struct look *l, uint32_t node, struct place_cost *ret_cost);
/* Adds a share of what it costs that the node is on, unweighted, if anything of it is asked for. */
void place_look_add_idle(const struct look *l, uint32_t node, double share, double *terms);

/* ---- choose.c ---- */

struct place_choice {
	uint32_t node, alternative; /* PLACE_NONE: there is none, or not asked for */
	struct place_cost cost, alternative_cost;
	uint64_t steps;
};
struct place_question {
	uint32_t shape, node; /* node: only this one; PLACE_NONE: any */
	const int64_t *weights;
	bool alternative; /* wanted too */
	bool scan;        /* look at all nodes: what the ranking is checked against */
	/* What the pod costs at each place more than on its nodes, from 0; RANK_NEVER: it may not
	 * go there. By place: 0: nodes without a site; site + 1. Null: nothing. */
	const int64_t *by_place;
};
/* The best node for a pod. */
void place_choose(struct place *p, const struct place_question *q, struct place_choice *ret_choice);

/* ---- group.c ---- */

/* A permutation of the numbers: nodes that are equal are not taken in the order of their names. */
static inline uint32_t place_order_of(uint32_t node)
{
	return (node + 1) * 2654435761u;
}
void place_profile_rank(struct place *p, struct profile *x); /* for a choice, if it is not yet */
void place_profile_unrank(struct place *p, struct profile *x);
/* Groups are split by the domains of this topology, when there are few of them. */
void place_profile_add_topology(struct place *p, struct profile *x, uint32_t topology);
/* The domain that all nodes of the group are in; PLACE_NONE: not known. */
uint32_t place_group_domain(const struct profile *x, const struct node_group *g, uint32_t topology);
void place_groups_node_changed(struct place *p, uint32_t node); /* profiles know it already */
void place_groups_pods_changed(struct place *p, uint32_t node);
void place_groups_prefetch(const struct place *p, uint32_t node); /* for that */
/* An amount as rankings have it: memory in MiB, all of them cut off at what 32 bits hold. What is
 * free is rounded up, what is needed down. */
int32_t place_coarse(int64_t amount, uint32_t resource, bool up);

/* ---- node_counts.c ---- */

void place_counts_prefetch(const struct node_counts *c, uint32_t node);
uint32_t place_counts_get(const struct node_counts *c, uint32_t node);
/* Returns what it is then; 0 frees the slot. */
uint32_t place_counts_add(struct node_counts *c, uint32_t node, int64_t count);
void place_counts_done(struct node_counts *c);

/* ---- explain.c ---- */

/* bars: of an application; null: none. */
void place_explain(struct place *p, uint32_t shape, uint32_t node, const struct site_bars *bars,
	struct place_refusal *refusal, uint64_t *steps);
uint32_t place_survey_with(struct place *p, uint32_t shape, const struct site_bars *bars,
	struct place_refusal *ret_refusal);

#endif

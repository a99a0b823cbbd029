/*
 * Shared devices of nodes, what pods hold of them, and what usually comes. Private to src/place;
 * part of tables.h.
 */
#ifndef CONTINUO_PLACE_OUTLOOK_H
#define CONTINUO_PLACE_OUTLOOK_H

#include "place/worth.h"

/* ---- devices.c ---- */

/* The devices of one shared resource on a node. */
struct device_set {
	uint32_t count;
	uint32_t whole; /* free ones */
	int32_t most;   /* left on the one with most */
	int32_t left;   /* on all of them together, overcommitted ones as 0 */
	int64_t fill;   /* sums of the outlook's; 0 without one */
	int64_t worth;
	int32_t taken[PLACE_DEVICES_MAX]; /* of those that were there once, too */
};
struct node_devices {
	struct device_set of[PLACE_SHARED_MAX]; /* by slot */
	uint32_t class;                         /* of the outlook */
	uint32_t next_free;
};
/* What a pod holds. */
struct held {
	uint64_t devices[PLACE_SHARED_MAX]; /* by slot; 0: none, or it is not known which */
	uint32_t next_free;
};

/* ---- outlook.c ---- */

struct told {
	uint32_t shape; /* with a reference */
	double weight;
};
struct outlook {
	struct worth of[PLACE_SHARED_MAX];
	VEC(struct usual) usuals[PLACE_SHARED_MAX];
	VEC(uint32_t) kinds; /* profiles of the usuals, with references */
	VEC(struct worth_class) classes[PLACE_SHARED_MAX];
	VEC(struct told) told; /* none: it learns */
	bool ready;            /* worth is known of some resource */
	bool told_changed, fleet_changed;
	uint64_t came;         /* pods with devices that were put, less those undone */
	uint64_t learned_came; /* of these at the last look; and how many pods it was about */
	uint64_t learned_pods;
	uint32_t version; /* changes with worth */
};

/* ---- kept.c ---- */

/* What a pod costs at least on each node: kept for pods that ask for the same of a node. */
struct kept {
	bool used;
	uint32_t profile;
	uint64_t hash;
	VEC(struct want_amount) requests;
	int64_t score_cpu, score_memory;
	int64_t weights[2]; /* of balance and fragmentation */
	uint32_t version;   /* of the outlook */
	uint64_t seen;      /* changes of nodes */
	uint64_t last_used;
	int64_t *least; /* by node; RANK_NEVER: it does not fit */
	uint32_t node_count;
};
struct kept_table {
	VEC(struct kept) items;
	VEC(uint64_t) changed_at; /* by node: number of its last change */
	VEC(uint32_t) changes;    /* the last ones: nodes */
	uint64_t changes_before;  /* those that are not in the list any more */
	uint64_t uses;
};

#endif

/*
 * The conformance suite of the store: what store.h promises, as tests that every backend has to
 * pass. A backend's test program fills in struct store_conformance, sets store_conformance_backend
 * in its group set-up and runs STORE_CONFORMANCE_TESTS in its group, beside tests of its own.
 */
#ifndef CONTINUO_STORE_CONFORMANCE_H
#define CONTINUO_STORE_CONFORMANCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

struct store_conformance {
	struct loop *loop;
	struct kind_registry *kinds;
	/* Runs the loop until the condition holds; false after a timeout. */
	bool (*run)(struct loop *l, bool (*condition)(void *arg), void *arg);
	/* A new store over what is there; null when it cannot be opened. */
	struct store *(*open)(const struct store_conformance *c);
	void (*erase)(const struct store_conformance *c); /* what is there */
	bool persistent;
};
extern struct store_conformance *store_conformance_backend;

int store_conformance_setup(void **state); /* of each test: *state is struct store_world */
int store_conformance_teardown(void **state);

/* What tests use; a backend's own tests too. */
struct store_world {
	const struct store_conformance *backend;
	struct store *store;
};
void store_world_reopen(struct store_world *w);

/* A ConfigMap NAMESPACE/NAME with data v = text (or an object of another kind that has no spec). */
struct object *store_sample(const struct kind *kind, const char *namespace, const char *name,
	const char *text);
bool store_sample_is(const struct object *o, const char *text);

/* One commit that is waited for; the error's code is returned (0: acknowledged). */
struct store_outcome {
	bool done;
	int64_t revision;
	size_t failed;
	struct err err;
};
enum err_code store_do(struct store_world *w, const struct store_compare *compares,
	size_t compare_count, const struct store_op *ops, size_t op_count,
	struct store_outcome *ret_outcome);
/* Puts or deletes (text null) ConfigMap "ns"/name without conditions; gives the revision. */
int64_t store_put(struct store_world *w, const char *name, const char *text);
void store_wait_outcomes(struct store_world *w, struct store_outcome *outcomes, size_t count);
void store_outcome_set(void *outcome, const struct store_result *result);

#define STORE_TEST(function)                                                                       \
	cmocka_unit_test_setup_teardown(function, store_conformance_setup,                         \
		store_conformance_teardown)

#define STORE_CONFORMANCE_LIST(X)                                                                  \
	X(store_starts_empty)                                                                      \
	X(store_creates_updates_deletes)                                                           \
	X(store_compares)                                                                          \
	X(store_refuses_bad_commits)                                                               \
	X(store_commits_whole_or_not)                                                              \
	X(store_judges_in_order)                                                                   \
	X(store_groups_commits)                                                                    \
	X(store_copies_what_was_stored)                                                            \
	X(store_lists_in_order)                                                                    \
	X(store_lists_pages)                                                                       \
	X(store_lists_the_past)                                                                    \
	X(store_compacts)                                                                          \
	X(store_keeps_history)                                                                     \
	X(store_watches_from_now)                                                                  \
	X(store_watches_from_the_past)                                                             \
	X(store_watches_resume)                                                                    \
	X(store_watches_pause)                                                                     \
	X(store_watches_fall_behind)                                                               \
	X(store_watches_free_inside)                                                               \
	X(store_watches_bookmark_idle)                                                             \
	X(store_keeps_events_in_memory)                                                            \
	X(store_passes_barriers)                                                                   \
	X(store_cancels_when_freed)                                                                \
	X(store_limits_the_queue)                                                                  \
	X(store_survives_reopening)                                                                \
	X(store_never_repeats_revisions)                                                           \
	X(store_answers_what_is_asked_while_it_closes)

#define STORE_DECLARE(function) void function(void **state);
STORE_CONFORMANCE_LIST(STORE_DECLARE)
#define STORE_ENTRY(function) STORE_TEST(function),
#define STORE_CONFORMANCE_TESTS STORE_CONFORMANCE_LIST(STORE_ENTRY)

#endif

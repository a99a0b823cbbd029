/* What the tests of src/control share: a world with a store, nodes, and an agent that runs every
 * pod it is given. Only tests include this. */
#ifndef CONTINUO_CONTROL_TESTING_H
#define CONTINUO_CONTROL_TESTING_H

#include "control/runtime.h"
#include "control/step.h"
#include "sys/loop_uv.h"

struct world {
	struct loop *loop;
	struct kind_registry *kinds;
	struct store *store;
	struct control *control;
	struct log log;
	struct store_watch *agent; /* runs pods: Running and Ready, and takes deleted ones away */
	int failed_commits;
	int answers; /* of commits made by tests */
	enum err_code answer;
};

struct world *world_new(void);
void world_start(struct world *w); /* control */
void world_start_agent(struct world *w);
void world_free(struct world *w);

/* A tree from JSON with ' for ". */
json_t *world_tree(const char *text);
/* Creates, as the API would; returns when it is stored. */
void world_create(struct world *w, const struct kind *k, const char *text);
void world_namespace(struct world *w, const char *name);
void world_node(struct world *w, const char *name, const char *zone, const char *cpu);
/* Changes an object: merge patch. Bumps the generation when spec is in the patch. */
void world_patch(struct world *w, const struct kind *k, const char *namespace, const char *name,
	const char *patch);
void world_delete(struct world *w, const struct kind *k, const char *namespace, const char *name);
struct object *world_get(struct world *w, const struct kind *k, const char *namespace,
	const char *name);
json_t *world_get_tree(struct world *w, const struct kind *k, const char *namespace,
	const char *name);
size_t world_count(struct world *w, const struct kind *k, const char *namespace);
/* Runs the loop until the condition holds; fails the test after 60 s. */
void world_until(struct world *w, bool (*condition)(void *arg), void *arg);
void world_until_count(struct world *w, const struct kind *k, const char *namespace, size_t count);
void world_until_ready(struct world *w, const char *namespace, size_t count); /* pods */
void world_run_ms(struct world *w, int64_t ms);

#endif

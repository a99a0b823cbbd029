/*
 * The store over the simulated world: the conformance suite, and the power going at every kind of
 * moment. A disk that lies about fsync is the planted bug that shows that the check can see.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/loop_sim.h"
#include "store/conformance.h"

struct fixture {
	struct store_conformance backend;
	struct sim_world *world;
	struct sim_machine *machine;
	struct sim_loop *loop;
	struct sqlite3_vfs *vfs;
};

static bool run(struct loop *l, bool (*condition)(void *arg), void *arg)
{
	struct sim_world *w = CONTAINER_OF(l, struct sim_loop, loop)->world;
	int64_t until_us = w->now_us + 60 * INT64_C(1000000);
	while (!condition(arg))
		if (!sim_world_step(w, until_us))
			return false;
	return true;
}

static struct store *open_store(const struct store_conformance *c)
{
	struct fixture *f = CONTAINER_OF((void *)(uintptr_t)c, struct fixture, backend);
	struct store *s;
	struct err e = ERR_INIT;
	if (store_sqlite_open(c->loop, c->kinds, "/state", f->machine->vfs_name, NULL, &s, &e) == 0)
		return s;
	print_message("# %s\n", e.text);
	return NULL;
}

static void erase(const struct store_conformance *c)
{
	struct fixture *f = CONTAINER_OF((void *)(uintptr_t)c, struct fixture, backend);
	while (sim_world_step(f->world, f->world->now_us + 10000))
		; /* what an earlier store left with the disk */
	for (size_t i = 0; i < f->machine->disk->files.count; i++)
		(void)sim_disk_remove(f->machine->disk, f->machine->disk->files.items[i], true);
}

static struct fixture *fixture_new(uint64_t seed)
{
	struct fixture *f = mem_new(struct fixture);
	f->world = sim_world_new(seed);
	f->machine = sim_machine_new(f->world, "server", "10.9.0.1", 200, 50);
	f->loop = sim_loop_new(f->machine, "server");
	f->vfs = sim_vfs_register(f->machine->disk, f->machine->vfs_name);
	f->backend = (struct store_conformance){.loop = &f->loop->loop,
		.kinds = kind_registry_new(),
		.run = run,
		.open = open_store,
		.erase = erase,
		.persistent = true};
	return f;
}

static void fixture_free(struct fixture *f)
{
	if (!f->loop->dead)
		sim_loop_kill(f->loop, false);
	sim_loop_free(f->loop);
	sim_vfs_unregister(f->vfs);
	kind_registry_free(f->backend.kinds);
	sim_world_free(f->world);
	free(f);
}

static int setup(void **state)
{
	struct fixture *f = fixture_new(1);
	store_conformance_backend = &f->backend;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

/* ---- the power goes ---- */

#define KEYS 8

struct writer {
	struct fixture *fixture;
	struct store *store;
	struct write {
		struct writer *writer;
		int key, tried, acknowledged;
	} writes[KEYS];
	int acknowledgements;
};

static void next_write(struct write *w);

static void acknowledged(void *arg, const struct store_result *result)
{
	struct write *w = arg;
	if (result->err)
		return; /* the disk is gone: so are we, soon */
	w->acknowledged = w->tried;
	w->writer->acknowledgements++;
	next_write(w);
}

static void sample_key(int key, char ret_name[static 16], char ret_key[static OBJECT_KEY_MAX])
{
	snprintf(ret_name, 16, "k%d", key);
	assert_int_equal(object_key_of(&kind_configmap, "ns", ret_name, ret_key, NULL), 0);
}

static void next_write(struct write *w)
{
	char name[16], key[OBJECT_KEY_MAX], text[1600];
	w->tried++;
	int size = snprintf(text, sizeof(text), "%d-", w->tried);
	int fill = w->tried * 131 % 1500;
	memset(text + size, 'x', (size_t)fill);
	text[size + fill] = '\0';
	sample_key(w->key, name, key);
	struct store_op op = {key, store_sample(&kind_configmap, "ns", name, text)};
	store_commit(w->writer->store, NULL, 0, &op, 1, acknowledged, w);
}

static int value_of(struct store *s, int number)
{
	char name[16], key[OBJECT_KEY_MAX];
	sample_key(number, name, key);
	CLEANUP(object_done) struct object *o = store_get(s, key);
	if (!o)
		return 0;
	json_t *tree = object_tree(o);
	int value = atoi(json_text(tree, "", "data", "v"));
	json_decref(tree);
	return value;
}

/* Writes until the fuse blows, then turns the power off and on. */
static void run_until_power_loss(struct writer *w, int64_t fuse)
{
	struct fixture *f = w->fixture;
	f->machine->disk->fuse = fuse;
	for (int i = 0; i < KEYS; i++)
		next_write(&w->writes[i]);
	while (!f->machine->disk->blown)
		assert_true(sim_world_step(f->world, INT64_MAX / 2));
	sim_loop_kill(f->loop, true);
	store_free(w->store);
	sim_loop_free(f->loop);
	sim_disk_power_loss(f->machine->disk);
	sim_disk_release(f->machine->disk);
	f->loop = sim_loop_new(f->machine, "server");
	f->backend.loop = &f->loop->loop;
}

/* How many acknowledged writes a life of the store lost; -1: it did not open again. */
static int lost_after_power_losses(uint64_t seed, bool lying, int rounds, char ret_hash[33])
{
	struct writer w = {.fixture = fixture_new(seed)};
	struct rand r;
	int lost = 0;
	rand_init(&r, seed);
	w.store = open_store(&w.fixture->backend);
	w.fixture->machine->disk->lying = lying;
	for (int i = 0; i < KEYS; i++)
		w.writes[i] = (struct write){.writer = &w, .key = i};
	for (int round = 0; round < rounds && lost == 0; round++) {
		run_until_power_loss(&w, rand_between(&r, 1, 600));
		w.store = open_store(&w.fixture->backend);
		for (int i = 0; i < KEYS && w.store; i++) {
			int found = value_of(w.store, i);
			if (found < w.writes[i].acknowledged)
				lost++;
			else if (found > w.writes[i].tried)
				lost += 1000; /* nobody wrote that */
			w.writes[i].tried = w.writes[i].acknowledged = found;
		}
		if (!w.store)
			lost = -1;
	}
	if (!lying)
		assert_true(w.acknowledgements > rounds);
	sim_trace_hash(&w.fixture->world->trace, ret_hash);
	sim_loop_kill(w.fixture->loop, false);
	store_free(w.store);
	fixture_free(w.fixture);
	return lost;
}

static void test_power_losses_lose_nothing(void **state)
{
	(void)state;
	char hash[33];
	for (uint64_t seed = 1; seed <= 10; seed++)
		assert_int_equal(lost_after_power_losses(seed, false, 20, hash), 0);
}

static void test_same_seed_same_history(void **state)
{
	(void)state;
	char first[33], second[33], other[33];
	(void)lost_after_power_losses(7, false, 5, first);
	(void)lost_after_power_losses(7, false, 5, second);
	(void)lost_after_power_losses(8, false, 5, other);
	assert_string_equal(first, second);
	assert_string_not_equal(first, other);
}

static void test_lying_disk_is_found(void **state)
{
	(void)state;
	char hash[33];
	int found = 0;
	for (uint64_t seed = 1; seed <= 5; seed++)
		found += lost_after_power_losses(seed, true, 20, hash) != 0;
	assert_int_equal(found, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_CONFORMANCE_TESTS cmocka_unit_test(test_power_losses_lose_nothing),
		cmocka_unit_test(test_same_seed_same_history),
		cmocka_unit_test(test_lying_disk_is_found)};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}

#include "store/conformance.h"
#include "sys/loop_uv.h"

static bool run(struct loop *l, bool (*condition)(void *arg), void *arg)
{
	return loop_uv_run_until(l, condition, arg, 20000);
}

static struct store *open_memory(const struct store_conformance *c)
{
	return store_memory_new(c->loop, c->kinds);
}

static void erase(const struct store_conformance *c)
{
	(void)c;
}

static int setup(void **state)
{
	static struct store_conformance backend = {.run = run, .open = open_memory, .erase = erase};
	backend.loop = loop_uv_new(1);
	backend.kinds = kind_registry_new();
	store_conformance_backend = &backend;
	*state = &backend;
	return 0;
}

static int teardown(void **state)
{
	struct store_conformance *backend = *state;
	kind_registry_free(backend->kinds);
	loop_uv_free(backend->loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {STORE_CONFORMANCE_TESTS};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}

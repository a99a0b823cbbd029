/* buf, vec, map, list, arena: what holds things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

static void test_buf_grows_and_consumes(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	assert_string_equal(buf_text(&b), "");
	buf_append_string(&b, "one ");
	buf_printf(&b, "%d", 2);
	buf_append_char(&b, '!');
	assert_string_equal(buf_text(&b), "one 2!");
	buf_consume(&b, 4);
	assert_string_equal(buf_text(&b), "2!");
	size_t size;
	char *text = buf_take(&b, &size);
	assert_int_equal(size, 2);
	assert_int_equal(b.size, 0);
	free(text);
	buf_done(&b);
}

static void test_buf_keeps_its_ceiling(void **state)
{
	(void)state;
	struct buf b = BUF_INIT_LIMIT(5);
	struct err e = ERR_INIT;
	buf_append_string(&b, "1234");
	buf_append_string(&b, "56");
	buf_append_string(&b, "7"); /* ignored: the text must not have holes */
	assert_string_equal(buf_text(&b), "1234");
	assert_int_equal(buf_check(&b, "the note", &e), -ERR_TOO_LARGE);
	assert_non_null(strstr(e.text, "the note"));
	buf_clear(&b);
	buf_append_string(&b, "12345");
	assert_int_equal(buf_check(&b, "the note", &e), 0);
	buf_done(&b);
}

static int freed;

static void count_free(void *value)
{
	freed++;
	free(value);
}

static void test_map_walks_in_order_of_insertion(void **state)
{
	(void)state;
	struct map m;
	char key[16], seen[64] = "";
	map_init(&m, count_free);
	freed = 0;
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		map_put(&m, key, mem_dup_string(key));
	}
	MAP_EACH (&m, entry)
		if (strcmp(entry->key, "k3") != 0 && strcmp(entry->key, "k998") != 0)
			map_remove(&m, entry->key);
	assert_int_equal(freed, 998);
	assert_int_equal(m.count, 2);
	map_put(&m, "k3", mem_dup_string("new"));
	map_put(&m, "a", mem_dup_string("a"));
	MAP_EACH (&m, entry)
		strcat(strcat(seen, entry->value), " ");
	assert_string_equal(seen, "new k998 a ");
	assert_null(map_get(&m, "k4"));
	char *taken = map_take(&m, "a");
	assert_string_equal(taken, "a");
	free(taken);
	assert_false(map_has(&m, "a"));
	map_done(&m);
	assert_int_equal(freed, 1001);
}

static void test_vec_and_list(void **state)
{
	(void)state;
	VEC(int) v = {0};
	for (int i = 0; i < 100; i++)
		vec_push(&v, i);
	vec_remove(&v, 0);
	vec_remove(&v, 50);
	assert_int_equal(v.count, 98);
	assert_int_equal(v.items[0], 1);
	assert_int_equal(v.items[50], 52);
	vec_done(&v);
	struct list head, a, b;
	list_init(&head);
	list_append(&head, &a);
	list_append(&head, &b);
	LIST_EACH (&head, link)
		list_remove(link);
	assert_true(list_empty(&head));
	list_remove(&a); /* twice is harmless */
}

static void test_arena_gives_zeroed_aligned_memory(void **state)
{
	(void)state;
	struct arena a = {0};
	for (size_t size = 1; size < 20000; size += 777) {
		char *memory = arena_alloc(&a, size);
		assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(memory[i], 0);
		memset(memory, 0xff, size);
	}
	assert_string_equal(arena_format(&a, "%s-%d", "x", 7), "x-7");
	assert_null(arena_dup(&a, NULL));
	arena_done(&a);
	assert_string_equal(arena_dup(&a, "again"), "again");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_grows_and_consumes),
		cmocka_unit_test(test_buf_keeps_its_ceiling),
		cmocka_unit_test(test_map_walks_in_order_of_insertion),
		cmocka_unit_test(test_vec_and_list),
		cmocka_unit_test(test_arena_gives_zeroed_aligned_memory),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "server/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static const char *const names[] = {"127.0.0.1", "server.example", NULL};
#define NOW_MS ((int64_t)1790000000000)

static void fill(void *context, void *ret_bytes, size_t size)
{
	memset(ret_bytes, *(int *)context, size);
	*(int *)context += 1;
}

static int next_byte;

static struct identity_config config_of(const char *folder)
{
	return (struct identity_config){.fs = fs_real(),
		.folder = folder,
		.domain = "example",
		.names = names,
		.wall_ms = NOW_MS,
		.random_bytes = fill,
		.context = &next_byte};
}

static int set_up(void **state)
{
	char folder[] = "/tmp/continuo-identity-XXXXXX";
	if (!mkdtemp(folder))
		return -1;
	*state = mem_dup_string(folder);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", (char *)*state);
	free(*state);
	return system(command);
}

static void remove_file(const char *folder, const char *name)
{
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/%s", folder, name);
	assert_int_equal(unlink(path), 0);
}

static void a_second_start_is_the_same_domain(void **state)
{
	struct identity_config c = config_of(*state);
	struct identity first, second;
	struct err e = ERR_INIT;
	assert_int_equal(identity_load(&c, &first, &e), 0);
	assert_true(first.created);
	assert_int_equal(identity_load(&c, &second, &e), 0);
	assert_false(second.created);
	assert_string_equal(first.ca.certificate_pem, second.ca.certificate_pem);
	assert_memory_equal(first.data_key, second.data_key, 32);
	identity_done(&first);
	identity_done(&second);
}

static void a_lost_ca_is_not_made_anew(void **state)
{
	struct identity_config c = config_of(*state);
	struct identity i;
	struct err e = ERR_INIT;
	assert_int_equal(identity_load(&c, &i, &e), 0);
	identity_done(&i);
	remove_file(*state, "pki/ca.key");
	assert_int_equal(identity_load(&c, &i, &e), -ERR_CORRUPT);
	assert_non_null(strstr(e.text, "backup"));
}

static void a_lost_data_key_is_not_made_anew(void **state)
{
	struct identity_config c = config_of(*state);
	struct identity i;
	struct err e = ERR_INIT;
	assert_int_equal(identity_load(&c, &i, &e), 0);
	identity_done(&i);
	remove_file(*state, "pki/data.key");
	assert_int_equal(identity_load(&c, &i, &e), -ERR_CORRUPT);
}

static void a_first_start_that_was_broken_off_is_finished(void **state)
{
	struct identity_config c = config_of(*state);
	struct identity i;
	struct err e = ERR_INIT;
	assert_int_equal(identity_load(&c, &i, &e), 0);
	identity_done(&i);
	remove_file(*state, "version");
	remove_file(*state, "pki/data.key");
	remove_file(*state, "pki/ca.crt");
	assert_int_equal(identity_load(&c, &i, &e), 0);
	assert_true(i.created);
	identity_done(&i);
}

static void a_newer_layout_and_another_domain_are_refused(void **state)
{
	struct identity_config c = config_of(*state);
	struct identity i;
	struct err e = ERR_INIT;
	assert_int_equal(identity_load(&c, &i, &e), 0);
	identity_done(&i);
	c.domain = "other";
	assert_int_equal(identity_load(&c, &i, &e), -ERR_USAGE);
	assert_non_null(strstr(e.text, "example"));
	c.domain = "example";
	CLEANUP(mem_free_ptr) char *path = mem_format("%s/version", (char *)*state);
	assert_int_equal(fs_write_atomic(fs_real(), path, "99\n", 3, 0644, &e), 0);
	assert_int_equal(identity_load(&c, &i, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "newer"));
}

static void the_server_certificate_is_renewed_at_half_its_life(void **state)
{
	struct identity_config c = config_of(*state);
	struct identity i;
	struct err e = ERR_INIT;
	bool changed = true;
	assert_int_equal(identity_load(&c, &i, &e), 0);
	assert_int_equal(identity_renew(&c, &i, &changed, &e), 0);
	assert_false(changed);
	c.wall_ms += IDENTITY_SERVER_LIFE_MS / 2 + 1000;
	assert_int_equal(identity_renew(&c, &i, &changed, &e), 0);
	assert_true(changed);
	struct pki_info info;
	assert_int_equal(pki_inspect(i.server.certificate_pem, &info, &e), 0);
	assert_true(info.not_after_ms > c.wall_ms + IDENTITY_SERVER_LIFE_MS / 2);
	identity_done(&i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_second_start_is_the_same_domain, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_lost_ca_is_not_made_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lost_data_key_is_not_made_anew, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_first_start_that_was_broken_off_is_finished,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_newer_layout_and_another_domain_are_refused,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_server_certificate_is_renewed_at_half_its_life,
			set_up, tear_down),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

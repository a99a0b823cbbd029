#include "main/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "sys/loop_uv.h"

static char folder[] = "/tmp/notify-XXXXXX";
static char path[64];
static int listener = -1;

static int make_listener(void **state)
{
	(void)state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	memcpy(a.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return listener < 0 ? -1 : bind(listener, (const struct sockaddr *)&a, sizeof(a));
}

static int remove_listener(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	return rmdir(folder);
}

static const char *heard(void)
{
	static char text[64];
	ssize_t size = recv(listener, text, sizeof(text) - 1, 0);
	text[size > 0 ? size : 0] = '\0';
	return text;
}

static void nobody_listens(void **state)
{
	(void)state;
	struct notify n;
	unsetenv("NOTIFY_SOCKET");
	notify_init(&n);
	assert_int_equal(n.address_size, 0);
	setenv("NOTIFY_SOCKET", "neither/a/path/nor/a/name", 1);
	notify_init(&n);
	assert_int_equal(n.address_size, 0);
	notify_stopping(&n);
}

static void ready_and_stopping_are_told(void **state)
{
	(void)state;
	struct notify n;
	setenv("NOTIFY_SOCKET", path, 1);
	notify_init(&n);
	assert_null(getenv("NOTIFY_SOCKET")); /* not for children */
	notify_ready(&n, NULL);               /* without a watchdog no timer, so no loop */
	assert_string_equal(heard(), "READY=1");
	notify_stopping(&n);
	assert_string_equal(heard(), "STOPPING=1");
	assert_string_equal(heard(), "");
}

static void abstract_names_are_understood(void **state)
{
	(void)state;
	struct notify n;
	setenv("NOTIFY_SOCKET", "@abc", 1);
	notify_init(&n);
	assert_int_equal(n.address_size, offsetof(struct sockaddr_un, sun_path) + 4);
	assert_memory_equal(n.address.sun_path, "\0abc", 4);
}

static bool three_beats(void *arg)
{
	int *beats = arg;
	for (const char *text; *(text = heard());)
		*beats += strcmp(text, "WATCHDOG=1") == 0;
	return *beats >= 3;
}

static void the_watchdog_is_fed(void **state)
{
	(void)state;
	struct notify n;
	int beats = 0;
	struct loop *loop = loop_uv_new(1);
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	unsetenv("WATCHDOG_PID");
	notify_init(&n);
	assert_int_equal(n.watchdog_ms, 20);
	assert_null(getenv("WATCHDOG_USEC"));
	notify_ready(&n, loop);
	assert_true(loop_uv_run_until(loop, three_beats, &beats, 10000));
	loop_timer_free(n.watchdog);
	loop_uv_free(loop);
}

static void another_programs_watchdog_is_not(void **state)
{
	(void)state;
	struct notify n;
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_init(&n);
	assert_int_equal(n.watchdog_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(ready_and_stopping_are_told),
		cmocka_unit_test(abstract_names_are_understood),
		cmocka_unit_test(the_watchdog_is_fed),
		cmocka_unit_test(another_programs_watchdog_is_not),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_listener, remove_listener);
}

/* Against a server of a few lines that sends a little at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "image/transfer.h"

struct dribbler {
	int listener;
	int piece, pieces; /* bytes of each, every 100 ms; how many */
	pthread_t thread;
	char url[64];
};

static void *serve(void *arg)
{
	struct dribbler *d = arg;
	char request[4096], head[128], piece[4096];
	int s = accept(d->listener, NULL, NULL);
	if (s < 0)
		return NULL;
	ssize_t got = recv(s, request, sizeof(request), 0);
	memset(piece, 'x', sizeof(piece));
	int size = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
		d->piece * d->pieces);
	bool open = got > 0 && send(s, head, (size_t)size, MSG_NOSIGNAL) > 0;
	for (int i = 0; open && i < d->pieces; i++) {
		static const struct timespec pause = {.tv_nsec = 100000000};
		open = send(s, piece, (size_t)d->piece, MSG_NOSIGNAL) > 0;
		nanosleep(&pause, NULL);
	}
	close(s);
	return NULL;
}

static void dribbler_start(struct dribbler *d, int piece, int pieces)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	*d = (struct dribbler){.piece = piece, .pieces = pieces};
	d->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(d->listener, 1), 0);
	assert_int_equal(getsockname(d->listener, (struct sockaddr *)&a, &size), 0);
	snprintf(d->url, sizeof(d->url), "http://127.0.0.1:%d/", ntohs(a.sin_port));
	assert_int_equal(pthread_create(&d->thread, NULL, serve, d), 0);
}

static void dribbler_end(struct dribbler *d)
{
	shutdown(d->listener, SHUT_RDWR);
	pthread_join(d->thread, NULL);
	close(d->listener);
}

/* Gets what the dribbler sends. */
static int get(struct dribbler *d, struct transfer_request *r, struct buf *ret_body, struct err *e)
{
	struct transfer_client *c = transfer_client_new();
	struct transfer *t = NULL;
	r->url = d->url;
	r->allow_http = true;
	int rc = transfer_open(c, r, &t, e);
	if (rc == 0)
		rc = transfer_read_all(t, ret_body, e);
	transfer_close(t);
	transfer_client_free(c);
	return rc;
}

static void what_is_slower_than_its_floor_ends(void **state)
{
	(void)state;
	struct dribbler d;
	struct err e = ERR_INIT;
	CLEANUP(buf_done) struct buf body = BUF_INIT;
	struct transfer_request r = {.floor_bytes_s = 1000, .floor_over_s = 1};
	dribbler_start(&d, 20, 100);
	assert_int_equal(get(&d, &r, &body, &e), -ERR_TIMEOUT);
	assert_non_null(strstr(e.text, "less than 1000 bytes a second for 1 s"));
	dribbler_end(&d);
}

static void what_is_faster_comes_whole(void **state)
{
	(void)state;
	struct dribbler d;
	struct err e = ERR_INIT;
	CLEANUP(buf_done) struct buf body = BUF_INIT;
	struct transfer_request r = {.floor_bytes_s = 1000, .floor_over_s = 1};
	dribbler_start(&d, 400, 25);
	assert_int_equal(get(&d, &r, &body, &e), 0);
	assert_int_equal(body.size, 10000);
	dribbler_end(&d);
}

static void what_has_a_limit_ends_with_it(void **state)
{
	(void)state;
	struct dribbler d;
	struct err e = ERR_INIT;
	CLEANUP(buf_done) struct buf body = BUF_INIT;
	struct transfer_request r = {.limit_s = 1};
	dribbler_start(&d, 400, 100);
	assert_int_equal(get(&d, &r, &body, &e), -ERR_TIMEOUT);
	assert_non_null(strstr(e.text, "it was not whole after 1 s"));
	dribbler_end(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_slower_than_its_floor_ends),
		cmocka_unit_test(what_is_faster_comes_whole),
		cmocka_unit_test(what_has_a_limit_ends_with_it),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

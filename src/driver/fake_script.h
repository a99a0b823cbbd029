/*
 * The few words of shell that fake containers understand, so that the same tests run over them and
 * over real ones: echo, sleep, exit, trap '...' TERM, each between semicolons. At any other word a
 * script runs on for ever, as a server does. Pure. Private to this room.
 */
#ifndef CONTINUO_DRIVER_FAKE_SCRIPT_H
#define CONTINUO_DRIVER_FAKE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct fake_script {
	char *text;    /* null: runs for ever */
	size_t at;     /* where it goes on */
	bool traps;    /* SIGTERM does not end it by itself */
	int trap_exit; /* with traps: the exit code of its handler; -1: it ignores the signal */
	int exit_code;
};

enum fake_pause { FAKE_SLEEPS, FAKE_EXITS, FAKE_RUNS_ON };

/* From a command line; a shell's -c argument is the script. */
void fake_script_init(struct fake_script *s, const char *const *args);
void fake_script_done(struct fake_script *s);
/* Goes on to the next pause; output of echo is appended. */
enum fake_pause fake_script_run(struct fake_script *s, struct buf *output, int64_t *ret_sleep_ms);

#endif

/*
 * Child processes over the libuv loop (not in the simulator). A child gets only the three
 * standard descriptors; its exit is reported once, on the loop, after all its output was delivered.
 */
#ifndef CONTINUO_SYS_PROCESS_H
#define CONTINUO_SYS_PROCESS_H

#include <sys/types.h>

#include "sys/loop.h"

struct process;

struct process_spec {
	const char *const *argv; /* null terminated; argv[0] is looked up in PATH */
	const char *const *env;  /* null: the parent's */
	const char *cwd;         /* null: the parent's */
	const char *input;       /* sent to stdin, then end of file; null: /dev/null */
	size_t input_size;
	/* Output as it comes; null: the stream goes to /dev/null. Lines are not put together. */
	void (*on_stdout)(void *arg, const char *data, size_t size);
	void (*on_stderr)(void *arg, const char *data, size_t size);
	/* With keep_stdin: all that was written has left for the child; may be null. */
	void (*on_drained)(void *arg);
	/* status: exit code, or -signal when a signal ended it. The process is freed after this. */
	void (*on_exit)(void *arg, int status);
	void *arg;
	bool keep_stdin;  /* stdin stays open: process_write, process_end_input */
	bool new_session; /* setsid: signals to our terminal's group do not reach it */
};

int process_start(struct loop *l, const struct process_spec *spec, struct process **ret_process,
	struct err *e) MUST_CHECK;
pid_t process_pid(const struct process *p);
void process_kill(struct process *p, int signal);
void process_write(struct process *p, const void *data, size_t size); /* with keep_stdin */
void process_end_input(struct process *p);
size_t process_queued(const struct process *p); /* bytes written that the child has not taken */
/* Stops on_stdout and on_stderr until unpaused, and with them a child that writes much. What was
 * left unread when it exits is delivered all the same. */
void process_pause(struct process *p, bool paused);
void process_forget(struct process *p); /* no callback any more; the child goes on and is reaped */

/* Runs to the end and gives what it wrote to stdout and stderr together (at most 1 MiB of each):
 * the short way for runc, nft and the like. The result is valid during done only. */
struct process_result {
	int status; /* as on_exit */
	const char *out;
	size_t out_size;
	const char *err_text;
};
int process_run(struct loop *l, const char *const *argv, const char *input, size_t input_size,
	void (*done)(void *arg, const struct process_result *r), void *arg,
	struct err *e) MUST_CHECK;

#endif

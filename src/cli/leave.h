/* What other verbs need of `continuo leave`. */
#ifndef CONTINUO_CLI_LEAVE_H
#define CONTINUO_CLI_LEAVE_H

#include "cli/client.h"

/* Takes the marks off the node's adopted pods that a `leave` put there which did not go on: they
 * are removed again when they are deleted. Says how many there were. */
int leave_withdraw(struct client *c, const char *node, struct err *e) MUST_CHECK;

#endif

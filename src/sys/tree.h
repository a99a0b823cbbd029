/*
 * Removal of folder trees that others filled, however deep and wide: never follows a symbolic link,
 * never enters another mount, holds four descriptors at most and a constant amount of memory.
 * Blocks.
 */
#ifndef CONTINUO_SYS_TREE_H
#define CONTINUO_SYS_TREE_H

#include "base/err.h"

/* Removes name in the folder behind folder_fd, whatever it is; what is not there is a success.
 * -ERR_IO: something could not be removed; all else was. */
int tree_remove(int folder_fd, const char *name, struct err *e) MUST_CHECK;
int tree_remove_path(const char *path, struct err *e) MUST_CHECK;

/* For CLEANUP: closes the descriptor in the variable unless it is negative. */
void tree_close(int *fd);

#endif

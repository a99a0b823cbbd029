/* How much of a log is kept. Private to this room. */
#ifndef CONTINUO_DRIVER_OCI_ROTATE_H
#define CONTINUO_DRIVER_OCI_ROTATE_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_PARTS 5                        /* files of one run, the current one included */
#define LOG_PART_BYTES ((int64_t)10 << 20) /* when the configuration names no other size */
#define LOG_CALM_MS 2000                   /* between two looks */
#define LOG_BUSY_MS 100                    /* while one grows fast, or has just begun */

struct oci;

/* Begins a new file when the log at path is too long; control: the pipe of the conmon that writes
 * it. size: as last seen. True when it grows fast. */
bool oci_rotate_look(const struct oci *o, const char *path, const char *control, int64_t *size);

#endif

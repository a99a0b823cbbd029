/* How much of a log is kept. Private to this room. */
#ifndef CONTINUO_DRIVER_OCI_ROTATE_H
#define CONTINUO_DRIVER_OCI_ROTATE_H

#define LOG_PARTS 5                        /* files of one run, the current one included */
#define LOG_PART_BYTES ((int64_t)10 << 20) /* when the configuration names no other size */

#endif

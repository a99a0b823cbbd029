/* What the tests of this folder share: traces from text. One file in /tmp, put and dropped by the
 * group's set-up and tear-down. */
#ifndef CONTINUO_BENCH_OPENB_BENCH_H
#define CONTINUO_BENCH_OPENB_BENCH_H

#include "base/buf.h"
#include "openb/trace.h"

#define NODES_HEAD "sn,cpu_milli,memory_mib,gpu,model\n"
#define PODS_HEAD "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"

/* Two nodes; pods that ask for half of a GPU, a whole one, none: the shapes 0, 1, 2. */
#define SMALL_NODES NODES_HEAD "a,8000,1000,2,X\nb,4000,1000,1,Y\n"
#define SMALL_PODS                                                                                 \
	PODS_HEAD "p1,2000,10,1,500,\n"                                                            \
		  "p0,2000,10,1,500,\r\n"                                                          \
		  "p2,4000,10,1,1000,\n"                                                           \
		  "p3,1000,10,0,0,\n"
enum { HALF, WHOLE, NONE };

extern char bench_file[];
int bench_put_file(void **state);
int bench_drop_file(void **state);
const char *bench_write(const char *text); /* the file's name */
struct openb_trace bench_trace(const char *nodes, const char *pods);
void bench_add_pods(struct buf *b, int count, const char *row); /* the same row each time */

#endif

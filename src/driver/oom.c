#include "driver/oom.h"

#include "base/str.h"

#define GUARANTEED (-997)
#define BEST_EFFORT 1000

int oom_score_adj(const char *qos, int64_t request_bytes, int64_t memory_bytes)
{
	if (str_equal(qos, "Guaranteed"))
		return GUARANTEED;
	if (str_equal(qos, "BestEffort"))
		return BEST_EFFORT;
	int64_t part = 0;
	if (request_bytes > 0 && memory_bytes > 0)
		part = request_bytes < memory_bytes
			       ? (int64_t)((uint64_t)request_bytes * 1000 / (uint64_t)memory_bytes)
			       : 1000;
	int64_t score = 1000 - part;
	if (score < BEST_EFFORT + GUARANTEED)
		return BEST_EFFORT + GUARANTEED;
	return score == BEST_EFFORT ? BEST_EFFORT - 1 : (int)score;
}

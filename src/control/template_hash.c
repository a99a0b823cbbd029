#include "control/template_hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Kubernetes' form of a hash in names: its decimal digits in an alphabet without vowels. */
void control_template_hash(const json_t *template, int64_t collisions,
	char ret_hash[static TEMPLATE_HASH_SIZE])
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
	char *text = json_dumps(template, JSON_COMPACT | JSON_SORT_KEYS);
	uint32_t h = 2166136261u; /* FNV-1a */
	for (const char *c = text; *c; c++)
		h = (h ^ (unsigned char)*c) * 16777619u;
	for (int64_t left = collisions; left; left /= 10)
		h = (h ^ (uint32_t)(left % 10 + '0')) * 16777619u;
	free(text);
	snprintf(ret_hash, TEMPLATE_HASH_SIZE, "%" PRIu32, h);
	for (char *c = ret_hash; *c; c++)
		*c = letters[(unsigned char)*c % (sizeof(letters) - 1)];
}

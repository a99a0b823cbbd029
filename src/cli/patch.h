/*
 * The three-way merge of `apply`, as JSON merge patch (RFC 7386): what the manifest no longer says
 * is removed, what it says is set, what others set is left alone. Pure.
 */
#ifndef CONTINUO_CLI_PATCH_H
#define CONTINUO_CLI_PATCH_H

#include "codec/json.h"

/* last: what was applied before (null: nothing known); modified: what is applied now; current: what
 * the server has. Returns the patch, an empty object when nothing is to be done. New reference.
 *
 * A list is replaced as a whole, unless the current one says the same and merely more (the server's
 * defaults within its items) and the manifest's did not change since. */
json_t *patch_three_way(const json_t *last, const json_t *modified,
	const json_t *current) MUST_CHECK;

#endif

#include "wire/join.h"

#include <string.h>

void wire_join_done(struct wire_join *j)
{
	json_decref(j->body);
	explicit_bzero(&j->token, sizeof(j->token));
	*j = (struct wire_join){0};
}

int wire_check_node_name(const char *name, struct err *e)
{
	size_t size = strlen(name);
	bool good = size >= 1 && size <= 63;
	for (size_t i = 0; i < size; i++) {
		char c = name[i];
		bool inner = i > 0 && i + 1 < size && (c == '-' || c == '.');
		good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || inner);
	}
	return good ? 0
		    : err_set(e, ERR_INVALID,
			      "\"%.80s\" is not a node name: lower-case letters, digits, '-' and "
			      "'.', at most 63",
			      name);
}

int wire_join_decode(const char *data, size_t size, struct wire_join *ret_join, struct err *e)
{
	*ret_join = (struct wire_join){0};
	if (size > WIRE_JOIN_MAX)
		return err_set(e, ERR_TOO_LARGE, "a join is at most %zu bytes", WIRE_JOIN_MAX);
	int r = json_decode(data, size, &ret_join->body, e);
	if (r < 0)
		return r;
	if (pki_token_parse(json_text(ret_join->body, "", "token"), &ret_join->token, e) < 0)
		return err_set(e, ERR_UNAUTHORIZED, "the join token cannot be read; copy it whole");
	ret_join->csr = json_text(ret_join->body, "", "csr");
	if (!*ret_join->csr)
		return err_set(e, ERR_DECODE, "a join needs a csr");
	ret_join->node = json_text(ret_join->body, "", "name");
	return 0;
}

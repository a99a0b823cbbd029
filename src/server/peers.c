#include "server/peers.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

void peers_init(struct peers *p)
{
	map_init(&p->all, free);
	map_init(&p->news, NULL);
}

void peers_done(struct peers *p)
{
	map_done(&p->all);
	map_done(&p->news);
}

static const char *internal_address(const json_t *node)
{
	size_t i;
	json_t *address;
	json_array_foreach (json_at(node, "status", "addresses"), i, address) {
		if (str_equal(json_text(address, "", "type"), "InternalIP"))
			return json_text(address, "", "address");
	}
	return "";
}

/* [node,address,cidr], freed with free(). */
static char *peer_text(const struct object *node)
{
	CLEANUP(json_done) json_t *tree = object_tree(node);
	CLEANUP(json_done)
	json_t *peer = json_pack("[s, s, s]", node->name, internal_address(tree),
		json_text(tree, "", "spec", "podCIDR"));
	return json_encode_string(peer);
}

bool peers_note(struct peers *p, const char *name, const struct object *node)
{
	CLEANUP(mem_free_ptr) char *text = node ? peer_text(node) : NULL;
	const char *known = map_get(&p->all, name);
	if (text ? str_equal(text, known) : !known)
		return false;
	if (text)
		map_put(&p->all, name, take_ptr(text));
	else
		map_remove(&p->all, name);
	map_put(&p->news, name, "");
	return true;
}

void peers_write_all(const struct peers *p, struct buf *b)
{
	const char *comma = "";
	buf_append_string(b, "{\"type\":\"peers\",\"peers\":[");
	MAP_EACH (&p->all, e) {
		buf_printf(b, "%s%s", comma, (const char *)e->value);
		comma = ",";
	}
	buf_append_string(b, "]}\n");
}

static void write_gone(const struct peers *p, struct buf *b)
{
	const char *comma = "";
	MAP_EACH (&p->news, e) {
		if (map_has(&p->all, e->key))
			continue;
		buf_append_string(b, comma);
		json_write_string(b, e->key);
		comma = ",";
	}
}

void peers_write_news(struct peers *p, struct buf *b)
{
	const char *comma = "";
	buf_append_string(b, "{\"type\":\"peer_news\",\"peers\":[");
	MAP_EACH (&p->news, e) {
		const char *text = map_get(&p->all, e->key);
		if (!text)
			continue;
		buf_printf(b, "%s%s", comma, text);
		comma = ",";
	}
	buf_append_string(b, "],\"gone\":[");
	write_gone(p, b);
	buf_append_string(b, "]}\n");
	map_done(&p->news);
	map_init(&p->news, NULL);
}

#include "server/auth.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "server/feed.h"
#include "server/revocations.h"

/* TLS lets certificates through that expired, so that their nodes can rejoin. Connections that
 * outlive their certificate end here as well. */
static bool has_expired(struct server *s, const struct http_peer *peer, struct err *why)
{
	int64_t age_ms = peer->not_after_ms ? steady_ms(s->clock) - peer->not_after_ms : 0;
	char text[TIME_TEXT_SIZE];
	if (age_ms <= 0)
		return false;
	time_format_age(age_ms, text);
	(void)err_set(why, ERR_UNAUTHORIZED, "the certificate of %.100s expired %s ago",
		peer->common_name, text);
	return true;
}

int64_t auth_issued_ms(const struct http_peer *peer)
{
	return peer->not_before_ms + PKI_SKEW_MS;
}

int auth_check_issued(struct server *s, const char *node, int64_t issued_ms, struct err *e)
{
	if (revocations_has(s->revocations, node, issued_ms))
		return err_set(e, ERR_UNAUTHORIZED,
			"the certificate of node \"%s\" was revoked; join again with a new token",
			node);
	if (issued_ms < feed_since_ms(s->feed, node))
		return err_set(e, ERR_UNAUTHORIZED,
			"node \"%s\" was deleted and is another machine by now; join again under "
			"another name with a new token",
			node);
	return 0;
}

static void identify_node(struct server *s, const struct http_peer *peer, struct user *u,
	struct err *why)
{
	char node[128];
	int64_t issued_ms = auth_issued_ms(peer);
	if (pki_spiffe_node(s->domain, peer->spiffe_id, node, why) < 0 ||
		auth_check_issued(s, node, issued_ms, why) < 0)
		return;
	u->role = ROLE_NODE;
	u->issued_ms = issued_ms;
	(void)str_copy(u->node, sizeof(u->node), node);
	snprintf(u->name, sizeof(u->name), "system:node:%.110s", node);
}

void auth_identify(struct server *s, const struct http_peer *peer, struct user *ret_user,
	struct err *why)
{
	*ret_user = (struct user){.role = ROLE_NOBODY, .name = "system:anonymous"};
	if (!peer || has_expired(s, peer, why))
		return;
	if (!str_empty(peer->spiffe_id)) {
		identify_node(s, peer, ret_user, why);
	} else if (str_equal(peer->organization, "system:masters")) {
		ret_user->role = ROLE_ADMIN;
		snprintf(ret_user->name, sizeof(ret_user->name), "%.120s", peer->common_name);
	}
}

int auth_require_admin(const struct user *u, const char *what, struct err *e)
{
	if (u->role == ROLE_ADMIN)
		return 0;
	if (u->role == ROLE_NOBODY)
		return err_set(e, ERR_UNAUTHORIZED,
			"%s needs a client certificate of this domain (use its kubeconfig)", what);
	return err_set(e, ERR_FORBIDDEN,
		"%s is not allowed to %s: a node reaches its own slice only", u->name, what);
}

int auth_require_node(const struct user *u, const char *what, struct err *e)
{
	if (u->role == ROLE_NODE)
		return 0;
	if (u->role == ROLE_NOBODY)
		return err_set(e, ERR_UNAUTHORIZED,
			"%s needs the certificate of a node; join first", what);
	return err_set(e, ERR_FORBIDDEN, "%s is for nodes only, not for %s", what, u->name);
}

#include "net/exchange.h"
struct http_connection *http2_serve(
        struct http_server *s, struct stream *stream, struct http_peer_box *peer)
{
	return http1_serve(s, stream, peer);
}
struct http_link *http2_link_new(struct http_client *c, struct stream *stream)
{
	return http1_link_new(c, stream);
}

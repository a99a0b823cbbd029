/* What the API serves, in Kubernetes' discovery documents (APIVersions, APIGroupList,
 * APIResourceList). */
#ifndef CONTINUO_SERVER_DISCOVERY_H
#define CONTINUO_SERVER_DISCOVERY_H

#include "server/request.h"

/* /api, /api/v1, /apis, /apis/GROUP, /apis/GROUP/VERSION, by the parts of the path. Ends r. */
void discovery_serve(struct request *r, const char *const *parts, size_t count);

/* GET /version. Takes http. */
void discovery_version(struct http_request *http);

#endif

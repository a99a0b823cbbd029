/* What a container engine runs, read over its unix socket (driver/docker_api.h). Blocks; changes
 * nothing. */
#ifndef CONTINUO_CLI_ADOPT_DOCKER_H
#define CONTINUO_CLI_ADOPT_DOCKER_H

#include "base/err.h"
#include "codec/json.h"

/* All running containers: array of {"container": ContainerInspect, "image": ImageInspect or null}
 * (new reference). One that ended meanwhile is left out. -ERR_UNAVAILABLE: nobody answers there;
 * -ERR_PROTOCOL: it is not Docker. */
int adopt_docker_read(const char *socket_path, json_t **ret_found, struct err *e) MUST_CHECK;

#endif

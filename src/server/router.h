/* From a request's address to the function that answers it. */
#ifndef CONTINUO_SERVER_ROUTER_H
#define CONTINUO_SERVER_ROUTER_H

#include "server/state.h"

http_handler router_handle; /* arg: the server */

#endif

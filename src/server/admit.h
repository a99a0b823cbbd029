/*
 * Admission: what the server itself adds to and asks of a document before it is stored: Pod
 * Security, addresses of Services, finalizers and labels of Namespaces, stringData of Secrets.
 */
#ifndef CONTINUO_SERVER_ADMIT_H
#define CONTINUO_SERVER_ADMIT_H

#include "server/request.h"

/* Before defaults; tree may be changed. old null on creation. Findings go to the request.
 * -ERR_FORBIDDEN, -ERR_INVALID, -ERR_UNAVAILABLE. */
int admit(struct request *r, json_t *tree, const json_t *old, struct err *e) MUST_CHECK;

#endif

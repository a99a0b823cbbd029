/*
 * POST /continuo/v1/plan with {"objects":[...]}, manifests: where their pods would go if they were
 * applied now, as JSON (control_plan), with "ignored": ["Site/berlin", ...], those that have no
 * pods. Nothing is stored. A namespace need not exist.
 */
#ifndef CONTINUO_SERVER_PLAN_H
#define CONTINUO_SERVER_PLAN_H

#include "server/request.h"

void plan_serve(struct request *r);

#endif

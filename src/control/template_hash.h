/*
 * The name of a pod template: what tells the ReplicaSets of a Deployment, and their pods, apart.
 * The Deployment's reconciler gives it; who makes such pods beforehand (continuo adopt) must give
 * the same. Pure.
 */
#ifndef CONTINUO_CONTROL_TEMPLATE_HASH_H
#define CONTINUO_CONTROL_TEMPLATE_HASH_H

#include <stdint.h>

#include "codec/json.h"

#define TEMPLATE_HASH_LABEL "pod-template-hash"
#define TEMPLATE_HASH_SIZE 16

/* template: as the server stores it, defaults included. collisions: how many names were taken
 * already (status.collisionCount). */
void control_template_hash(const json_t *template, int64_t collisions,
	char ret_hash[static TEMPLATE_HASH_SIZE]);

#endif

/*
 * Containers that ran before there was a pod for them (continuo adopt): a driver beside another
 * one. A pod with the annotation continuo.dev/adopted: docker stands for the Docker container that
 * continuo.dev/container names. To start such a pod is to take that container as it is: nothing is
 * made, restarted or attached, and its address is the one that Docker gave it. When it dies it is
 * started again as itself; whether Docker's own restart policy or we do so first makes no
 * difference. All other pods are the other driver's.
 *
 * To stop the pod stops and removes the container only when the server asked for that: the newest
 * object that the driver was given (start, update) is being deleted, and has no annotation
 * continuo.dev/hand-back. Whatever else ends the pod lets the container go, which stays as it is:
 * a pod that no server knows any more is no reason to remove what ran before there was a server.
 *
 * adopted.c        which driver has which pod; what is told of adopted ones
 * adopted_engine.c container.h over such containers
 * adopted_watch.c  how the engine says that one ended
 * adopted_io.c     logs, commands
 */
#ifndef CONTINUO_DRIVER_ADOPTED_H
#define CONTINUO_DRIVER_ADOPTED_H

#include "driver/driver.h"

#define ADOPTED_ANNOTATION "continuo.dev/adopted"
#define ADOPTED_CONTAINER "continuo.dev/container"
#define ADOPTED_HAND_BACK "continuo.dev/hand-back"

bool adopted_pod(const struct object *pod);

/* Adds it to a driver that runs its pods by pod.c (oci, docker), which it takes, also when it
 * fails. config: as for the other one, docker_socket included. Its records are in
 * run_folder/adopted. */
int driver_adopted_new(const struct driver_config *config, struct driver *other,
	struct driver **ret_driver, struct err *e) MUST_CHECK;

#endif

/* A pod as jobs of the engine carry it: everything copied or referenced. Private to this room. */
#ifndef CONTINUO_DRIVER_OCI_POD_H
#define CONTINUO_DRIVER_OCI_POD_H

#include "driver/oci.h"

struct oci_pod {
	struct oci *oci; /* not referenced: the job does that */
	struct object *object;
	struct object **objects;
	size_t object_count;
	json_t *tree; /* of the Pod */
	char *uid, *cluster_dns, *privilege, *ip;
	char **dns_search;
	struct driver_device *devices;
	size_t device_count;
	char *run_folder, *state_folder; /* of the pod */
	bool host_network;
};

struct oci_pod *oci_pod_new(struct oci *o, const struct container_pod *from) MUST_CHECK;
void oci_pod_free(struct oci_pod *p); /* null is fine */

/* Of the Pod's tree; borrowed; null: it has none of that name. */
const json_t *oci_pod_container(const json_t *pod, const char *name) MUST_CHECK;

/* Copies of null terminated lists; null becomes an empty one. */
char **oci_strings_copy(const char *const *list) MUST_CHECK;
void oci_strings_free(char **list);

/* Blocking. */
const char *oci_pod_hostname(const json_t *pod, char ret_name[static 65]);
/* Its folders and volumes, anew for those that changed. */
int oci_pod_make_volumes(const struct oci_pod *p, struct err *e) MUST_CHECK;
/* STATE/etc/{hosts,hostname,resolv.conf}, once its address is known; unless it has them. */
int oci_pod_write_files(const struct oci_pod *p, struct err *e) MUST_CHECK;

#endif

/* Annotation continuo.dev/singleton of a pod: never two of it at once. Pure. */
#ifndef CONTINUO_MODEL_POD_SINGLETON_H
#define CONTINUO_MODEL_POD_SINGLETON_H

#include "model/object.h"

/* KEEP: replaced once it is confirmed that it is gone; HANDOVER: also once its lease is over. */
enum pod_singleton { SINGLETON_NONE, SINGLETON_KEEP, SINGLETON_HANDOVER };

/* Null: none. Reads the blob as text: it is asked of every pod, at every step. */
enum pod_singleton pod_singleton(const struct object *pod);

#endif

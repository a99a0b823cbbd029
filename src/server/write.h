/* Create, replace, merge-patch, delete: one object per request, checked and committed with a
 * comparison. */
#ifndef CONTINUO_SERVER_WRITE_H
#define CONTINUO_SERVER_WRITE_H

#include "server/request.h"

/* All take r; the answer is sent when the commit is durable. */
void write_create(struct request *r);
void write_replace(struct request *r);
void write_patch(struct request *r);
void write_delete(struct request *r);
void write_delete_collection(struct request *r);
void write_binding(struct request *r); /* POST pods/NAME/binding */

#endif

/* What tools/gen-schema makes of api/: the kinds that every domain serves. */
#ifndef CONTINUO_MODEL_BUILTIN_H
#define CONTINUO_MODEL_BUILTIN_H

#include "model/schema.h"

extern const struct kind *const kind_builtin[]; /* null terminated */

#endif

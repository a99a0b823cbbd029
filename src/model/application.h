/* What several rooms must read in an Application alike. */
#ifndef CONTINUO_MODEL_APPLICATION_H
#define CONTINUO_MODEL_APPLICATION_H

#include "codec/json.h"

/* The names of objectives, null terminated: the terms of a plan's cost (place_term_name). */
extern const char *const application_objectives[];

/* The countries in which all data that the component reads may be processed, in the order of the
 * first data set that says any; null: nothing says any. Empty: there is none. A new reference. */
json_t *application_countries(const json_t *application, const char *component);

/* Of a pod: such countries, with commas between them. */
#define COUNTRIES_ANNOTATION "continuo.dev/countries"

#endif

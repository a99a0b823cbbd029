/* What several rooms must read in an Application alike. */
#ifndef CONTINUO_MODEL_APPLICATION_H
#define CONTINUO_MODEL_APPLICATION_H

#include "codec/json.h"

/* The names of objectives, null terminated: the terms of a plan's cost (place_term_name). */
extern const char *const application_objectives[];

/* Labels of what is made for a component; MANAGED_BY has the value APPLICATION_MANAGER. */
#define APPLICATION_PART_OF_LABEL "app.kubernetes.io/part-of"
#define APPLICATION_COMPONENT_LABEL "app.kubernetes.io/component"
#define APPLICATION_MANAGED_BY_LABEL "app.kubernetes.io/managed-by"
#define APPLICATION_MANAGER "continuo"

void application_set_labels(const json_t *application, const json_t *component, json_t *metadata);

/* What every pod of a component is made from: the component's template, with these labels and with
 * the countries that its data allow. component: an entry of spec.components. A new reference. */
json_t *application_template(const json_t *application, const json_t *component);

/* The countries in which all data that the component reads may be processed, in the order of the
 * first data set that says any; null: nothing says any. Empty: there is none. A new reference. */
json_t *application_countries(const json_t *application, const char *component);

/* Of a pod: such countries, with commas between them. */
#define COUNTRIES_ANNOTATION "continuo.dev/countries"

#endif

#include "model/node_figures.h"

#include "base/str.h"
#include "model/model.h"

#define WATTS_MAX 10000000.0 /* of one node, which may stand for a whole cluster */
#define PRICE_MAX 1000000.0
#define TRUST_MAX 100

static void tell(struct buf *problems, const char *what, const char *name, const char *text,
	const char *why)
{
	if (problems)
		buf_printf(problems, "%s%s %s: \"%.60s\" %s", problems->size ? "; " : "", what,
			name, text, why);
}

static double read_number(const json_t *annotations, const char *name, double maximum,
	struct buf *problems)
{
	const char *text = json_text(annotations, NULL, name);
	double number = 0;
	if (!text)
		return 0;
	if (quantity_number(text, &number, NULL) < 0 || number < 0) {
		tell(problems, "annotation", name, text, "is no number of 0 or more");
		return 0;
	}
	if (number > maximum) {
		tell(problems, "annotation", name, text, "is more than there can be");
		return maximum;
	}
	return number;
}

static int read_trust(const json_t *labels, struct buf *problems)
{
	static const char name[] = "continuo.dev/trust";
	const char *text = json_text(labels, NULL, name);
	int64_t trust = 0;
	if (!text)
		return 0;
	bool number = str_to_int64(text, "trust", &trust, NULL) == 0;
	if (!number || trust < 0 || trust > TRUST_MAX)
		tell(problems, "label", name, text, "is no whole number from 0 to 100");
	if (!number || trust < 0)
		return 0;
	return trust > TRUST_MAX ? TRUST_MAX : (int)trust;
}

void node_figures_read(const json_t *node, struct node_figures *ret_figures, struct buf *problems)
{
	static const char full[] = "continuo.dev/full-watts";
	const json_t *metadata = json_object_get(node, "metadata");
	const json_t *annotations = json_object_get(metadata, "annotations");
	struct node_figures f = {.idle_watts = read_number(annotations, "continuo.dev/idle-watts",
					 WATTS_MAX, problems),
		.full_watts = read_number(annotations, full, WATTS_MAX, problems),
		.price_per_hour = read_number(annotations, "continuo.dev/price-per-hour", PRICE_MAX,
			problems),
		.trust = read_trust(json_object_get(metadata, "labels"), problems)};
	if (f.full_watts < f.idle_watts && json_object_get(annotations, full)) {
		tell(problems, "annotation", full, json_text(annotations, "", full),
			"is less than continuo.dev/idle-watts");
		f.full_watts = f.idle_watts;
	}
	*ret_figures = f;
}

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "place/tables.h"

/* What is asked about. */
struct subject {
	struct place *p;
	uint32_t shape, node;
	const struct site_bars *bars;
};

/* What one walk over the nodes found. */
struct survey {
	VEC(struct place_reason) reasons;
	struct failures fewest; /* the smallest set that rules out a node */
	uint32_t fitting;
};

static void failures_done(struct failures *f)
{
	vec_done(&f->items);
}

static void survey_done(struct survey *s)
{
	vec_done(&s->reasons);
	failures_done(&s->fewest);
}

static struct place_reason *reason_of(struct survey *s, const struct place *p,
	const struct failure *f)
{
	VEC_EACH (&s->reasons, struct place_reason, r) {
		if (r->constraint == f->constraint && r->index == f->index)
			return r;
	}
	struct place_reason *r = vec_add(&s->reasons);
	r->constraint = f->constraint;
	r->index = f->index;
	r->detail = place_text(p, f->text);
	return r;
}

static void note_node(struct survey *s, const struct place *p, const struct failures *f)
{
	VEC_EACH (&f->items, struct failure, x) {
		struct place_reason *r = reason_of(s, p, x);
		r->nodes++;
		r->first += x->first;
		r->alone += f->items.count == 1;
	}
	if (s->fewest.items.count && s->fewest.items.count <= f->items.count)
		return;
	s->fewest.items.count = 0;
	VEC_EACH (&f->items, struct failure, x)
		vec_push(&s->fewest.items, *x);
}

/* Among constraints that alone rule out nodes, the one that costs most is the one to name. */
static void prefer_most_alone(struct survey *s)
{
	if (s->fewest.items.count != 1)
		return;
	const struct place_reason *best = NULL;
	VEC_EACH (&s->reasons, struct place_reason, r) {
		if (r->alone && (!best || r->alone > best->alone))
			best = r;
	}
	if (best)
		s->fewest.items.items[0] =
			(struct failure){best->constraint, best->index, 0, false};
}

/* Looks at nodes with some constraints relaxed, at all of them or until one fits. Returns whether
 * one fits. */
static bool survey(const struct subject *x, bool all, const struct failures *relaxed,
	struct survey *ret_survey, uint64_t *steps)
{
	struct place *p = x->p;
	struct look l;
	place_look_init(&l, p, x->shape, x->node, relaxed);
	CLEANUP(failures_done)
	struct failures f = {0};
	ret_survey->fitting = 0;
	for (uint32_t i = 0; i < p->nodes.count && (all || !ret_survey->fitting); i++) {
		if (!p->nodes.items[i].used)
			continue;
		++*steps;
		f.items.count = 0;
		bool fits = place_look_fits(&l, i, &f);
		if (place_look_bars(&l, x->bars, i, &f) && fits)
			ret_survey->fitting++;
		else
			note_node(ret_survey, p, &f);
	}
	place_look_done(&l);
	return ret_survey->fitting > 0;
}

static bool fits_without(const struct subject *x, const struct failures *relaxed, uint64_t *steps)
{
	CLEANUP(survey_done)
	struct survey s = {0};
	return survey(x, false, relaxed, &s, steps);
}

/* Constraints can depend on one another (which domains a spread counts depends on the affinity), so
 * the smallest set is tried: what still stands in the way is added, what turns out not to be needed
 * is dropped. */
static void find_fault(const struct subject *x, struct failures *fault, uint64_t *steps)
{
	for (int round = 0; round < 32; round++) {
		CLEANUP(survey_done)
		struct survey s = {0};
		if (survey(x, false, fault, &s, steps))
			break;
		prefer_most_alone(&s);
		VEC_EACH (&s.fewest.items, struct failure, f)
			vec_push(&fault->items, *f);
	}
	for (size_t i = 0; fault->items.count > 1 && i < fault->items.count;) {
		struct failure dropped = fault->items.items[i];
		vec_remove(&fault->items, i);
		if (fits_without(x, fault, steps))
			continue;
		vec_push(&fault->items, dropped);
		struct failure *items = fault->items.items;
		memmove(items + i + 1, items + i, (fault->items.count - 1 - i) * sizeof(*items));
		items[i++] = dropped;
	}
}

static int compare_reasons(const void *a, const void *b)
{
	const struct place_reason *x = a, *y = b;
	if (x->nodes != y->nodes)
		return x->nodes > y->nodes ? -1 : 1;
	if (x->constraint != y->constraint)
		return x->constraint < y->constraint ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

void place_explain(struct place *p, uint32_t shape, uint32_t node, const struct site_bars *bars,
	struct place_refusal *refusal, uint64_t *steps)
{
	struct subject x = {p, shape, node, bars};
	refusal->nodes = p->node_count;
	if (p->node_count == 0)
		return;
	CLEANUP(survey_done)
	struct survey s = {0};
	CLEANUP(failures_done)
	struct failures fault = {0};
	if (survey(&x, false, NULL, &s, steps))
		return;
	prefer_most_alone(&s);
	VEC_EACH (&s.fewest.items, struct failure, f)
		vec_push(&fault.items, *f);
	find_fault(&x, &fault, steps);
	VEC_EACH (&fault.items, struct failure, f)
		reason_of(&s, p, f)->at_fault = true;
	qsort(s.reasons.items, s.reasons.count, sizeof(*s.reasons.items), compare_reasons);
	refusal->reasons = s.reasons.items;
	refusal->reason_count = (uint32_t)s.reasons.count;
	s.reasons.items = NULL;
}

uint32_t place_survey(struct place *p, uint32_t shape, struct place_refusal *ret_refusal)
{
	return place_survey_with(p, shape, NULL, ret_refusal);
}

uint32_t place_survey_with(struct place *p, uint32_t shape, const struct site_bars *bars,
	struct place_refusal *ret_refusal)
{
	struct survey s = {0};
	uint64_t steps = 0;
	(void)survey(&(struct subject){p, shape, PLACE_NONE, bars}, true, NULL, &s, &steps);
	if (s.reasons.count)
		qsort(s.reasons.items, s.reasons.count, sizeof(*s.reasons.items), compare_reasons);
	*ret_refusal = (struct place_refusal){.nodes = p->node_count,
		.reasons = s.reasons.items,
		.reason_count = (uint32_t)s.reasons.count};
	failures_done(&s.fewest);
	return s.fitting;
}

void place_refusal_done(struct place_refusal *refusal)
{
	free(refusal->reasons);
	*refusal = (struct place_refusal){0};
}

/* ---- as text ---- */

const char *place_constraint_name(enum place_constraint constraint)
{
	static const char *const names[] = {[PLACE_C_NODE_NAME] = "nodeName",
		[PLACE_C_UNSCHEDULABLE] = "unschedulable",
		[PLACE_C_NOT_READY] = "notReady",
		[PLACE_C_TAINT] = "taint",
		[PLACE_C_SELECTOR] = "nodeSelector",
		[PLACE_C_AFFINITY] = "nodeAffinity",
		[PLACE_C_VOLUME] = "volume",
		[PLACE_C_RESIDENCY] = "residency",
		[PLACE_C_PORT] = "hostPort",
		[PLACE_C_RESOURCE] = "resource",
		[PLACE_C_SPREAD] = "topologySpread",
		[PLACE_C_POD_AFFINITY] = "podAffinity",
		[PLACE_C_POD_ANTI_AFFINITY] = "podAntiAffinity",
		[PLACE_C_EXISTING_ANTI_AFFINITY] = "existingAntiAffinity",
		[PLACE_C_LATENCY] = "latency",
		[PLACE_C_BANDWIDTH] = "bandwidth",
		[PLACE_C_TRUST] = "trust",
		[PLACE_C_RUNTIME] = "runtime",
		[PLACE_C_FENCE] = "fence"};
	return (unsigned)constraint < ARRAY_SIZE(names) ? names[constraint] : "unknown";
}

/* The words of kube-scheduler's plugins, which people and tools search for. */
static void kubernetes_words(const struct place_reason *r, struct buf *b)
{
	static const char *const words[PLACE_C_COUNT] = {
		[PLACE_C_NODE_NAME] = "node(s) didn't match the requested node name",
		[PLACE_C_UNSCHEDULABLE] = "node(s) were unschedulable",
		[PLACE_C_NOT_READY] =
			"node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
		[PLACE_C_SELECTOR] = "node(s) didn't match Pod's node affinity/selector",
		[PLACE_C_AFFINITY] = "node(s) didn't match Pod's node affinity/selector",
		[PLACE_C_VOLUME] = "node(s) had volume node affinity conflict",
		[PLACE_C_RESIDENCY] = "node(s) didn't satisfy data residency",
		[PLACE_C_PORT] = "node(s) didn't have free ports for the requested pod ports",
		[PLACE_C_SPREAD] = "node(s) didn't match pod topology spread constraints",
		[PLACE_C_POD_AFFINITY] = "node(s) didn't match pod affinity rules",
		[PLACE_C_POD_ANTI_AFFINITY] = "node(s) didn't match pod anti-affinity rules",
		[PLACE_C_EXISTING_ANTI_AFFINITY] =
			"node(s) didn't satisfy existing pods anti-affinity rules",
		[PLACE_C_LATENCY] = "node(s) were too far away for the application's links",
		[PLACE_C_BANDWIDTH] =
			"node(s) had too little bandwidth for the application's links",
		[PLACE_C_TRUST] = "node(s) were not trusted enough",
		[PLACE_C_RUNTIME] = "node(s) didn't offer the runtime",
		[PLACE_C_FENCE] = "node(s) had no fence for a handover pod",
	};
	if (r->constraint == PLACE_C_RESOURCE) {
		bool pods = strcmp(r->detail, "pods") == 0;
		buf_printf(b, "%s%s", pods ? "Too many " : "Insufficient ", r->detail);
	} else if (r->constraint == PLACE_C_TAINT) {
		int whole = (int)(strrchr(r->detail, ':') - r->detail);
		const char *equals = memchr(r->detail, '=', (size_t)whole);
		int key = equals ? (int)(equals - r->detail) : whole;
		int value = equals ? whole - key - 1 : 0;
		buf_printf(b, "node(s) had untolerated taint {%.*s: %.*s}", key, r->detail, value,
			equals ? equals + 1 : "");
	} else {
		const char *text = words[r->constraint];
		buf_append_string(b, text ? text : place_constraint_name(r->constraint));
	}
}

struct line {
	char *words;
	uint32_t nodes;
	char *text;
};

static int compare_lines(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->text, ((const struct line *)b)->text);
}

void place_refusal_write(const struct place_refusal *refusal, struct buf *b)
{
	if (refusal->gang_minimum)
		buf_printf(b, "%u of the %u pods that the gang needs find a node; then ",
			refusal->gang_placed, refusal->gang_minimum);
	if (refusal->nodes == 0) {
		buf_append_string(b, "no nodes available to schedule pods");
		return;
	}
	VEC(struct line) lines = {0};
	for (uint32_t i = 0; i < refusal->reason_count; i++) {
		const struct place_reason *r = &refusal->reasons[i];
		if (r->first == 0)
			continue;
		CLEANUP(buf_done)
		struct buf words = BUF_INIT;
		kubernetes_words(r, &words);
		struct line *same = NULL;
		VEC_EACH (&lines, struct line, line)
			same = strcmp(line->words, buf_text(&words)) == 0 ? line : same;
		if (!same) {
			same = vec_add(&lines);
			same->words = buf_take(&words, NULL);
		}
		same->nodes += r->first;
	}
	VEC_EACH (&lines, struct line, line)
		line->text = mem_format("%u %s", line->nodes, line->words);
	if (lines.count)
		qsort(lines.items, lines.count, sizeof(*lines.items), compare_lines);
	buf_printf(b, "0/%u nodes are available", refusal->nodes);
	for (size_t i = 0; i < lines.count; i++) {
		buf_printf(b, "%s%s", i ? ", " : ": ", lines.items[i].text);
		free(lines.items[i].words);
		free(lines.items[i].text);
	}
	buf_append_char(b, '.');
	vec_done(&lines);
}

#include "place/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "place/spec.h"

/* ---- compiling ---- */

static void compile_selector(struct place *p, const struct place_spec *from, struct profile *x)
{
	for (uint32_t i = 0; i < from->node_selector_count; i++) {
		const struct place_label *l = &from->node_selector[i];
		char *text = mem_format("%s=%s", l->key, l->value ? l->value : "");
		vec_push(&x->selector, (struct shape_selector){
					       {place_intern(p, l->key), place_intern(p, l->value)},
					       place_intern(p, text)});
		free(text);
	}
}

static int compile_terms(struct place *p, const struct place_node_terms *from, struct profile *x,
	struct err *e)
{
	static const enum place_constraint constraints[] = {
		[PLACE_TERMS_AFFINITY] = PLACE_C_AFFINITY,
		[PLACE_TERMS_VOLUME] = PLACE_C_VOLUME,
		[PLACE_TERMS_RESIDENCY] = PLACE_C_RESIDENCY,
		[PLACE_TERMS_FENCE] = PLACE_C_FENCE};
	if ((unsigned)from->source >= ARRAY_SIZE(constraints) || from->count > PLACE_ITEMS_MAX)
		return err_set(e, ERR_TOO_LARGE, "node affinity: %u terms, at most %u are allowed",
			from->count, PLACE_ITEMS_MAX);
	struct shape_required *r = vec_add(&x->required);
	r->constraint = constraints[from->source];
	r->terms = mem_alloc_array(from->count, sizeof(*r->terms));
	CLEANUP(buf_done)
	struct buf text = BUF_INIT;
	for (uint32_t i = 0; i < from->count; i++) {
		int rc = place_conjunction_compile(p, &from->terms[i], true, "node affinity",
			&r->terms[i], e);
		if (rc != 0)
			return rc;
		r->count = i + 1;
		buf_append_string(&text, i ? " or " : "");
		place_conjunction_write(p, &r->terms[i], &text);
	}
	r->text = place_intern(p, buf_text(&text));
	return 0;
}

static int compile(struct place *p, const struct place_spec *from, struct profile *x, struct err *e)
{
	compile_selector(p, from, x);
	int rc = 0;
	for (uint32_t i = 0; i < from->required_count && rc == 0; i++)
		rc = compile_terms(p, &from->required[i], x, e);
	for (uint32_t i = 0; i < from->preferred_count && rc == 0; i++) {
		const struct place_node_preference *f = &from->preferred[i];
		if (f->weight < 1 || f->weight > 100)
			return err_set(e, ERR_INVALID,
				"preferred node affinity: weight %d is not 1 to 100", f->weight);
		struct shape_preference *t = vec_add(&x->preferred);
		t->weight = f->weight;
		rc = place_conjunction_compile(p, &f->term, true, "preferred node affinity",
			&t->term, e);
	}
	for (uint32_t i = 0; i < from->toleration_count; i++) {
		const struct place_toleration *t = &from->tolerations[i];
		vec_push(&x->tolerations, (struct shape_toleration){place_intern(p, t->key),
						  place_intern(p, t->value), t->exists, t->effect});
	}
	x->trust_min = from->trust_min;
	x->runtime = place_intern(p, from->runtime);
	return rc;
}

/* ---- what a profile says about a node ---- */

bool place_profile_required_holds(const struct place *p, const struct shape_required *r,
	const struct node *n)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->terms[i].count && place_conjunction_matches(p, &r->terms[i], n->labels.items,
						 n->labels.count, n->name))
			return true;
	return false;
}

static bool is_affine(const struct place *p, const struct profile *x, const struct node *n)
{
	VEC_EACH (&x->selector, struct shape_selector, l) {
		if (place_pair_value(n->labels.items, n->labels.count, l->label.key) !=
			l->label.value)
			return false;
	}
	VEC_EACH (&x->required, struct shape_required, r) {
		if (!place_profile_required_holds(p, r, n))
			return false;
	}
	return true;
}

bool place_profile_tolerates(const struct profile *x, const struct taint *taint)
{
	VEC_EACH (&x->tolerations, struct shape_toleration, t) {
		if (t->effect != PLACE_ANY_EFFECT && t->effect != taint->effect)
			continue;
		if (t->key == 0 ? t->exists
				: t->key == taint->key && (t->exists || t->value == taint->value))
			return true;
	}
	return false;
}

bool place_profile_has_runtime(const struct profile *x, const struct node *n)
{
	VEC_EACH (&n->runtimes, uint32_t, r) {
		if (*r == x->runtime)
			return true;
	}
	return x->runtime == 0;
}

void place_profile_node_changed(struct place *p, struct profile *x, uint32_t node)
{
	const struct node *n = &p->nodes.items[node];
	bool tolerated = n->used;
	VEC_EACH (&n->taints, uint32_t, t) {
		const struct taint *taint = &p->taints.items[*t];
		tolerated = tolerated && (taint->effect == PLACE_PREFER_NO_SCHEDULE ||
						 place_profile_tolerates(x, taint));
	}
	place_bits_set(&x->tolerated, node, tolerated);
	place_bits_set(&x->affine, node, n->used && is_affine(p, x, n));
	place_bits_set(&x->able, node,
		n->used && !n->drained && n->trust >= x->trust_min &&
			place_profile_has_runtime(x, n));
}

/* ---- the table ---- */

static void profile_done(struct profile *x)
{
	VEC_EACH (&x->required, struct shape_required, r) {
		for (uint32_t i = 0; i < r->count; i++)
			place_conjunction_done(&r->terms[i]);
		free(r->terms);
	}
	VEC_EACH (&x->preferred, struct shape_preference, f)
		place_conjunction_done(&f->term);
	vec_done(&x->selector);
	vec_done(&x->required);
	vec_done(&x->preferred);
	vec_done(&x->tolerations);
	vec_done(&x->groups);
	vec_done(&x->topologies);
	ranking_done(&x->ranking);
	place_bits_done(&x->affine);
	place_bits_done(&x->tolerated);
	place_bits_done(&x->able);
	free(x->key);
	*x = (struct profile){0};
}

void place_profiles_done(struct place *p)
{
	VEC_EACH (&p->profiles, struct profile, x)
		profile_done(x);
	vec_done(&p->profiles);
	map_done(&p->profile_ids);
}

static uint32_t add(struct place *p, const struct profile *from)
{
	uint32_t index = p->free_profile;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->profiles.count;
		(void)vec_add(&p->profiles);
	} else {
		p->free_profile = p->profiles.items[index].next_free;
	}
	struct profile *x = &p->profiles.items[index];
	*x = *from;
	x->used = true;
	ranking_init(&x->ranking);
	place_keep_index(&p->profile_ids, x->key, index);
	for (uint32_t i = 0; i < p->nodes.count; i++)
		place_profile_node_changed(p, x, i);
	return index;
}

int place_profile_get(struct place *p, const struct place_spec *spec, uint32_t scarce,
	uint32_t *ret_profile, struct err *e)
{
	CLEANUP(buf_done)
	struct buf key = BUF_INIT;
	place_spec_write_demands(&key, spec);
	buf_printf(&key, "W%u", scarce);
	uint32_t index = place_find_index(&p->profile_ids, buf_text(&key));
	if (index == PLACE_NONE) {
		struct profile x = {.scarce = scarce};
		int rc = compile(p, spec, &x, e);
		if (rc != 0) {
			profile_done(&x);
			return rc;
		}
		x.key = buf_take(&key, NULL);
		index = add(p, &x);
	}
	p->profiles.items[index].references++;
	*ret_profile = index;
	return 0;
}

void place_profile_release(struct place *p, uint32_t profile)
{
	struct profile *x = &p->profiles.items[profile];
	if (--x->references > 0)
		return;
	map_remove(&p->profile_ids, x->key);
	place_profile_unrank(p, x);
	place_kept_forget_profile(p, profile);
	profile_done(x);
	x->next_free = p->free_profile;
	p->free_profile = profile;
}

#include "place/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "place/spec.h"

/* ---- the canonical text of a spec: its key in shape_ids ---- */

static void write_neighbours(struct buf *b, const struct place_spec *s)
{
	for (uint32_t i = 0; i < s->pod_term_count; i++) {
		const struct place_pod_term *t = &s->pod_terms[i];
		buf_printf(b, "A%d%d%d%d.%d.%u", t->required, t->anti, t->nobody, t->all_namespaces,
			t->weight, t->namespace_count);
		place_spec_write_text(b, t->topology_key);
		place_spec_write_selector(b, &t->selector);
		for (uint32_t k = 0; k < t->namespace_count; k++)
			place_spec_write_text(b, t->namespaces[k]);
	}
	for (uint32_t i = 0; i < s->spread_count; i++) {
		const struct place_spread *t = &s->spreads[i];
		buf_printf(b, "S%d.%d%d%d%d", t->max_skew, t->min_domains, t->required,
			t->ignore_affinity, t->honor_taints);
		place_spec_write_text(b, t->topology_key);
		place_spec_write_selector(b, &t->selector);
	}
}

static void write_spec(struct buf *b, const struct place_spec *s)
{
	place_spec_write_text(b, s->namespace);
	place_spec_write_labels(b, 'L', s->labels, s->label_count);
	for (uint32_t i = 0; i < s->request_count; i++) {
		buf_printf(b, "Q%d%lld", s->requests[i].shared, (long long)s->requests[i].amount);
		place_spec_write_text(b, s->requests[i].resource);
	}
	place_spec_write_demands(b, s);
	write_neighbours(b, s);
	for (uint32_t i = 0; i < s->port_count; i++) {
		buf_printf(b, "H%d", s->ports[i].port);
		place_spec_write_text(b, s->ports[i].protocol);
		place_spec_write_text(b, s->ports[i].address);
	}
	buf_printf(b, "I%u", s->image_count);
	for (uint32_t i = 0; i < s->image_count; i++)
		place_spec_write_text(b, s->images[i]);
}

/* ---- compiling ---- */

static int check_sizes(const struct place_spec *s, struct err *e)
{
	const struct {
		const char *what;
		uint32_t count;
	} lists[] = {{"labels", s->label_count}, {"requests", s->request_count},
		{"node selector entries", s->node_selector_count},
		{"node affinities", s->required_count},
		{"preferred node affinities", s->preferred_count},
		{"pod affinity terms", s->pod_term_count},
		{"topology spread constraints", s->spread_count},
		{"tolerations", s->toleration_count}, {"host ports", s->port_count},
		{"images", s->image_count}};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (lists[i].count > PLACE_ITEMS_MAX)
			return err_set(e, ERR_TOO_LARGE, "a pod with %u %s: at most %u are allowed",
				lists[i].count, lists[i].what, PLACE_ITEMS_MAX);
	if (s->trust_min < 0 || s->trust_min > 100)
		return err_set(e, ERR_INVALID, "trust level %d is not 0 to 100", s->trust_min);
	return 0;
}

static int add_request(struct shape *s, uint32_t resource, uint32_t shared, int64_t amount)
{
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (r->resource != resource)
			continue;
		if (amount > PLACE_AMOUNT_MAX - r->amount)
			return -ERR_INVALID;
		r->amount += amount;
		return 0;
	}
	vec_push(&s->requests, (struct want_amount){resource, shared, amount});
	return 0;
}

static int compile_requests(struct place *p, const struct place_spec *from, struct shape *s,
	struct err *e)
{
	bool has_pods = false;
	for (uint32_t i = 0; i < from->request_count; i++) {
		const struct place_amount *a = &from->requests[i];
		if (str_empty(a->resource) || a->amount < 0 || a->amount > PLACE_AMOUNT_MAX)
			return err_set(e, ERR_INVALID, "request of %lld %s: impossible",
				(long long)a->amount, a->resource ? a->resource : "(no resource)");
		uint32_t resource = place_resource(p, a->resource);
		if (resource == PLACE_NONE)
			return err_set(e, ERR_TOO_LARGE,
				"more than %u different resources, %s is too many",
				PLACE_RESOURCES_MAX, a->resource);
		has_pods = has_pods || resource == PLACE_PODS;
		uint32_t shared;
		int rc = place_resource_is_shared(p, resource, a->shared, "a pod", &shared, e);
		if (rc != 0)
			return rc;
		if (add_request(s, resource, shared, a->amount) != 0)
			return err_set(e, ERR_INVALID, "request of %s: impossibly large",
				a->resource);
	}
	VEC_EACH (&s->requests, struct want_amount, r) {
		s->shares = s->shares || (r->shared && r->amount);
		if (r->shared && r->amount > PLACE_DEVICE && r->amount % PLACE_DEVICE)
			return err_set(e, ERR_INVALID,
				"request of %lld %s: more than %d of a shared device is whole "
				"ones",
				(long long)r->amount,
				place_text(p, p->resources.items[r->resource]), PLACE_DEVICE);
	}
	if (!has_pods)
		vec_push(&s->requests, (struct want_amount){PLACE_PODS, 0, 1});
	s->score_cpu = PLACE_SCORE_CPU_MILLI;
	s->score_memory = PLACE_SCORE_MEMORY_BYTES;
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (r->resource == PLACE_CPU && r->amount)
			s->score_cpu = r->amount;
		if (r->resource == PLACE_MEMORY && r->amount)
			s->score_memory = r->amount;
	}
	return 0;
}

static int compile_pod_term(struct place *p, const struct place_spec *spec,
	const struct place_pod_term *from, struct shape *s, struct err *e)
{
	const char *what = from->anti ? "pod anti-affinity" : "pod affinity";
	if (!from->required && (from->weight < 1 || from->weight > 100))
		return err_set(e, ERR_INVALID, "%s: weight %d is not 1 to 100", what, from->weight);
	bool own = from->namespace_count == 0 && !from->all_namespaces;
	struct counter_want want = {from->topology_key, &from->selector, from->nobody,
		from->all_namespaces, own ? &spec->namespace : from->namespaces,
		own ? 1 : from->namespace_count};
	uint32_t counter;
	int rc = place_counter_get(p, &want, what, &counter, e);
	if (rc != 0)
		return rc;
	place_profile_add_topology(p, &p->profiles.items[s->profile],
		p->counters.items[counter].topology);
	vec_push(&s->terms, (struct shape_term){from->required, from->anti,
				    place_counter_matches(p, &p->counters.items[counter], s),
				    from->weight, counter});
	s->seeks = s->seeks || (from->required && !from->anti);
	return 0;
}

static int compile_spread(struct place *p, const struct place_spec *spec,
	const struct place_spread *from, struct shape *s, struct err *e)
{
	if (from->max_skew < 1 || from->min_domains < 0)
		return err_set(e, ERR_INVALID, "topology spread by %s: maxSkew %d, minDomains %d",
			from->topology_key ? from->topology_key : "(no key)", from->max_skew,
			from->min_domains);
	struct counter_want want = {
		from->topology_key, &from->selector, false, false, &spec->namespace, 1};
	uint32_t counter;
	int rc = place_counter_get(p, &want, "topology spread", &counter, e);
	if (rc != 0)
		return rc;
	uint32_t tally = place_tally_get(p, &(struct tally){.counter = counter,
						    .profile = s->profile,
						    .ignore_affinity = from->ignore_affinity,
						    .honor_taints = from->honor_taints});
	place_profile_add_topology(p, &p->profiles.items[s->profile],
		p->counters.items[counter].topology);
	vec_push(&s->spreads,
		(struct shape_spread){from->max_skew, from->min_domains, from->required,
			from->ignore_affinity, from->honor_taints,
			place_counter_matches(p, &p->counters.items[counter], s), counter, tally});
	return 0;
}

static int compile_ports(struct place *p, const struct place_spec *from, struct shape *s,
	struct err *e)
{
	for (uint32_t i = 0; i < from->port_count; i++) {
		const struct place_port *f = &from->ports[i];
		if (f->port < 1 || f->port > 65535 || str_empty(f->protocol))
			return err_set(e, ERR_INVALID, "host port %d is not 1 to 65535", f->port);
		bool all = str_empty(f->address) || str_equal(f->address, "0.0.0.0");
		char *text = mem_format("%s/%d", f->protocol, f->port);
		vec_push(&s->ports, (struct shape_port){place_intern(p, f->protocol),
					    all ? 0 : place_intern(p, f->address), f->port,
					    place_intern(p, text)});
		free(text);
	}
	for (uint32_t i = 0; i < from->image_count; i++)
		vec_push(&s->images, place_image(p, from->images[i]));
	return 0;
}

/* Of what most nodes have none: the first resource asked for but cpu, memory and pods. */
static uint32_t scarce_of(const struct shape *s)
{
	VEC_EACH (&s->requests, struct want_amount, r) {
		if (r->resource > PLACE_PODS && r->amount > 0)
			return r->resource;
	}
	return PLACE_NONE;
}

static int compile(struct place *p, const struct place_spec *from, struct shape *s, struct err *e)
{
	s->namespace = place_intern(p, from->namespace);
	for (uint32_t i = 0; i < from->label_count; i++)
		(void)vec_add(&s->labels);
	if (from->label_count)
		place_pairs_compile(p, from->labels, from->label_count, s->labels.items);
	int rc = compile_requests(p, from, s, e);
	if (rc == 0)
		rc = place_profile_get(p, from, scarce_of(s), &s->profile, e);
	for (uint32_t i = 0; i < from->pod_term_count && rc == 0; i++)
		rc = compile_pod_term(p, from, &from->pod_terms[i], s, e);
	for (uint32_t i = 0; i < from->spread_count && rc == 0; i++)
		rc = compile_spread(p, from, &from->spreads[i], s, e);
	return rc == 0 ? compile_ports(p, from, s, e) : rc;
}

/* ---- the table ---- */

void place_shape_done(struct place *p, struct shape *s)
{
	VEC_EACH (&s->terms, struct shape_term, t)
		place_counter_release(p, t->counter);
	VEC_EACH (&s->spreads, struct shape_spread, t) {
		place_tally_release(p, t->tally);
		place_counter_release(p, t->counter);
	}
	if (s->profile != PLACE_NONE)
		place_profile_release(p, s->profile);
	vec_done(&s->labels);
	vec_done(&s->requests);
	vec_done(&s->terms);
	vec_done(&s->spreads);
	vec_done(&s->ports);
	vec_done(&s->images);
	vec_done(&s->matches);
	vec_done(&s->at_site);
	place_counts_done(&s->here);
	free(s->key);
	*s = (struct shape){0};
}

static uint32_t add(struct place *p, struct shape *s)
{
	uint32_t index = p->free_shape;
	if (index == PLACE_NONE) {
		index = (uint32_t)p->shapes.count;
		(void)vec_add(&p->shapes);
	} else {
		p->free_shape = p->shapes.items[index].next_free;
	}
	s->used = true;
	p->shapes.items[index] = *s;
	place_keep_index(&p->shape_ids, s->key, index);
	place_shape_match_all(p, &p->shapes.items[index]);
	return index;
}

int place_shape(struct place *p, const struct place_spec *spec, uint32_t *ret_shape, struct err *e)
{
	int rc = check_sizes(spec, e);
	if (rc != 0)
		return rc;
	CLEANUP(buf_done)
	struct buf key = BUF_INIT;
	write_spec(&key, spec);
	rc = buf_check(&key, "pod spec", e);
	if (rc != 0)
		return rc;
	uint32_t index = place_find_index(&p->shape_ids, buf_text(&key));
	if (index == PLACE_NONE) {
		struct shape s = {.profile = PLACE_NONE};
		rc = compile(p, spec, &s, e);
		if (rc != 0) {
			place_shape_done(p, &s);
			return rc;
		}
		s.key = buf_take(&key, NULL);
		index = add(p, &s);
	}
	p->shapes.items[index].references++;
	*ret_shape = index;
	return 0;
}

void place_shape_release(struct place *p, uint32_t shape)
{
	struct shape *s = &p->shapes.items[shape];
	if (--s->references > 0)
		return;
	map_remove(&p->shape_ids, s->key);
	place_shape_done(p, s);
	s->next_free = p->free_shape;
	p->free_shape = shape;
}

void place_shape_match_all(struct place *p, struct shape *s)
{
	for (uint32_t i = 0; i < p->counters.count; i++)
		if (p->counters.items[i].used && place_counter_matches(p, &p->counters.items[i], s))
			vec_push(&s->matches, i);
}

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "overlay/private.h"
#include "sys/fs.h"

#define LEASES_SIZE_MAX ((size_t)256 << 20)
#define SAVE_AFTER_MS 100
#define SAVE_AGAIN_MS 5000

void overlay_port_name(uint32_t address, char ret_name[static IFNAMSIZ])
{
	snprintf(ret_name, IFNAMSIZ, OVERLAY_PORT_PREFIX "%08x", address);
}

/* ---- loading ---- */

int overlay_load_leases(struct overlay *o, struct err *e)
{
	struct buf text CLEANUP(buf_done) = BUF_INIT_LIMIT(LEASES_SIZE_MAX);
	int code = fs_read(fs_real(), o->lease_path, &text, e);
	if (code == -ERR_NOT_FOUND)
		return 0;
	if (!code)
		code = ipam_decode(&o->ipam, buf_text(&text), e);
	if (code != -ERR_CORRUPT)
		return code;
	/* Those that matter are noted on the interfaces too. */
	log_err(o->config.log, LOG_ERROR, "overlay_leases_lost", e, "path=%s", o->lease_path);
	o->leases_changed = true;
	return 0;
}

static bool parse_port_name(const char *name, uint32_t *ret_address)
{
	char end, again[IFNAMSIZ];
	if (sscanf(name, OVERLAY_PORT_PREFIX "%8x%c", ret_address, &end) != 1)
		return false;
	overlay_port_name(*ret_address, again);
	return str_equal(name, again);
}

/* The file may be a moment older than the interfaces: where they differ, these are right. One that
 * says nothing of use is left to overlay_remove_strays. */
int overlay_adopt_leases(struct overlay *o, struct err *e)
{
	struct netlink_links links;
	int code = netlink_link_list(o->netlink, &links, e);
	if (code)
		return code;
	size_t before = o->ipam.by_uid.count;
	VEC_EACH (&links.list, const struct netlink_link, l) {
		uint32_t address;
		if (parse_port_name(l->name, &address) && l->alias[0])
			(void)!ipam_adopt(&o->ipam, l->alias, address, NULL);
	}
	netlink_links_done(&links);
	if (o->ipam.by_uid.count != before)
		o->leases_changed = true;
	return 0;
}

/* ---- saving ---- */

/* Owned by the job while it runs. */
struct lease_save {
	struct overlay *overlay; /* null: closed meanwhile */
	char *path;
	struct buf text;
	int code;
	struct err e;
};

static void free_save(struct lease_save *s)
{
	buf_done(&s->text);
	free(s->path);
	free(s);
}

static struct lease_save *make_save(struct overlay *o)
{
	struct lease_save *s = mem_new(struct lease_save);
	s->overlay = o;
	s->path = mem_dup_string(o->lease_path);
	s->text = BUF_INIT_LIMIT(LEASES_SIZE_MAX);
	ipam_encode(&o->ipam, &s->text);
	o->leases_changed = false;
	return s;
}

static void save_work(void *arg)
{
	struct lease_save *s = arg;
	s->code = buf_check(&s->text, "address leases", &s->e);
	if (!s->code)
		s->code = fs_write_atomic(fs_real(), s->path, s->text.data, s->text.size, 0600,
			&s->e);
}

static void save_done(void *arg)
{
	struct lease_save *s = arg;
	struct overlay *o = s->overlay;
	if (o) {
		o->save = NULL;
		if (s->code) {
			log_err(o->config.log, LOG_WARN, "overlay_leases_not_saved", &s->e,
				"retry_ms=%d", SAVE_AGAIN_MS);
			o->leases_changed = true;
			loop_timer_start(o->save_timer, SAVE_AGAIN_MS);
		} else if (o->leases_changed) {
			loop_timer_start(o->save_timer, SAVE_AFTER_MS);
		}
	}
	free_save(s);
}

void overlay_save_leases_now(void *overlay)
{
	struct overlay *o = overlay;
	if (o->save || !o->leases_changed)
		return; /* the job that runs starts the timer again */
	o->save = make_save(o);
	loop_job(o->config.loop, save_work, save_done, o->save);
}

/* Later, since pods come in groups and a disk may take a tenth of a second. */
void overlay_leases_changed(struct overlay *o)
{
	o->leases_changed = true;
	if (o->save_timer && !o->save && !loop_timer_active(o->save_timer))
		loop_timer_start(o->save_timer, SAVE_AFTER_MS);
}

void overlay_close_leases(struct overlay *o)
{
	loop_timer_free(o->save_timer);
	if (o->save) {
		o->save->overlay = NULL;
		return;
	}
	if (!o->leases_changed)
		return;
	struct lease_save *s = make_save(o);
	save_work(s);
	if (s->code)
		log_err(o->config.log, LOG_WARN, "overlay_leases_not_saved", &s->e, "path=%s",
			s->path);
	free_save(s);
}

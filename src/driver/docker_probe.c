/* What engine answers at the socket, and how its cgroups are made. Asked again until it answers. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/docker.h"

struct docker_probing {
	struct docker *docker;
	void (*told)(void *arg, const struct driver_probe *p);
	void (*known)(void *arg, const struct err *e);
	void *arg;
	struct err e;
};

static void probing_end(struct docker_probing *x)
{
	struct docker *d = x->docker;
	if (x->e.code) {
		d->probe = (struct driver_probe){.name = "docker"};
		(void)str_copy(d->probe.detail, sizeof(d->probe.detail), x->e.text);
	}
	if (x->told)
		x->told(x->arg, &d->probe);
	else
		x->known(x->arg, x->e.code ? &x->e : NULL);
	docker_unref(d);
	free(x);
}

static void probing_later(void *arg)
{
	probing_end(arg);
}

static void on_info(void *arg, int status, const json_t *info, const struct err *e)
{
	struct docker_probing *x = arg;
	struct docker *d = x->docker;
	(void)status;
	if (e) {
		x->e = *e;
		probing_end(x);
		return;
	}
	d->systemd = str_equal(json_text(info, "", "CgroupDriver"), "systemd");
	d->probed = d->probe.ready = true;
	d->probe.lacks = d->systemd ? DRIVER_FENCES : 0;
	snprintf(d->probe.detail, sizeof(d->probe.detail), "cgroups by %.20s, live restore %s",
		d->systemd ? "systemd" : "cgroupfs",
		json_bool(info, false, "LiveRestoreEnabled") ? "on" : "off");
	probing_end(x);
}

static bool is_podman(const json_t *version)
{
	size_t i;
	json_t *part;
	json_array_foreach (json_at(version, "Components"), i, part)
		if (str_equal(json_text(part, "", "Name"), "Podman Engine"))
			return true;
	return false;
}

static void on_version(void *arg, int status, const json_t *version, const struct err *e)
{
	struct docker_probing *x = arg;
	struct docker *d = x->docker;
	(void)status;
	if (e) {
		x->e = *e;
		probing_end(x);
		return;
	}
	d->podman = is_podman(version);
	d->probe = (struct driver_probe){.name = "docker"};
	snprintf(d->probe.version, sizeof(d->probe.version), "%s %.40s",
		d->podman ? "podman" : "dockerd", json_text(version, "", "Version"));
	docker_request(d, "GET", NULL, on_info, x, "/info");
}

static void probing_begin(struct docker *d, struct docker_probing *x)
{
	docker_ref(d);
	x->docker = d;
	if (d->probed)
		loop_defer(d->loop, probing_later, x);
	else
		docker_request(d, "GET", NULL, on_version, x, "/version");
}

void docker_probe(struct container_engine *engine,
	void (*done)(void *arg, const struct driver_probe *p), void *arg)
{
	struct docker_probing *x = mem_new(struct docker_probing);
	x->told = done;
	x->arg = arg;
	probing_begin(docker_of(engine), x);
}

void docker_know(struct docker *d, void (*done)(void *arg, const struct err *e), void *arg)
{
	struct docker_probing *x = mem_new(struct docker_probing);
	x->known = done;
	x->arg = arg;
	probing_begin(d, x);
}

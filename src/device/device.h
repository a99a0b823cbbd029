/*
 * Devices of the machine that pods may have: rules that say which (rule.c), what is there by these
 * rules (scan.c), who has which (pool.c), and hearing that something changed (watch.c).
 *
 * Rules, scan and pool are pure over sys/fs.h. Formats: udev(7) for the conditions, the kernel's
 * Documentation/ABI/testing/sysfs-dev and sysfs-uevent for /sys/dev/{char,block}/MAJOR:MINOR and
 * the files `uevent`; systemd's device database for /run/udev/data/{c,b}MAJOR:MINOR, of which the
 * lines "E:NAME=VALUE" are read.
 */
#ifndef CONTINUO_DEVICE_DEVICE_H
#define CONTINUO_DEVICE_DEVICE_H

#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"
#include "sys/fs.h"

#define DEVICE_PREFIX "continuo.dev/" /* of the resource's name */
#define DEVICE_RULES_MAX 64
#define DEVICE_FOUND_MAX 256 /* by one rule */
#define DEVICE_COUNT_MAX 1000

/* ---- rules ---- */

struct device_pair {
	const char *key, *pattern;
};

/* Conditions that must all hold; null: none. Patterns are shell globs, `|` stands between
 * alternatives (udev(7)). */
struct device_match {
	const char *subsystem, *kernel, *devtype; /* of the device itself */
	const char *driver;                       /* of the device or one of its parents */
	const char *path;                /* of the device node or a link to it, below /dev */
	const struct device_pair *attrs; /* all at one place: the device or one of its parents */
	size_t attr_count;
	const struct device_pair *properties; /* of udev, or of the device's own uevent */
	size_t property_count;
};

/* One entry of the configuration's `devices`. Several may have one name: they add up. */
struct device_rule {
	const char *name;                 /* "camera": the resource continuo.dev/camera */
	const char *path;                 /* of one device node; null: match */
	const struct device_match *match; /* null: path */
	const char *container_path;       /* null: as on the host */
	const char *permissions;          /* of "rwm"; null: "rw" */
	int64_t count;                    /* how many pods may have one device; 0: 1 */
};

/* Rules of a list [{name, path | match, containerPath, permissions, count}], in the arena. Errors
 * begin with "devices[N]" and say what is wanted: -ERR_INVALID. */
int device_rules_parse(const json_t *list, struct arena *a, const struct device_rule **ret_rules,
	size_t *ret_count, struct err *e) MUST_CHECK;

/* Whether text is as one of the alternatives of a pattern says. */
bool device_pattern_matches(const char *pattern, const char *text);

/* ---- what is there ---- */

struct device {
	size_t rule;
	char *path; /* of the node: /dev/NAME by sysfs, else the path that the rule names */
	struct fs_node node;
};

struct device_list {
	VEC(struct device) items; /* by rule, then in the order of the paths */
};

void device_list_done(struct device_list *l);
bool device_list_equal(const struct device_list *a, const struct device_list *b);

/* Looks for all devices that the rules want and whose node is there. What cannot be read is not
 * there. A device counts once for all rules of one name. Blocks (some 10 us a device of the
 * machine): for jobs. */
void device_scan(struct fs *fs, const struct device_rule *rules, size_t count,
	struct device_list *ret_list);

/* Folders in which a node that a rule wants may come or go, null terminated, all freed with
 * device_folders_free. Those that are not there are named too, and below /dev those above them. */
char **device_folders(const struct device_rule *rules, size_t count,
	const struct device_list *found) MUST_CHECK;
void device_folders_free(char **folders);

/* ---- who has which ---- */

/* A device that a pod was given. */
struct device_grant {
	char *name, *path; /* of the rule; of the node */
	struct fs_node node;
};

struct device_grants {
	VEC(struct device_grant) items;
	bool old; /* from an earlier boot: the numbers of the nodes say nothing any more */
};

struct device_pool {
	const struct device_rule *rules; /* not owned */
	size_t rule_count;
	struct device_list found;
	struct map pods; /* uid -> struct device_grants */
};

/* What a pod needs of one name. */
struct device_need {
	const char *name; /* without the prefix */
	int64_t amount;
};

void device_pool_init(struct device_pool *p, const struct device_rule *rules, size_t count);
void device_pool_done(struct device_pool *p);

/* Takes the list. */
void device_pool_update(struct device_pool *p, struct device_list *found);

/* How many there are now by that name, shared ones as often as they may be. */
int64_t device_pool_capacity(const struct device_pool *p, const char *name);

/* Makes sure that the pod has what it needs: what it was given stays as far as it is there, the
 * rest is found among what is free, a device that the pod does not have yet before another share of
 * one that it has. All or nothing. *ret_changed: something new was given. -ERR_NOT_FOUND says what
 * is missing. */
int device_pool_take(struct device_pool *p, const char *uid, const struct device_need *needs,
	size_t count, bool *ret_changed, struct err *e) MUST_CHECK;

/* Null: it has none. */
const struct device_grants *device_pool_grants(const struct device_pool *p, const char *uid);

/* The first device that the pod was given in this boot and that is gone or another one by now. */
const struct device_grant *device_pool_lost(const struct device_pool *p, const char *uid);

bool device_pool_drop(struct device_pool *p, const char *uid); /* false: it had none */

/* All grants as text, and back; boot_id tells whether the numbers still count. Text that is not
 * ours is -ERR_CORRUPT and leaves the pool empty. */
char *device_pool_encode(const struct device_pool *p, const char *boot_id) MUST_CHECK;
int device_pool_decode(struct device_pool *p, const char *text, size_t size, const char *boot_id,
	struct err *e) MUST_CHECK;

#endif

/* What is there: sysfs for what a device is, /dev for whether it has a node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "device/device.h"

#define PATH_SIZE 1024
#define ATTR_MAX ((size_t)8192) /* an attribute is at most a page; a udev record is larger */
#define PROPERTIES_MAX ((size_t)256 << 10)
#define DEPTH_MAX 8 /* folders below /dev */

/* One device of the machine while it is held against rules. Texts are read when first wanted. */
struct candidate {
	struct fs *fs;
	struct fs_node node;
	char sys[PATH_SIZE]; /* "/sys/devices/..."; "": sysfs does not have it */
	struct buf uevent, udev;
	bool uevent_read, udev_read;
};

struct scan {
	struct fs *fs;
	const struct device_rule *rules;
	size_t rule_count, rule; /* the rule in hand */
	struct device_list *list;
	size_t found; /* by that rule */
};

/* ---- sysfs ---- */

/* Whether the text fits; what does not fit is not there. */
static bool print_path(char *ret_path, size_t size, const char *a, const char *b)
{
	return snprintf(ret_path, size, "%s/%s", a, b) < (int)size;
}

/* "../../devices/virtual/block/loop0" in /sys/dev/block becomes "/sys/devices/virtual/block/loop0".
 */
static void find_in_sysfs(struct candidate *c)
{
	char path[80];
	CLEANUP(buf_done) struct buf link = BUF_INIT_LIMIT(PATH_SIZE);
	c->sys[0] = '\0';
	snprintf(path, sizeof(path), "/sys/dev/%s/%u:%u", c->node.type == 'c' ? "char" : "block",
		c->node.major, c->node.minor);
	if (fs_link(c->fs, path, &link, NULL) < 0)
		return;
	const char *rest = buf_text(&link);
	while (str_starts(rest, "../"))
		rest += 3;
	if (!str_starts(rest, "devices/") || strstr(rest, "..") ||
		!print_path(c->sys, sizeof(c->sys), "/sys", rest))
		c->sys[0] = '\0';
}

/* The last element of what a link in a folder of sysfs leads to; false: no such link. */
static bool read_link_name(struct fs *fs, const char *folder, const char *name, char *ret_name,
	size_t size)
{
	char path[PATH_SIZE];
	CLEANUP(buf_done) struct buf link = BUF_INIT_LIMIT(PATH_SIZE);
	if (!print_path(path, sizeof(path), folder, name) || fs_link(fs, path, &link, NULL) < 0)
		return false;
	const char *slash = strrchr(buf_text(&link), '/');
	return str_copy(ret_name, size, slash ? slash + 1 : buf_text(&link));
}

/* The device above; false: there is none. */
static bool to_parent(char *sys)
{
	char *slash = strrchr(sys, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return strlen(sys) > strlen("/sys/devices");
}

/* The name as the kernel gives it: "!" stands for "/" in sysfs. */
static void kernel_name(const struct candidate *c, char *ret_name, size_t size)
{
	const char *slash = strrchr(c->sys, '/');
	(void)str_copy(ret_name, size, slash ? slash + 1 : "");
	for (char *at = ret_name; *at; at++)
		if (*at == '!')
			*at = '/';
}

/* The value of a line "NAME=VALUE"; prefix stands before the name. */
static bool line_value(const char *text, const char *prefix, const char *name, char *ret_value,
	size_t size)
{
	size_t prefix_size = strlen(prefix), name_size = strlen(name);
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, prefix, prefix_size) != 0 ||
			strncmp(line + prefix_size, name, name_size) != 0 ||
			line[prefix_size + name_size] != '=')
			continue;
		const char *value = line + prefix_size + name_size + 1;
		return snprintf(ret_value, size, "%.*s", (int)strcspn(value, "\n"), value) <
		       (int)size;
	}
	return false;
}

static const char *uevent_of(struct candidate *c)
{
	char path[PATH_SIZE];
	if (!c->uevent_read && print_path(path, sizeof(path), c->sys, "uevent"))
		(void)!fs_read(c->fs, path, &c->uevent, NULL);
	c->uevent_read = true;
	return buf_text(&c->uevent);
}

static const char *udev_of(struct candidate *c)
{
	char path[80];
	snprintf(path, sizeof(path), "/run/udev/data/%c%u:%u", c->node.type, c->node.major,
		c->node.minor);
	if (!c->udev_read)
		(void)!fs_read(c->fs, path, &c->udev, NULL);
	c->udev_read = true;
	return buf_text(&c->udev);
}

/* ---- conditions ---- */

/* As udev has it: the text without white space behind it, or what a link leads to. */
static bool attr_matches(struct fs *fs, const char *folder, const struct device_pair *attr)
{
	char path[PATH_SIZE], name[256];
	CLEANUP(buf_done) struct buf b = BUF_INIT_LIMIT(ATTR_MAX);
	if (!print_path(path, sizeof(path), folder, attr->key))
		return false;
	if (fs_read(fs, path, &b, NULL) < 0)
		return read_link_name(fs, folder, attr->key, name, sizeof(name)) &&
		       device_pattern_matches(attr->pattern, name);
	CLEANUP(mem_free_ptr) char *text = mem_dup_string(buf_text(&b));
	size_t size = strlen(text);
	while (size > 0 && strchr(" \t\r\n", text[size - 1]))
		text[--size] = '\0';
	return device_pattern_matches(attr->pattern, text);
}

static bool attrs_match(const struct candidate *c, const struct device_match *m)
{
	char sys[PATH_SIZE];
	memcpy(sys, c->sys, sizeof(sys));
	do {
		size_t good = 0;
		while (good < m->attr_count && attr_matches(c->fs, sys, &m->attrs[good]))
			good++;
		if (good == m->attr_count)
			return true;
	} while (to_parent(sys));
	return false;
}

static bool driver_matches(const struct candidate *c, const char *pattern)
{
	char sys[PATH_SIZE], name[256];
	memcpy(sys, c->sys, sizeof(sys));
	do {
		if (read_link_name(c->fs, sys, "driver", name, sizeof(name)) &&
			device_pattern_matches(pattern, name))
			return true;
	} while (to_parent(sys));
	return false;
}

static bool properties_match(struct candidate *c, const struct device_match *m)
{
	char value[PATH_SIZE];
	for (size_t i = 0; i < m->property_count; i++) {
		const char *name = m->properties[i].key;
		bool known = line_value(udev_of(c), "E:", name, value, sizeof(value)) ||
			     line_value(uevent_of(c), "", name, value, sizeof(value));
		if (!known || !device_pattern_matches(m->properties[i].pattern, value))
			return false;
	}
	return true;
}

/* All but the path; the cheap ones first. */
static bool matches(struct candidate *c, const struct device_match *m)
{
	char text[256] = "";
	bool by_sysfs = m->kernel || m->subsystem || m->devtype || m->driver || m->attr_count > 0;
	if (by_sysfs && !c->sys[0])
		return false;
	kernel_name(c, text, sizeof(text));
	if (m->kernel && !device_pattern_matches(m->kernel, text))
		return false;
	if (m->subsystem && (!read_link_name(c->fs, c->sys, "subsystem", text, sizeof(text)) ||
				    !device_pattern_matches(m->subsystem, text)))
		return false;
	if (m->devtype && (!line_value(uevent_of(c), "", "DEVTYPE", text, sizeof(text)) ||
				  !device_pattern_matches(m->devtype, text)))
		return false;
	return (!m->driver || driver_matches(c, m->driver)) &&
	       (m->attr_count == 0 || attrs_match(c, m)) && properties_match(c, m);
}

/* ---- the list ---- */

static void add(struct scan *s, const char *path, const struct fs_node *node)
{
	const char *name = s->rules[s->rule].name;
	VEC_EACH (&s->list->items, struct device, d)
		if (str_equal(s->rules[d->rule].name, name) && fs_node_equal(&d->node, node))
			return;
	if (s->found++ < DEVICE_FOUND_MAX)
		*vec_add(&s->list->items) = (struct device){
			.rule = s->rule, .path = mem_dup_string(path), .node = *node};
}

/* A path that may be a device node which the rule's other conditions fit. */
static void consider_path(struct scan *s, const char *path)
{
	struct candidate c = {.fs = s->fs,
		.uevent = BUF_INIT_LIMIT(ATTR_MAX),
		.udev = BUF_INIT_LIMIT(PROPERTIES_MAX)};
	const struct device_match *m = s->rules[s->rule].match;
	if (fs_node(s->fs, path, &c.node, NULL) < 0 || !c.node.type)
		return;
	if (m)
		find_in_sysfs(&c);
	if (!m || matches(&c, m))
		add(s, path, &c.node);
	buf_done(&c.uevent);
	buf_done(&c.udev);
}

/* ---- by a glob below /dev ---- */

struct globbing {
	struct scan *scan;
	const char *folder, *rest; /* rest: of the pattern, without the slash before it */
	int depth;
};

static void walk(struct globbing g);

static int on_entry(void *arg, const char *name, bool is_folder)
{
	const struct globbing *g = arg;
	char path[PATH_SIZE], part[256];
	size_t size = strcspn(g->rest, "/");
	bool last = g->rest[size] == '\0';
	(void)is_folder; /* links to folders count as folders */
	snprintf(part, sizeof(part), "%.*s", (int)size, g->rest);
	if ((name[0] == '.' && part[0] != '.') || !device_pattern_matches(part, name) ||
		!print_path(path, sizeof(path), g->folder, name))
		return 0;
	if (last)
		consider_path(g->scan, path);
	else
		walk((struct globbing){g->scan, path, g->rest + size + 1, g->depth + 1});
	return 0;
}

static void walk(struct globbing g)
{
	if (g.depth < DEPTH_MAX)
		(void)!fs_list(g.scan->fs, g.folder, on_entry, &g, NULL);
}

/* ---- by sysfs ---- */

static void consider_device(struct scan *s, struct candidate *c)
{
	char name[256], path[PATH_SIZE];
	struct fs_node node;
	if (!c->sys[0] || !matches(c, s->rules[s->rule].match) ||
		!line_value(uevent_of(c), "", "DEVNAME", name, sizeof(name)) ||
		strstr(name, "..") || !print_path(path, sizeof(path), "/dev", name))
		return;
	if (fs_node(s->fs, path, &node, NULL) == 0 && fs_node_equal(&node, &c->node))
		add(s, path, &node);
}

struct listing {
	struct scan *scan;
	char type;
};

static int on_number(void *arg, const char *name, bool is_folder)
{
	const struct listing *l = arg;
	struct candidate c = {.fs = l->scan->fs,
		.node = {.type = l->type},
		.uevent = BUF_INIT_LIMIT(ATTR_MAX),
		.udev = BUF_INIT_LIMIT(PROPERTIES_MAX)};
	(void)is_folder;
	if (sscanf(name, "%u:%u", &c.node.major, &c.node.minor) == 2) {
		find_in_sysfs(&c);
		consider_device(l->scan, &c);
	}
	buf_done(&c.uevent);
	buf_done(&c.udev);
	return 0;
}

/* ---- the whole ---- */

static int compare_devices(const void *a, const void *b)
{
	const struct device *x = a, *y = b;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	int by_length = (int)strlen(x->path) - (int)strlen(y->path); /* video9 before video10 */
	return by_length ? by_length : strcmp(x->path, y->path);
}

static void scan_rule(struct scan *s)
{
	const struct device_rule *r = &s->rules[s->rule];
	if (!r->match) {
		consider_path(s, r->path);
	} else if (r->match->path) {
		walk((struct globbing){s, "/dev", r->match->path + strlen("/dev/"), 0});
	} else {
		struct listing chars = {s, 'c'}, blocks = {s, 'b'};
		(void)!fs_list(s->fs, "/sys/dev/char", on_number, &chars, NULL);
		(void)!fs_list(s->fs, "/sys/dev/block", on_number, &blocks, NULL);
	}
}

void device_scan(struct fs *fs, const struct device_rule *rules, size_t count,
	struct device_list *ret_list)
{
	*ret_list = (struct device_list){0};
	struct scan s = {.fs = fs, .rules = rules, .rule_count = count, .list = ret_list};
	for (s.rule = 0; s.rule < count; s.rule++) {
		s.found = 0;
		scan_rule(&s);
	}
	if (ret_list->items.count > 0)
		qsort(ret_list->items.items, ret_list->items.count, sizeof(struct device),
			compare_devices);
}

void device_list_done(struct device_list *l)
{
	VEC_EACH (&l->items, struct device, d)
		free(d->path);
	vec_done(&l->items);
}

bool device_list_equal(const struct device_list *a, const struct device_list *b)
{
	if (a->items.count != b->items.count)
		return false;
	for (size_t i = 0; i < a->items.count; i++) {
		const struct device *x = &a->items.items[i], *y = &b->items.items[i];
		if (x->rule != y->rule || !fs_node_equal(&x->node, &y->node) ||
			!str_equal(x->path, y->path))
			return false;
	}
	return true;
}

/* ---- folders ---- */

struct folders {
	VEC(char *) paths;
};

/* The folder and all above it down to /dev, each once. Its part before a glob is enough: what
 * comes and goes further down was found, and is named by itself. Elsewhere the folder alone: those
 * above it may be busy with other things. */
static void add_folders_of(struct folders *f, const char *path)
{
	bool in_dev = str_starts(path, "/dev/");
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		bool known = !in_dev && strchr(slash + 1, '/');
		CLEANUP(mem_free_ptr) char *folder = mem_dup_bytes(path, (size_t)(slash - path));
		if (strpbrk(folder, "*?[\\"))
			return;
		VEC_EACH (&f->paths, char *, other)
			known = known || str_equal(*other, folder);
		if (!known)
			*vec_add(&f->paths) = take_ptr(folder);
	}
}

char **device_folders(const struct device_rule *rules, size_t count,
	const struct device_list *found)
{
	struct folders f = {0};
	for (size_t i = 0; i < count; i++)
		add_folders_of(&f, !rules[i].match        ? rules[i].path
				   : rules[i].match->path ? rules[i].match->path
							  : "/dev/");
	VEC_EACH (&found->items, struct device, d)
		add_folders_of(&f, d->path);
	*vec_add(&f.paths) = NULL;
	return f.paths.items;
}

void device_folders_free(char **folders)
{
	for (size_t i = 0; folders && folders[i]; i++)
		free(folders[i]);
	free(folders);
}

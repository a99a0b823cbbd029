#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "device/device.h"
#include "device/watch.h"
#include "sys/files_test.h"

#define USB "/sys/devices/pci0000:00/0000:00:14.0/usb1"

/* A machine with two cameras at one hub, of which each has a node for metadata too, a serial port
 * and a disk with a partition; the last tty has no node in /dev. */
static const struct test_file machine[] = {
	{"/dev/bus/usb/001/002", "c 189:1"},
	{"/dev/bus/usb/001/003", "c 189:2"},
	{"/dev/camera", "c 81:0"},
	{"/dev/sda", "b 8:0"},
	{"/dev/sda1", "b 8:1"},
	{"/dev/serial/by-id/usb-FTDI_A-if00", "c 188:0"},
	{"/dev/serial/by-id/usb-other-note", "text"},
	{"/dev/ttyUSB0", "c 188:0"},
	{"/dev/video0", "c 81:0"},
	{"/dev/video1", "c 81:1"},
	{"/dev/video10", "c 81:3"},
	{"/dev/video2", "c 81:2"},
	{"/dev/video3", "c 90:1"}, /* left behind by somebody: sysfs says 81:4 */
	{"/run/udev/data/b8:1", "S:disk/by-id/x\nE:ID_FS_TYPE=ext4\nE:ID_FS_LABEL=data\n"},
	{"/run/udev/data/c81:0", "I:123\nE:ID_MODEL=Camera_A\nE:ID_V4L_CAPABILITIES=:capture:\n"},
	{"/run/udev/data/c81:1", "E:ID_MODEL=Camera_A\nE:ID_V4L_CAPABILITIES=:\n"},
	{"/run/udev/data/c81:2", "E:ID_MODEL=Camera_B\nE:ID_V4L_CAPABILITIES=:capture:\n"},
	{"/sys/dev/block/8:0", "-> ../../devices/pci0000:00/ata1/block/sda"},
	{"/sys/dev/block/8:1", "-> ../../devices/pci0000:00/ata1/block/sda/sda1"},
	{"/sys/dev/char/188:0", "-> ../../devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/"
				"ttyUSB0/tty/ttyUSB0"},
	{"/sys/dev/char/188:1", "-> ../../devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/"
				"ttyUSB1/tty/ttyUSB1"},
	{"/sys/dev/char/81:0",
		"-> ../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/video4linux/video0"},
	{"/sys/dev/char/81:1",
		"-> ../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/video4linux/video1"},
	{"/sys/dev/char/81:2",
		"-> ../../devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/video4linux/video2"},
	{"/sys/dev/char/81:4", "-> ../../devices/virtual/video4linux/video3"},
	{"/sys/devices/virtual/video4linux/video3/uevent", "MAJOR=81\nMINOR=4\nDEVNAME=video3\n"},
	{"/sys/devices/pci0000:00/ata1/block/sda/subsystem", "-> ../../../../../class/block"},
	{"/sys/devices/pci0000:00/ata1/block/sda/uevent",
		"MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n"},
	{"/sys/devices/pci0000:00/ata1/block/sda/sda1/subsystem", "-> ../../../../../class/block"},
	{"/sys/devices/pci0000:00/ata1/block/sda/sda1/uevent",
		"MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n"},
	{USB "/1-1/idVendor", "046d\n"},
	{USB "/1-1/idProduct", "0825\n"},
	{USB "/1-1/serial", "A1 \n"},
	{USB "/1-1/1-1:1.0/driver", "-> ../../../../bus/usb/drivers/uvcvideo"},
	{USB "/1-1/1-1:1.0/bInterfaceClass", "0e\n"},
	{USB "/1-1/1-1:1.0/video4linux/video0/subsystem", "-> ../../../../../class/video4linux"},
	{USB "/1-1/1-1:1.0/video4linux/video0/uevent", "MAJOR=81\nMINOR=0\nDEVNAME=video0\n"},
	{USB "/1-1/1-1:1.0/video4linux/video0/index", "0\n"},
	{USB "/1-1/1-1:1.0/video4linux/video1/subsystem", "-> ../../../../../class/video4linux"},
	{USB "/1-1/1-1:1.0/video4linux/video1/uevent", "MAJOR=81\nMINOR=1\nDEVNAME=video1\n"},
	{USB "/1-2/idVendor", "046d\n"},
	{USB "/1-2/idProduct", "0999\n"},
	{USB "/1-2/1-2:1.0/driver", "-> ../../../../bus/usb/drivers/uvcvideo"},
	{USB "/1-2/1-2:1.0/video4linux/video2/subsystem", "-> ../../../../../class/video4linux"},
	{USB "/1-2/1-2:1.0/video4linux/video2/uevent", "MAJOR=81\nMINOR=2\nDEVNAME=video2\n"},
	{USB "/1-3/idVendor", "0403\n"},
	{USB "/1-3/1-3:1.0/ttyUSB0/tty/ttyUSB0/subsystem", "-> ../../../../class/tty"},
	{USB "/1-3/1-3:1.0/ttyUSB0/tty/ttyUSB0/uevent", "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0\n"},
	{USB "/1-3/1-3:1.0/ttyUSB1/tty/ttyUSB1/subsystem", "-> ../../../../class/tty"},
	{USB "/1-3/1-3:1.0/ttyUSB1/tty/ttyUSB1/uevent", "MAJOR=188\nMINOR=1\nDEVNAME=ttyUSB1\n"},
	{NULL, NULL},
};

/* What a configuration finds: "NAME PATH MAJOR:MINOR\n" for each. ' stands for ". */
static char *find(const char *rules)
{
	CLEANUP(arena_done) struct arena a = {0};
	struct test_files files = {{&test_files_ops}, machine};
	const struct device_rule *r;
	struct device_list list;
	size_t count;
	struct err e = ERR_INIT;
	struct buf b CLEANUP(buf_done) = BUF_INIT;
	CLEANUP(mem_free_ptr) char *json = mem_dup_string(rules);
	CLEANUP(json_done) json_t *tree = NULL;
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	assert_int_equal(json_decode(json, strlen(json), &tree, &e), 0);
	if (device_rules_parse(tree, &a, &r, &count, &e) < 0)
		fail_msg("%s", e.text);
	device_scan(&files.fs, r, count, &list);
	VEC_EACH (&list.items, struct device, d)
		buf_printf(&b, "%s %s %u:%u\n", r[d->rule].name, d->path, d->node.major,
			d->node.minor);
	device_list_done(&list);
	return buf_take(&b, NULL);
}

static void check(const char *match, const char *expected)
{
	CLEANUP(mem_free_ptr) char *rules = mem_format("[{'name':'x','match':{%s}}]", match);
	CLEANUP(mem_free_ptr) char *found = find(rules);
	if (strcmp(found, expected) != 0)
		fail_msg("%s gave\n%snot\n%s", match, found, expected);
}

#define VIDEO_0 "x /dev/video0 81:0\n"
#define VIDEO_1 "x /dev/video1 81:1\n"
#define VIDEO_2 "x /dev/video2 81:2\n"

static void one_path_is_one_device(void **state)
{
	(void)state;
	CLEANUP(mem_free_ptr)
	char *found =
		find("[{'name':'cam','path':'/dev/camera'},{'name':'gone','path':'/dev/gone'},"
		     "{'name':'text','path':'/dev/serial/by-id/usb-other-note'}]");
	assert_string_equal(found, "cam /dev/camera 81:0\n");
}

static void the_device_itself_is_matched(void **state)
{
	(void)state;
	check("'kernel':'video*'", VIDEO_0 VIDEO_1 VIDEO_2);
	check("'subsystem':'video4linux'", VIDEO_0 VIDEO_1 VIDEO_2);
	check("'subsystem':'video4linux','kernel':'*2'", VIDEO_2);
	check("'subsystem':'block'", "x /dev/sda 8:0\nx /dev/sda1 8:1\n");
	check("'devtype':'partition'", "x /dev/sda1 8:1\n");
	check("'kernel':'ttyUSB*'", "x /dev/ttyUSB0 188:0\n"); /* the other has no node */
	check("'subsystem':'sound'", "");
}

static void parents_are_matched(void **state)
{
	(void)state;
	check("'kernel':'video*','driver':'uvcvideo'", VIDEO_0 VIDEO_1 VIDEO_2);
	check("'subsystem':'video4linux','attr':{'idVendor':'046d','idProduct':'0825'}",
		VIDEO_0 VIDEO_1);
	check("'attr':{'idVendor':'0403'}", "x /dev/ttyUSB0 188:0\n");
	check("'subsystem':'video4linux','attr':{'index':'0'}", VIDEO_0);
	check("'attr':{'serial':'A1'}", VIDEO_0 VIDEO_1);           /* white space behind it */
	check("'attr':{'driver':'uvc*'}", VIDEO_0 VIDEO_1 VIDEO_2); /* a link */
	/* Attributes of two different parents never match together, as in udev. */
	check("'attr':{'idVendor':'046d','bInterfaceClass':'0e'}", "");
}

static void properties_of_udev_are_matched(void **state)
{
	(void)state;
	check("'property':{'ID_V4L_CAPABILITIES':'*:capture:*'}", VIDEO_0 VIDEO_2);
	check("'property':{'ID_V4L_CAPABILITIES':'*:capture:*','ID_MODEL':'Camera_A'}", VIDEO_0);
	check("'property':{'ID_FS_LABEL':'data'}", "x /dev/sda1 8:1\n");
	check("'property':{'DEVTYPE':'disk'}", "x /dev/sda 8:0\n"); /* the kernel's own */
	check("'property':{'ID_MODEL':'*'},'kernel':'video2'", VIDEO_2);
}

static void paths_are_matched(void **state)
{
	(void)state;
	check("'path':'/dev/serial/by-id/*'", "x /dev/serial/by-id/usb-FTDI_A-if00 188:0\n");
	check("'path':'/dev/serial/*/usb-FTDI*','attr':{'idVendor':'0403'}",
		"x /dev/serial/by-id/usb-FTDI_A-if00 188:0\n");
	check("'path':'/dev/serial/*/usb-FTDI*','attr':{'idVendor':'0404'}", "");
	check("'path':'/dev/bus/usb/*/*'", "x /dev/bus/usb/001/002 189:1\nx /dev/bus/usb/001/003 "
					   "189:2\n");
	/* Shorter names first; /dev/camera is video0 by another name. */
	check("'path':'/dev/video*'",
		VIDEO_0 VIDEO_1 VIDEO_2 "x /dev/video3 90:1\nx /dev/video10 81:3\n");
	check("'path':'/dev/[cv]*0'", "x /dev/video0 81:0\nx /dev/video10 81:3\n");
	check("'path':'/dev/none/*'", "");
}

static void rules_of_one_name_add_up(void **state)
{
	(void)state;
	CLEANUP(mem_free_ptr)
	char *found = find("[{'name':'a','path':'/dev/video1'},{'name':'a','match':{'kernel':"
			   "'video*'}},{'name':'b','path':'/dev/video1'}]");
	assert_string_equal(found, "a /dev/video1 81:1\na /dev/video0 81:0\na /dev/video2 81:2\n"
				   "b /dev/video1 81:1\n");
}

static void folders_to_watch(void **state)
{
	(void)state;
	const struct device_match by_path = {.path = "/dev/serial/by-id/*"},
				  by_name = {.kernel = "x"};
	const struct device_rule rules[] = {{.name = "a", .path = "/dev/camera"},
		{.name = "d", .path = "/var/lib/vm/camera"}, {.name = "b", .match = &by_path},
		{.name = "c", .match = &by_name}};
	struct device one = {.rule = 3, .path = (char *)"/dev/snd/x"};
	struct device_list found = {{&one, 1, 1}};
	char **folders = device_folders(rules, ARRAY_SIZE(rules), &found);
	static const char *const expected[] = {
		"/dev", "/var/lib/vm", "/dev/serial", "/dev/serial/by-id", "/dev/snd"};
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(folders[i], expected[i]);
	assert_null(folders[ARRAY_SIZE(expected)]);
	device_folders_free(folders);
}

static bool concerns(const char *header, size_t header_size, const char *text, size_t size)
{
	char message[512];
	memcpy(message, header, header_size);
	memcpy(message + header_size, text, size);
	return device_uevent_concerns(message, header_size + size);
}

static void uevents_are_read(void **state)
{
	(void)state;
	static const char loop[] = "add@/devices/virtual/block/loop8\0ACTION=add\0DEVNAME=loop8";
	static const char veth[] = "add@/devices/virtual/net/v\0ACTION=add\0INTERFACE=v";
	assert_true(concerns("", 0, loop, sizeof(loop)));
	assert_true(concerns("", 0, loop, sizeof(loop) - 1));
	assert_false(concerns("", 0, veth, sizeof(veth)));
	assert_false(concerns("", 0, "", 0));
	uint32_t header[10] = {0};
	memcpy(header, "libudev", 8);
	header[2] = htonl(0xfeedcafe);
	header[3] = header[4] = sizeof(header);
	header[5] = sizeof(loop);
	assert_true(concerns((char *)header, sizeof(header), loop, sizeof(loop)));
	header[5] = sizeof(loop) + 1; /* more than there is */
	assert_false(concerns((char *)header, sizeof(header), loop, sizeof(loop)));
	header[4] = 0xffffffff;
	assert_false(concerns((char *)header, sizeof(header), loop, sizeof(loop)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_path_is_one_device),
		cmocka_unit_test(the_device_itself_is_matched),
		cmocka_unit_test(parents_are_matched),
		cmocka_unit_test(properties_of_udev_are_matched),
		cmocka_unit_test(paths_are_matched),
		cmocka_unit_test(rules_of_one_name_add_up),
		cmocka_unit_test(folders_to_watch),
		cmocka_unit_test(uevents_are_read),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

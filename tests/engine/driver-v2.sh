#!/bin/bash
# The driver `oci` where cgroups are version 2 alone: in Debian's own kernel in an emulator, with this machine's
# runc, crun and conmon. Needs qemu-system-x86, kmod, cpio and Debian's archive (or DRIVER_V2_KERNEL=DEB).
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/busybox_root.sh
. tests/lib/emulator.sh

build=${CONTINUO_BUILD:-./build}
tests="start_runs_and_is_repeatable exit_codes_give_phases stop_is_graceful_then_hard commands_run_inside
	list_is_the_truth limits_are_in_the_cgroup memory_kills_have_their_reason devices_are_injected
	memory_scores_follow_the_class lost_monitors_end_their_containers containers_share_processes"
for tool in qemu-system-x86_64 depmod cpio runc conmon; do
	command -v $tool >/dev/null || { tap_skip "needs $tool" && tap_finish; }
done
folder=$(mktemp -d)
at_exit 'rm -rf --one-file-system "$folder"'

make_disk() {
	local version program
	version=$(ls "$folder/kernel/lib/modules")
	mkdir -p "$folder/root"/{proc,sys,dev,tmp,run,new,lib/modules}
	busybox_root "$folder/root"
	busybox_root "$folder/root/image"
	for program in runc crun conmon; do
		program=$(command -v $program) && { emulator_copy "$folder/root" bin "$program" || return 1; }
	done
	emulator_copy "$folder/root" bin "$build/src/driver/driver-contract" && cp "$build/src/main/continuo-pause" "$folder/root/bin/" || return 1
	find "$folder/kernel/lib/modules/$version" -name 'overlay.ko*' -exec cp {} "$folder/root/lib/modules/" \;
	# The first root of a kernel cannot be pivoted away from, so the test moves to a tmpfs.
	cat >"$folder/root/init" <<-'END'
		#!/bin/sh
		export PATH=/bin:/sbin:/usr/bin:/usr/sbin
		mount -t tmpfs -o size=900m root /new
		cp -a /bin /etc /image /lib /lib64 /usr /tests /init.next /new/ 2>/dev/null
		mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/run
		exec switch_root /new /init.next
	END
	cat >"$folder/root/init.next" <<-'END'
		#!/bin/sh
		export PATH=/bin:/sbin:/usr/bin:/usr/sbin CONTRACT_PATIENCE=10 PAUSE_PROGRAM=/bin/continuo-pause
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		mount -t devtmpfs dev /dev
		mkdir -p /dev/shm /dev/pts
		mount -t cgroup2 cgroup /sys/fs/cgroup
		insmod /lib/modules/overlay.ko*
		for runtime in runc crun; do
			echo "=== $runtime"
			driver-contract oci /tmp/state-$runtime /tmp/run-$runtime /test /image $runtime $(cat /tests) 2>&1
			echo "=== $runtime gave $?"
		done
		poweroff -f
	END
	chmod +x "$folder/root/init" "$folder/root/init.next"
	echo $tests >"$folder/root/tests"
	emulator_disk "$folder/root" "$folder/disk.gz"
}

boot() {
	emulator_boot 400 "$folder/kernel" "$folder/disk.gz" "$folder/console"
	tr -d '\r' <"$folder/console" | sed -n '/=== runc/,$p'
	grep -q "=== runc gave" "$folder/console"
}

passed() { tr -d '\r' <"$folder/console" | grep -q "=== $1 gave 0"; }

tap_check "Debian's kernel" emulator_kernel "$folder"
tap_check "a disk with the driver" make_disk
tap_check "it boots and runs the suite" boot
tap_check "runc on cgroup v2" passed runc
tap_check "crun on cgroup v2" passed crun
tr -d '\r' <"$folder/console" | sed -n '/=== runc/,$p' | grep -v '^ok' | tap_note
tap_finish

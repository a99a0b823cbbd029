#!/bin/bash
# The driver `oci` over real containers: the contract suite, with each runtime that there is, and what is left
# on the machine afterwards.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh

build=${CONTINUO_BUILD:-./build}
id=driver-oci-$$
[ "$(id -u)" = 0 ] || { tap_skip "needs root: it makes containers" && tap_finish; }
folder=$(mktemp -d)

clean_up() {
	local root path
	for root in $(cgroup_roots); do
		[ -d "$root/$id" ] || continue
		find "$root/$id" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -KILL 2>/dev/null
	done
	wait_for 5 no_processes
	grep -F "$folder" /proc/self/mounts | awk '{ print $2 }' | sort -r | xargs -r -n 1 umount -l
	for root in $(cgroup_roots); do
		find "$root/$id" -depth -type d -exec rmdir {} + 2>/dev/null
	done
	rm -rf --one-file-system "$folder"
}

no_processes() {
	local root
	for root in $(cgroup_roots); do
		[ -z "$(find "$root/$id" -name cgroup.procs -exec cat {} + 2>/dev/null)" ] || return 1
	done
}

suite() { # RUNTIME
	PAUSE_PROGRAM=$(realpath "$build/src/main/continuo-pause") RUNTIME_WRAPPER=$(realpath "$build/src/main/continuo-runtime") "$build/src/driver/driver-contract" oci \
		"$folder/state-$1" "$folder/run-$1" "/$id" "$folder/root" "$1" >"$folder/output" 2>&1
	local status=$?
	cat "$folder/output"
	return $status
}

no_conmon() { ! pgrep -f "conmon.*$folder" >/dev/null; }

# All that may be mounted is the tmpfs of the run folder, which the next agent uses.
no_mounts() { [ "$(grep -cF "$folder/run-$1" /proc/self/mounts)" -le 1 ]; }

no_cgroups() {
	local root
	for root in $(cgroup_roots); do
		[ ! -d "$root/$id/conmon" ] && [ -z "$(ls -d "$root/$id"/pod-* 2>/dev/null)" ] || return 1
	done
}

at_exit clean_up
busybox_root "$folder/root"
for runtime in runc crun; do
	command -v $runtime >/dev/null || { tap_skip "$runtime is not installed" && continue; }
	tap_check "the driver keeps its contract with $runtime" suite $runtime
	grep "^# one pod" "$folder/output"
	tap_check "no monitor is left" wait_for 5 no_conmon
	tap_check "no mount is left" no_mounts $runtime
	tap_check "no cgroup is left" no_cgroups
done
tap_finish

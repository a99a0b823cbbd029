#!/bin/bash
# The driver `docker` over a real dockerd: the contract suite, dockerd's death with and without live restore, and
# what is left on the machine afterwards.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/engine.sh

for program in dockerd iptables; do
	command -v $program >/dev/null || { tap_skip "$program is not installed" && tap_finish; }
done
engine_prepare driver-docker-$$
at_exit engine_end

tap_check "dockerd starts" engine start
tap_check "the driver keeps its contract" engine_suite
grep "^# one pod" "$engine_folder/output"
export ENGINE_LIVE=1
tap_check "dockerd ends in order" engine stop
tap_check "dockerd starts with live restore" engine start
tap_check "containers outlive dockerd" engine_suite engines_may_die
tap_check "no container is left" engine_has_none
tap_check "no mount is left" engine_no_mounts
tap_check "no cgroup is left" wait_for 5 engine_no_cgroups
tap_finish

#!/bin/bash
# The driver `docker` over the socket of a real Podman: the contract suite, the death of its service, which containers
# outlive, and what is left on the machine afterwards.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/engine.sh

command -v podman >/dev/null || { tap_skip "podman is not installed" && tap_finish; }
engine_kind=podman
engine_prepare driver-podman-$$
at_exit engine_end

export ENGINE_LIVE=1 # conmon keeps them
tap_check "podman starts" engine start
tap_check "the driver keeps its contract" engine_suite
grep "^# one pod" "$engine_folder/output"
tap_check "no container is left" engine_has_none
tap_check "no mount is left" engine_no_mounts
tap_check "no cgroup is left" wait_for 5 engine_no_cgroups
tap_finish

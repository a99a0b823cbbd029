#!/bin/bash
# continuo-fence kills what is in a control group at its deadline, and what enters it later never runs: a container that
# was being started when the lease ended.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/cgroup.sh

group=continuo-fence-$$
folder=$(mktemp -d /var/tmp/continuo-fence-XXXXXX)
fence=
end() {
	[ -z "$fence" ] || kill -KILL "$fence" 2>/dev/null
	cgroup_end "$group"
	rm -rf "$folder"
}
at_exit end
if ! cgroup_make "$group/pod-u" 2>/dev/null; then
	tap_skip "control groups cannot be made here"
	tap_finish
	exit
fi

boottime_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }
enter() { # PID: into the pod's group
	local root
	for root in $(cgroup_roots); do
		echo "$1" >"$root/$group/pod-u/cgroup.procs" || return 1
	done
}

sleep 1000 &
disown
victim=$!
enter "$victim"
tap_check "a fence stands" "${CONTINUO_BUILD:-build}/src/main/continuo-fence" "$folder/socket" "/$group/pod-u" \
	$(($(boottime_ms) + 400))
fence=$(pgrep -f "^[^ ]*continuo-fence $folder/socket")
tap_check "what it guards runs until the deadline" kill -0 "$victim"
tap_check "and not after it" wait_for 5 is_gone "$victim"

# late: starts outside of the group, enters it and goes on.
late() {
	mkfifo "$folder/go-$1"
	exec 9<>"$folder/go-$1"
	bash -c 'read -u 9; touch "$1"' - "$folder/ran-$1" &
	enter $!
	echo >&9
	exec 9>&-
	wait_for 5 is_gone $! && [ ! -e "$folder/ran-$1" ]
}
for round in 1 2 3 4 5; do
	tap_check "what enters the group later never runs ($round)" late "$round"
done
tap_finish

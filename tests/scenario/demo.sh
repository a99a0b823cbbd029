#!/bin/bash
# The demo verifies itself; here: that it succeeds, and that it leaves nothing behind, neither at its end
# nor when it is interrupted.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
export CONTINUO_BUILD=${CONTINUO_BUILD:-build}
work=$(mktemp -d /tmp/continuo-dt-XXXXXX)
id=d${work: -3}
at_exit rm -rf --one-file-system "$work"

# start_demo NAME: in the background and in a session of its own, with its files below $work/NAME. SIGINT
# is what it is in a terminal (a shell's background would ignore it).
start_demo() {
	mkdir "$work/$1"
	DEMO_ID=$id$1 TMPDIR=$work/$1 env --default-signal=INT setsid demo/run >"$work/$1.log" 2>&1 &
	demo=$!
	at_exit "kill -INT $demo 2>/dev/null && wait $demo"
}

# traces NAME: all that a demo could leave behind: files, processes, mounts, namespaces, cgroups.
traces() {
	ls -A "$work/$1"
	grep -l "$work/$1" /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/mounts 2>/dev/null
	ls -d "/run/netns/$id$1"-* 2>/dev/null
	find /sys/fs/cgroup -maxdepth 2 -name "$id$1" 2>/dev/null
}

leaves_nothing() { # NAME
	local left
	left=$(traces "$1")
	echo "$left"
	[ -z "$left" ]
}

interfaces() { ls /sys/class/net | grep -E '^(to-|br-|cnt-|eth0@|continuo)'; }

interfaces >"$work/before"
start_demo whole
wait $demo
status=$?
tap_result $status "the demo succeeds"
[ $status -eq 0 ] || tap_note <"$work/whole.log" >&2
tap_check "it saw everything that it promises" grep -q "Everything was verified" "$work/whole.log"
tap_check "nothing is left of it" leaves_nothing whole

count=0
for place in "Registry:" "Five agents join" "pulling registry" ; do
	count=$((count + 1))
	start_demo "part$count"
	tap_check "a demo gets as far as \"$place\"" wait_for 180 grep -q "$place" "$work/part$count.log"
	kill -INT $demo
	wait $demo
	tap_check "interrupted there, it ends with 130" test $? -eq 130
	tap_check "and leaves nothing" leaves_nothing "part$count"
done
interfaces >"$work/after"
tap_check "no interface of it is left on the machine" test -z "$(comm -13 "$work/before" "$work/after")"
tap_finish

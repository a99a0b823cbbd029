#!/bin/bash
# A pod that may move and must never run twice (continuo.dev/singleton: handover), for real: its node is cut off,
# its agent and its fence are killed. All hosts share the kernel's CLOCK_BOOTTIME, which the pod writes down
# for as long as it lives.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

topo_id=ho$$
continuum_folder=$(mktemp -d /var/tmp/continuo-handover-XXXXXX)
at_exit continuum_end
bail() { echo "Bail out! $*"; tail -n 8 "$continuum_folder"/*.log >&2; exit 1; }

healing_raise || bail "no continuum"

guard() { # MODE: the Deployment
	jq -n --arg image "$healing_image" --arg mode "$1" '{apiVersion: "apps/v1", kind: "Deployment",
		metadata: {name: "guard"}, spec: {replicas: 1, selector: {matchLabels: {app: "guard"}},
		template: {metadata: {labels: {app: "guard"}, annotations: {"continuo.dev/singleton": $mode}},
		spec: {terminationGracePeriodSeconds: 0, containers: [{name: "main", image: $image, command: ["sh", "-c",
		"while read up rest </proc/uptime; do echo alive $up; sleep 0.05; done"]}]}}}}' | continuum apply -f -
}
pods() { continuum get pods -l app=guard -o json; }
field() { pods | jq -r "[.items[] | select(.status.phase == \"Running\")][0] | $1"; }
runs() { pods | jq -e '[.items[] | select(.status.phase == "Running")] | length == 1'; }
runs_elsewhere() { pods | jq -e --arg node "$1" 'any(.items[]; .status.phase == "Running" and .spec.nodeName != $node)'; }
alive_lines() { # NODE UID
	find "$continuum_folder/$1/state/pods" -path "*$2*" -type f -print0 2>/dev/null |
		xargs -0 grep -haoE "alive [0-9.]+" | sed 's/alive //' | sort -n
}
fence_of() { pgrep -f "continuo-fence [^ ]*$1 " | head -1; }
has_fence() { [ -n "$(fence_of "$1")" ]; }
other_fence() { # UID PID
	local now
	now=$(fence_of "$1")
	[ -n "$now" ] && [ "$now" != "$2" ]
}
before() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a < b) }' || { echo "$1 is not before $2"; return 1; }; }

tap_check "an unknown value is refused in words" tap_says 1 "keep" guard sometimes
guard handover >/dev/null || bail "cannot deploy"
tap_check "the pod runs" wait_for 20 runs
node=$(field .spec.nodeName) uid=$(field .metadata.uid)
tap_check "its fence stands" has_fence "$uid"
tap_check "with little memory of its own" [ "$(awk '/^Pss_Anon:/ { print $2 }' "/proc/$(fence_of "$uid")/smaps_rollup")" -lt 300 ]
fence=$(fence_of "$uid")
kill -KILL "$fence"
tap_check "one that was killed is raised anew" wait_for 10 other_fence "$uid" "$fence"
same_container() { [ "$(field '.status.containerStatuses[0].restartCount')" = 0 ] && [ "$(field .metadata.uid)" = "$uid" ]; }
tap_check "and the pod goes on" same_container

# ---- the node is cut off, and its agent dies as well ----

topo_cut "$node"
continuum_kill "$node"
tap_check "the pod comes elsewhere" wait_for 40 runs_elsewhere "$node"
new_uid=$(pods | jq -r --arg node "$node" '.items[] | select(.spec.nodeName != $node).metadata.uid')
new_node=$(pods | jq -r --arg node "$node" '.items[] | select(.spec.nodeName != $node).spec.nodeName')
has_lines() { [ -n "$(alive_lines "$new_node" "$new_uid" | head -1)" ]; }
wait_for 10 has_lines
tap_check "after the fence killed the first one" before "$(alive_lines "$node" "$uid" | tail -1)" \
	"$(alive_lines "$new_node" "$new_uid" | head -1)"

continuum_agent_start "$node"
topo_join "$node"
one_left() { pods | jq -e '.items | length == 1' && continuum_nodes_ready 5; }
no_old() { ! has_fence "$uid" && ! grep -qs . /sys/fs/cgroup/pids/$topo_id/$node/pods/pod-$uid/*/cgroup.procs; }
tap_check "back again, one copy is left" wait_for 20 one_left
tap_check "and nothing of the old one" wait_for 70 no_old
stays() { [ "$(field .metadata.uid)" = "$new_uid" ] && [ "$(field '.status.containerStatuses[0].restartCount')" = 0 ]; }
tap_check "the new one was not disturbed" stays

# ---- only the node is cut off ----

node=$new_node uid=$new_uid
topo_cut "$node"
tap_check "cut off again, it comes elsewhere" wait_for 40 runs_elsewhere "$node"
new_uid=$(pods | jq -r --arg node "$node" '.items[] | select(.spec.nodeName != $node).metadata.uid')
new_node=$(pods | jq -r --arg node "$node" '.items[] | select(.spec.nodeName != $node).spec.nodeName')
wait_for 10 has_lines
tap_check "after the first one ended" before "$(alive_lines "$node" "$uid" | tail -1)" \
	"$(alive_lines "$new_node" "$new_uid" | head -1)"
fenced() { grep -q "event=pod_fenced.*$uid" "$continuum_folder/$node.log"; }
tap_check "which its agent knows" fenced
topo_join "$node"
tap_check "and one copy is left" wait_for 20 one_left
tap_finish

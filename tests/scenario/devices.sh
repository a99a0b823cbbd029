#!/bin/bash
# Devices for real: nodes that come and go below /dev, a loop device that the kernel plugs and unplugs, what pods
# are given, and what becomes of them when it goes. Prints how long plug and unplug took to be seen.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

[ "$(id -u)" = 0 ] || { tap_skip "needs root: it makes device nodes" && tap_finish; }
topo_id=dv$$
loop=$((40000 + $$ % 8000))
bail() { echo "Bail out! $*"; tail -n 8 "$continuum_folder"/*.log >&2; exit 1; }

# ---- a server, a registry, a node with devices ----

# loop_control ADD|REMOVE: the kernel's own hot plug (loop(4): LOOP_CTL_ADD, LOOP_CTL_REMOVE). Prints when it did.
loop_control() {
	python3 -c 'import fcntl, sys, time
with open("/dev/loop-control") as control:
    print(time.time_ns() // 1000000)
    fcntl.ioctl(control, {"ADD": 0x4C80, "REMOVE": 0x4C81}[sys.argv[1]], int(sys.argv[2]))' "$1" "$loop"
}
loop_end() { [ ! -e "/sys/block/loop$loop" ] || loop_control REMOVE >/dev/null; }

# The node's own /dev/shm, so that no device that is made here is the machine's.
shelf() { continuum_in_mounts node1 mount -t tmpfs -o size=1m,mode=755 tmpfs /dev/shm; }
plug() { continuum_in_mounts node1 mknod -m 600 "/dev/shm/$1" c 1 "$2"; } # NAME MINOR
unplug() { continuum_in_mounts node1 rm "/dev/shm/$1"; }

raise() {
	continuum_folder=$(mktemp -d /var/tmp/continuo-devices-XXXXXX)
	at_exit continuum_end
	at_exit loop_end
	topo_start && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
		topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host node1 c 10.10.3.11/24 10.10.3.1 || bail "no network"
	healing_push || bail "no image"
	continuum_start_server "$healing_server" || bail "no server"
	continuum_mounts_first node1
	continuum_agent node1 10.10.3.11 edge site-1 "registries: $continuum_folder/registries.json
devices:
- name: cam
  match: {path: \"/dev/shm/cam*\"}
- name: disk
  match: {subsystem: block, devtype: disk, kernel: loop$loop, attr: {ro: \"0\"}}
  containerPath: /dev/disk" && wait_for 20 continuum_nodes_ready 1 || bail "no node"
}

# The agent finds the node's /dev/shm as it is to be.
continuum_mounts_first() {
	eval "$(declare -f continuum_mounts | sed '1s/continuum_mounts/continuum_mounts_plain/')"
	continuum_mounts() { continuum_mounts_plain "$1" && shelf; }
}

# ---- helpers ----

# offered NAME COUNT: allocatable says so.
offered() { [ "$(continuum get node node1 -o json | jq -r ".status.allocatable[\"continuo.dev/$1\"]")" = "$2" ]; }
# deploy NAME DEVICE [COUNT]: one pod that wants it; it says which it has.
deploy() {
	jq -n --arg name "$1" --arg device "continuo.dev/$2" --arg count "${3:-1}" --arg image "$healing_image" '
		{apiVersion: "apps/v1", kind: "Deployment", metadata: {name: $name}, spec: {replicas: 1,
		selector: {matchLabels: {app: $name}}, template: {metadata: {labels: {app: $name}}, spec: {
		terminationGracePeriodSeconds: 0, containers: [{name: "main", image: $image, resources: {limits: {($device): $count}},
		command: ["sh", "-c", "echo $CONTINUO_DEVICE_CAM$CONTINUO_DEVICE_DISK; exec sleep 3600"]}]}}}}' | continuum apply -f - >/dev/null
}
pods() { continuum get pods -l "app=$1" -o json; }
# has_pod NAME FILTER: one of its pods is so.
has_pod() { pods "$1" | jq -e "any(.items[]; $2)"; }
runs() { has_pod "$1" '.status.phase == "Running" and .status.containerStatuses[0].ready'; }
running() { pods "$1" | jq -r '[.items[] | select(.status.phase == "Running")][0].metadata.name'; }
given() { continuum logs "$(running "$1")"; }
given_is() { [ "$(given "$1")" = "$2" ]; }
# Not on the node, and it is told that the device is why.
pends() { has_pod "$1" ".status.phase == \"Pending\" and any(.status.conditions[]; .type == \"PodScheduled\" and .status == \"False\"
	and (.message | contains(\"continuo.dev/$2\")))"; }
lost() { has_pod "$1" ".status.phase == \"Failed\" and .status.reason == \"DeviceLost\" and (.status.message | contains(\"$2\"))"; }
event() { continuum get events -o json | jq -e --arg reason "$1" --arg text "$2" 'any(.items[]; .reason == $reason and
	(.message | contains($text)))'; }
pids() { cgroup_processes "$topo_id/node1/pods" | sort; }
# took WHAT [EVENT PATH]: ms since $began until here, which asks the server again and again, and until the time that
# the agent's log has at its last event of that kind.
took() {
	local seen at
	seen=$([ -z "${2:-}" ] || grep -F "event=$2 " "$continuum_folder/node1.log" | grep -F "$3" | tail -n 1 | sed 's/^time=\([^ ]*\).*/\1/')
	at=$([ -z "$seen" ] || date -d "$seen" +%s%3N)
	echo "# $1: $(($(healing_now_ms) - began)) ms${at:+, in the agent $((at - began)) ms}"
}

raise
tap_check "what is configured and not there is offered as 0" offered cam 0
deploy film cam
tap_check "a pod that wants it waits, and the reason is told" wait_for 10 pends film cam

# ---- plugged ----

began=$(healing_now_ms)
plug cam0 9
tap_check "a device that comes is offered" wait_for 5 offered cam 1
took "mknod to allocatable" device_there /dev/shm/cam0
tap_check "the pod runs with it" wait_for 20 runs film
took "mknod to running"
tap_check "and knows its name" wait_for 5 given_is film /dev/shm/cam0
tap_check "the node is a device in it" continuum exec "$(running film)" -- test -c /dev/shm/cam0
deploy other cam
tap_check "there is no second one" wait_for 10 pends other cam
plug cam1 8
tap_check "a second one goes to the second pod" wait_for 20 runs other
tap_check "and each has its own" wait_for 5 given_is other /dev/shm/cam1

began=$(loop_control ADD) || bail "no loop device"
tap_check "a device that the kernel plugs is found by what it is" wait_for 5 offered disk 1
took "LOOP_CTL_ADD to allocatable" device_there "/dev/loop$loop"
deploy store disk
tap_check "and given by the name that the configuration says" wait_for 20 runs store
tap_check "as a block device" continuum exec "$(running store)" -- test -b /dev/disk
tap_check "of that number" test "$(continuum exec "$(running store)" -- stat -c %t:%T /dev/disk)" = "$(stat -c %t:%T "/dev/loop$loop")"

# ---- a pod that is put on the node by force ----

jq -n --arg image "$healing_image" '{apiVersion: "v1", kind: "Pod", metadata: {name: "forced", labels: {app: "forced"}},
	spec: {nodeName: "node1", containers: [{name: "main", image: $image, resources: {limits: {"continuo.dev/cam": "1"}}}]}}' |
	continuum apply -f - >/dev/null
awaited() { has_pod forced '.status.reason == "DevicesUnavailable" and (.status.message | contains("continuo.dev/cam"))'; }
tap_check "finds no device free and says so" wait_for 10 awaited
refused() { has_pod forced '.status.phase == "Failed" and .status.reason == "UnexpectedAdmissionError"'; }

# ---- the agent dies ----

before=$(pids)
continuum_kill node1
continuum_agent_start node1
tap_check "the agent, started again, offers the same" wait_for 20 eval 'continuum_nodes_ready 1 && offered cam 2'
tap_check "and no process ended" test "$before" = "$(pids)"
tap_check "the pod by force is refused in the end" wait_for 25 refused
still() { given_is film /dev/shm/cam0 && given_is other /dev/shm/cam1; }
tap_check "while the others have what they had" still

# ---- unplugged ----

began=$(healing_now_ms)
unplug cam0
tap_check "a pod whose device went has failed for that" wait_for 5 lost film "/dev/shm/cam0 (continuo.dev/cam"
took "rm to Failed" pod_failed /dev/shm/cam0
tap_check "with an event" wait_for 5 event DeviceLost /dev/shm/cam0
tap_check "its successor waits for one" wait_for 10 pends film cam
tap_check "the node has one less" offered cam 1
tap_check "the pod with the other one goes on" given_is other /dev/shm/cam1
plug cam0 5
tap_check "it comes back, as another one, and the pod runs" wait_for 20 runs film
tap_check "with it" wait_for 5 given_is film /dev/shm/cam0

began=$(loop_control REMOVE)
tap_check "what the kernel unplugs is lost the same way" wait_for 5 lost store "/dev/loop$loop (continuo.dev/disk"
took "LOOP_CTL_REMOVE to Failed" pod_failed "/dev/loop$loop"

continuum_kill node1
unplug cam1
continuum_agent_start node1
tap_check "and what went while the agent was dead" wait_for 20 lost other /dev/shm/cam1
ended() { [ "$(pids | wc -l)" -lt "$(wc -l <<<"$before")" ]; }
tap_check "whose processes have ended" wait_for 10 ended
tap_finish

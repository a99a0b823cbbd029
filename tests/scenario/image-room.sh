#!/bin/bash
# A node without a registry, and with little room: a pod from a loaded archive, what goes when the disk fills, what
# stays, and the node's condition when nothing is left to go. Another one on which somebody else has the port of names.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh

topo_id=ci$$
server=10.10.3.10:6443
bail() { echo "Bail out! $*"; tail -n 5 "$continuum_folder"/*.log >&2; exit 1; }

raise() {
	continuum_folder=$(mktemp -d /var/tmp/continuo-room-XXXXXX)
	at_exit continuum_end
	topo_start && topo_site c 10.10.3.1/24 && topo_host server c 10.10.3.10/24 10.10.3.1 &&
		topo_host node c 10.10.3.11/24 10.10.3.1 && topo_host deaf c 10.10.3.12/24 10.10.3.1 || bail "no network"
	mkdir -p "$continuum_folder/node/state"
	mount -t tmpfs -o size=64m tmpfs "$continuum_folder/node/state"
	at_exit "umount -l '$continuum_folder/node/state'"
	busybox_root "$continuum_folder/box"
	local name
	for name in one two three; do # 8 MB each, besides a layer that they share
		mkdir "$continuum_folder/$name"
		head -c 8000000 /dev/urandom >"$continuum_folder/$name/$name"
		tools/ocilayout.py "$continuum_folder/layout" "$name" --config '{"Env": ["PATH=/bin"]}' \
			--layer "$continuum_folder/box:gzip" --layer "$continuum_folder/$name:none" >/dev/null
		skopeo --insecure-policy copy -q "oci:$continuum_folder/layout:$name" \
			"docker-archive:$continuum_folder/$name.tar:air.gap/$name:1" || bail "no archive"
	done
	continuum_start_server "$server" && continuum_agent node 10.10.3.11 edge c "imageGcHighPercent: 70
imageGcLowPercent: 60" && wait_for 20 continuum_nodes_ready 1 || bail "no node"
}

load() { continuum image load -i "$continuum_folder/$1.tar" --state "$continuum_folder/node/state"; }
pod() { # NAME IMAGE POLICY
	jq -n --arg name "$1" --arg image "air.gap/$2:1" --arg policy "$3" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name},
		spec: {terminationGracePeriodSeconds: 0, containers: [{name: "main", image: $image, imagePullPolicy: $policy,
		command: ["sleep", "1000"]}]}}' | continuum apply -f - >/dev/null
}
runs() { [ "$(continuum get pod "$1" -o json | jq -r '.status.containerStatuses[0].state | keys[0]')" = running ]; }
gone() { ! continuum get pod "$1"; }
has() { ls "$continuum_folder/node/state/images/layers/"*"/$1"; }
has_not() { ! has "$1"; }
fill() { head -c "$2" /dev/zero >"$continuum_folder/node/state/$1"; } # FILE BYTES
condition_is() { [ "$(continuum get node "$1" -o json | jq -r --arg type "$2" '.status.conditions[] | select(.type == $type).status')" = "$3" ]; }
pressure_is() { condition_is node DiskPressure "$1"; }
has_taint() { continuum get node "$1" -o json | jq -e --arg key "$2" 'any(.spec.taints[]?; .key == $key and .effect == "NoSchedule")'; }
tainted() { has_taint node node.kubernetes.io/disk-pressure; }
no_network_taint() { ! has_taint deaf node.kubernetes.io/network-unavailable; }
not_tainted() { ! tainted; }
touch_off() { # a pod comes and goes, upon which the agent looks at its disk
	pod "$1" one Never && wait_for 20 runs "$1"
	continuum delete pod "$1" >/dev/null
}

raise
tap_check "an archive is loaded beside the running agent" load one
tap_check "another" load two
tap_check "and a third" load three
pod one one Never
tap_check "a pod runs from it, with no registry anywhere" wait_for 20 runs one
pod two two IfNotPresent
tap_check "another that may pull does not need to" wait_for 20 runs two
continuum delete pod two >/dev/null
tap_check "a node with room says so" wait_for 10 pressure_is False
fill ballast 24000000
# What was handed out lately counts as used: the one that no pod ever had goes.
touch_off first
tap_check "when the disk fills the unused image goes" wait_for 20 has_not three
tap_check "the one in use stays" has one
tap_check "what was used lately too" has two
tap_check "no pressure, as that did" pressure_is False
fill ballast2 12000000
touch_off second
tap_check "when nothing is left to go the node says so" wait_for 20 pressure_is True
tap_check "and is tainted" wait_for 10 tainted
tap_check "its pod still runs" runs one
rm "$continuum_folder"/node/state/ballast*
continuum delete pod one >/dev/null
tap_check "with room again that is over" wait_for 20 pressure_is False
tap_check "the taint too" wait_for 10 not_tainted

continuum_run names nsenter --net="/run/netns/$topo_id-deaf" python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
time.sleep(600)'
taken() { topo_in deaf ss -lun | grep -q '0.0.0.0:53 '; }
wait_for 10 taken || bail "port 53 is free"
continuum_agent deaf 10.10.3.12 edge c || bail "no second node"
tap_check "a node where others have port 53 says that it has no network" wait_for 20 condition_is deaf NetworkUnavailable True
tap_check "and why" eval 'continuum get node deaf -o json | jq -e ".status.conditions[] |
	select(.type == \"NetworkUnavailable\").message | contains(\":53\")"'
tap_check "and is tainted" wait_for 10 has_taint deaf node.kubernetes.io/network-unavailable
continuum_kill names
tap_check "when it is free that is over" wait_for 20 condition_is deaf NetworkUnavailable False
tap_check "the taint too" wait_for 10 no_network_taint
tap_finish

#!/bin/bash
# What a node remembers of an island: it is cut off, a container dies, the agent is killed, the machine loses its
# power. Then the server hears of it all, with its own times and once. And a machine with a copy of the disk.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

topo_id=im$$
continuum_folder=$(mktemp -d /var/tmp/continuo-memory-XXXXXX)
at_exit continuum_end
bail() { echo "Bail out! $*"; tail -n 8 "$continuum_folder"/*.log >&2; exit 1; }

topo_start && topo_site a 10.10.1.1/24 && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
	topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host edge1 a 10.10.1.11/24 10.10.1.1 && healing_push &&
	continuum_start_server "$healing_server" &&
	continuum_agent edge1 10.10.1.11 edge site-a "registries: $continuum_folder/registries.json" &&
	wait_for 30 continuum_nodes_ready 1 || bail "no continuum"
continuum apply -f - >/dev/null <<-EOF2 || bail "cannot deploy"
	apiVersion: v1
	kind: Namespace
	metadata: {name: vault, labels: {continuo.dev/cache-secrets: "false"}}
	---
	apiVersion: v1
	kind: Secret
	metadata: {name: keys, namespace: vault}
	stringData: {PASSWORD: hush}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: guarded, namespace: vault}
	spec:
	  nodeName: edge1
	  tolerations: [{operator: Exists}]
	  containers: [{name: main, image: "$healing_image", envFrom: [{secretRef: {name: keys}}], command: [sleep, "100001"]}]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: local}
	spec:
	  nodeName: edge1
	  tolerations: [{operator: Exists}]
	  containers: [{name: main, image: "$healing_image", command: [sh, -c, "echo run; exec sleep 100002"]}]
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: once}
	spec:
	  nodeName: edge1
	  restartPolicy: Never
	  tolerations: [{operator: Exists}]
	  containers: [{name: main, image: "$healing_image", command: [sh, -c, "exit 0"]}]
EOF2
runs() { healing_container_of edge1 "$1"; }
is() { # POD PHASE [NAMESPACE]
	[ "$(continuum get pod "$1" -n "${3:-default}" -o json | jq -r .status.phase)" = "$2" ]
}
wait_for 30 is local Running && wait_for 10 is once Succeeded && wait_for 10 is guarded Running vault || bail "the pods do not run"
sleep 1 # the slice is on disk a quarter of a second after the last change

topo_cut edge1
kill -KILL "$(runs 100002)"
started() { [ "$(healing_container_of edge1 100002)" ]; }
tap_check "a container that is killed on the island is started again" wait_for 20 started
spooled() { [ -s "$continuum_folder/edge1/state/spool/open" ]; }
tap_check "what happened is on the disk" wait_for 20 spooled
tap_check "sealed" test -z "$(grep -laE 'Started|core/pods' "$continuum_folder"/edge1/state/spool/*)"
before=$(healing_containers edge1)
continuum_kill edge1 && continuum_agent_start edge1
tap_check "the agent is killed: no container is" test "$before" = "$(healing_containers edge1)"
continuum_reboot edge1 || bail "edge1 does not start again"
tap_check "after a reboot the pod runs" wait_for 20 started
says() { grep -q "$1" "$continuum_folder/edge1.log"; }
tap_check "one whose Secret was not to be kept waits, and it is said" wait_for 10 says "secret_not_cached pod=vault/guarded.*secret=keys"
tap_check "it does not run" test -z "$(runs 100001)"
joined=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sleep 1
topo_join edge1
tap_check "with the server it does" wait_for 20 runs 100001
tap_check "what ended is not run again" test "$(grep -c 'pod_starting pod=default/once' "$continuum_folder/edge1.log")" = 1
from_island() { # its restart, once, before the link was back
	continuum get events -o json | jq -e --arg joined "$joined" 'any(.items[]; .involvedObject.name == "local" and
		.reason == "Started" and .lastTimestamp <= $joined and .count == 3)'
}
tap_check "its restarts are told, each once, with their own times" wait_for 10 from_island
no_spool() { [ -z "$(find "$continuum_folder/edge1/state/spool" -type f)" ]; }
tap_check "then the spool is empty" wait_for 10 no_spool
restarts() { continuum get pod local -o json | jq -e '.status.containerStatuses[0].restartCount == 2'; }
tap_check "the status counts both" wait_for 10 restarts
tap_check "the log of the run before the reboot is read" tap_says 0 "run" continuum logs local --previous

# ---- a copied disk ----

topo_host copy a 10.10.1.13/24 10.10.1.1
cp -a "$continuum_folder/edge1/state" "$continuum_folder/copy-state"
continuum_run copy nsenter --net="/run/netns/$topo_id-copy" "$continuum_programs/continuo-agent" --driver fake --listen none \
	--server "$healing_server" --address 10.10.1.13 --state-folder "$continuum_folder/copy-state" --run-folder "$continuum_folder/copy-run"
refused() { grep -q "clone_refused node=edge1 address=10.10.1.13" "$continuum_folder/server.log" &&
	grep -q "connect_failed.*this one is a clone" "$continuum_folder/copy.log"; }
tap_check "a machine with a copy of the disk is refused, and both sides say so" wait_for 20 refused
alarmed() { continuum get events -o json | jq -e 'any(.items[]; .reason == "CloneRefused" and .involvedObject.name == "edge1")'; }
tap_check "an event of the node tells" wait_for 5 alarmed
tap_check "the node goes on" continuum_nodes_ready 1
tap_finish

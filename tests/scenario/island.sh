#!/bin/bash
# An island: site A is cut off with two nodes, pods, a service and its name. A container dies, a node loses its
# power, and the server is out of reach. Then it comes back.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

topo_id=is$$
continuum_folder=$(mktemp -d /var/tmp/continuo-island-XXXXXX)
at_exit continuum_end
bail() { echo "Bail out! $*"; tail -n 8 "$continuum_folder"/*.log >&2; exit 1; }

# Pods of the site: they stay with it. `asks` wants the page of `local` every half second, by name.
tolerant='.spec.template.spec.tolerations = [{key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute"}] |
	.spec.template.spec.nodeSelector = {"topology.kubernetes.io/zone": "site-a"}'
with_config='.spec.template.spec.containers[0] |= (.envFrom = [{configMapRef: {name: "settings"}}, {secretRef: {name: "keys"}}] |
	.command[2] = "trap \"exit 0\" TERM; mkdir /tmp/w; echo $GREETING $PASSWORD >/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w & wait")'
asks='.spec.template.spec.containers[0].command[2] =
	"trap \"exit 0\" TERM; while :; do wget -qO /tmp/page http://local/ || echo no >/tmp/page; sleep 0.5; done"'

healing_raise || bail "no continuum"
continuum apply -f - >/dev/null <<-EOF || bail "no settings"
	apiVersion: v1
	kind: ConfigMap
	metadata: {name: settings}
	data: {GREETING: hello}
	---
	apiVersion: v1
	kind: Secret
	metadata: {name: keys}
	stringData: {PASSWORD: island}
EOF
healing_deploy local 2 "$tolerant | $with_config" && healing_deploy asks 2 "$tolerant | $asks" &&
	healing_deploy moves 2 '.spec.template.spec.affinity = {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100,
		preference: {matchExpressions: [{key: "kubernetes.io/hostname", operator: "In", values: ["edge-a1"]}]}}]}} |
		del(.spec.template.spec.topologySpreadConstraints)' || bail "cannot deploy"
healing_ask ready 6 >/dev/null || bail "the pods do not become ready"

page_is() { # NODE TEXT: what the pod there that asks has read
	local pid
	pid=$(healing_container_of "$1" wget) && [ "$(healing_in_pod "$pid" cat /tmp/page)" = "$2" ]
}
started_again() { # NODE WORD OLD_PID
	local pid
	pid=$(healing_container_of "$1" "$2") && [ "$pid" != "$3" ]
}
for node in edge-a1 edge-a2; do
	tap_check "on $node the service answers by its name" wait_for 10 page_is $node "hello island"
done

# ---- cut off ----

healing_wait_sight
moving=$(continuum get pods -l app=moves -o json | jq '[.items[] | select(.spec.nodeName == "edge-a1")] | length')
elsewhere() { [ "$(continuum get pods -l app=moves -o json | jq '[.items[] | select(.metadata.deletionTimestamp == null and
	.spec.nodeName != "edge-a1" and .spec.nodeName != "edge-a2" and any(.status.conditions[]; .type == "Ready" and .status == "True"))] |
	length')" = 2 ]; }
topo_cut_site a
tap_check "what may move is replaced ($moving pods)" wait_for 15 elsewhere
for node in edge-a1 edge-a2; do
	healing_in_pod "$(healing_container_of $node wget)" rm /tmp/page
	tap_check "on $node the service still answers" wait_for 5 page_is $node "hello island"
done

victim=$(healing_container_of edge-a1 httpd)
kill -KILL "$victim"
tap_check "a container that is killed there is started again" wait_for 15 started_again edge-a1 httpd "$victim"

# ---- a node loses its power ----

keeps=$(healing_containers edge-a1)
continuum_reboot edge-a2 || bail "edge-a2 does not start again"
began_ms=$(healing_now_ms)
tap_check "after the reboot its pods run again" wait_for 15 healing_container_of edge-a2 GREETING
tap_check "and have their settings and secrets; by name, from the rebooted node" wait_for 15 page_is edge-a2 "hello island"
echo "# $(($(healing_now_ms) - began_ms)) ms after the agent's start"
healing_in_pod "$(healing_container_of edge-a1 wget)" rm -f /tmp/page
tap_check "and from the other one" wait_for 10 page_is edge-a1 "hello island"
local_pods() { [ "$(nsenter --net="/run/netns/$topo_id-edge-a1" curl -s --max-time 1 "http://$1:8080/")" = "hello island" ]; }
for address in $(continuum get pods -l app=local -o json | jq -r '.items[].status.podIP'); do
	tap_check "the pod at $address answers across the island" wait_for 5 local_pods "$address"
done
tap_check "nothing was restarted on the other node" test "$keeps" = "$(healing_containers edge-a1)"

# ---- back ----

before=$(healing_containers edge-a1 | wc -l) rebooted=$(healing_container_of edge-a2 GREETING)
local_before=$(healing_container_of edge-a1 GREETING)
topo_join_site a
tap_check "the nodes are ready again" wait_for 10 continuum_nodes_ready 5
took=$(healing_ask clean edge-a1) || took=never
tap_check "what was replaced leaves the island" test "$took" != never
all_ready() { continuum get pods -o json | jq -e '(.items | length) == 6 and all(.items[]; .metadata.deletionTimestamp == null and
	any(.status.conditions[]; .type == "Ready" and .status == "True"))'; }
tap_check "all six pods are ready, and no more" wait_for 10 all_ready
tap_check "nothing that is well was restarted" test "$local_before $rebooted" = \
	"$(healing_container_of edge-a1 GREETING) $(healing_container_of edge-a2 GREETING)"
restarts() {
	local counts
	counts=$(continuum get pods -l app=local -o json | jq -c '[.items[].status.containerStatuses[0] | [.restartCount, .lastState]]')
	echo "$counts"
	[ "$(jq '[.[][0]] | add' <<<"$counts")" = 2 ]
}
tap_check "the server knows of the restarts: one of a killed container, one of the reboot" restarts
tap_check "the pods that moved run nowhere on the island" test -z "$(healing_container_of edge-a2 hostname)$(healing_container_of edge-a1 hostname)"
tap_finish

#!/bin/bash
# Lost nodes, for real: a link whose packets are silently dropped, blackouts, half of all nodes gone, killed
# servers and agents.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

topo_id=he$$
continuum_folder=$(mktemp -d /var/tmp/continuo-heal-XXXXXX)
at_exit continuum_end
bail() { echo "Bail out! $*"; tail -n 8 "$continuum_folder"/*.log >&2; exit 1; }

healing_raise || bail "no continuum"
healing_deploy web 8 && healing_deploy stay 1 '.spec.template.spec.tolerations = [{key: "node.kubernetes.io/unreachable",
	operator: "Exists", effect: "NoExecute"}] | .spec.template.spec.nodeSelector = {"kubernetes.io/hostname": "edge-a1"}' &&
	jq -n --arg image "$healing_image" '{apiVersion: "v1", kind: "Pod", metadata: {name: "alone"}, spec: {nodeName: "edge-a1",
	containers: [{name: "main", image: $image, command: ["sleep", "100000"]}]}}' | continuum apply -f - >/dev/null ||
	bail "cannot deploy"
healing_ask ready 9 >/dev/null || bail "the pods do not become ready"

# ---- blackouts ----

at_most() { [ "$1" -le "$2" ] || { echo "$1, not at most $2"; return 1; }; }
answer_is() { # ANSWER COMMAND...
	local wanted=$1 answer
	shift
	answer=$(healing_ask "$@")
	[ "$answer" = "$wanted" ] || { echo "$answer, not $wanted"; return 1; }
}

healing_wait_sight
before=$(healing_runs)
for node in edge-a1 edge-b1 cloud1; do
	topo_cut $node
	sleep 3
	topo_join $node
	sleep 1
done
tap_check "three blackouts of 3 s evict nobody" answer_is 0 evicted
tap_check "nor is a node lost by them" answer_is 0 lost

# ---- a node is lost ----

endpoints() { continuum get endpointslices -o json | jq -r '.items[] | select(.metadata.name | startswith("web-")) |
	.endpoints[] | select(.conditions.ready) | .nodeName'; }
no_endpoints_on() { ! endpoints | grep -x "$1"; }
pod_on_lost() { # NAME: still there, not being deleted, not Ready
	continuum get pod "$1" -o json | jq -e '.metadata.deletionTimestamp == null and
		any(.status.conditions[]; .type == "Ready" and .status == "False" and .reason == "NodeNotReady")'
}
stays_on_lost() { pod_on_lost "$(continuum get pods -l app=stay -o json | jq -r '.items[0].metadata.name')"; }
tainted() { continuum get node "$1" -o json | jq -e "[.spec.taints[]? | select(.key == \"node.kubernetes.io/unreachable\") | .effect] |
	sort == [\"NoExecute\", \"NoSchedule\"]"; }
untainted() { continuum get node "$1" -o json | jq -e '(.spec.taints // []) == []'; }
said() { continuum get events -A -o json | jq -e --arg r "$1" 'any(.items[]; .reason == $r)'; }

topo_cut edge-a1
cut_ms=$(healing_now_ms)
took=$(healing_ask replaced edge-a1 8) && took=$((took - cut_ms))
tap_check "its pods are ready elsewhere ($took ms)" at_most "${took:-99999}" 6500
tap_check "services do not send to it" no_endpoints_on edge-a1
tap_check "it is tainted" tainted edge-a1
tap_check "the loss is told" said NodeUnreachable
tap_check "so are evictions" said TaintManagerEviction
tap_check "a pod that nothing would replace stays" pod_on_lost alone
tap_check "and so does one that tolerates the loss" stays_on_lost
after=$(healing_runs | grep -vF "$(continuum get pods -o json | jq -r '.items[] | select(.spec.nodeName == "edge-a1") | .metadata.name')")
tap_check "nothing restarted elsewhere" test -z "$(comm -13 <(echo "$before") <(echo "$after" | grep -Ff <(echo "$before" | cut -d' ' -f1)))"

# ---- and comes back ----

before=$(healing_runs | grep -E '^(alone|stay)')
topo_join edge-a1
join_ms=$(healing_now_ms)
took=$(healing_ask clean edge-a1) && took=$((took - join_ms))
tap_check "its old pods are gone soon after its return ($took ms)" at_most "${took:-99999}" 2500
tap_check "the two that stayed were not restarted" test "$before" = "$(healing_runs | grep -E '^(alone|stay)')"
tap_check "they are ready again" wait_for 5 bash -c "$(declare -f continuum topo_in); topo_id=$topo_id continuum_folder=$continuum_folder
	continuum_programs=$continuum_programs; continuum get pods -o json | jq -e 'all(.items[]; any(.status.conditions[];
	.type == \"Ready\" and .status == \"True\"))'"
tap_check "the taints are gone" wait_for 5 untainted edge-a1
servers_on() { # NODE: web servers in its containers
	local pid
	for pid in $(healing_processes "$1"); do
		cat "/proc/$pid/comm" 2>/dev/null
	done | grep -cx httpd
}
one_server_runs() { [ "$(servers_on edge-a1)" = 1 ]; }
tap_check "of the web servers there only the one that stayed still runs" wait_for 5 one_server_runs

# ---- it is we who are blind ----

evicted=$(healing_ask evicted)
topo_cut edge-a1 && topo_cut edge-b1 && topo_cut edge-b2
two_of_five() { continuum_nodes_ready 2; }
tap_check "three of five nodes are lost" wait_for 10 two_of_five
sleep 5
tap_check "then nobody is evicted" answer_is "$evicted" evicted
topo_join edge-a1
tap_check "the first of them comes back" wait_for 5 continuum_nodes_ready 3
sleep 3
tap_check "and is not the end of the others' pods" answer_is "$evicted" evicted
topo_join edge-b1 && topo_join edge-b2
tap_check "they come back" wait_for 5 continuum_nodes_ready 5

# ---- killed servers and agents ----

all_processes() { for node in cloud1 $healing_edges; do healing_processes "$node"; done; }
before=$(healing_runs) pids=$(all_processes)
continuum_kill edge-b1 && continuum_agent_start edge-b1
continuum_kill server && continuum_start_server "$healing_server" || bail "the server does not start again"
tap_check "all nodes find the new server" wait_for 10 continuum_nodes_ready 5
healing_ask ready 9 >/dev/null
tap_check "no pod was evicted" answer_is "$evicted" evicted
tap_check "every container keeps its process" test "$pids" = "$(all_processes)"
tap_check "and its start" test "$before" = "$(healing_runs)"
tap_finish

#!/bin/bash
# What a person does with workloads, live: real containers on two hosts, a real registry, the command line. Logs
# and exec, why a pod has no node and what lets it have one, images that cannot be had, an agent that dies.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh

topo_id=cw$$
registry=10.10.3.5:5000
server=10.10.3.10:6443
bail() { echo "Bail out! $*"; tail -n 5 "$continuum_folder"/*.log >&2; exit 1; }

# ---- two hosts, a server, a registry with one image ----

start_registry() {
	continuum_run registry nsenter --net="/run/netns/$topo_id-registry" docker-registry serve "$continuum_folder/registry.yml"
	wait_for 10 topo_in registry curl -fs "http://$registry/v2/"
}
push() { # NAME
	topo_in registry skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$continuum_folder/layout:box" "docker://$registry/$1"
}

raise() {
	continuum_folder=$(mktemp -d /var/tmp/continuo-workload-XXXXXX)
	at_exit continuum_end
	topo_start && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
		topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host node1 c 10.10.3.11/24 10.10.3.1 &&
		topo_host node2 c 10.10.3.12/24 10.10.3.1 || bail "no network"
	busybox_root "$continuum_folder/box"
	tools/ocilayout.py "$continuum_folder/layout" box --config '{"Env": ["PATH=/bin"]}' --layer "$continuum_folder/box:gzip" >/dev/null
	cat >"$continuum_folder/registry.yml" <<-YAML
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $continuum_folder/registry}}
		http: {addr: "$registry"}
	YAML
	start_registry && push box:1 || bail "no registry"
	echo "{\"$registry\": {\"insecure\": true}}" >"$continuum_folder/registries.json"
	continuum_start_server "$server" || bail "no server"
	local more="registries: $continuum_folder/registries.json"
	continuum_agent node1 10.10.3.11 cloud site-1 "$more" && continuum_agent node2 10.10.3.12 edge site-2 "$more
devices:
- name: sensor
  path: /dev/zero
  containerPath: /dev/sensor
  permissions: r" && wait_for 20 continuum_nodes_ready 2 || bail "no nodes"
}

# ---- helpers ----

box=$registry/box:1
# pod NAME SCRIPT [jq filter over the pod]
pod() {
	jq -n --arg name "$1" --arg script "$2" --arg image "$box" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name},
		spec: {terminationGracePeriodSeconds: 0, restartPolicy: "Never",
		containers: [{name: "main", image: $image, command: ["sh", "-c", $script]}]}}' |
		jq "${3:-.}" | tee "$continuum_folder/$1.json" | continuum apply -f - >"$continuum_folder/apply.out" 2>&1 ||
		tap_note <"$continuum_folder/apply.out"
}
field() { continuum get pod "$1" -o json | jq -r "$2"; } # POD FILTER
phase_is() { [ "$(field "$1" .status.phase)" = "$2" ]; }
runs() { phase_is "$1" Running && [ "$(field "$1" '.status.containerStatuses[0].state | keys[0]')" = running ]; }
waits_as() { # POD REASON...
	local reason
	reason=$(field "$1" '.status.containerStatuses[0].state.waiting.reason')
	shift
	case " $* " in *" $reason "*) ;; *) return 1 ;; esac
}
restarts_are() { [ "$(field "$1" '.status.containerStatuses[0].restartCount')" = "$2" ] && runs "$1"; }
cli() { timeout 20 nsenter --net="/run/netns/$topo_id-server" "$continuum_programs/continuo" "$@"; }
event() { cli get events -o json | jq -e --arg pod "$1" --arg text "$2" 'any(.items[]; .involvedObject.name == $pod and
	(.message | contains($text)))'; }
has_line() { grep -qx -- "$2" "$1"; } # FILE LINE
metric() { topo_in node1 curl -s http://127.0.0.1:10255/metrics | sed -n "s/^$1 //p"; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }

# follow FILE ARGUMENT...: continuo logs -f in the background.
follow() {
	local file=$1
	shift
	KUBECONFIG=$KUBECONFIG timeout 30 nsenter --net="/run/netns/$topo_id-server" "$continuum_programs/continuo" logs -f "$@" >"$file" 2>&1 &
	follower=$!
}
follow_status() { # into $ended; a child can be waited for here only, not in a check
	wait "$follower"
	ended=$?
}

raise
export KUBECONFIG=$continuum_folder/kubeconfig
w=$continuum_folder

idle='exec sleep 3600'

# ---- logs ----

# Says what is written into its pipe; "end N" ends it.
talker='[ -p /in ] || mkfifo /in; exec 3<>/in; echo "here, $$"; echo oops >&2; while read -r word rest <&3; do
	case $word in end) echo "bye $rest"; exit "$rest" ;; *) echo "$word $rest"; esac; done'
tell() { cli exec "$1" -- sh -c 'echo "$1" >/in' - "$2"; }
on1='.spec.nodeName = "node1"'
pod talk "$talker" "$on1"
pod again "$talker" "$on1 | .spec.restartPolicy = \"Always\""
pod seen 'i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo "line $i"; done; sleep 3600' "$on1"
tap_check "pods run" wait_for 20 runs talk
tap_check "and more" wait_for 20 runs again
follow "$w/talk.log" talk
tap_check "logs -f begins with what was said before" wait_for 10 grep -q '^here' "$w/talk.log"
tell talk "one two"
tap_check "and follows: a new line" wait_for 5 has_line "$w/talk.log" "one two"
tell talk "three"
tap_check "and another" wait_for 5 has_line "$w/talk.log" "three "
tell talk "end 7"
follow_status
tap_check "it ends when the container has ended" test $ended -eq 0
tap_check "with the last line" has_line "$w/talk.log" "bye 7"
tap_check "the pod has failed with that status" wait_for 10 phase_is talk Failed
tap_check "logs of the pod that ended" tap_says 0 "bye 7" cli logs talk
tap_check "exec into it says so" tap_says 1 "not running" cli exec talk -- true
wait_for 20 runs seen
wait_for 5 eval 'cli logs seen | grep -q "line 100"'
tap_check "logs have stderr too" tap_says 0 oops cli logs talk
tap_check "--tail 3" eval '[ "$(cli logs seen --tail 3 | paste -sd,)" = "line 98,line 99,line 100" ]'
tap_check "--tail 0" eval '[ -z "$(cli logs seen --tail 0)" ]'

follow "$w/again.log" again
wait_for 10 grep -q '^here' "$w/again.log"
tell again "first life"
tell again "end 0"
follow_status
tap_check "logs -f ends with the container also when that will start again" test $ended -eq 0
tap_check "with all it said" has_line "$w/again.log" "first life"
tap_check "it is restarted" wait_for 20 restarts_are again 1
follow "$w/again.log" again
tell again "second life"
tap_check "logs -f then follows the new one" wait_for 5 has_line "$w/again.log" "second life"
tap_check "and has nothing of the old one" eval '! grep -q first "$w/again.log"'
tap_check "--previous has the old one" tap_says 0 "first life" cli logs again --previous
tap_check "and nothing of the new one" eval '! cli logs again --previous | grep -q second'
tap_check "--previous of one that was never restarted" tap_says 1 "previous" cli logs seen --previous
tap_check "logs of a pod that does not exist" tap_says 1 "not found" cli logs nope
tap_check "logs of a container that does not exist" tap_says 1 '"nope"' cli logs seen -c nope

# ---- exec ----

tap_check "exec passes the exit status on" tap_says 42 "" cli exec seen -- sh -c 'exit 42'
cli exec seen -- sh -c 'echo out; echo err >&2' >"$w/out" 2>"$w/err"
tap_check "stdout and stderr stay apart" eval '[ "$(cat "$w/out")" = out ] && [ "$(cat "$w/err")" = err ]'
tap_check "stdin is piped, and ends" eval '[ "$(printf "a\nb\n" | cli exec -i seen -- wc -l)" = 2 ]'
head -c 10485760 /dev/urandom >"$w/large"
cli exec -i seen -- sh -c 'cat >/tmp/large' <"$w/large"
cli exec seen -- cat /tmp/large >"$w/back"
tap_check "10 MiB in and out again, intact" cmp "$w/large" "$w/back"
tap_check "a slow reader gets all of it" eval 'cli exec seen -- cat /tmp/large | (sleep 1; cmp - "$w/large")'
tap_check "exec into a container that does not exist" tap_says 1 '"nope"' cli exec seen -c nope -- true
tap_check "exec of a program that does not exist" tap_says 255 "not found in \$PATH" cli exec seen -- nope
tap_check "exec in a pod that does not exist" tap_says 1 "not found" cli exec nope -- true

# ---- the session is cut ----

connected() { metric_is continuo_agent_connected "$1"; }
follow "$w/cut.log" again
wait_for 10 grep -q second "$w/cut.log"
topo_in node1 nft -f - <<-NFT
	table inet cut { chain out { type filter hook output priority 0; ip daddr ${server%:*} tcp dport ${server#*:} reject with tcp reset; }; }
NFT
tap_check "the agent loses its session" wait_for 20 connected 0
tap_check "exec meanwhile gives a clear error" tap_says 1 'node "node1"' cli exec seen -- true
topo_in node1 nft delete table inet cut
follow_status
tap_check "a follower is told" eval '[ $ended -eq 1 ] && grep -q "node \"node1\"" "$w/cut.log"'
tap_check "the session comes back" wait_for 20 connected 1
tap_check "then logs work again" tap_says 0 "second life" cli logs again
tap_check "and exec does" tap_says 3 "" cli exec seen -- sh -c 'exit 3'

# ---- an image that is not there; meanwhile other things ----

pod late "$idle" ".spec.nodeName = \"node2\" | .spec.containers[0].image = \"$registry/late:1\""
tap_check "an image that does not exist" wait_for 10 waits_as late ErrImagePull ImagePullBackOff
tap_check "an event says so" wait_for 5 event late "$registry/late:1"
tap_check "logs of it say what it waits for" tap_says 1 "ImagePull" cli logs late
push late:1

# ---- why a pod has no node, and what lets it have one ----

# explained POD NODES TEXT: the explanation has a line about TEXT that counts so many nodes. Sets $detail to
# what stands in brackets there.
explained() {
	explanation=$(cli explain "$1") || return 1
	local line
	line=$(grep -E "^ +$2 nodes? +[ *] $3( |,|\$)" <<<"$explanation") || return 1
	detail=$(sed -n 's/[^(]*(\(.*\)).*/\1/p' <<<"$line")
}
# pending NAME NODES TEXT: what is explained, checked; leaves $detail.
pending() {
	wait_for 10 explained "$@"
	explained "$@"
	tap_result $? "explain: $1 is kept from $2 by $3"
	[ -n "$detail" ] || tap_note <<<"$explanation"
}
repod() { # POD FILTER [jq options]: the same pod, changed
	local name=$1 filter=$2
	shift 2
	cli delete pod "$name" >/dev/null
	jq "$@" "$filter" "$w/$name.json" | cli apply -f - >/dev/null
}
# node NAME PATCH: a merge patch of the node.
node() {
	jq -n --arg name "$1" '{apiVersion: "v1", kind: "Node", metadata: {name: $name}}' | jq "$2" | cli apply -f - 2>&1 | tap_note_if "$1"
}
tap_note_if() { grep -v "^node/$1" | tap_note; }

pod disk "$idle" '.spec.nodeSelector = {disk: "ssd"}'
pending disk 2 "node selector"
node node2 ".metadata.labels = {\"${detail%%=*}\": \"${detail#*=}\"}"
tap_check "with that label on a node it runs" wait_for 10 runs disk

pod big "$idle" '.spec.containers[0].resources.requests = {memory: "900Gi", cpu: "1m"}'
pending big 2 "not enough of the resource"
repod big 'del(.spec.containers[0].resources.requests[$r])' --arg r "$detail"
tap_check "without that request it runs" wait_for 10 runs big

for n in 1 2; do pod "lone$n" "$idle" ".spec.nodeName = \"node$n\" | .metadata.labels = {app: \"lone\"}"; done
pod shy "$idle" '.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution =
	[{topologyKey: "kubernetes.io/hostname", labelSelector: {matchLabels: {app: "lone"}}}]'
pending shy 2 "pod anti-affinity"
repelled=$(cli get pods -l "${detail#*: }" -o name | head -n 1)
cli delete "$repelled" >/dev/null
tap_check "without one of the pods that it names it runs" wait_for 10 runs shy

node node1 '.spec.taints = [{key: "dedicated", value: "ml", effect: "NoSchedule"}]'
pod tidy "$idle" '.spec.nodeSelector = {"topology.kubernetes.io/zone": "site-1"}'
pending tidy 1 "node selector"
tap_check "which names the zone" test "$detail" = topology.kubernetes.io/zone=site-1
pending tidy 1 "taint that the pod does not tolerate"
repod tidy '.spec.tolerations = [{key: ($t | split("=")[0]), operator: "Equal", value: ($t | split("=")[1] | split(":")[0]),
	effect: ($t | split(":")[1])}]' --arg t "$detail"
tap_check "tolerating that taint it runs" wait_for 10 runs tidy
node node1 '.spec.taints = []'

# ---- an application as a whole ----

# By kubectl where there is one; the schema that it would check against is not served.
manifest() { # VERB FILE
	if command -v kubectl >/dev/null; then
		local options=
		[ "$1" = apply ] && options=--validate=false
		timeout 20 nsenter --net="/run/netns/$topo_id-server" kubectl "$1" $options -f "$2"
	else
		cli "$1" -f "$2"
	fi
}
sites() {
	for n in 1 2; do
		jq -n --arg name "site-$n" --arg country "$([ "$n" = 1 ] && echo DE || echo FR)" \
			--arg to "site-$((3 - n))" '{apiVersion: "continuo.dev/v1alpha1", kind: "Site", metadata: {name: $name},
			spec: {country: $country, paths: [{to: $to, latency: "9ms", bandwidth: "1G"}]}}'
	done
}
component() { # NAME [jq filter]
	jq -n --arg name "$1" --arg image "$box" '{name: $name, template: {spec: {terminationGracePeriodSeconds: 0,
		containers: [{name: "main", image: $image, command: ["sh", "-c", "exec sleep 3600"]}]}}}' | jq "${2:-.}"
}
application() { # COMPONENT...: JSON
	printf '%s\n' "$@" | jq -s '{apiVersion: "continuo.dev/v1alpha1", kind: "Application", metadata: {name: "shop"},
		spec: {components: ., data: [{name: "orders", site: "site-2", size: "1Mi", readers: ["store"],
		privacy: {countries: ["FR"]}}]}} | if (.spec.components | length) == 2 then
		.spec.links = [{from: "web", to: "store", latency: "5ms", bandwidth: "1M", required: true}] else . end'
}
planned() { # FILTER that must hold of the plan's only workload
	cli plan -f "$w/shop.json" -o json | jq -e ".workloads[0] | $1"
}
shop() { # FILTER that must hold of the Application
	cli get application shop -o json | jq -e "$1"
}
pods_of() { cli get pods -l "app.kubernetes.io/part-of=shop${1:+,app.kubernetes.io/component=$1}" -o json; }
ready() { shop "(.status.conditions[] | select(.type == \"Ready\").status) == \"True\" and
	.status.observedGeneration == .metadata.generation and .status.readyComponents == $1"; }
no_pods_of() { pods_of "$1" | jq -e '.items | length == 0'; }
sites >"$w/sites.json"
application "$(component store)" "$(component web '.replicas = 2 | .requires = ["store"]')" >"$w/shop.json"
tap_check "Sites are taken" manifest apply "$w/sites.json"
tap_check "and listed" eval '[ "$(cli get sites | grep -c "^site-[12]  *[DF]")" = 2 ]'
tap_check "a plan puts all of it near the data that must stay in France" planned \
	'(.pods | length) == 3 and all(.pods[]; .node == "node2" and .running == false) and .refused == []'
tap_check "and nothing came of it" no_pods_of ""
tap_check "an Application is taken" manifest apply "$w/shop.json"
tap_check "and its components run" wait_for 30 ready 2
tap_check "as many as asked for" eval '[ "$(pods_of web | jq "[.items[] | select(.status.phase == \"Running\")] | length")" = 2 ]'
tap_check "the one whose data must stay in France is there" eval \
	'[ "$(pods_of store | jq -r ".items[].spec.nodeName")" = node2 ]'
tap_check "and what is linked to it, too" eval \
	'[ "$(pods_of web | jq -r "[.items[].spec.nodeName] | unique[]")" = node2 ]'
tap_check "which explain says" tap_says 0 "placed with application shop as a whole" cli explain \
	"$(pods_of store | jq -r '.items[0].metadata.name')"
tap_check "planned again it stays" planned 'all(.pods[]; .running) and .replaced == 0'
tap_check "what requires it began later" eval '[ "$(pods_of store | jq -r ".items[0].status.startTime")" = "$(
	pods_of | jq -r "[.items[].status.startTime] | min")" ]'
application "$(component store)" >"$w/shop.json"
tap_check "without a component" manifest apply "$w/shop.json"
tap_check "the rest is ready" wait_for 20 ready 1
tap_check "and its pods are gone" wait_for 20 no_pods_of web
application "$(component store '.requires = ["web"]')" "$(component web '.requires = ["store"]')" >"$w/circle.json"
tap_check "a circle is refused by its names" tap_says 1 "store -> web -> store" cli apply -f "$w/circle.json"
tap_check "the Application is deleted" manifest delete "$w/shop.json"
tap_check "and all that was its own" wait_for 20 no_pods_of ""

pod filmed "$idle" '.spec.containers[0].resources.limits = {"continuo.dev/camera": 1}'
pending filmed 2 "not enough of the resource"
restarts() { # of all containers, and when they began
	cli get pods -o json | jq -c '[.items[] | select(.spec.nodeName == "node1" and .metadata.name != "filmed") |
		[.metadata.name, .status.containerStatuses[0].restartCount, .status.containerStatuses[0].state, .status.podIP]]'
}
before=$(restarts)
pids=$(cgroup_processes "$topo_id/node1/pods")
follow "$w/killed.log" again
wait_for 10 grep -q second "$w/killed.log"
continuum_kill node1
cat >>"$w/node1/agent.yaml" <<-YAML
	devices: [{name: ${detail#*/}, path: /dev/zero, containerPath: /dev/camera}]
YAML
continuum_agent_start node1
follow_status
tap_check "who follows logs when the agent dies is told" eval '[ $ended -eq 1 ] && grep -q "node \"node1\"" "$w/killed.log"'
tap_check "with that device on a node it runs, once the agent has started again" wait_for 20 runs filmed

# ---- which is an agent that was killed and started again ----

adopted() { [ "$(restarts)" = "$before" ]; }
tap_check "the agent has adopted its pods: same runs, same addresses" wait_for 10 adopted
tap_check "none of their processes ended" eval '[ -z "$(comm -23 <(sort <<<"$pids") <(cgroup_processes "$topo_id/node1/pods" | sort))" ]'
tap_check "logs of an adopted container" tap_says 0 "second life" cli logs again
follow "$w/adopted.log" again
tell again "after all"
tap_check "are followed" wait_for 5 has_line "$w/adopted.log" "after all"
tell again "end 0"
follow_status
tap_check "its end is seen" test $ended -eq 0

# ---- images ----

tap_check "once an image is pushed its pod runs by itself" wait_for 30 runs late
cp -r "$w/box" "$w/other" && echo other >"$w/other/etc/motd"
tools/ocilayout.py "$w/layout" box --config '{"Env": ["PATH=/bin"]}' --layer "$w/other:gzip" >/dev/null
push down:1
continuum_kill registry
pod down "$idle" ".spec.nodeName = \"node2\" | .spec.containers[0].image = \"$registry/down:1\""
tap_check "a registry that is down" wait_for 10 waits_as down ErrImagePull ImagePullBackOff
tap_check "an event says so" wait_for 5 event down "10.10.3.5"
start_registry
tap_check "once it is up the pod runs by itself" wait_for 30 runs down
tap_check "and by then the adopted container was restarted" wait_for 20 restarts_are again 2
tap_finish

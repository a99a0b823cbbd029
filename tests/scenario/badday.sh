#!/bin/bash
# Bad days: at random moments of the lives of pods (create, start, run, restart, update, delete) something is killed
# with SIGKILL: an agent, the server, a conmon, a fence, the engine. Then nothing may have leaked, run twice or been
# forgotten. KILLS (60) is how many, SEED chooses them, DRIVER (oci) is the agents' driver.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

topo_id=bd$$
continuum_folder=$(mktemp -d /var/tmp/continuo-badday-XXXXXX)
at_exit continuum_end
bail() { echo "Bail out! $*"; tail -n 8 "$continuum_folder"/*.log >&2; exit 1; }
continuum_driver=${DRIVER:-oci}
seed=${SEED:-$RANDOM} kills=${KILLS:-60}
RANDOM=$seed
echo "# SEED=$seed KILLS=$kills DRIVER=$continuum_driver"
if [ "$continuum_driver" != oci ] && ! declare -F continuum_docker >/dev/null; then
	bail "there is no driver $continuum_driver here"
fi

nodes="edge-a1 edge-b1"
topo_start && topo_site a 10.10.1.1/24 && topo_site b 10.10.2.1/24 && topo_site c 10.10.3.1/24 &&
	topo_host registry c 10.10.3.5/24 10.10.3.1 && topo_host server c 10.10.3.10/24 10.10.3.1 &&
	topo_host edge-a1 a 10.10.1.11/24 10.10.1.1 && topo_host edge-b1 b 10.10.2.11/24 10.10.2.1 && healing_push &&
	continuum_start_server "$healing_server" || bail "no server"
more="registries: $continuum_folder/registries.json"
continuum_agent edge-a1 10.10.1.11 edge site-a "$more" && continuum_agent edge-b1 10.10.2.11 edge site-b "$more" &&
	wait_for 30 continuum_nodes_ready 2 && continuum_route_pods || bail "no nodes"
continuum apply -f - >/dev/null <<-EOF2 || bail "no settings"
	apiVersion: v1
	kind: ConfigMap
	metadata: {name: settings}
	data: {GREETING: hello}
	---
	apiVersion: v1
	kind: Secret
	metadata: {name: keys}
	stringData: {PASSWORD: secret}
EOF2

for n in 0 1 2 3; do
	jq -n --arg name "d$n" '{apiVersion: "v1", kind: "Service", metadata: {name: $name}, spec: {selector: {app: $name},
		ports: [{port: 80, targetPort: 8080}]}}' | continuum apply -f - >/dev/null || bail "no service"
done

# ---- the pods ----

deployment() { # NAME VERSION [jq filter]
	jq -n --arg name "$1" --arg version "$2" --arg image "$healing_image" '{apiVersion: "apps/v1", kind: "Deployment",
		metadata: {name: $name}, spec: {replicas: 2, selector: {matchLabels: {app: $name}}, template: {
		metadata: {labels: {app: $name}}, spec: {terminationGracePeriodSeconds: 1,
		volumes: [{name: "keys", secret: {secretName: "keys"}}, {name: "work", emptyDir: {medium: "Memory"}}],
		containers: [{name: "main", image: $image, envFrom: [{configMapRef: {name: "settings"}}],
			volumeMounts: [{name: "keys", mountPath: "/keys"}, {name: "work", mountPath: "/work"}],
			command: ["sh", "-c", "trap \"exit 0\" TERM; echo badday '"$1"' \($version); sleep 100000 & wait"]}]}}}}' |
		jq "${3:-.}"
}
guard='.spec.replicas = 1 | .spec.strategy = {type: "Recreate"} | .spec.template.metadata.annotations = {"continuo.dev/singleton": "handover"}'
ready_are() { # COUNT: so many pods that have not failed (those of a lease that ran out have), all of them Ready
	continuum get pods -o json | jq -e --argjson n "$1" '[.items[] | select(.status.phase != "Failed")] | length == $n and all(.[];
		.metadata.deletionTimestamp == null and any(.status.conditions[]?; .type == "Ready" and .status == "True"))'
}

tell_pods() { # which there are, and why they are not ready
	continuum get pods -o json | jq -r '.items[] | "\(.metadata.name) of \(.spec.nodeName) \(.status.phase) \(.metadata.deletionTimestamp // "stays"):",
		(.status.conditions[]? | select(.status != "True") | "  \(.type) \(.status) \(.reason) \(.message)"),
		(.status.containerStatuses[]? | "  restarts \(.restartCount) \(.state)")'
	echo "wanted:" && declare -p version
	containers
}

# ---- what is on a node ----

# Numbers, hashes and uids differ from pod to pod, and what stays differs not.
inventory() { # NODE
	local node=$1 root
	echo "mounts"
	continuum_in_mounts "$node" awk -v own="$continuum_folder" 'index($5, own) == 1 || index($5, "/run/continuo") == 1 { print $5 }' /proc/self/mountinfo | sort
	echo "files"
	continuum_in_mounts "$node" find /run/continuo "$continuum_folder/$node/state/pods" -mindepth 1 \
		! -path '*/volumes' ! -name '*.new' 2>/dev/null | sort
	echo "spool"
	find "$continuum_folder/$node/state/spool" -type f 2>/dev/null
	echo "links"
	ip -n "$topo_id-$node" -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | sort
	echo "rules"
	# Chains that pick one of N endpoints are made once and stay.
	topo_in "$node" nft -s list ruleset | awk '/^\tchain pick-/ { pick = 1 } !pick && NF; /^\t}/ { pick = 0 }' | sort
	echo "addresses"
	grep -oE '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}' "$continuum_folder/$node/state/leases" | sort
	echo "engine"
	[ "$continuum_driver" = oci ] || continuum_in_mounts "$node" curl -fs --unix-socket /run/docker.sock \
		"http://docker/v1.41/containers/json?all=1" | jq -r '.[] | "\(.Names[0]) \(.State)"' | sort
	echo "groups"
	for root in $(cgroup_roots); do
		find "$root/$topo_id/$node/pods" -mindepth 1 -type d 2>/dev/null
	done | sort
	echo "processes"
	all_processes "$node" | sort
}
in_mounts_of() { # NODE: the pids of all that runs in its mounts
	local own
	own=$(readlink "/proc/$(continuum_pid_of "$1-mounts")/ns/mnt")
	find /proc/[0-9]*/ns/mnt -maxdepth 0 -printf '%p %l\n' 2>/dev/null | grep -F " $own" | cut -d/ -f3
}
all_processes() { # NODE: names of all that runs there, but for agent, engine and what this asks
	local pid
	for pid in $(in_mounts_of "$1"); do
		echo "$(<"/proc/$pid/comm")"
	done 2>/dev/null | grep -vxE 'continuo-agent|sleep|dockerd|containerd'
	healing_processes "$1"
}
process_of() { # NODE NAME: the pid of a random process of that name there
	local pid found=()
	for pid in $(in_mounts_of "$1"); do
		[ "$(<"/proc/$pid/comm")" = "$2" ] && found+=("$pid")
	done 2>/dev/null
	[ ${#found[@]} -gt 0 ] && echo "${found[RANDOM % ${#found[@]}]}"
}
containers() { python3 tests/lib/twice.py --list "$topo_id/${1:-}" badday; } # "PID COMMAND" of each, of a node or all
is_clean() { # NODE
	inventory "$1" | diff "$continuum_folder/before-$1" - >"$continuum_folder/difference-$1"
}

# What the first pod brings and what stays is there before.
deployment warm 0 '.spec.template.spec.topologySpreadConstraints = [{maxSkew: 1, topologyKey: "kubernetes.io/hostname",
	whenUnsatisfiable: "DoNotSchedule", labelSelector: {matchLabels: {app: "warm"}}}]' | continuum apply -f - >/dev/null
wait_for 30 ready_are 2 || bail "the first pods do not become ready"
continuum delete deployment warm >/dev/null
no_pods() { [ "$(continuum get pods -o json | jq '.items | length')" = 0 ]; }
no_containers() { [ -z "$(for node in $nodes; do healing_processes "$node"; done)" ]; }
wait_for 20 no_pods && wait_for 10 no_containers || bail "the first pods do not go"
quiet() { # its inventory does not change any more
	inventory "$1" >"$continuum_folder/before-$1"
	sleep 0.5
	is_clean "$1"
}
for node in $nodes; do
	wait_for 15 quiet "$node" || bail "$node does not become quiet: $(cat "$continuum_folder/difference-$node")"
done

# ---- the bad day ----

python3 tests/lib/twice.py "$topo_id" badday badday-alone >"$continuum_folder/twice" &
watcher=$!
at_exit 'kill "$watcher" 2>/dev/null'
deployment alone 0 "$guard | .spec.template.spec.containers[0].command[2] |= sub(\"badday\"; \"badday-alone\")" | continuum apply -f - >/dev/null ||
	bail "no guard"
declare -A version=() # of each Deployment that should be there
declare -A killed=()
step() { # begins something in some pod's life; the rest goes on meanwhile
	local name=d$((RANDOM % 4)) pid
	case $((RANDOM % 6)) in
	0 | 1 | 2) # create, or update
		version[$name]=$((${version[$name]:-0} + 1))
		wanted+=("$name ${version[$name]}")
		;;
	3) # delete
		unset "version[$name]"
		wanted+=("$name")
		;;
	4) # restart
		pid=$(containers "$node" | shuf -n 1 --random-source=<(yes) | cut -d' ' -f1)
		[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
		;;
	esac
}
carry_out() { # what the server did not take while it was dead is said again
	local one words
	for one in "${wanted[@]}"; do
		read -r -a words <<<"$one"
		if [ ${#words[@]} = 2 ]; then
			wait_for 20 said_new "${words[@]}"
		else
			wait_for 20 said_deleted "${words[0]}"
		fi
	done
}
said_new() { deployment "$1" "$2" | continuum apply -f -; }
said_deleted() { continuum delete deployment "$1" --wait=false --ignore-not-found; }
strike() { # VICTIM
	local pid
	case $1 in
	agent) continuum_kill "$node" && continuum_agent_start "$node" ;;
	server) continuum_kill server && continuum_start_server "$healing_server" ;;
	engine) continuum_kill "$node-docker" && continuum_docker "$node" ;;
	*) pid=$(process_of "$node" "$1") && kill -KILL "$pid" ;;
	esac
}
victims=(agent agent server conmon conmon continuo-fence)
[ "$continuum_driver" = oci ] || victims=(agent agent server engine engine continuo-fence)
began=$SECONDS
for n in $(seq "$kills"); do
	wanted=()
	node=$(cut -d' ' -f$((RANDOM % 2 + 1)) <<<"$nodes")
	victim=${victims[RANDOM % ${#victims[@]}]} pause=$((RANDOM % 400))
	step
	carry_out &
	carrier=$!
	sleep "$(printf '0.%03d' "$pause")"
	if strike "$victim" >/dev/null 2>&1; then
		killed[$victim]=$((${killed[$victim]:-0} + 1))
	fi
	wait "$carrier"
done
echo "# $((SECONDS - began)) s; killed: $(for victim in "${!killed[@]}"; do echo -n "$victim ${killed[$victim]} "; done)"
tap_check "something of each kind was killed" test "${#killed[@]}" -ge 3

# ---- afterwards ----

tap_check "the nodes are ready" wait_for 20 continuum_nodes_ready 2
count=$((2 * ${#version[@]} + 1))
tap_check "nothing is forgotten: all $count pods are ready" wait_for 60 ready_are $count
as_wanted() { # each container runs the newest command of its Deployment
	local word name number
	while read -r word name number; do
		[ "$word" = badday-alone ] || [ "${version[$name]:-none}" = "$number" ] || { echo "$name $number runs"; return 1; }
	done < <(containers | grep -o 'badday[a-z-]* [a-z0-9]* [0-9]*')
}
[ "$tap_failed" = 0 ] || tell_pods 2>&1 | tap_note >&2
# An update that was said last may not have been looked at yet when the old pods were ready.
tap_check "and each is of the newest version" wait_for 30 as_wanted
tap_check "and still all are ready" wait_for 30 ready_are $count
running() { containers | wc -l; }
as_many() { [ "$(running)" = $count ] || { echo "$(running) containers, not $count"; return 1; }; }
tap_check "as many containers run as the server knows" wait_for 10 as_many
tap_check "nothing ran twice" test -z "$(sort -u "$continuum_folder/twice")"
sort -u "$continuum_folder/twice" | head -5 | tap_note >&2

continuum delete deployments --all >/dev/null || bail "cannot delete"
tap_check "all pods go" wait_for 30 no_pods
for node in $nodes; do
	tap_check "nothing is left on $node" wait_for 20 is_clean "$node"
	head -20 "$continuum_folder/difference-$node" | tap_note >&2
done
excused='connect_failed|session_lost'
[ "$continuum_driver" = oci ] || excused+='|driver_not_ready' # its engine was killed
tap_check "no agent complained of what it cannot repair" test -z "$(grep -hE 'level=error' "$continuum_folder"/edge-??.log |
	grep -vE "$excused" | head -3)"
[ "$tap_failed" = 0 ] || echo "# again with SEED=$seed KILLS=$kills DRIVER=$continuum_driver" >&2
tap_finish

#!/bin/bash
# Containers that Docker ran before there was a domain: adopted as they are, kept over the agent's and dockerd's
# deaths, started again as themselves, rolled out as ordinary pods, handed back. ADOPT_COUNT containers (10).
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/docker.sh

[ "$(id -u)" = 0 ] || { tap_skip "needs root: it runs Docker" && tap_finish; }
topo_id=ca$$
count=${ADOPT_COUNT:-10}
registry=10.10.3.5:5000
box=$registry/box:1
bail() { echo "Bail out! $*"; tail -n 5 "$continuum_folder"/*.log >&2; exit 1; }
clean_up() {
	local path
	[ -z "${KEEP_LOGS:-}" ] || cp "$continuum_folder"/*.log "$continuum_folder"/*.out "$KEEP_LOGS"/
	docker_end node1
	docker_end podman
	cgroup_end "$topo_id"
	awk -v folder="$continuum_folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r path; do
		umount -l "$path"
	done
	continuum_end
}

# ---- a machine with Docker and its containers; a domain that it joins ----

raise() {
	continuum_folder=$(mktemp -d /var/tmp/continuo-adopt-XXXXXX)
	at_exit clean_up
	topo_start && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
		topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host node1 c 10.10.3.11/24 10.10.3.1 || bail "no network"
	busybox_root "$continuum_folder/box"
	tools/ocilayout.py "$continuum_folder/layout" box --config '{"Env": ["PATH=/bin"]}' --layer "$continuum_folder/box:gzip" >/dev/null
	cat >"$continuum_folder/registry.yml" <<-YAML
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $continuum_folder/registry}}
		http: {addr: "$registry"}
	YAML
	continuum_run registry nsenter --net="/run/netns/$topo_id-registry" docker-registry serve "$continuum_folder/registry.yml"
	wait_for 10 topo_in registry curl -fs "http://$registry/v2/" &&
		topo_in registry skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$continuum_folder/layout:box" "docker://$box" ||
		bail "no registry"
	docker_start node1 || bail "no dockerd"
	tar -C "$continuum_folder/box" -c . | docker_at node1 import -c 'ENV PATH=/bin' - "$box" >/dev/null || bail "no image"
	continuum_start_server 10.10.3.10:6443 || bail "no server"
	echo "{\"$registry\": {\"insecure\": true}}" >"$continuum_folder/registries.json"
}

script='echo "I am $NAME"; trap "exit 0" TERM; while :; do sleep 1 & wait; done'
start_containers() {
	local i
	mkdir -p "$continuum_folder/site"
	for i in $(seq $((count - 6))); do
		docker_compose node1 shop web "$i" -e NAME=web --restart unless-stopped -m 32m -- "$box" sh -c "$script" || return 1
	done
	docker_compose node1 shop db 1 -e NAME=db -v shopdata:/data --restart always -- "$box" sh -c "$script" || return 1
	for i in 1 2 3; do
		docker_compose node1 farm sensor "$i" -e NAME=sensor -- "$box" sh -c "$script" || return 1
	done
	for i in 1 2; do
		docker_at node1 run -d --name "plain_$i" -e NAME=plain -v "$continuum_folder/site:/site:ro" "$box" sh -c "$script" >/dev/null || return 1
	done
}

# ---- helpers ----

engine=node1 node=node1 # of which what follows speaks
containers() { # NAME PID START of each that runs and is no pod's, by name
	docker_at $engine ps -q | xargs env DOCKER_HOST="unix://$(docker_socket $engine)" docker inspect -f '{{.Name}} {{.State.Pid}} {{.State.StartedAt}}' |
		grep -v '^/continuo' | sort
}
same() { containers >"$w/now" && diff "$w/before" "$w/now"; }
adopt() { topo_in node1 env KUBECONFIG="$w/kubeconfig" "$continuum_programs/continuo" adopt docker --node $node --docker-socket "$(docker_socket $engine)" "$@"; }
adopted() { # COUNT: so many adopted pods run, ready, on the node
	[ "$(continuum get pods -A -o json | jq --arg node $node '[.items[] | select(.metadata.annotations["continuo.dev/adopted"] == "docker" and
		.spec.nodeName == $node and .status.phase == "Running" and .metadata.deletionTimestamp == null and
		any(.status.conditions[]; .type == "Ready" and .status == "True"))] | length')" = "$1" ]
}
finished() { # no Deployment waits for the rest of an adopt
	continuum get deployments -A -o json | jq -e 'all(.items[]; .spec.paused != true and .metadata.annotations["continuo.dev/adopting"] == null)'
}
# An adopt that dies at its first line, as by SIGKILL: what it may write ends after 8 bytes (SIGXFSZ is signal 25).
killed_adopt() {
	nsenter --net="/run/netns/$topo_id-node1" env KUBECONFIG="$w/kubeconfig" stdbuf -oL prlimit --fsize=8 --core=0 \
		"$continuum_programs/continuo" adopt docker --node node1 --docker-socket "$(docker_socket node1)" "$@" 2>&1 >"$w/line" | cat >>"$w/killed.out"
	[ "${PIPESTATUS[0]}" = $((128 + 25)) ] && [ "$(<"$w/line")" != "Nothing " ]
}
# Killed again and again, each time a step further, until there is no step left.
killed_adopts() { # STEPS ARGUMENT...
	local n steps=$1
	shift
	for n in $(seq 60); do
		killed_adopt "$@" || break
	done
	echo "killed $((n - 1)) times"
	[ "$((n - 1))" = "$steps" ]
}
pods_are() { [ "$(continuum get pods -A -o json | jq '.items | length')" = "$1" ]; }
ready() { # NAMESPACE DEPLOYMENT COUNT
	[ "$(continuum get deployment "$2" -n "$1" -o json | jq '.status.readyReplicas // 0')" = "$3" ]
}
pod_of() { # CONTAINER: namespace and name of its pod
	continuum get pods -A -o json | jq -r --arg id "$(docker_at $engine inspect -f '{{.Id}}' "$1")" '.items[] |
		select(.metadata.annotations["continuo.dev/container"] == $id) | "\(.metadata.namespace) \(.metadata.name)"'
}
gone() { ! docker_at node1 inspect "$1"; }
in_pod() { # CONTAINER VERB ARGUMENT...: "logs" or "exec" of its pod
	local namespace name verb=$2
	read -r namespace name < <(pod_of "$1")
	shift 2
	timeout 20 nsenter --net="/run/netns/$topo_id-server" env KUBECONFIG="$w/kubeconfig" "$continuum_programs/continuo" "$verb" -n "$namespace" "$name" "$@"
}

raise
w=$continuum_folder
start_containers || bail "the containers do not start"
containers >"$w/before"

# ---- before: what it would do, and an agent that cannot ----

tap_check "a dry run says what would become what" tap_says 0 "web " adopt --dry-run
tap_check "and what a pod cannot say" tap_says 0 "container shop_db_1: volume shopdata stays Docker's" adopt --dry-run
tap_check "nothing of it is carried out" tap_says 0 "" pods_are 0
tap_check "a node that is none is refused" tap_says 1 "there is no node \"node1\"" adopt
continuum_agent node1 10.10.3.11 edge site-c "registries: $w/registries.json" && wait_for 20 continuum_nodes_ready 1 || bail "no node"
tap_check "an agent that has no way to Docker is named as what is missing" tap_says 1 "set dockerSocket in its configuration" adopt
continuum_kill node1
echo "dockerSocket: $(docker_socket node1)" >>"$w/node1/agent.yaml"
continuum_agent_start node1
able() { continuum get node $node -o json | jq -e '.metadata.annotations["continuo.dev/adopts"] == "docker"'; }
wait_for 20 able || bail "the agent does not say that it adopts"

# ---- adopted ----

# Steps: 2 namespaces, 3 Deployments and the pods of their containers.
tap_check "adopt is killed after every step and run again" killed_adopts $((2 + 3 + count - 2))
tap_check "a namespace that is not privileged is no place for them" tap_says 1 "kubectl label namespace default" adopt
# A namespace, and a pod and a Deployment of each of the two that are of no project.
tap_check "so is one that has another namespace for what is of no project" killed_adopts 5 -n machine
tap_check "nothing of them is half done" finished
tap_check "$count containers are pods that run and are ready" wait_for 30 adopted "$count"
tap_check "and there is no other pod" pods_are "$count"
tap_check "no container was restarted" same
tap_check "a service of a project is a Deployment with all of its containers" wait_for 10 ready shop web $((count - 6))
tap_check "once more: nothing to do" tap_says 0 "Nothing to do" adopt -n machine
tap_check "nor in another namespace" tap_says 0 "Nothing to do" adopt -n other
tap_check "which is not even made" tap_says 1 "not found" continuum get namespace other
tap_check "a pod's logs are the container's" tap_says 0 "I am db" in_pod shop_db_1 logs
tap_check "exec runs in the container" tap_says 7 "db inside" in_pod shop_db_1 exec -- sh -c 'echo "$NAME inside"; exit 7'

# ---- deaths ----

continuum_kill node1 && continuum_agent_start node1
tap_check "the agent is killed and starts: all are adopted still" wait_for 20 adopted "$count"
tap_check "and the same processes" same
continuum_kill node1 && sed -i.bak /^dockerSocket/d "$w/node1/agent.yaml" && continuum_agent_start node1
refused() { continuum get pods -n shop -o json | jq -e 'all(.items[]; .status.reason == "FailedStart" and (.status.message | contains("set dockerSocket")))'; }
tap_check "an agent without a way to Docker refuses them and says what to do" wait_for 20 refused
continuum_kill node1 && mv "$w/node1/agent.yaml.bak" "$w/node1/agent.yaml" && continuum_agent_start node1
tap_check "with it they are there again" wait_for 20 adopted "$count"
tap_check "and still the same processes" same
continuum_kill node1-docker && docker_start node1
tap_check "dockerd is killed and starts: the same processes" wait_for 10 same
docker_at node1 kill farm_sensor_2 >/dev/null
kill -KILL "$(docker_at node1 inspect -f '{{.State.Pid}}' shop_db_1)"
restarted() { [ "$(docker_at node1 inspect -f '{{.State.Running}}' farm_sensor_2)" = true ] && adopted "$count"; }
tap_check "containers that die are started again, as themselves" wait_for 20 restarted
others() { containers >"$w/now" && diff <(grep -vE "farm_sensor_2|shop_db" "$w/before") <(grep -vE "farm_sensor_2|shop_db" "$w/now"); }
tap_check "the others were left alone" others
counted() { continuum get pods -A -o json | jq -e '[.items[].status.containerStatuses[0].restartCount] | add == 2'; }
tap_check "and their restarts are counted, by whomever they were started" wait_for 15 counted
docker_at node1 rm -f farm_sensor_3 >/dev/null
replaced() { ready farm sensor 3 && continuum get pods -n farm -o json | jq -e '[.items[] | select(.status.reason == "AdoptedContainerGone")] | length == 1'; }
tap_check "one that somebody removes fails with that reason, and an ordinary pod takes its place" wait_for 30 replaced
containers >"$w/before"

# ---- a roll-out, after a leave that was killed when it had marked the pods, and was given up ----

marked() { # what such a leave leaves behind
	continuum node cordon node1 && continuum get pods -n shop -l app=web -o json |
		jq '.items[] |= (.metadata.annotations["continuo.dev/hand-back"] = "true" | del(.metadata.resourceVersion, .status))' | continuum apply -f -
}
marked >/dev/null 2>&1 || bail "the pods cannot be marked"
tap_check "uncordon gives up a leave that did not go on" tap_says 0 "$((count - 6)) adopted pods are no longer marked" continuum node uncordon node1
continuum get deployment web -n shop -o json | jq '.spec.template.spec.containers[0].env[0].value = "rolled"' >"$w/web.json"
continuum apply -f "$w/web.json" >/dev/null 2>&1
tap_check "a roll-out removes the adopted containers" wait_for 40 gone shop_web_1
tap_check "and makes ordinary pods of them" wait_for 40 ready shop web $((count - 6))
ordinary() { continuum get pods -n shop -l app=web -o json | jq -e 'all(.items[]; .metadata.annotations["continuo.dev/adopted"] == null and .spec.nodeName == "node1")'; }
tap_check "on the same node, no longer adopted" ordinary
keep() { containers >"$w/now" && diff <(grep -v shop_web "$w/before") "$w/now"; }
tap_check "all other containers run on" keep
containers >"$w/before"

# ---- handed back, while the agent dies ----

continuum leave node1 >"$w/leave.out" 2>&1 &
leave=$!
wait_for 20 grep -q event=adopted_handed_back "$w/node1.log" || bail "nothing is handed back"
continuum_kill node1 && continuum_agent_start node1
wait $leave
tap_check "leave succeeds, also when the agent dies at it" test $? -eq 0
tap_note <"$w/leave.out"
tap_check "and says how many containers it handed back" grep -q "^5 containers handed back" "$w/leave.out"
tap_check "the containers run on, the same processes" same
no_adopted() { adopted 0 && continuum get deployments -A -o json | jq -e '[.items[].metadata.name] == ["web"]'; }
tap_check "their workloads are gone" no_adopted
tap_check "the node is gone" wait_for 10 continuum_nodes_ready 0
tap_check "its agent says why it is refused" wait_for 15 grep -q 'event=node_refused.*was revoked' "$w/node1.log"

# ---- forgotten: what an agent remembers of another life is no reason to remove anything ----

after() { [ "$(date +%s)" -gt "$1" ]; }
rejoin() { # as leave says; certificates tell whole seconds, and one of the revocation's second is refused
	continuum_kill node1
	wait_for 5 after "$(date +%s)"
	rm -rf "$w/node1/state" && mkdir "$w/node1/state" &&
		sed -i "s|^token:.*|token: $(continuum token create --node node1)|" "$w/node1/agent.yaml" &&
		continuum_agent_start node1 && wait_for 20 continuum_nodes_ready 1
}
let_go() { [ "$(grep -c event=adopted_let_go "$w/node1.log")" -ge "$1" ]; }
continuum delete deployment web -n shop >/dev/null
rejoin || bail "node1 does not join again"
tap_check "the node joins again: the same processes" same
adopt -n machine >/dev/null 2>&1
tap_check "they are adopted again" wait_for 20 adopted 5
continuum_kill node1 && wait_for 20 continuum_nodes_ready 0
tap_check "without its agent leave wants --force" tap_says 1 "--force (all of it keeps running)" continuum leave node1
tap_check "with it the node is forgotten" continuum leave node1 --force
: >"$w/node1.log"
rejoin || bail "node1 does not join again"
tap_check "an agent that finds them in its records lets go of them" wait_for 10 let_go 5
tap_check "they run on, the same processes" same
continuum_kill node1

# ---- nodes whose own pods are that engine's too ----

# In this mount namespace, where the engine sees the agent's folders.
agent_over() { # NODE ENGINE
	local token
	node=$1 engine=$2
	mkdir -p "$w/$1/state"
	token=$(continuum token create --node "$1") || return 1
	(umask 077 && cat >"$w/$1/agent.yaml") <<-YAML
		node: $1
		servers: ["$continuum_server"]
		token: $token
		address: 10.10.3.11
		stateFolder: $w/$1/state
		runFolder: $w/$1/run
		cgroupParent: /$topo_id/$1/pods
		driver: docker
		dockerSocket: $(docker_socket "$2")
		registries: $w/registries.json
	YAML
	cgroup_make "$topo_id/$1/pods" && agent_over_start "$1" && wait_for 20 able
}
agent_over_start() { continuum_run "$1" nsenter --net="/run/netns/$topo_id-node1" "$continuum_programs/continuo-agent" --config "$w/$1/agent.yaml"; }
own_pod() { # made by the agent beside what it adopted
	continuum apply -f - <<-YAML
		apiVersion: v1
		kind: Pod
		metadata: {name: own, namespace: machine}
		spec:
		  nodeName: $node
		  terminationGracePeriodSeconds: 1
		  containers: [{name: main, image: $box, command: [sh, -c, "sleep 1000"]}]
	YAML
}
own_ready() { continuum get pod own -n machine -o json | jq -e 'any(.status.conditions[]; .type == "Ready" and .status == "True")'; }
beside() { # COUNT of containers that are adopted by a node with the same engine
	containers >"$w/before"
	tap_check "$node: a pod of its own runs" own_pod
	tap_check "$node: and is ready" wait_for 20 own_ready
	tap_check "$node: that pod is not adopted" tap_says 0 "it is of a pod of this node already" adopt -n machine
	tap_check "$node: $1 containers are pods that run and are ready" wait_for 20 adopted "$1"
	continuum_kill $node && agent_over_start $node
	tap_check "$node: the agent is killed and starts: all are adopted still" wait_for 20 adopted "$1"
	tap_check "$node: they are the same processes" same
}
hand_back() {
	tap_check "$node: the own pod goes" continuum delete pod own -n machine
	tap_check "$node: leave succeeds" continuum leave $node
	tap_check "$node: the containers run on, the same processes" same
	continuum_kill $node
}
agent_over node2 node1 || bail "no node2"
beside 5
hand_back

podman_start podman node1 && tar -C "$w/box" -c . | docker_at podman import -c 'ENV PATH=/bin' - "$box" >/dev/null || bail "no Podman"
for i in 1 2; do
	docker_compose podman barn door "$i" -e NAME=door --network host --cgroup-parent "/$topo_id/podman/own" --restart always -- "$box" sh -c "$script" || bail "no container under Podman"
done
agent_over node3 podman || bail "no node3"
beside 2
tap_check "$node: logs are the container's" wait_for 15 tap_says 0 "I am door" in_pod barn_door_1 logs
tap_check "$node: exec runs in the container" tap_says 7 "door inside" in_pod barn_door_1 exec -- sh -c 'echo "$NAME inside"; exit 7'
kill -KILL "$(docker_at podman inspect -f '{{.State.Pid}}' barn_door_1)"
counted_once() { adopted 2 && continuum get pods -n barn -o json | jq -e '[.items[].status.containerStatuses[0].restartCount] | add == 1'; }
tap_check "$node: one that dies is started again" wait_for 20 counted_once
docker_at podman rm -f barn_door_2 >/dev/null
tap_check "$node: one that is removed is replaced by an ordinary pod" wait_for 20 ready barn door 2
containers >"$w/before"
hand_back
tap_finish

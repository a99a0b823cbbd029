# A continuum of three sites for tests and benches of survival: server, registry and cloud1 at C, two edge
# nodes each at A and B. Needs tap.sh, topology.sh, cgroup.sh, busybox_root.sh and continuum.sh; set topo_id
# and continuum_folder.
healing_edges="edge-a1 edge-a2 edge-b1 edge-b2"
healing_registry=10.10.3.5:5000
healing_server=10.10.3.10:6443
healing_image=$healing_registry/box:1

# healing_raise [OPTION of the server...]
healing_raise() {
	topo_start && topo_site a 10.10.1.1/24 && topo_site b 10.10.2.1/24 && topo_site c 10.10.3.1/24 &&
		topo_host registry c 10.10.3.5/24 10.10.3.1 && topo_host server c 10.10.3.10/24 10.10.3.1 &&
		topo_host cloud1 c 10.10.3.11/24 10.10.3.1 && topo_host edge-a1 a 10.10.1.11/24 10.10.1.1 &&
		topo_host edge-a2 a 10.10.1.12/24 10.10.1.1 && topo_host edge-b1 b 10.10.2.11/24 10.10.2.1 &&
		topo_host edge-b2 b 10.10.2.12/24 10.10.2.1 || return 1
	healing_push || return 1
	continuum_start_server "$healing_server" "$@" || return 1
	healing_began_ms=$(healing_now_ms)
	local more="registries: $continuum_folder/registries.json"
	continuum_agent cloud1 10.10.3.11 cloud site-c "$more" && continuum_agent edge-a1 10.10.1.11 edge site-a "$more" &&
		continuum_agent edge-a2 10.10.1.12 edge site-a "$more" &&
		continuum_agent edge-b1 10.10.2.11 edge site-b "$more" &&
		continuum_agent edge-b2 10.10.2.12 edge site-b "$more" && wait_for 30 continuum_nodes_ready 5 &&
		continuum_route_pods && healing_observe
}

healing_push() {
	busybox_root "$continuum_folder/box"
	tools/ocilayout.py "$continuum_folder/layout" box --config '{"Env": ["PATH=/bin"]}' \
		--layer "$continuum_folder/box:gzip" >/dev/null || return 1
	cat >"$continuum_folder/registry.yml" <<-EOF
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $continuum_folder/registry}}
		http: {addr: "$healing_registry"}
	EOF
	continuum_run registry nsenter --net="/run/netns/$topo_id-registry" \
		docker-registry serve "$continuum_folder/registry.yml"
	wait_for 10 topo_in registry curl -fs "http://$healing_registry/v2/" || return 1
	topo_in registry skopeo --insecure-policy copy -q --dest-tls-verify=false \
		"oci:$continuum_folder/layout:box" "docker://$healing_image" || return 1
	echo "{\"$healing_registry\": {\"insecure\": true}}" >"$continuum_folder/registries.json"
}

healing_now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# healing_observe: tests/lib/observer.py as a coprocess; healing_ask COMMAND gives its answer.
healing_observe() {
	local name
	mkdir -p "$continuum_folder/credentials"
	for name in certificate-authority-data client-certificate-data client-key-data; do
		sed -n "s/^ *$name: //p" "$continuum_folder/kubeconfig" | base64 -d >"$continuum_folder/credentials/$name"
	done
	coproc healing_observer {
		cgroup_make "$topo_id/observer" && cgroup_enter "$topo_id/observer" &&
			exec nsenter --net="/run/netns/$topo_id-server" python3 tests/lib/observer.py \
				"https://$healing_server" "$continuum_folder/credentials" 2>>"$continuum_folder/observer.log"
	}
}

healing_ask() {
	local answer
	echo "$*" >&"${healing_observer[1]}"
	read -r -t 90 answer <&"${healing_observer[0]}" || return 1
	echo "$answer"
	[ "${answer%% *}" != timeout ]
}

# healing_deploy NAME COUNT [jq filter over the Deployment]: COUNT pods on edge nodes, spread, with a Service.
healing_deploy() {
	jq -n --arg name "$1" --argjson count "$2" --arg image "$healing_image" '{apiVersion: "apps/v1", kind: "Deployment",
		metadata: {name: $name}, spec: {replicas: $count, selector: {matchLabels: {app: $name}}, template: {
		metadata: {labels: {app: $name}}, spec: {nodeSelector: {"continuo.dev/tier": "edge"},
		topologySpreadConstraints: [{maxSkew: 1, topologyKey: "kubernetes.io/hostname",
			whenUnsatisfiable: "ScheduleAnyway", labelSelector: {matchLabels: {app: $name}}}],
		containers: [{name: "main", image: $image, command: ["sh", "-c",
			"trap \"exit 0\" TERM; mkdir /tmp/w; hostname >/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w & wait"]}]}}}}' |
		jq "${3:-.}" | continuum apply -f - >/dev/null || return 1
	jq -n --arg name "$1" '{apiVersion: "v1", kind: "Service", metadata: {name: $name},
		spec: {selector: {app: $name}, ports: [{port: 80, targetPort: 8080}]}}' | continuum apply -f - >/dev/null
}

# healing_wait_sight: after it a server no longer takes itself for blind (30 s after its start).
healing_wait_sight() {
	local left_ms=$((healing_began_ms + 30000 - $(healing_now_ms)))
	[ "$left_ms" -le 0 ] || sleep "$((left_ms / 1000 + 1))"
}

# healing_runs: "NAME CONTAINER-ID STARTED" of all running containers, sorted.
healing_runs() {
	continuum get pods -A -o json | jq -r '.items[] | .metadata.name as $n | .status.containerStatuses[]? |
		select(.state.running) | "\($n) \(.containerID) \(.state.running.startedAt)"' | sort
}

# healing_containers NODE: "PID START" of the first process of each container there, which conmon started.
healing_containers() {
	local pid parent
	for pid in $(healing_processes "$1"); do
		parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
		[ "$(cat "/proc/${parent:-0}/comm" 2>/dev/null)" = conmon ] &&
			echo "$pid $(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)"
	done | sort
}

# healing_container_of NODE WORD: the pid of the first process of the container there whose command has the word.
healing_container_of() {
	local pid
	for pid in $(healing_containers "$1" | cut -d' ' -f1); do
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2" && echo "$pid" && return
	done
	return 1
}

# healing_in_pod PID COMMAND...: in the container's network, root and resolver.
healing_in_pod() {
	local pid=$1
	shift
	nsenter --target "$pid" --net --mount --root --wd "$@"
}

# healing_processes NODE: the pids of all processes in containers on the node.
healing_processes() {
	local root=/sys/fs/cgroup/unified
	[ -d "$root" ] || root=/sys/fs/cgroup
	find "$root/$topo_id/$1/pods" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -n
}

# A server and agents on a topology. Needs topology.sh and cgroup.sh; set topo_id, and CONTINUO_BUILD for
# the programs. All processes are in the cgroup /$topo_id, all files below $continuum_folder.

. "${BASH_SOURCE%/*}/containerd.sh"
continuum_programs=$(realpath "${CONTINUO_BUILD:-build}")/src/main
continuum_folder=
continuum_server=  # ADDRESS:PORT
continuum_pids=()  # "NAME PID"

continuum() { # the command, as the administrator, on the server's host
	topo_in server env KUBECONFIG="$continuum_folder/kubeconfig" "$continuum_programs/continuo" "$@"
}

# continuum_run NAME COMMAND...: in the background, in the cgroup NAME; its output is added to NAME.log. A
# second start under the same name takes the place of the first one, which must have ended.
continuum_run() {
	local name=$1 entry others=()
	shift
	cgroup_make "$topo_id/$name/self" || return 1
	(
		trap - INT TERM EXIT
		cgroup_enter "$topo_id/$name/self" || exit 1
		exec setsid "$@"
	) </dev/null >>"$continuum_folder/$name.log" 2>&1 &
	continuum_pid=$!
	disown
	for entry in "${continuum_pids[@]}"; do
		[ "${entry% *}" = "$name" ] || others+=("$entry")
	done
	continuum_pids=("${others[@]}" "$name $continuum_pid")
}

continuum_running() { # NAME: by the state, as a zombie is no process any more
	local entry state
	for entry in "${continuum_pids[@]}"; do
		if [ "${entry% *}" = "$1" ]; then
			state=$(sed 's/.*) //' "/proc/${entry#* }/stat" 2>/dev/null)
			[ -n "$state" ] && [ "${state%% *}" != Z ]
			return
		fi
	done
	return 1
}

continuum_pid_of() { # NAME
	local entry
	for entry in "${continuum_pids[@]}"; do
		[ "${entry% *}" = "$1" ] && echo "${entry#* }"
	done
}

# continuum_kill NAME [SIGNAL]: KILL, or that, and waits until it has ended.
continuum_kill() {
	kill "-${2:-KILL}" "$(continuum_pid_of "$1")" && wait_for 10 continuum_ended "$1"
}

continuum_ended() { ! continuum_running "$1"; }

# continuum_start_server ADDRESS:PORT [options]: on the host "server"; waits until it answers.
continuum_start_server() {
	continuum_server=$1
	shift
	mkdir -p "$continuum_folder/server"
	continuum_run server nsenter --net="/run/netns/$topo_id-server" \
		"$continuum_programs/continuo" server --state "$continuum_folder/server" \
		--listen "0.0.0.0:${continuum_server##*:}" --advertise "$continuum_server" \
		--kubeconfig-out "$continuum_folder/kubeconfig" "$@" || return 1
	wait_for 20 continuum_server_answers
}

continuum_server_answers() {
	[ -s "$continuum_folder/kubeconfig" ] && topo_in server curl -fsk --max-time 2 "https://$continuum_server/readyz"
}

# continuum_agent NAME ADDRESS TIER SITE [lines of its configuration]: an agent with its own network,
# mounts, /run and state, that joins with a token of its own. Set continuum_run_size for its /run, and
# continuum_driver=docker for a dockerd of its own.
continuum_agent() {
	local name=$1 address=$2 tier=$3 site=$4 more=${5:-} folder=$continuum_folder/$1 token
	mkdir -p "$folder/state"
	token=$(continuum token create --node "$name") || return 1
	(umask 077 && cat >"$folder/agent.yaml") <<-EOF
		node: $name
		servers: ["$continuum_server"]
		token: $token
		address: $address
		stateFolder: $folder/state
		runFolder: /run/continuo
		tier: $tier
		zone: $site
		cgroupParent: /$topo_id/$name/pods
		$more
	EOF
	[ "${continuum_driver:-oci}" = oci ] ||
		printf '%s\n' "driver: docker" "dockerSocket: /run/docker.sock" >>"$folder/agent.yaml"
	cgroup_make "$topo_id/$name/pods" && continuum_mounts "$name" && continuum_docker "$name" &&
		continuum_agent_start "$name"
}

# continuum_docker NAME: the dockerd of a host whose agent has that driver; in the host's network and mounts. It
# makes no networks: pods get theirs from the agent.
continuum_docker() {
	grep -qx 'driver: docker' "$continuum_folder/$1/agent.yaml" || return 0
	wait_for 10 containerd_ended "$(continuum_in_mounts "$1" cat /run/docker/containerd/containerd.pid 2>/dev/null)" || return 1
	continuum_run "$1-docker" nsenter --net="/run/netns/$topo_id-$1" --mount="/proc/$(continuum_pid_of "$1-mounts")/ns/mnt" \
		dockerd --data-root "$continuum_folder/$1/docker" --exec-root /run/docker --pidfile /run/docker.pid \
		-H unix:///run/docker.sock --bridge none --iptables=false --ip-forward=false --live-restore &&
		wait_for 30 continuum_in_mounts "$1" curl -fs --unix-socket /run/docker.sock http://docker/_ping
}

# continuum_mounts NAME: the host's mounts, with a /run of its own. A process that does nothing else keeps
# them, so that an agent that starts again finds them as it left them; the host's limits don't count it.
continuum_mounts() {
	continuum_run "$1-mounts" unshare --mount --propagation private sh -c \
		'mount -t tmpfs -o "size=$1,mode=755" tmpfs /run && : >/run/mounted && exec sleep infinity' - \
		"${continuum_run_size:-64m}" && wait_for 10 continuum_in_mounts "$1" test -e /run/mounted
}

continuum_in_mounts() { # NAME COMMAND...
	local mounts=/proc/$(continuum_pid_of "$1-mounts")/ns/mnt
	shift
	nsenter --mount="$mounts" "$@"
}

# continuum_agent_start NAME: once more, after continuum_kill; its pods and mounts are still there.
continuum_agent_start() {
	continuum_run "$1" nsenter --net="/run/netns/$topo_id-$1" --mount="/proc/$(continuum_pid_of "$1-mounts")/ns/mnt" \
		"$continuum_programs/continuo-agent" --config "$continuum_folder/$1/agent.yaml"
}

# continuum_reboot NAME: as a machine that loses its power: all processes die, mounts, /run, control groups and
# what the agent made of the network are gone, the boot id is another one. The disk stays. The agent starts again.
continuum_reboot() {
	local link
	continuum_kill "$1-mounts" && cgroup_end "$topo_id/$1" && cgroup_end "$topo_id/$1-docker" &&
		cgroup_end "$topo_id/$1-mounts" || return 1
	topo_in "$1" nft flush ruleset
	for link in $(ip -n "$topo_id-$1" -o link 2>/dev/null | sed -n 's/^[0-9]*: \([^:@]*\).*/\1/p' | grep -vxE 'lo|eth0'); do
		ip -n "$topo_id-$1" link delete "$link" 2>/dev/null # or it goes with its pod's namespace
	done
	cat /proc/sys/kernel/random/uuid >"$continuum_folder/$1/boot_id"
	cgroup_make "$topo_id/$1/pods" && continuum_mounts "$1" &&
		continuum_in_mounts "$1" mount --bind "$continuum_folder/$1/boot_id" /proc/sys/kernel/random/boot_id &&
		continuum_docker "$1" && continuum_agent_start "$1"
}

# continuum_nodes_ready COUNT: whether so many nodes are Ready.
continuum_nodes_ready() {
	[ "$(continuum get nodes -o json | jq '[.items[] | select(any(.status.conditions[]?;
		.type == "Ready" and .status == "True"))] | length')" = "$1" ]
}

# continuum_route_pods: gives the router the way to each node's pods.
continuum_route_pods() {
	local cidr address
	while read -r cidr address; do
		topo_route "$cidr" "$address" || return 1
	done < <(continuum get nodes -o json | jq -r '.items[] | .spec.podCIDR as $cidr |
		.status.addresses[]? | select(.type == "InternalIP") | "\($cidr) \(.address)"')
}

continuum_memory() { # NAME: PSS in KiB of the process with that name
	awk '/^Pss:/ { print $2 }' "/proc/$(continuum_pid_of "$1")/smaps_rollup"
}

# continuum_end: ends all and removes it.
continuum_end() {
	cgroup_end "$topo_id"
	topo_remove
	[ -n "$continuum_folder" ] && rm -rf --one-file-system "$continuum_folder"
	return 0
}

# A Docker engine of a test's own on a host of the topology, with containers as Compose makes them. Needs
# topology.sh, cgroup.sh and continuum.sh. Its files are below $continuum_folder/HOST-docker.

docker_folder() { echo "$continuum_folder/$1-docker"; }
docker_socket() { echo "$continuum_folder/$1-docker/d.sock"; }
docker_at() { # HOST ARGUMENT...: the docker command
	local host=$1
	shift
	DOCKER_HOST=unix://$(docker_socket "$host") docker "$@"
}

# docker_start HOST: again too, after it was killed.
docker_start() {
	local folder
	folder=$(docker_folder "$1")
	mkdir -p "$folder"
	cgroup_make "$topo_id/$1/docker" || return 1
	wait_for 10 containerd_ended "$(cat "$folder/exec/containerd/containerd.pid" 2>/dev/null)" || return 1
	rm -f "$folder/pid"
	continuum_run "$1-docker" nsenter --net="/run/netns/$topo_id-$1" dockerd --data-root "$folder/data" \
		--exec-root "$folder/exec" --pidfile "$folder/pid" -H "unix://$folder/d.sock" \
		--cgroup-parent "/$topo_id/$1/docker" --live-restore || return 1
	wait_for 20 docker_at "$1" info
}

# podman_start NAME HOST: Podman's service in the host's network; docker_at NAME speaks to it.
podman_start() {
	local folder
	folder=$(docker_folder "$1")
	mkdir -p "$folder"
	cgroup_make "$topo_id/$1" || return 1
	# Its own limits want CAP_SYS_RESOURCE.
	cat >"$folder/containers.conf" <<-EOF
		[containers]
		default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		tmp_dir = "$folder/tmp"
	EOF
	rm -f "$folder/d.sock"
	continuum_run "$1-docker" nsenter --net="/run/netns/$topo_id-$2" env CONTAINERS_CONF="$folder/containers.conf" \
		podman --root "$folder/data" --runroot "$folder/exec" system service --time 0 "unix://$folder/d.sock" || return 1
	wait_for 20 curl -fs --unix-socket "$folder/d.sock" http://podman/_ping
}

# docker_compose HOST PROJECT SERVICE NUMBER [option of docker run...] -- IMAGE [command...]: one container of a service.
docker_compose() {
	local host=$1 project=$2 service=$3 number=$4 options=()
	shift 4
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	docker_at "$host" run -d --name "${project}_${service}_$number" --label "com.docker.compose.project=$project" \
		--label "com.docker.compose.service=$service" --label "com.docker.compose.container-number=$number" \
		--label com.docker.compose.oneoff=False "${options[@]}" "$@" >/dev/null
}

# docker_end HOST: its containers, itself, its mounts.
docker_end() {
	local folder ids path
	folder=$(docker_folder "$1")
	[ -d "$folder" ] || return 0
	ids=$(docker_at "$1" ps -aq 2>/dev/null)
	[ -z "$ids" ] || timeout 30 env DOCKER_HOST="unix://$(docker_socket "$1")" docker rm -f $ids >/dev/null 2>&1
	continuum_kill "$1-docker" TERM
	cgroup_end "$topo_id/$1-docker"
	awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r path; do
		umount -l "$path"
	done
	return 0
}

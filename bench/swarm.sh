# The peer: Docker Swarm on one node, in the namespace of node1. Needs lib.sh.

swarm_start() {
	local dir=$continuum_folder/docker
	mkdir -p "$dir"
	mkdir -p "$dir/cgroup"
	# dockerd looks for its bridges in /sys: it gets one of this network namespace, with the cgroups in it.
	continuum_run swarm nsenter --net="/run/netns/$topo_id-node1" unshare --mount --propagation private sh -c \
		'mount --rbind /sys/fs/cgroup "$0/cgroup" && mount -t sysfs sysfs /sys && mount --rbind "$0/cgroup" /sys/fs/cgroup &&
		exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" -H "unix://$0/d.sock" --bridge none --insecure-registry 10.10.3.5:5000' "$dir"
	export DOCKER_HOST=unix://$dir/d.sock
	wait_for 30 docker version || return 1
	docker pull -q "$bench_image" >/dev/null
	docker swarm init --advertise-addr 10.10.3.11 >/dev/null && docker network create -d overlay pods >/dev/null
}

# swarm_replicas COUNT: ms from the create request to the last workload's own timestamp.
swarm_replicas() {
	local out start
	out=$(bench_out)
	start=$(now_ns)
	docker service create --detach --quiet --name bench --replicas "$1" --network pods --hostname '{{.Task.ID}}' \
		--mount "type=bind,src=$out,dst=/out" --stop-grace-period 1s --no-resolve-image "$bench_image" >/dev/null
	wait_for 120 has_stamps "$out" "$1" || return 1
	echo $((($(cat "$out"/* | sort -n | tail -1) - start) / 1000000))
	docker service rm bench >/dev/null
	wait_for 120 swarm_is_empty
}
swarm_is_empty() { [ -z "$(docker ps -q)" ]; }

# docker_run_ms: median ms of five `docker run -d` without a network: how fast this machine is now.
docker_run_ms() {
	local start
	for _ in $(seq 5); do
		start=$(now_ns)
		docker run -d --network none --mount "type=bind,src=$(bench_out),dst=/out" "$bench_image" >/dev/null
		echo $((($(now_ns) - start) / 1000000))
	done | median
	docker ps -q | xargs -r docker rm -f >/dev/null
}

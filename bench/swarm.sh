# The peer: Docker Swarm on one node, in the namespace of node1. Needs lib.sh.

swarm_start() {
	local dir=$continuum_folder/docker
	mkdir -p "$dir"
	continuum_run swarm nsenter --net="/run/netns/$topo_id-node1" unshare --mount --propagation private dockerd \
		--data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "unix://$dir/d.sock" --bridge none
	export DOCKER_HOST=unix://$dir/d.sock
	wait_for 30 docker version || return 1
	tar -C "$continuum_folder/tree" -c . | docker import -c 'ENTRYPOINT ["/stamp"]' - stamp:1 >/dev/null
	docker swarm init --advertise-addr 10.10.3.11 >/dev/null && docker network create -d overlay pods >/dev/null
}

# swarm_replicas COUNT: ms from the create request to the last workload's own timestamp.
swarm_replicas() {
	local out start
	out=$(bench_out)
	start=$(now_ns)
	docker service create --detach --quiet --name bench --replicas "$1" --network pods --hostname '{{.Task.ID}}' \
		--mount "type=bind,src=$out,dst=/out" --stop-grace-period 1s --no-resolve-image stamp:1 >/dev/null
	wait_for 120 has_stamps "$out" "$1" || return 1
	echo $((($(cat "$out"/* | sort -n | tail -1) - start) / 1000000))
	docker service rm bench >/dev/null
	wait_for 120 swarm_is_empty
}
swarm_is_empty() { [ -z "$(docker ps -q)" ]; }

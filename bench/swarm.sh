# The peer: Docker Swarm on one node, in the bench's own namespace. swarm_start; swarm_replicas N FOLDER -> ms.
swarm_start() {
	local dir=$bench_work/docker
	mkdir -p "$dir"
	in_host dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "unix://$dir/d.sock" \
		--bridge none >"$dir/log" 2>&1 &
	swarm_pid=$!
	at_exit 'swarm_stop'
	export DOCKER_HOST=unix://$dir/d.sock
	wait_for 30 docker version || { tail -5 "$dir/log" >&2; return 1; }
	tar -C "$bench_work/tree" -c . | docker import -c 'ENTRYPOINT ["/stamp"]' - stamp:1 >/dev/null
	docker swarm init --advertise-addr 192.0.2.1 >/dev/null
	docker network create -d overlay pods >/dev/null
}

# From the create request to the last workload's own timestamp, in ms.
swarm_replicas() {
	local count=$1 out=$2 start
	mkdir -p "$out"
	start=$(now_ns)
	docker service create --detach --quiet --name bench --replicas "$count" --network pods --hostname '{{.Task.ID}}' \
		--mount "type=bind,src=$out,dst=/out" --no-resolve-image stamp:1 >/dev/null
	wait_for 120 has_stamps "$out" "$count" || { echo null; return 1; }
	echo $((($(last_stamp "$out") - start) / 1000000))
	docker service rm bench >/dev/null
	wait_for 60 eval '[ -z "$(docker ps -q)" ]'
}

swarm_stop() {
	docker swarm leave --force >/dev/null 2>&1
	end_process "$swarm_pid"
	wait "$swarm_pid" 2>/dev/null
	# dockerd leaves its mounts and its network namespaces' files behind.
	awk -v d="$bench_work/docker" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l
}

# What benches share: one node with its server and a registry in network namespaces, the workload's image, results.
# Needs tests/lib/tap.sh, topology.sh, cgroup.sh, registry.sh and continuum.sh.
bench_name=$(basename "$0")
bench_lines=()
bench_image=10.10.3.5:5000/stamp:1

# bench_raise [OPTION of the server...]: hosts registry, server and node1 on one subnet, and the image in the registry.
bench_raise() {
	topo_id=cb$$
	continuum_folder=$(mktemp -d /var/tmp/continuo-bench-XXXXXX)
	at_exit continuum_end
	topo_start && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
		topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host node1 c 10.10.3.11/24 10.10.3.1 || return 1
	bench_stamp_image
	cat >"$continuum_folder/registry.yml" <<-EOF
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $continuum_folder/registry}}
		http: {addr: "10.10.3.5:5000"}
	EOF
	continuum_run registry nsenter --net="/run/netns/$topo_id-registry" docker-registry serve "$continuum_folder/registry.yml"
	wait_for 20 topo_in registry curl -fs http://10.10.3.5:5000/v2/ || return 1
	topo_in registry skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$continuum_folder/layout:stamp:1" \
		"docker://$bench_image" || return 1
	echo '{"10.10.3.5:5000": {"insecure": true}}' >"$continuum_folder/registries.json"
	continuum_start_server 10.10.3.10:6443 "$@" || return 1
	bench_credentials
	bench_client namespace
}

# bench_stamp_image: an OCI layout with stamp:1, and its tree for the peer.
bench_stamp_image() {
	mkdir -p "$continuum_folder/tree/out"
	gcc -static -O2 -o "$continuum_folder/tree/stamp" bench/stamp.c
	python3 tools/ocilayout.py "$continuum_folder/layout" stamp:1 --config '{"Entrypoint":["/stamp"]}' \
		--layer "$continuum_folder/tree:gzip" >/dev/null
}

bench_credentials() {
	local name
	bench_credentials=$continuum_folder/credentials
	mkdir -p "$bench_credentials"
	for name in certificate-authority-data client-certificate-data client-key-data; do
		sed -n "s/^ *$name: //p" "$continuum_folder/kubeconfig" | base64 -d >"$bench_credentials/$name"
	done
}

bench_client() { topo_in server python3 bench/client.py https://10.10.3.10:6443 "$bench_credentials" "$@"; }

# bench_node: the agent of node1, ready.
bench_node() {
	continuum_agent node1 10.10.3.11 cloud site-c "registries: $continuum_folder/registries.json
${bench_agent_more:-}" &&
		wait_for 30 continuum_nodes_ready 1
}

# bench_out: a new empty folder for timestamps.
bench_out() { mktemp -d "$continuum_folder/out-XXXXXX"; }

# bench_metric METRIC VALUE UNIT PEER PEER_VALUE RATIO ("null" where there is none).
bench_metric() {
	bench_lines+=("$(jq -nc --arg bench "$bench_name" --arg metric "$1" --argjson value "$2" --arg unit "$3" --arg peer "$4" \
		--argjson peer_value "$5" --argjson ratio "$6" '{bench:$bench,metric:$metric,value:$value,unit:$unit,
		peer:(if $peer=="null" then null else $peer end),peer_value:$peer_value,ratio:$ratio}')")
}
bench_finish() {
	echo "# $(date -u +%FT%TZ), $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), Linux $(uname -r)"
	printf '%s\n' "${bench_lines[@]}"
	[ -z "${BENCH_RESULTS:-}" ] || printf '%s\n' "${bench_lines[@]}" >>"$BENCH_RESULTS"
}

now_ns() { date +%s%N; }
# has_stamps FOLDER COUNT
has_stamps() { [ "$(find "$1" -type f -size +0 | wc -l)" -ge "$2" ]; }
median() { sort -n | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

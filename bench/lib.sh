# What benches share: a host of their own in a network namespace, the workload's image, results. Source tests/lib/tap.sh
# first (for at_exit, wait_for, end_process).
bench_name=$(basename "$0")
bench_results=${BENCH_RESULTS:-}
bench_work=$(mktemp -d /var/tmp/continuo-bench-XXXXXX)
bench_net=cb$$
at_exit 'rm -rf --one-file-system "$bench_work"'

# bench_host: a network namespace with one address, 192.0.2.1, on a bridge of its own.
bench_host() {
	ip netns add "$bench_net"
	at_exit 'ip netns del "$bench_net"'
	ip -n "$bench_net" link set lo up
	ip -n "$bench_net" link add host0 type bridge
	ip -n "$bench_net" addr add 192.0.2.1/24 dev host0
	ip -n "$bench_net" link set host0 up
	ip -n "$bench_net" route add default dev host0
}
# Not `ip netns exec`: that would hide the cgroups.
in_host() { nsenter --net="/run/netns/$bench_net" "$@"; }

# bench_stamp_layout: an OCI layout with the image stamp:1 in $bench_work/layout.
bench_stamp_layout() {
	mkdir -p "$bench_work/tree/out"
	gcc -static -O2 -o "$bench_work/tree/stamp" bench/stamp.c
	python3 tools/ocilayout.py "$bench_work/layout" stamp:1 --config '{"config":{"Entrypoint":["/stamp"]}}' \
		--layer "$bench_work/tree:gzip" >/dev/null
}

# bench_metric METRIC VALUE UNIT PEER PEER_VALUE RATIO (null where there is none): the line that counts.
bench_metric() {
	local line
	line=$(jq -nc --arg bench "$bench_name" --arg metric "$1" --argjson value "$2" --arg unit "$3" --arg peer "$4" \
		--argjson peer_value "$5" --argjson ratio "$6" \
		'{bench:$bench,metric:$metric,value:$value,unit:$unit,peer:(if $peer=="null" then null else $peer end),
		  peer_value:$peer_value,ratio:$ratio}')
	bench_lines+=("$line")
}
bench_lines=()
bench_finish() {
	echo "# $(date -u +%FT%TZ), $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), $(uname -r)"
	printf '%s\n' "${bench_lines[@]}"
	[ -z "$bench_results" ] || printf '%s\n' "${bench_lines[@]}" >>"$bench_results"
}

now_ns() { date +%s%N; }
# last_stamp FOLDER: the latest time that a workload wrote, ns.
last_stamp() { cat "$1"/* | sort -n | tail -1; }
# has_stamps FOLDER COUNT
has_stamps() { [ "$(find "$1" -type f -size +0 | wc -l)" -ge "$2" ]; }
median() { sort -n | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

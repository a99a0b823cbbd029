# The second half of the demo: it breaks the continuum and shows it mend. Sourced by demo/run.

# runs: pods with the ids and starts of their containers, as the API has it.
runs() {
	continuum get pods -n factory -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null) |
		.metadata.name as $n | .status.containerStatuses[]? | select(.state.running) |
		"\($n) \(.containerID) \(.state.running.startedAt)"' | sort
}

# pids HOST: all processes in containers on the host.
pids() {
	local root=/sys/fs/cgroup/unified
	[ -d "$root" ] || root=/sys/fs/cgroup
	find "$root/$topo_id/$1/pods"/pod-* -name cgroup.procs -exec cat {} + 2>/dev/null
}

# containers HOST...: "HOST PID START" of the first process of each container there: its parent, conmon or a shim
# of containerd, is in no container.
containers() {
	local host pid parent all
	for host in "$@"; do
		all=" $(pids "$host" | tr '\n' ' ')"
		for pid in $all; do
			parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
			[ -n "$parent" ] && [[ $all != *" $parent "* ]] &&
				echo "$host $pid $(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)"
		done
	done | sort
}

# running HOST NAME: how many processes of that name are in containers on the host.
running() {
	local pid
	for pid in $(pids "$1"); do
		cat "/proc/$pid/comm" 2>/dev/null
	done | grep -cx "$2"
}

has_logs() { [ -n "$(continuum logs -n factory "deployment/$1")" ]; }

ready_off() { # HOST APP: the app's pod is ready on another host
	continuum get pods -n factory -l "app=$2" -o json | jq -e --arg host "$1" 'any(.items[]; .spec.nodeName != $host and
		.metadata.deletionTimestamp == null and any(.status.conditions[]?; .type == "Ready" and .status == "True"))'
}

node_is() { # HOST STATUS of its condition Ready
	[ "$(continuum get node "$1" -o json | jq -r '.status.conditions[] | select(.type == "Ready").status')" = "$2" ]
}

none_leaves() { continuum get pods -n factory -o json | jq -e 'all(.items[]; .metadata.deletionTimestamp == null)'; }

# without APP: lines of other pods.
without() { grep -v "^$1-"; }

since() { awk -v ms=$(($(now_ms) - $1)) 'BEGIN { printf "%.1f s", ms / 1000 }'; }

# A server that began lately takes itself for blind; see docs/survival.md.
wait_for_sight() {
	local left_ms=$((server_began_ms + 31000 - $(now_ms)))
	[ "$left_ms" -le 0 ] && return
	say "${dim}(a new server evicts nobody for 30 s, as its nodes may still be on their way: $((left_ms / 1000)) s to go)${plain}"
	sleep "$((left_ms / 1000 + 1))"
}

# ---- 7. the broker's link is cut ----

cut_link() {
	broker_host=$(node_of broker)
	wait_for_sight
	step "The link of $broker_host, which has the broker, is cut: the router silently drops its packets"
	before=$(runs | without broker)
	cut_ms=$(now_ms)
	topo_cut "$broker_host"
	verify "the loss is seen" wait_for 10 node_is "$broker_host" Unknown
	say "${dim}after $(since "$cut_ms")${plain}"
	verify "the broker is ready at the other site" wait_for $((20 + more_s)) ready_off "$broker_host" broker
	healed=$(since "$cut_ms")
	say "${dim}after $healed; it is on $(continuum get pods -n factory -l app=broker -o json |
		jq -r '.items[] | select(.metadata.deletionTimestamp == null).spec.nodeName') now${plain}"
	local first
	first=$(frames)
	verify "the counts grow again" wait_for 30 more_frames_than "${first:-0}"
	say "${dim}after $(since "$cut_ms")${plain}"
	continuum get pods -n factory -o wide
}

# ---- 8. and joined again ----

join_link() {
	step "The link is joined again"
	joined_ms=$(now_ms)
	topo_join "$broker_host"
	verify "$broker_host is ready" wait_for 10 node_is "$broker_host" True
	verify "the old broker is removed there" wait_for 10 none_leaves
	say "${dim}after $(since "$joined_ms")${plain}"
	verify "no process of it is left on $broker_host" test "$(running "$broker_host" mosquitto)" = 0
	verify "exactly one broker runs" test "$(for host in $hosts; do running "$host" mosquitto; done | paste -sd+ | bc)" = 1
	verify "nothing else was restarted anywhere" test "$before" = "$(runs | without broker)"
}

# ---- 9. server and agent are killed ----

kill_both() {
	local victim before_pids
	victim=$(node_of redis)
	step "The server and the agent on $victim are killed (SIGKILL) and started again"
	before=$(runs) before_pids=$(containers $hosts)
	continuum_kill server
	continuum_kill "$victim"
	continuum_agent_start "$victim"
	continuum_start_server 10.10.3.10:6443 --domain factory.example --pod-cidr 10.42.0.0/16 \
		--service-cidr 10.43.0.0/16 || die "the server does not answer"
	server_began_ms=$(now_ms)
	verify "all nodes are back" wait_for 20 continuum_nodes_ready 5
	verify "every container keeps its process and start" test "$before_pids" = "$(containers $hosts)"
	verify "the API says the same" test "$before" = "$(runs)"
	verify "the logs of redis from before are still there" wait_for 5 has_logs redis
	verify "nobody was evicted" none_leaves
}

# ---- 10. a site is cut off ----

# container_of HOST WORD: the pid of the first process of the container there whose command has the word.
container_of() {
	local pid
	for pid in $(containers "$1" | cut -d' ' -f2); do
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2" && echo "$pid" && return
	done
	return 1
}

another_runs() { # HOST WORD PID
	local pid
	pid=$(container_of "$1" "$2") && [ "$pid" != "$3" ]
}

panel_answers() { # HOST WORD: to the container there whose command has the word, by the service's name
	local pid
	pid=$(container_of "$1" "$2") && [ "$(nsenter --target "$pid" --net --mount --root --wd \
		timeout 2 wget -qO - http://panel.factory/)" = "the line may run" ]
}

cut_site() {
	local camera panel before_elsewhere
	step "Site A is cut off, with the camera and the panel; the server is out of its reach"
	before=$(runs) before_elsewhere=$(containers cloud1 cloud2 edge-b)
	topo_cut_site a
	verify "its nodes are lost" wait_for 45 node_is edge-a Unknown
	verify "the panel answers the camera's container by its name" wait_for 10 panel_answers iot-a camera
	say "the camera's process is killed:"
	camera=$(container_of iot-a camera)
	kill -KILL "$camera"
	verify "the node starts it again by itself" wait_for 20 another_runs iot-a camera "$camera"
	say "edge-a loses its power: all processes killed, everything unmounted, /run empty; it starts again:"
	panel=$(container_of edge-a httpd)
	rebooted_ms=$(now_ms)
	continuum_reboot edge-a || die "edge-a does not start again"
	verify "its panel runs again" wait_for 20 another_runs edge-a httpd "$panel"
	verify "and answers the camera's container by its name" wait_for 20 panel_answers iot-a camera
	island=$(since "$rebooted_ms")
	say "${dim}after $island${plain}"
	verify "nobody at the other sites was restarted" test "$before_elsewhere" = "$(containers cloud1 cloud2 edge-b)"

	step "Site A is joined again"
	camera=$(container_of iot-a camera) panel=$(container_of edge-a httpd)
	topo_join_site a
	verify "all nodes are ready" wait_for 20 continuum_nodes_ready 5
	verify "all pods are ready, and no more than those" wait_for 20 pods_ready 6
	verify "none is being removed" wait_for 5 none_leaves
	verify "camera and panel run on as they were" test "$camera $panel" = "$(container_of iot-a camera) $(container_of edge-a httpd)"
	verify "what was not touched was not restarted" test "$before_elsewhere" = "$(containers cloud1 cloud2 edge-b)"
	local first
	first=$(frames)
	verify "the counts grow again" wait_for 30 more_frames_than "${first:-0}"
	continuum get pods -n factory -o wide
}

break_and_mend() {
	cut_link
	join_link
	kill_both
	cut_site
}

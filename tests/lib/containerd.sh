# containerd_ended PID: whether a containerd, which dies with its dockerd, is gone. A dockerd that starts while it is
# still dying takes it for alive, waits for its socket and gives up.
containerd_ended() {
	local state
	[ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = containerd ] || return 0
	state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
	[ -z "$state" ] || [ "${state%% *}" = Z ]
}

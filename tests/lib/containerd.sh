# containerd_ended PID: whether a containerd, which dies with its dockerd, is gone, and its zombie too. A dockerd that
# starts before takes it for alive, waits for its socket and gives up.
containerd_ended() {
	[ -z "$1" ] || [ "$(cat "/proc/$1/comm" 2>/dev/null)" != containerd ]
}

# A container engine with a Docker API, alone in a network namespace: dockerd, or Podman where engine_kind=podman.
# Source tap.sh, cgroup.sh and busybox_root.sh before. Also runs as `bash tests/lib/engine.sh kill` with the
# variables below in the environment, for a test that ends its engine.

. "${BASH_SOURCE%/*}/containerd.sh"
engine_programs=$(realpath "${CONTINUO_BUILD:-./build}")/src

engine_prepare() { # ID
	[ "$(id -u)" = 0 ] || { tap_skip "needs root: it makes containers" && tap_finish; }
	export engine_id=$1 engine_folder engine_kind=${engine_kind:-docker} ENGINE
	engine_folder=$(mktemp -d)
	ENGINE="bash $(realpath tests/lib/engine.sh)"
	ip netns add "$engine_id" && ip -n "$engine_id" link set lo up
	busybox_root "$engine_folder/root"
	[ "$engine_kind" = docker ] || engine_podman_settings
}

# Podman asks for limits that a container without CAP_SYS_RESOURCE cannot have.
engine_podman_settings() {
	cat >"$engine_folder/containers.conf" <<-EOF
		[containers]
		default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		tmp_dir = "$engine_folder/tmp"
	EOF
}

engine_command() {
	local live=()
	cd "$engine_folder" || exit 1 # conmon leaves files where it is
	if [ "$engine_kind" = podman ]; then
		exec env CONTAINERS_CONF="$engine_folder/containers.conf" podman --root "$engine_folder/data" \
			--runroot "$engine_folder/exec" system service --time 0 "unix://$engine_folder/socket"
	fi
	[ -z "${ENGINE_LIVE:-}" ] || live=(--live-restore)
	exec dockerd --data-root "$engine_folder/data" --exec-root "$engine_folder/exec" \
		--pidfile "$engine_folder/dockerd.pid" -H "unix://$engine_folder/socket" --bridge none --iptables=false \
		--ip-forward=false "${live[@]}"
}

engine_answers() { curl -fs --unix-socket "$engine_folder/socket" http://engine/_ping; }
engine_is_gone() { ! [ -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
engine_wait() { # SECONDS COMMAND...
	local left=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $((left -= 1)) -gt 0 ] || return 1
		sleep 0.05
	done
}

engine() { # start | stop | kill | remove NAME
	local pid path
	case $1 in
	start)
		[ "$engine_kind" != podman ] || rm -f "$engine_folder/socket"
		cgroup_make "$engine_id/engine"
		(
			cgroup_enter "$engine_id/engine"
			ENGINE= exec setsid nsenter --net="/run/netns/$engine_id" bash -c "$(declare -f engine_command); engine_command"
		) </dev/null >>"$engine_folder/log" 2>&1 &
		echo $! >"$engine_folder/pid"
		disown
		engine_wait 30 engine_answers || { tail -n 5 "$engine_folder/log" && return 1; }
		;;
	stop | kill)
		pid=$(cat "$engine_folder/pid")
		kill -"$([ "$1" = kill ] && echo KILL || echo TERM)" "$pid" && engine_wait 20 engine_is_gone "$pid" &&
			engine_wait 20 containerd_ended "$(cat "$engine_folder/exec/containerd/containerd.pid" 2>/dev/null)"
		;;
	remove) # Podman refuses to remove a container that others depend on, unless those go too
		path="v1.41/containers/$2?force=1"
		[ "$engine_kind" != podman ] || path="v4.0.0/libpod/containers/$2?force=true&depend=true"
		curl -fs -X DELETE --unix-socket "$engine_folder/socket" "http://engine/$path"
		;;
	esac
}

# engine_suite [TEST...]: the contract suite, or those tests of it.
engine_suite() {
	PAUSE_PROGRAM=$engine_programs/main/continuo-pause PULL_PROGRAM=$engine_programs/main/continuo-pull \
		nsenter --net="/run/netns/$engine_id" "$engine_programs/driver/driver-contract" docker \
		"$engine_folder/state" "$engine_folder/run" "/$engine_id/pods" "$engine_folder/root" "$engine_folder/socket" \
		"$@" >"$engine_folder/output" 2>&1
	local status=$?
	grep -v '^ok' "$engine_folder/output"
	return $status
}

engine_has_none() {
	[ "$(curl -fs --unix-socket "$engine_folder/socket" "http://engine/v1.41/containers/json?all=1" | jq length)" = 0 ]
}

# All that may be mounted is the tmpfs of the run folder, which the next agent uses.
engine_no_mounts() { [ "$(grep -cF "$engine_folder/run" /proc/self/mounts)" -le 1 ]; }

engine_no_cgroups() {
	local root
	for root in $(cgroup_roots); do
		! find "$root/$engine_id/pods" -mindepth 1 -type d 2>/dev/null | grep . || return 1
	done
}

engine_end() {
	cgroup_end "$engine_id"
	grep -F "$engine_folder" /proc/self/mounts | awk '{ print $2 }' | sort -r | xargs -r -n 1 umount -l
	ip netns delete "$engine_id"
	rm -rf --one-file-system "$engine_folder"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	. "${0%/*}/cgroup.sh"
	engine "$@"
fi

# Shell tests that print TAP (prove reads it). Source it, then: tap_check NAME COMMAND..., tap_finish.
# At any end, also Ctrl-C, the functions that were named to at_exit run, the last one first.
. "${BASH_SOURCE[0]%/*}/supervise.sh"

tap_count=0
tap_failed=0
tap_exits=()

at_exit() { tap_exits+=("$*"); }

tap_run_exits() {
	local status=$? i
	trap - EXIT
	trap '' TERM
	for ((i = ${#tap_exits[@]} - 1; i >= 0; i--)); do
		eval "${tap_exits[i]}" || true
	done
	exit "$status"
}
trap tap_run_exits EXIT
trap 'exit 143' TERM

# tap_result STATUS NAME: one line of TAP.
tap_result() {
	tap_count=$((tap_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_count - $2"
	else
		echo "not ok $tap_count - $2"
		tap_failed=$((tap_failed + 1))
	fi
}

tap_note() { sed 's/^/# /'; }

# tap_check NAME COMMAND...: passes when the command succeeds; shows what it printed when not (on stderr, as
# prove keeps comments on stdout to itself).
tap_check() {
	local name=$1 out status
	shift
	out=$("$@" 2>&1)
	status=$?
	tap_result $status "$name"
	[ $status -eq 0 ] || tap_note <<<"$* gave $status: $out" >&2
}

# tap_says STATUS TEXT COMMAND...: the exit status, and that the output (both streams) has the text.
tap_says() {
	local status=$1 text=$2 out got
	shift 2
	out=$("$@" 2>&1)
	got=$?
	[ "$got" -eq "$status" ] && grep -qF -- "$text" <<<"$out" && return
	echo "status $got, said: $out"
	return 1
}

tap_skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count # SKIP $1"
}

tap_finish() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}

# wait_for SECONDS COMMAND...: until it succeeds; looks every 50 ms. For what gives no event.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# end_process PID: TERM, after 5 s KILL, and waits until it is gone or a zombie of somebody else.
end_process() {
	local state
	kill -TERM "$1" 2>/dev/null || return 0
	for _ in $(seq 100); do
		state=$(awk '{sub(/.*\) /, ""); print $1}' "/proc/$1/stat" 2>/dev/null) || return 0
		[ -n "$state" ] && [ "$state" != Z ] || return 0
		sleep 0.05
	done
	kill -KILL "$1" 2>/dev/null || true
}

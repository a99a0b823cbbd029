# Runs the script that sources this a second time, in a session of its own, and only waits for it. Ctrl-C
# becomes one TERM to that session, which ends the script's foreground command too and lets its EXIT trap
# clean up; the session is gone when this returns. A bash that runs commands and traps SIGINT itself is no
# alternative: bash 5.2 may send the signal to itself without end when it meets a command that just ended.

supervise() {
	local script child status signal='' _
	script=$(realpath "/proc/$$/fd/255") # bash reads its script from there; $0 may be relative to another folder
	# A background command would ignore SIGINT, and so would all that it starts.
	CONTINUO_SUPERVISED=1 env --default-signal=INT,QUIT setsid bash "$script" "$@" <&0 &
	child=$!
	for signal in INT TERM HUP; do
		trap "supervise_end $signal $child" $signal
	done
	signal=''
	while true; do
		wait $child
		status=$?
		# A trap interrupts wait; the script still cleans up then.
		kill -0 $child 2>/dev/null || break
	done
	trap '' INT TERM HUP
	for _ in $(seq 250); do
		pgrep -g $child -r D,R,S,T >/dev/null || break # zombies are not ours to reap
		sleep 0.02
	done
	kill -KILL -- -$child 2>/dev/null
	case $signal in
	INT) exit 130 ;;
	TERM | HUP) exit 143 ;;
	*) exit $status ;;
	esac
}

supervise_end() { # SIGNAL SESSION
	trap '' INT TERM HUP
	signal=$1
	kill -TERM -- -"$2"
}

if [ -z "${CONTINUO_SUPERVISED:-}" ]; then
	supervise "$@"
fi
unset CONTINUO_SUPERVISED

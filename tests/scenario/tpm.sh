#!/bin/bash
# The key of the slice under a TPM: sealed, given back to a restarted agent, refused by another TPM, away for a while.
# swtpm emulates two TPMs; the driver is the fake one.
cd "$(dirname "$0")/../.." || exit 1
export CONTINUO_BUILD=${CONTINUO_BUILD:-$PWD/build}
seal=$CONTINUO_BUILD/src/main/continuo-seal
. tests/lib/tap.sh
[ -x "$seal" ] || { tap_skip "continuo-seal was not built: libtss2-dev was missing" && tap_finish; }
command -v swtpm >/dev/null || { tap_skip "swtpm is not installed" && tap_finish; }
# In a network of its own: agents make a bridge and nftables rules, and the TPMs have fixed ports.
[ "${TPM_TEST_NETWORK:-}" ] || exec env TPM_TEST_NETWORK=1 unshare --net -- "$0"
ip link set lo up
. tests/lib/server.sh

work=$(mktemp -d)
agent_pid=
declare -A tpm_pids=()
at_exit 'rm -rf "$work"'
at_exit 'server_kill KILL'
at_exit 'for tpm in "${!tpm_pids[@]}"; do tpm_stop "$tpm"; done'
at_exit 'agent_stop KILL'

tpm_start() { # PORT: a TPM of its own, which it is again at the next start
	mkdir -p "$work/tpm$1"
	swtpm socket --tpm2 --tpmstate "dir=$work/tpm$1" --server "type=tcp,port=$1" --ctrl "type=tcp,port=$(($1 + 1))" \
		--flags not-need-init,startup-clear >>"$work/tpm$1.log" 2>&1 &
	tpm_pids[$1]=$!
	wait_for 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$(($1 + 1))"
}
tpm_stop() { # PORT
	kill "${tpm_pids[$1]}" && wait "${tpm_pids[$1]}" 2>/dev/null
	unset "tpm_pids[$1]"
}
one=swtpm:host=127.0.0.1,port=2321 other=swtpm:host=127.0.0.1,port=2331
tpm_start 2321 && tpm_start 2331 || { echo "Bail out! swtpm does not start: $(tail -3 "$work"/tpm*.log)"; exit 1; }

# ---- the program ----

key=$work/plain blob=$work/blob
head -c 32 /dev/urandom >"$key"
seals() { "$seal" seal --tcti "$1" <"$2"; }
unseals() { "$seal" unseal --tcti "$1" <"$2"; }
same() { [ "$(unseals "$1" "$2" | od -An -tx1)" = "$(od -An -tx1 <"$3")" ]; }
has_bytes() { # FILE NEEDLE_FILE
	python3 -c 'import sys; sys.exit(open(sys.argv[2], "rb").read() not in open(sys.argv[1], "rb").read())' "$@"
}
without_key() { # FILE: with something in it
	[ "$(stat -c %s "$1")" -gt 100 ] && ! has_bytes "$1" "$key"
}
export TCTI_PCAP_FILE=$work/bus
seals "pcap:$one" "$key" >"$blob"
tap_check "the TPM seals a key, and it is not in the blob" without_key "$blob"
tap_check "nor does it pass the bus" without_key "$work/bus"
TCTI_PCAP_FILE=$work/bus.back
tap_check "the TPM gives it back" same "pcap:$one" "$blob" "$key"
tap_check "encrypted too" without_key "$work/bus.back"
tap_check "another TPM does not" tap_says 5 "another storage key" unseals "$other" "$blob"
head -c 100 "$blob" >"$work/cut"
tap_check "a blob that is cut short is refused" tap_says 5 "cut short" unseals "$one" "$work/cut"
python3 - "$blob" "$work/bent" <<-'END'
	import sys
	data = bytearray(open(sys.argv[1], "rb").read())
	data[-3] ^= 1
	open(sys.argv[2], "wb").write(data)
END
tap_check "a damaged one too" tap_says 5 "integrity check failed" unseals "$one" "$work/bent"
tap_check "without a TPM it says so" tap_says 3 "no TPM answers at swtpm:host=127.0.0.1,port=9" \
	unseals swtpm:host=127.0.0.1,port=9 "$blob"
tap_check "too much to seal is refused" tap_says 2 "1 to 128 bytes" seals "$one" "$CONTINUO_BUILD/../tests/lib/tap.sh"

# ---- the agent ----

server_start "$work/server" || { echo "Bail out! the server does not start: $(tail -3 "$work/server.log")"; exit 1; }
export KUBECONFIG=$work/server/admin.kubeconfig
continuo=$CONTINUO_BUILD/src/main/continuo
state=$work/state

agent_start() { # [flags]
	: >"$work/agent.log"
	"$CONTINUO_BUILD/src/main/continuo-agent" --server "127.0.0.1:$server_port" --address 127.0.0.1 --driver fake \
		--state-folder "$state" --run-folder "$work/run" --listen 127.0.0.1:10255 "$@" >>"$work/agent.log" 2>&1 &
	agent_pid=$!
}
agent_stop() { # SIGNAL
	[ -n "$agent_pid" ] || return 0
	kill "-$1" "$agent_pid"
	wait "$agent_pid" 2>/dev/null
	agent_pid=
}
metric_is() { [ "$(curl -s http://127.0.0.1:10255/metrics | sed -n "s/^$1 //p")" = "$2" ]; }
kept() { metric_is 'continuo_agent_pods{stage="kept"}' "$1"; }
connected() { metric_is continuo_agent_connected 1; }
saved() { wait_for 10 metric_is continuo_agent_slice_saved 1; }
said() { grep -q "event=$1.*${2:-}" "$work/agent.log" || { cat "$work/agent.log"; return 1; }; }
lies_sealed() { [ -e "$state/key.sealed" ] && [ ! -e "$state/key" ] || { ls "$state"; return 1; }; }
lies_plain() { [ ! -e "$state/key.sealed" ] && [ "$(stat -c '%s %a' "$state/key")" = "32 600" ] || { ls -l "$state"; return 1; }; }
pod_runs() { [ "$(api GET /api/v1/namespaces/default/pods/p | jq -r .status.phase)" = Running ]; }

refuses() { # SENTENCE [flags]
	local sentence=$1
	shift
	agent_start "$@"
	wait "$agent_pid"
	local status=$?
	agent_pid=
	[ $status -eq 1 ] && grep -q "$sentence" "$work/agent.log" || { echo "$status"; cat "$work/agent.log"; return 1; }
}
tap_check "keySeal tpm without a TPM ends the agent" refuses "keySeal is tpm, and the key .* cannot be sealed: .*no /dev/tpmrm0" \
	--key-seal tpm
tap_check "and leaves no key" [ ! -e "$state/key" ]
mkdir "$work/empty"
token=$("$continuo" token create --node gateway)
agent_start --token "$token" --node gateway --program-folder "$work/empty" --key-seal-tcti "$one"
tap_check "without continuo-seal the node joins" wait_for 20 connected
tap_check "and is told that its key is plain" said key_not_sealed "continuo-seal is not installed"
tap_check "which it is" lies_plain
api POST /api/v1/namespaces/default/pods -o /dev/null -d '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c",
	"image":"x.example/y:1"}]}}'
tap_check "a pod runs" wait_for 20 pod_runs
saved
agent_stop TERM
cp "$state/key" "$key"

agent_start --key-seal-tcti "$one"
tap_check "a plain key is sealed at the next start" wait_for 20 said key_sealed
tap_check "and only then removed" lies_sealed
tap_check "it is the same key" same "$one" "$state/key.sealed" "$key"
wait_for 20 connected
saved
server_kill KILL
agent_stop KILL
tap_check "the key is nowhere on disk, nor in the log" bash -c \
	"$(declare -f has_bytes); for f in \$(find $state $work/agent.log -type f); do ! has_bytes \$f $key || { echo \$f; exit 1; }; done"

# ---- on an island ----

restart_ms() { # FLAGS: until the pod is kept; the median of five
	local i began times=()
	for i in 1 2 3 4 5; do
		began=$(date +%s%N)
		agent_start "$@"
		until kept 1; do [ $(($(date +%s%N) - began)) -lt 20000000000 ] || return 1; done
		times+=($((($(date +%s%N) - began) / 1000000)))
		agent_stop KILL
	done
	printf '%s\n' "${times[@]}" | sort -n | sed -n 3p
}
sealed_ms=$(restart_ms --key-seal-tcti "$one")
tap_check "on an island, after a restart, the pod starts from the slice" [ -n "$sealed_ms" ]

tpm_stop 2321
before=$(cat "$state/key.sealed" "$state/slice" | sha256sum)
agent_start --key-seal-tcti "$one"
tap_check "with the TPM away it says what to do" wait_for 15 said key_not_unsealed "bring_the_TPM_back"
tap_check "and has no pods" wait_for 10 kept 0
agent_stop TERM
tap_check "but leaves key and slice alone" [ "$before" = "$(cat "$state/key.sealed" "$state/slice" | sha256sum)" ]
tpm_start 2321
agent_start --key-seal-tcti "$one"
tap_check "with the TPM back the pod starts" wait_for 15 kept 1
agent_stop KILL

# ---- with the server ----

tpm_stop 2321
server_start "$work/server"
agent_start --key-seal tpm --key-seal-tcti "$one"
tap_check "with keySeal tpm and the TPM away the server's slice is run" wait_for 20 kept 1
tap_check "and not written" wait_for 10 said slice_not_saved "keySeal is tpm"
tap_check "nor is the key" [ "$before" = "$(cat "$state/key.sealed" "$state/slice" | sha256sum)" ]
agent_stop KILL
agent_start --key-seal-tcti "$one"
tap_check "with keySeal auto there is a new key, a plain one" wait_for 20 said key_not_sealed
tap_check "in the place of the sealed one" wait_for 5 lies_plain
saved
agent_stop KILL
cp "$state/key" "$key"
server_kill KILL
plain_ms=$(restart_ms --key-seal none)
tap_check "it is the slice's" [ -n "$plain_ms" ]
echo "# start to pod on an island: $plain_ms ms with a plain key, ${sealed_ms:-?} ms with a sealed one"
tpm_start 2321
agent_start --key-seal-tcti "$one"
tap_check "the TPM is back: it seals that key" wait_for 15 said key_sealed
tap_check "the slice stays" wait_for 10 kept 1
tap_check "the same" same "$one" "$state/key.sealed" "$key"
agent_stop KILL

server_start "$work/server"
agent_start --key-seal-tcti "$other"
tap_check "in another machine the key is refused" wait_for 15 said key_not_unsealed a_new_key_and_the_server_sends
tap_check "a new one is sealed there" wait_for 10 said key_sealed
tap_check "and the slice, which it does not open, comes again" wait_for 20 kept 1
tap_check "both were told" wait_for 5 said slice_damaged
saved
agent_stop KILL
agent_start --key-seal none --key-seal-tcti "$other"
tap_check "keySeal none takes the key out of the TPM" wait_for 15 said key_unsealed
tap_check "plain from now on" lies_plain
tap_check "and the slice is read with it" eval 'wait_for 20 connected && ! said slice_damaged >/dev/null'
tap_finish

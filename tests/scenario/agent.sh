#!/bin/bash
# The agent as a machine's owner meets it: joining with good and bad tokens, state folders, an island, Secrets on
# disk, revocation. Pods are the fake driver's; tests/engine/driver-oci.sh has real ones.
cd "$(dirname "$0")/../.." || exit 1
# In a network of its own: agents make a bridge and nftables rules.
[ "${AGENT_TEST_NETWORK:-}" ] || exec env AGENT_TEST_NETWORK=1 unshare --net -- "$0"
ip link set lo up
. tests/lib/tap.sh
. tests/lib/server.sh

work=$(mktemp -d)
agent_pid=
at_exit 'rm -rf "$work"'
at_exit 'server_kill KILL'
at_exit '[ -z "$agent_pid" ] || kill -KILL "$agent_pid"'
server_start "$work/server" || { echo "Bail out! the server does not start: $(tail -3 "$work/server.log")"; exit 1; }
address=127.0.0.1:$server_port
export KUBECONFIG=$work/server/admin.kubeconfig
continuo=$CONTINUO_BUILD/src/main/continuo

agent_command() { # STATE [flags]
	local state=$1
	shift
	"$CONTINUO_BUILD/src/main/continuo-agent" --server "$address" --address 127.0.0.1 --driver fake \
		--state-folder "$state" --run-folder "${run_folder:-$state-run}" --listen none "$@"
}

agent_start() { # [flags]: in the background, on the one good state folder
	"$CONTINUO_BUILD/src/main/continuo-agent" --server "$address" --address 127.0.0.1 --driver fake \
		--state-folder "$work/state" --run-folder "$work/run" --listen 127.0.0.1:10255 "$@" >>"$work/agent.log" 2>&1 &
	agent_pid=$!
}

agent_stop() { # SIGNAL
	kill "-$1" "$agent_pid"
	wait "$agent_pid" 2>/dev/null
	agent_pid=
}

# refused SENTENCE STATE [flags]: the agent ends by itself, fails, and says so.
refused() {
	local sentence=$1 out
	shift
	out=$(timeout 20 bash -c "$(declare -f agent_command); agent_command \"\$@\"" - "$@" 2>&1)
	local status=$?
	[ $status -ne 0 ] && [ $status -ne 124 ] && grep -q -e "$sentence" <<<"$out" || { echo "$status: $out"; return 1; }
}
export address CONTINUO_BUILD work run_folder

node_is() { # STATUS: of the condition Ready
	[ "$("$continuo" get nodes -o json | jq -r '.items[0].status.conditions[] | select(.type == "Ready").status')" = "$1" ]
}
metric() { curl -s http://127.0.0.1:10255/metrics | sed -n "s/^$1 //p"; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }

token=$("$continuo" token create --node gateway)
tap_check "without a token it says what to do" refused "continuo token create" "$work/none"
tap_check "a token that is no token is refused" refused "token" "$work/none" --token rubbish
IFS=. read -r version id secret pin <<<"$token"
forged=$version.$id.$(tr 'a-y' 'b-z' <<<"$secret" | tr -d '\n' | cut -c1-26).$pin
tap_check "a forged token is refused" refused "refused the join" "$work/none" --token "$forged" --node gateway
other=$version.$id.$secret.$(tr '0-8a-e' '1-9b-f' <<<"$pin")
tap_check "a server whose CA is not the pinned one is refused" refused "the one the join token names" "$work/none" --token "$other"
tap_check "none of that used the token up, nor left an identity" [ ! -e "$work/none/identity.json" ]

agent_start --token "$token" --node gateway --tier edge
tap_check "with its token the node joins and is Ready" wait_for 20 node_is True
tap_check "its key is readable by root alone" [ "$(stat -c %a "$work/state/identity.json")" = 600 ]
tap_check "a used token is refused" refused "refused the join" "$work/none" --token "$token" --node gateway
tap_check "a second agent on the same state folder is refused" refused "another agent" "$work/state"
run_folder=$work/run tap_check "a second agent on the same run folder is refused" \
	refused "another agent runs on the run folder .*runFolder" "$work/none"
tap_check "readyz answers" wait_for 10 curl -fs http://127.0.0.1:10255/readyz

password=c0ntinuo-slice-$RANDOM
api POST /api/v1/namespaces/default/secrets -d "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"p\":\"$password\"}}" -o /dev/null
api POST /api/v1/namespaces/default/pods -o /dev/null -d '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c",
	"image":"x.example/y:1","envFrom":[{"secretRef":{"name":"s"}}]}]}}'
pod_runs() { [ "$(api GET /api/v1/namespaces/default/pods/p | jq -r .status.phase)" = Running ]; }
tap_check "a pod runs" wait_for 20 pod_runs
tap_check "the slice is written" wait_for 10 metric_is continuo_agent_slice_saved 1
sealed() { ! grep -r -l -F -e "$password" -e "$(printf %s "$password" | base64 -w0)" "$work/state" "$work/agent.log"; }
tap_check "but the Secret is nowhere on disk, nor in the log" sealed

server_kill KILL
agent_stop KILL
agent_start
tap_check "on an island, after a restart, the pod starts from the slice" wait_for 10 metric_is 'continuo_agent_pods{stage="kept"}' 1
tap_check "without a server" metric_is continuo_agent_connected 0
server_start "$work/server"
tap_check "the session comes back when the server does" wait_for 20 metric_is continuo_agent_connected 1
tap_check "and nothing was started twice" metric_is continuo_agent_pods_started_total 1

revoked() { grep -q event=node_refused "$work/agent.log"; }
"$continuo" node revoke gateway >/dev/null
tap_check "a revoked node loses its session" wait_for 5 metric_is continuo_agent_connected 0
tap_check "and is told why" wait_for 20 revoked
agent_stop TERM
tap_check "SIGTERM ends it" grep -q 'event=stopping' "$work/agent.log"
echo 2 >"$work/state/version"
tap_check "a state folder of a newer version is refused" refused "install the newer agent" "$work/state"
tap_finish

#!/bin/bash
# SIGKILL of the server at 20 random moments under load: nothing that was acknowledged is lost, nothing is there twice.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/server.sh

work=$(mktemp -d)
at_exit 'rm -rf "$work"'
at_exit '[ -z "$load_pid" ] || kill "$load_pid" 2>/dev/null'
at_exit 'server_kill KILL'
state=$work/state
load_pid=
server_start "$state" || { echo "Bail out! the server does not start"; exit 1; }

python3 tests/lib/load.py "$server_url" "$credentials" "$work/acknowledged" "$work/stop" &
load_pid=$!
acknowledged() { [ -e "$work/acknowledged" ] && wc -l <"$work/acknowledged" || echo 0; }
more_than() { [ "$(acknowledged)" -gt "$1" ]; }

for round in $(seq 20); do
	before=$(acknowledged)
	# Under load first, then at a moment that the dice choose.
	wait_for 20 more_than "$before" || { echo "# no progress in round $round"; break; }
	python3 -c 'import random, time; time.sleep(random.random() * 0.3)'
	server_kill KILL
	server_start "$state" || { echo "# no start in round $round: $(tail -2 "$state.log")"; break; }
done
tap_check "the server came up after each of 20 kills" [ "$round" = 20 ]
touch "$work/stop"
wait "$load_pid"
tap_check "the load ended in order" [ $? = 0 ]
load_pid=
echo "# $(acknowledged) writes were acknowledged"
tap_check "there was load" more_than 200
api GET /api/v1/namespaces/default/configmaps >"$work/list"
tap_check "every acknowledged write is there, once, with its last value" \
	python3 tests/lib/load.py --check "$work/list" "$work/acknowledged"
server_kill TERM
tap_finish

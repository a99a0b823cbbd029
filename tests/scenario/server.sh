#!/bin/bash
# The server as a user and as a stranger meet it: TLS, certificates, Secrets at rest, a full disk, a newer state folder.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/server.sh

work=$(mktemp -d)
at_exit 'rm -rf "$work"'
at_exit 'server_kill KILL'
state=$work/state
maps=/api/v1/namespaces/default/configmaps

server_start "$state" || { echo "Bail out! the server does not start: $(tail -3 "$state.log")"; exit 1; }

# status METHOD PATH [curl options]: the HTTP status alone.
status() { api "$@" -o /dev/null -w '%{http_code}'; }
is() { [ "$1" = "$2" ] || { echo "$1 instead of $2"; return 1; }; }

tap_check "HTTP/2 is spoken over TLS 1.3" is \
	"$(api GET /version -o /dev/null -w '%{http_version}')" 2
tap_check "HTTP/1.1 is spoken to those who ask for it" is \
	"$(api GET /version --http1.1 -o /dev/null -w '%{http_version}')" 1.1
tap_check "TLS 1.2 is refused" is "$(curl -s -k --tls-max 1.2 "$server_url/version" -o /dev/null -w '%{http_code}')" 000
tap_check "without a certificate there is nothing to read" is \
	"$(curl -s -k "$server_url$maps" -o /dev/null -w '%{http_code}')" 401
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/O=system:masters/CN=admin" \
	-keyout "$work/forged.key" -out "$work/forged.crt" 2>/dev/null
tap_check "a certificate of another CA is refused" is \
	"$(curl -s -k --cert "$work/forged.crt" --key "$work/forged.key" "$server_url$maps" -o /dev/null -w '%{http_code}')" 000

tap_check "a ConfigMap is made over HTTP/2" is "$(status POST $maps -d '{"metadata":{"name":"m"},"data":{"k":"v"}}')" 201
tap_check "kinds are listed in discovery" grep -q '"deployments"' <<<"$(api GET /apis/apps/v1)"
tap_check "metrics are Prometheus text" grep -q '^continuo_store_commits_total' <<<"$(api GET /metrics)"

# A script whose variable is unset must not delete all there is.
cli() { "$CONTINUO_BUILD/src/main/continuo" "$@" --kubeconfig "$state/admin.kubeconfig"; }
unset_name() { # VERB...
	tap_says 2 "is empty" cli "$@" "" && is "$(status GET $maps/m)" 200
}
for verb in "delete configmap" "get configmap" "describe configmap" "delete node" "node cordon" "node revoke" leave logs; do
	tap_check "$verb with an empty name is refused" unset_name $verb
done
tap_check "a name with a slash too" tap_says 2 "has a /" cli node cordon n/status

pods=/api/v1/namespaces/default/pods
lost_pod() { # of a node that nobody hears
	is "$(status POST $pods -d '{"metadata":{"name":"lost"},"spec":{"nodeName":"nowhere","containers":[{"name":"c","image":"i:1"}]}}')" 201 &&
		timeout 20 "$CONTINUO_BUILD/src/main/continuo" delete pod lost "$@" --kubeconfig "$state/admin.kubeconfig" &&
		is "$(status GET $pods/lost)" 404
}
tap_check "a pod of a lost node is deleted by --force" lost_pod --force
tap_check "which leaves no time to stop" tap_says 2 "--force leaves no time" cli delete pod lost --force --grace-period 5

secret=c0ntinu0-at-rest-$RANDOM
tap_check "a Secret is made" is "$(status POST /api/v1/namespaces/default/secrets \
	-d "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"password\":\"$secret\"}}")" 201
tap_check "and can be read" grep -q "$(printf %s "$secret" | base64 -w0)" <<<"$(api GET /api/v1/namespaces/default/secrets/s)"
none_at_rest() {
	! grep -r -l -F -e "$secret" -e "$(printf %s "$secret" | base64 -w0)" --exclude-dir=curl "$state"
}
tap_check "but is nowhere in the state folder" none_at_rest
tap_check "keys are readable by root alone" is \
	"$(find "$state" -path "$credentials" -prune -o \( -name '*.key' -o -name '*.kubeconfig' \) -perm /077 -print)" ""

server_kill KILL
server_start "$state"
tap_check "what was acknowledged is there after SIGKILL" is "$(status GET $maps/m)" 200
tap_check "Secrets too" grep -q "$(printf %s "$secret" | base64 -w0)" <<<"$(api GET /api/v1/namespaces/default/secrets/s)"

server_kill TERM
cp -r "$state" "$work/newer"
echo 99 >"$work/newer/version"
refuses() {
	local out
	out=$("$CONTINUO_BUILD/src/main/continuo" server --state "$1" --listen 127.0.0.1:0 2>&1) && return 1
	grep -q "$2" <<<"$out" || { echo "$out"; return 1; }
}
tap_check "a state folder of a newer version is refused" refuses "$work/newer" newer
tap_check "a wrong domain is refused" eval '! "$CONTINUO_BUILD/src/main/continuo" server --state "$state" --domain other --listen 127.0.0.1:0 2>/dev/null'

# A disk that fills up: writes are refused, reads go on, and writes work again once there is room.
mkdir "$work/small"
if mount -t tmpfs -o size=16m none "$work/small" 2>/dev/null; then
	at_exit 'umount "$work/small"'
	server_log=$work/small.log
	server_start "$work/small/state"
	dd if=/dev/zero of="$work/small/ballast" bs=1M 2>/dev/null
	head -c 300000 /dev/zero | tr '\0' x >"$work/large"
	printf '{"metadata":{"generateName":"m-"},"data":{"k":"%s"}}' "$(cat "$work/large")" >"$work/body"
	refused=
	for _ in $(seq 60); do
		refused=$(status POST $maps --data-binary @"$work/body")
		[ "$refused" = 201 ] || break
	done
	tap_check "a full disk is said with 507" is "$refused" 507
	tap_check "reads go on" is "$(status GET $maps)" 200
	rm "$work/small/ballast"
	tap_check "with room again writes work again" is "$(status POST $maps --data-binary @"$work/body")" 201
	server_kill KILL
	server_start "$work/small/state"
	tap_check "and the store opens again" is "$(status GET $maps)" 200
	server_kill KILL
else
	tap_skip "no tmpfs can be mounted here"
fi
tap_finish

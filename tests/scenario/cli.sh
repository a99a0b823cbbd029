#!/bin/bash
# The command line against a real server without nodes: apply and its three-way merge, output, waits,
# and what is said when something is wrong.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/server.sh

work=$(mktemp -d /tmp/continuo-cli.XXXXXX)
at_exit rm -rf "$work"
at_exit server_kill KILL
server_log=$work/server.log
unset KUBECONFIG

continuo() { timeout 20 "$CONTINUO_BUILD/src/main/continuo" "$@"; }

server_start "$work/state" || { echo "Bail out! the server does not start: $(tail -3 "$server_log")"; exit 1; }
tap_check 'no kubeconfig: says where it looked' tap_says 1 'there is no kubeconfig' env HOME="$work" \
	"$CONTINUO_BUILD/src/main/continuo" get pods
export KUBECONFIG=$work/state/admin.kubeconfig

cat >"$work/app.yaml" <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {a: b, c: d}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: "registry.example/web:1", ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {password: hello}
YAML
tap_check 'apply creates' tap_says 0 'deployment.apps/web created' continuo apply -f "$work/app.yaml"
tap_check 'apply of the same: deployment unchanged' tap_says 0 'deployment.apps/web unchanged' \
	continuo apply -f "$work/app.yaml"
tap_check 'apply of the same: secret unchanged' tap_says 0 'secret/key unchanged' continuo apply -f "$work/app.yaml"
sed -i 's/a: b, c: d/a: b/; s/replicas: 2/replicas: 3/' "$work/app.yaml"
continuo get deploy web -n shop -o json | sed 's/"a": "b"/"a": "b", "other": "kept"/' |
	api PUT /apis/apps/v1/namespaces/shop/deployments/web --data-binary @- >"$work/put" 2>&1
tap_check 'apply configures' tap_says 0 'deployment.apps/web configured' continuo apply -f "$work/app.yaml"
continuo get deploy web -n shop -o yaml >"$work/web.yaml"
tap_check 'what the manifest dropped is gone' tap_says 1 '' grep -q '^    c: d' "$work/web.yaml"
tap_check 'what somebody else set stays' grep -q '^    other: kept' "$work/web.yaml"
tap_check 'what changed is changed' grep -q '^  replicas: 3' "$work/web.yaml"

tap_check 'plan says what finds no node, before anything of it is there' tap_says 1 \
	'store: no node for 1 replica: no nodes available' continuo plan -f demo/application.yaml
tap_check 'with nothing that has pods there is no plan' tap_says 2 'nothing in the manifests has pods' \
	continuo plan -f <(printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n')
tap_check 'a plan of what the server would refuse is refused' tap_says 1 'spec.replicas' \
	continuo plan -f <(sed 's/replicas: [0-9]/replicas: -2/' "$work/app.yaml")
continuo apply -f demo/application.yaml >"$work/shop.out" 2>&1
tap_check 'the example of an Application is taken' grep -q '^application.continuo.dev/shop created' "$work/shop.out"
tap_check 'and all of it is carried out' tap_says 1 '' grep -q 'is stored, but' "$work/shop.out"
tap_check 'get shows it' tap_says 0 '0/2' continuo get app -n bakery
tap_check 'describe says why' tap_says 0 'web waits for store' continuo describe application shop -n bakery

printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\nkind: [\n' >"$work/broken.yaml"
tap_check 'a syntax error has file, line and column' tap_says 1 'broken.yaml: line' continuo apply -f "$work/broken.yaml"
printf 'apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n' \
	>"$work/mixed.yaml"
tap_check 'a bad document is named' tap_says 1 'mixed.yaml:1: there is no kind "Nonsense"' continuo apply -f "$work/mixed.yaml"
tap_check 'the others are applied' tap_says 0 'configmap/two' continuo get cm two -o name
tap_check 'an unknown field is a warning' tap_says 0 'unknown field' continuo apply -f - <<'YAML'
{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}, "wrong": 1}
YAML
tap_check 'a wrong type names the field' tap_says 1 'data' continuo apply -f - <<'YAML'
{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}, "data": 7}
YAML

tap_check 'get of several kinds' tap_says 0 'deployment.apps/web' continuo get deploy,secret -n shop
tap_check 'get -o wide of pods' tap_says 0 'NODE' continuo get pods -n shop -o wide
tap_check 'get with a selector' tap_says 0 'No resources found' continuo get pods -n shop -l app=other
tap_check 'describe hides secrets' tap_says 0 '<5 bytes>' continuo describe secret key -n shop
pods_exist() { [ "$(continuo get pods -n shop -o name | wc -l)" -eq 3 ]; }
wait_for 10 pods_exist
pod=$(continuo get pods -n shop -o name | head -1)
explained() { continuo explain -n shop "$pod" | grep -q 'has no node'; }
tap_check 'explain of a pending pod' wait_for 10 explained
tap_check 'describe shows events' tap_says 0 'FailedScheduling' continuo describe "$pod" -n shop
tap_check 'logs of a pod without a node' tap_says 1 'has no node yet' continuo logs -n shop "$pod"
tap_check 'logs of a deployment finds its pod' tap_says 1 'has no node yet' continuo logs -n shop deployment/web
tap_check 'exec in what selects nothing' tap_says 2 'selects no pods' continuo exec -n shop ns/shop -- true
tap_check 'exec of a pod that is not there' tap_says 1 'not found' continuo exec nope -- true
timeout 2 "$CONTINUO_BUILD/src/main/continuo" watch -n shop >"$work/watch" 2>&1
tap_check 'watch prints plain lines' grep -q 'Pending' "$work/watch"

token=$(continuo token create --ttl 30m --node gateway)
id=$(cut -d. -f2 <<<"$token")
tap_check 'token create' grep -Eq '^continuo1\.[a-z2-7]{10}\.[a-z2-7]{26}\.[0-9a-f]{64}$' <<<"$token"
tap_check 'token list' tap_says 0 "$id" continuo token list
tap_check 'token delete' tap_says 0 'deleted' continuo token delete "$id"
tap_check 'a duration that is none' tap_says 2 'is not a duration' continuo token create --ttl soon

for name in one two three; do
	continuo apply -f - >/dev/null <<-EOF
		{apiVersion: v1, kind: ConfigMap, metadata: {name: $name, namespace: shop, labels: {which: $name}}}
	EOF
done
tap_check 'delete by labels' tap_says 0 '"one" deleted' continuo delete cm -n shop -l 'which in (one,two)'
tap_check 'leaves the others' tap_says 0 three continuo get cm three -n shop
tap_check 'an empty selector is not all' tap_says 2 'say --all' continuo delete cm -n shop -l ''
tap_check 'names and labels do not mix' tap_says 2 'either names' continuo delete cm three -n shop --all
tap_check 'delete --all' tap_says 0 '"three" deleted' continuo delete cm -n shop --all
tap_check 'leaves none' tap_says 1 'not found' continuo get cm three -n shop

tap_check 'delete waits until it is gone' tap_says 0 'deployment.apps "web" deleted' continuo delete deploy web -n shop
tap_check 'then it is gone' tap_says 1 'not found' continuo get deploy web -n shop
tap_check 'delete -f' tap_says 0 'namespace "shop" deleted' continuo delete -f "$work/app.yaml" --ignore-not-found
tap_check 'the namespace went with it' tap_says 1 'not found' continuo get ns shop

tap_check 'an unknown verb' tap_says 2 'there is no verb "frobnicate"' continuo frobnicate
tap_check 'an unknown option' tap_says 2 '--frobnicate' continuo get pods --frobnicate
tap_check 'an unknown kind' tap_says 2 'there is no kind "frobs"' continuo get frobs
tap_check '--help of a verb' tap_says 0 'Usage: continuo apply' continuo apply --help
tap_check 'a context that is not there' tap_says 1 'no context "nope"' continuo get pods --context nope

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=other -keyout "$work/k" -out "$work/ca" \
	2>/dev/null
sed "s|certificate-authority-data: .*|certificate-authority-data: $(base64 -w0 "$work/ca")|" "$KUBECONFIG" >"$work/wrong-ca"
tap_check 'a server of another CA' tap_says 1 'from a CA that is not trusted here' continuo get pods --kubeconfig "$work/wrong-ca"
sed 's|server: .*|server: https://127.0.0.1:1|' "$KUBECONFIG" >"$work/nowhere"
tap_check 'a server that is not there' tap_says 1 'cannot reach the server https://127.0.0.1:1' \
	continuo get pods --kubeconfig "$work/nowhere"
sed '/client-/d' "$KUBECONFIG" >"$work/nobody"
tap_check 'somebody without a certificate' tap_says 1 'certificate' continuo get pods --kubeconfig "$work/nobody"
tap_finish

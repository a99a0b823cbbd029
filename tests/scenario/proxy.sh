#!/bin/bash
# A node that reaches nothing but an HTTP proxy: it joins, pulls, runs a pod, answers logs and exec through it, and
# outlives the proxy's death. What the proxy refuses is said.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh

topo_id=cp$$
server=10.10.3.10:6443
secure=10.10.3.5:5000
plain=10.10.3.5:5001
closed=10.10.3.5:5002 # the proxy does not CONNECT there
near=10.10.1.2:5003   # beside the node
bail() { echo "Bail out! $*"; tail -n 5 "$continuum_folder"/*.log >&2; exit 1; }

# ---- a site whose only way out is the proxy ----

start_registry() { # HOST NAME ADDRESS:PORT [more of http]
	cat >"$continuum_folder/$2.yml" <<-YAML
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $continuum_folder/images}}
		http: {addr: "$3"${4:-}}
	YAML
	continuum_run "$2" nsenter --net="/run/netns/$topo_id-$1" docker-registry serve "$continuum_folder/$2.yml"
	wait_for 10 topo_in "$1" curl -fsk -o /dev/null "${5:-http}://$3/v2/"
}
start_proxy() {
	continuum_run proxy nsenter --net="/run/netns/$topo_id-proxy" tinyproxy -d -c "$continuum_folder/tinyproxy.conf"
	wait_for 10 topo_in proxy bash -c '(exec 3<>/dev/tcp/10.10.1.2/8888)'
}
asked() { grep -qF -- "$1" "$continuum_folder/proxy.log"; }

raise() {
	continuum_folder=$(mktemp -d /var/tmp/continuo-proxy-XXXXXX)
	at_exit continuum_end
	topo_start && topo_site near 10.10.1.1/24 && topo_site far 10.10.3.1/24 &&
		topo_host server far 10.10.3.10/24 10.10.3.1 && topo_host registry far 10.10.3.5/24 10.10.3.1 &&
		topo_host proxy near 10.10.1.2/24 10.10.1.1 && topo_host node near 10.10.1.11/24 10.10.1.1 &&
		topo_in node ip route delete default || bail "no network"
	busybox_root "$continuum_folder/box"
	tools/ocilayout.py "$continuum_folder/layout" box --config '{"Env": ["PATH=/bin"]}' --layer "$continuum_folder/box:gzip" >/dev/null
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -addext \
		subjectAltName=IP:10.10.3.5 -keyout "$continuum_folder/key.pem" -out "$continuum_folder/ca.pem" 2>/dev/null
	local tls=", tls: {certificate: $continuum_folder/ca.pem, key: $continuum_folder/key.pem}"
	start_registry registry secure "$secure" "$tls" https && start_registry registry plain "$plain" &&
		start_registry registry closed "$closed" "$tls" https && start_registry proxy near "$near" || bail "no registry"
	local name
	for name in secure plain near; do
		topo_in registry skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$continuum_folder/layout:box" \
			"docker://$plain/$name:1" || bail "no image"
	done
	cat >"$continuum_folder/registries.json" <<-EOF
		{"$secure": {"ca": "$continuum_folder/ca.pem"}, "$closed": {"ca": "$continuum_folder/ca.pem"},
		 "$plain": {"insecure": true}, "$near": {"insecure": true}}
	EOF
	cat >"$continuum_folder/tinyproxy.conf" <<-EOF
		Listen 10.10.1.2
		Port 8888
		Timeout 600
		LogLevel Connect
		MaxClients 50
		BasicAuth gateway s3cret
		ConnectPort ${server#*:}
		ConnectPort ${secure#*:}
	EOF
	start_proxy || bail "no proxy"
	continuum_start_server "$server" || bail "no server"
	continuum_agent node 10.10.1.11 edge near "registries: $continuum_folder/registries.json
proxy: http://gateway:wr0ng@10.10.1.2:8888
noProxy: example.com, 10.10.1.0/24" || bail "no agent"
}

# ---- helpers ----

pod() { # NAME IMAGE
	jq -n --arg name "$1" --arg image "$2" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name},
		spec: {terminationGracePeriodSeconds: 0, containers: [{name: "main", image: $image,
		command: ["sh", "-c", "echo hello; exec sleep 1000"]}]}}' | continuum apply -f - >/dev/null
}
field() { continuum get pod "$1" -o json | jq -r "$2"; } # POD FILTER
runs() { [ "$(field "$1" '.status.containerStatuses[0].state | keys[0]')" = running ]; }
started_at() { field "$1" '.status.containerStatuses[0].state.running.startedAt'; }
waits_with() { field "$1" '.status.containerStatuses[0].state.waiting.message' | grep -qF -- "$2"; }
node_ready_is() { [ "$(continuum get node node -o json | jq -r '.status.conditions[] | select(.type == "Ready").status')" = "$1" ]; }
logged() { grep -qF -- "$1" "$continuum_folder/node.log"; }
cli_says() { timeout 20 nsenter --net="/run/netns/$topo_id-server" env KUBECONFIG="$continuum_folder/kubeconfig" \
	"$continuum_programs/continuo" "${@:2}" | grep -qx -- "$1"; }

raise
tap_check "the node has no way to the server" [ "$(topo_in node curl -sk -o /dev/null -w '%{http_code}' --max-time 2 "https://$server/readyz")" = 000 ]
tap_check "a proxy that refuses the credentials is named" wait_for 10 logged "proxy 10.10.1.2:8888 refuses the user and password that it was given"
tap_check "the password is in no log" [ -z "$(grep -l wr0ng "$continuum_folder"/*.log)" ]
continuum_kill node
sed -i 's/wr0ng/s3cret/' "$continuum_folder/node/agent.yaml"
continuum_agent_start node
tap_check "with the right ones the node joins through it" wait_for 20 continuum_nodes_ready 1
pod secure "$secure/secure:1"
pod plain "$plain/plain:1"
pod near "$near/near:1"
pod closed "$closed/secure:1"
tap_check "an image from a TLS registry through the proxy" wait_for 20 runs secure
tap_check "by CONNECT" asked "CONNECT $secure"
tap_check "an image from a plain registry through the proxy" wait_for 20 runs plain
tap_check "by GET" asked "GET http://$plain/v2/plain/manifests/1"
tap_check "an image from a host that needs no proxy" wait_for 20 runs near
not_asked() { ! asked "$1"; }
tap_check "which was not asked" not_asked "$near"
tap_check "a way that the proxy forbids is said at the pod" wait_for 20 waits_with closed "the proxy answers 403"
tap_check "logs come back through the proxy" wait_for 10 cli_says hello logs secure
tap_check "exec too" cli_says works exec secure -- echo works
before=$(started_at secure)
continuum_kill proxy
tap_check "without the proxy the node is lost" wait_for 20 node_ready_is Unknown
tap_check "and says what is missing" wait_for 10 logged "proxy 10.10.1.2:8888:"
start_proxy
tap_check "with it the node is back" wait_for 20 node_ready_is True
tap_check "the pod was not touched" [ "$(started_at secure)" = "$before" ]
tap_check "exec works again" wait_for 10 cli_says again exec secure -- echo again
tap_finish

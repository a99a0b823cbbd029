#!/bin/bash
# Pods of the driver `docker` are pods like any other: a node with dockerd and one with runc in one domain, each
# reaching the other's service by its name; logs and exec; the agent and dockerd killed.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/busybox_root.sh
. tests/lib/continuum.sh
. tests/lib/healing.sh

[ "$(id -u)" = 0 ] || { tap_skip "needs root: it makes containers" && tap_finish; }
command -v dockerd >/dev/null || { tap_skip "dockerd is not installed" && tap_finish; }
topo_id=dp$$
continuum_folder=$(mktemp -d)
chmod 711 "$continuum_folder"
at_exit continuum_end

raise() {
	topo_start && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
		topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host docker1 c 10.10.3.11/24 10.10.3.1 &&
		topo_host oci1 c 10.10.3.12/24 10.10.3.1 && healing_push && continuum_start_server "$healing_server" || return 1
	local more="registries: $continuum_folder/registries.json"
	continuum_driver=docker continuum_agent docker1 10.10.3.11 cloud site-c "$more" &&
		continuum_agent oci1 10.10.3.12 cloud site-c "$more" &&
		wait_for 30 continuum_nodes_ready 2 && continuum_route_pods
}

# One page for each node, with a service before it; the command sees what a pod of the other driver sees.
manifests() {
	local node
	for node in docker1 oci1; do
		cat <<-EOF
			---
			{apiVersion: v1, kind: ConfigMap, metadata: {name: $node}, data: {index.html: "page of $node"}}
			---
			{apiVersion: v1, kind: Service, metadata: {name: page-$node}, spec: {selector: {app: $node}, ports: [{port: 80}]}}
			---
			apiVersion: v1
			kind: Pod
			metadata: {name: $node, labels: {app: $node}}
			spec:
			  nodeName: $node
			  terminationGracePeriodSeconds: 1
			  containers:
			  - name: web
			    image: $healing_image
			    command: [sh, -c, "echo begun; exec httpd -f -p 80 -h /www"]
			    resources: {limits: {memory: 32Mi, cpu: 500m}}
			    readinessProbe: {httpGet: {port: 80, path: /}, periodSeconds: 1}
			    volumeMounts: [{name: www, mountPath: /www}]
			  volumes: [{name: www, configMap: {name: $node}}]
		EOF
	done
}

both_ready() {
	[ "$(continuum get pods -o json | jq '[.items[] | select(any(.status.conditions[]?;
		.type == "Ready" and .status == "True"))] | length')" = 2 ]
}

page() { # FROM OF: the page of OF's service, by its name, as the pod on FROM gets it
	[ "$(continuum exec "$1" -- wget -qO - "http://page-$2/")" = "page of $2" ]
}

docker1() { continuum_in_mounts docker1 curl -fs --unix-socket /run/docker.sock "http://docker/v1.41$1"; }
pid() { docker1 "/containers/json?filters=%7B%22label%22:%5B%22dev.continuo.container=web%22%5D%7D" | jq -r '.[0].Id' |
	{ read -r id && docker1 "/containers/$id/json" | jq .State.Pid; }; }
restarts() { continuum get pod docker1 -o json | jq '.status.containerStatuses[0].restartCount'; }
has_begun() { [ "$(continuum logs docker1)" = begun ]; }
listed_in_docker() { [ "$(docker1 /containers/json | jq length)" = "$1" ]; }

same_pid() { [ "$(pid)" = "$before" ] && [ "$(restarts)" = 0 ] && both_ready; }

kill_agent() {
	continuum_kill docker1 && continuum_agent_start docker1 && wait_for 20 continuum_nodes_ready 2
}

kill_dockerd() {
	continuum_kill docker1-docker && continuum_docker docker1
}

raise # here: what is started is remembered in variables
tap_result $? "a domain of two nodes, one with dockerd"
manifests >"$continuum_folder/pods.yaml"
tap_check "a pod and its service for each" continuum apply -f "$continuum_folder/pods.yaml"
tap_check "both pods are ready" wait_for 60 both_ready
tap_check "dockerd runs the one: a pause container and its own" listed_in_docker 2
tap_check "a pod under runc reaches the service of the one under dockerd by its name" wait_for 10 page oci1 docker1
tap_check "and the other way round" wait_for 10 page docker1 oci1
tap_check "logs come from dockerd" has_begun
before=$(pid)
kill_agent
tap_result $? "the agent is killed and starts again"
tap_check "the container is the same" wait_for 10 same_pid
kill_dockerd
tap_result $? "dockerd is killed and starts again, with live restore"
tap_check "the container is still the same" wait_for 10 same_pid
tap_check "exec and the network go on" wait_for 10 page docker1 oci1
tap_check "the pod is deleted" continuum delete pod docker1 --grace-period 0
tap_check "dockerd has nothing left" wait_for 20 listed_in_docker 0
tap_finish

#!/bin/bash
# Another architecture on this machine: an agent built for arm64 and run by qemu-user joins a native server, and a native agent
# runs a container whose image and programs are arm64, by binfmt_misc. The arm64 agent gets no pods: qemu-user knows no
# netfilter, by which the pod network is made, nor openat2, by which images are unpacked.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/topology.sh
. tests/lib/cgroup.sh
. tests/lib/continuum.sh
. tests/lib/registry.sh

arch=arm64
machine=$(dpkg --print-architecture)
topo_id=cx$$
registry=10.10.3.5:5000
binfmt=/proc/sys/fs/binfmt_misc
emulator=qemu-aarch64-static
entry=continuo-$$
bail() { echo "Bail out! $*"; tail -n 20 "$continuum_folder"/*.log >&2; exit 1; }

[ -x "build-$arch/src/main/continuo-agent" ] || { tap_skip "needs make cross-$arch" && tap_finish; }
command -v $emulator >/dev/null || { tap_skip "needs $emulator" && tap_finish; }

# ---- programs of the other architecture are run by the emulator, which the kernel opens once (F): also in containers ----

binfmt_end() {
	[ ! -e "$binfmt/$entry" ] || echo -1 >"$binfmt/$entry"
	[ -z "$binfmt_mounted" ] || umount "$binfmt"
}
binfmt_mounted=
if [ ! -e "$binfmt/register" ]; then
	mount -t binfmt_misc binfmt_misc "$binfmt" 2>/dev/null || { tap_skip "binfmt_misc cannot be mounted here" && tap_finish; }
	binfmt_mounted=1
fi
at_exit binfmt_end
if ! grep -qs "$emulator" "$binfmt"/*; then
	# The head of an ELF file of 64 bits for AArch64 (183), executable or shared; the mask leaves out what may differ.
	printf '%s' ":$entry:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$(command -v $emulator):F" \
		>"$binfmt/register" || { tap_skip "the kernel takes no interpreter for $arch" && tap_finish; }
fi

# ---- a server and a node ----

make_image() {
	local tool
	mkdir -p "$continuum_folder/box/bin" "$continuum_folder/box/etc" &&
		cp "build-$arch/root/bin/busybox" "$continuum_folder/box/bin/" || return 1
	for tool in sh sleep uname echo cat; do ln -s busybox "$continuum_folder/box/bin/$tool"; done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$continuum_folder/box/etc/passwd"
	tools/ocilayout.py "$continuum_folder/layout" box --architecture $arch --config '{"Env": ["PATH=/bin"]}' \
		--layer "$continuum_folder/box:gzip" >/dev/null
}
native=$(realpath "${CONTINUO_BUILD:-build}")/src/main
raise() {
	continuum_folder=$(mktemp -d /var/tmp/continuo-cross-XXXXXX)
	at_exit continuum_end
	topo_start && topo_site c 10.10.3.1/24 && topo_host registry c 10.10.3.5/24 10.10.3.1 &&
		topo_host server c 10.10.3.10/24 10.10.3.1 && topo_host arm c 10.10.3.11/24 10.10.3.1 &&
		topo_host amd c 10.10.3.12/24 10.10.3.1 || bail "no network"
	make_image || bail "no image"
	registry_prefix="nsenter --net=/run/netns/$topo_id-registry" registry_start "$continuum_folder/registry" $registry || bail "no registry"
	at_exit "kill $registry_pid"
	registry_prefix="nsenter --net=/run/netns/$topo_id-registry" registry_push "$continuum_folder/layout" box $registry/box:1 || bail "no push"
	echo "{\"$registry\": {\"insecure\": true}}" >"$continuum_folder/registries.json"
	continuum_start_server 10.10.3.10:6443 || bail "no server"
	local more="registries: $continuum_folder/registries.json"
	continuum_agent amd 10.10.3.12 edge site-1 "$more" || bail "no agent"
	mkdir "$continuum_folder/programs" && ln -s "$native/continuo" "$PWD/build-$arch"/src/main/continuo-agent "$continuum_folder/programs/"
	continuum_programs=$continuum_folder/programs
	# Where the emulator finds the libraries of what is not linked statically.
	QEMU_LD_PREFIX=$PWD/build-$arch/root continuum_agent arm 10.10.3.11 edge site-1 "$more" || bail "no $arch agent"
}
raise
export KUBECONFIG=$continuum_folder/kubeconfig
cli() { timeout 30 nsenter --net="/run/netns/$topo_id-server" "$native/continuo" "$@"; }
field() { cli get "$1" -o json | jq -r "$2"; }
pod_runs() { [ "$(field pod/box '.status.containerStatuses[0].state | keys[0]')" = running ]; }

tap_check "the $arch agent joins, as the native one, and is ready" wait_for 60 continuum_nodes_ready 2
tap_check "the node says its architecture" test "$(field node/arm '.metadata.labels["kubernetes.io/arch"]')" = $arch
cat >"$continuum_folder/pod.yaml" <<-YAML
	apiVersion: v1
	kind: Pod
	metadata: {name: box}
	spec:
	  nodeSelector: {kubernetes.io/arch: $machine}
	  containers:
	  - name: main
	    image: $registry/box:1
	    command: [sh, -c, "uname -m; exec /bin/sleep 3600"]
YAML
tap_check "a pod for it is taken" cli apply -f "$continuum_folder/pod.yaml"
tap_check "an $arch container runs on the native node" wait_for 60 pod_runs
tap_check "it is of that architecture" wait_for 20 eval '[ "$(cli logs box)" = aarch64 ]'
tap_check "exec into it" tap_says 0 aarch64 cli exec box -- uname -m
cli delete pod box --now >/dev/null
tap_check "and ends" wait_for 20 eval '! cli get pod box'
[ "$tap_failed" -eq 0 ] || tail -n 40 "$continuum_folder"/*.log >&2
tap_finish

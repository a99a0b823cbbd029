# Runs in the emulator of tests/system/packages.sh, as a service of its systemd. Each check is a line "=== ok|failed NAME".
image=$(cat /image)
export PATH=/bin:/sbin:/usr/bin:/usr/sbin DEBIAN_FRONTEND=noninteractive KUBECONFIG=/var/lib/continuo-server/admin.kubeconfig

check() { # NAME COMMAND...
	local name=$1 said status
	shift
	said=$("$@" 2>&1)
	status=$?
	if [ $status -eq 0 ]; then
		echo "=== ok $name"
	else
		echo "=== failed $name"
		echo "$* gave $status: $said"
	fi
}
wait_for() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { "$@"; return 1; }
		sleep 0.2
	done
}
install_debs() { dpkg --force-depends -i "$1"/*.deb; } # their dependencies are here, but not known to dpkg
state_is() { [ "$(systemctl show -p ActiveState --value "$1")" = "$2" ]; }
pid_of_agent() { systemctl show -p MainPID --value continuo-agent; }
node_is_ready() { continuo get nodes | grep -q ' Ready '; }
pod_runs() { continuo get pod keeper | grep -q ' Running *0 '; }
container() { # the PID and start time of the container's process
	local pid
	for pid in $(cat /sys/fs/cgroup/continuo/*/pod-*/*/cgroup.procs 2>/dev/null); do
		grep -qa 'sleep.98765' "/proc/$pid/cmdline" && echo "$pid $(awk '{ print $22 }' "/proc/$pid/stat")"
	done
}
same_container() { [ -n "$kept" ] && [ "$(container)" = "$kept" ]; }
limits_hold() { grep -qx 67108864 /sys/fs/cgroup/continuo/*/pod-*/*/memory.max; }
gone() { [ ! -e "$1" ]; }
modules() { cut -d' ' -f1 /proc/modules | sort; }
no_module() { ! grep -E "^($1) " /proc/modules; }
same_modules() { modules | diff /run/modules-at-start -; }
service() { busybox wget -qO- "http://$(continuo get service "$1" | awk 'NR == 2 { print $3 }'):8080/motd"; }
fence() { grep -lx continuo-fence /proc/[0-9]*/comm; }
same_fence() { [ -n "$fence" ] && [ "$(fence)" = "$fence" ]; }

# ---- installation ----

ip addr add 192.0.2.1/32 dev lo
check "dpkg installs both" install_debs /old
check "the server is not enabled by it" test "$(systemctl is-enabled continuo-server)" = disabled
check "nor the agent" test "$(systemctl is-enabled continuo-agent)" = disabled
check "nor running" state_is continuo-agent inactive

# ---- a domain of one node ----

sed -i 's/^CONTINUO_SERVER_OPTIONS=.*/CONTINUO_SERVER_OPTIONS="--advertise 192.0.2.1:6443"/' /etc/default/continuo-server
check "the server starts, confined, and says when it is ready" systemctl enable --now continuo-server
check "it answers at once" continuo get namespaces
check "as a user of its own" test "$(stat -c %u "/proc/$(systemctl show -p MainPID --value continuo-server)")" -ge 61184
mkdir -p /etc/continuo /var/lib/continuo/agent
mv /images /var/lib/continuo/agent/images
(umask 077 && continuo token create >/etc/continuo/token)
cat >>/etc/continuo/agent.yaml <<-END
	node: one
	tier: iot # 30 s of silence: emulators are slow
	servers: ["192.0.2.1:6443"]
	tokenFile: /etc/continuo/token
	address: 192.0.2.1
END
# What is loaded between the unit's own ExecStartPre= and the agent.
mkdir -p /etc/systemd/system/continuo-agent.service.d
cat >/etc/systemd/system/continuo-agent.service.d/modules.conf <<-'END'
	[Service]
	ExecStartPre=/bin/sh -c "cut -d' ' -f1 /proc/modules | sort >/run/modules-at-start"
END
check "no module of the agent's is loaded yet" no_module 'overlay|veth|bridge|nf_.*|nft_.*'
check "the agent starts" systemctl enable --now continuo-agent
check "its node is ready" wait_for 100 node_is_ready
continuo apply -f - <<-END
	apiVersion: v1
	kind: Pod
	metadata: {name: keeper, labels: {app: keeper}}
	spec:
	  containers:
	  - name: main
	    image: $image
	    imagePullPolicy: Never
	    command: [sh, -c, "httpd -p 8080 -h /etc; exec sleep 98765"]
	    resources: {limits: {memory: 64Mi}}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: only, annotations: {continuo.dev/singleton: handover}}
	spec:
	  containers:
	  - {name: main, image: "$image", imagePullPolicy: Never, command: [sleep, "45678"]}
	---
	apiVersion: v1
	kind: Service
	metadata: {name: any}
	spec:
	  selector: {app: keeper}
	  ports: [{name: web, port: 8080}, {name: udp, port: 8080, protocol: UDP}]
	---
	apiVersion: v1
	kind: Service
	metadata: {name: sticky}
	spec: {selector: {app: keeper}, sessionAffinity: ClientIP, ports: [{port: 8080}]}
END
check "a pod runs" wait_for 100 pod_runs
kept=$(container)
check "with its limit" limits_hold
check "its service answers" wait_for 60 service any
check "one with session affinity" wait_for 60 service sticky
check "a fence stands beside a handover pod" wait_for 60 fence
check "the unit had loaded all of the kernel that this needs" same_modules
check "the pod network has its table" nft list table ip continuo

# ---- what services go through ----

fence=$(fence)
check "systemctl stop" systemctl stop continuo-agent
check "leaves the container running" same_container
check "and the fence" same_fence
mv /sbin/modprobe /sbin/modprobe.away
check "systemctl start, where there is no modprobe" systemctl start continuo-agent
mv /sbin/modprobe.away /sbin/modprobe
check "takes it over" wait_for 100 continuo exec keeper -- true
check "still the same" same_container
first=$(pid_of_agent)
check "dpkg installs a later version over it" install_debs /new
check "the agent was restarted" test "$(pid_of_agent)" != "$first"
check "and runs" state_is continuo-agent active
check "the server too" state_is continuo-server active
check "the container has kept its process through the upgrade" same_container
check "the node is ready again" wait_for 100 node_is_ready
check "the pod has not been restarted" wait_for 60 pod_runs
check "exec into it" wait_for 60 continuo exec keeper -- true
check "its service answers still" wait_for 60 service any
mv /lib/modules /lib/modules.away
systemctl kill -s KILL continuo-agent --kill-who=main
check "an agent that was killed is started again, where there are no modules" wait_for 60 eval '[ "$(pid_of_agent)" != 0 ] && state_is continuo-agent active'
check "without the container's noticing" same_container
systemctl daemon-reload
check "reloading systemd leaves the limit" limits_hold

# ---- the end ----

check "dpkg removes the agent" dpkg -r continuo-agent
check "it is stopped" wait_for 60 state_is continuo-agent inactive
check "the container still runs" same_container
check "dpkg purges it" dpkg -P continuo-agent
check "the container has ended" wait_for 60 eval '[ -z "$(container)" ]'
check "no control group is left" gone /sys/fs/cgroup/continuo
check "no state" gone /var/lib/continuo/agent
check "nothing in /run" gone /run/continuo/agent
check "no mount" eval '! grep continuo/agent /proc/self/mountinfo'
check "no interface" gone /sys/class/net/cnt0
check "no table" eval '! nft list table ip continuo'
check "dpkg purges the server" dpkg -P continuo
check "no state of it" gone /var/lib/private/continuo-server
echo "=== the end"

# Runs in the emulator of tests/system/packages.sh, as a service of its systemd. Each check is a line "=== ok|failed NAME".
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

# ---- installation ----

modprobe overlay
modprobe veth
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
check "the agent starts" systemctl enable --now continuo-agent
check "its node is ready" wait_for 100 node_is_ready
continuo apply -f - <<-END
	apiVersion: v1
	kind: Pod
	metadata: {name: keeper}
	spec:
	  containers:
	  - name: main
	    image: 127.0.0.1:5000/box:1
	    imagePullPolicy: Never
	    command: [sleep, "98765"]
	    resources: {limits: {memory: 64Mi}}
END
check "a pod runs" wait_for 100 pod_runs
kept=$(container)
check "with its limit" limits_hold
first=$(pid_of_agent)

# ---- what services go through ----

check "dpkg installs a later version over it" install_debs /new
check "the agent was restarted" test "$(pid_of_agent)" != "$first"
check "and runs" state_is continuo-agent active
check "the server too" state_is continuo-server active
check "the container has kept its process through the upgrade" same_container
check "the node is ready again" wait_for 100 node_is_ready
check "the pod has not been restarted" wait_for 60 pod_runs
check "exec into it" wait_for 60 continuo exec keeper -- true
systemctl kill -s KILL continuo-agent --kill-who=main
check "an agent that was killed is started again" wait_for 60 eval '[ "$(pid_of_agent)" != 0 ] && state_is continuo-agent active'
check "without the container's noticing" same_container
systemctl daemon-reload
check "reloading systemd leaves the limit" limits_hold
check "systemctl stop" systemctl stop continuo-agent
check "leaves the container running" same_container
check "systemctl start" systemctl start continuo-agent
check "takes it over" wait_for 100 continuo exec keeper -- true
check "still the same" same_container

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
check "dpkg purges the server" dpkg -P continuo
check "no state of it" gone /var/lib/private/continuo-server
echo "=== the end"

#!/bin/bash
# The pod network between three nodes: n1 and n2 on one subnet, n3 behind a router. Nodes and pods are
# network namespaces; each node runs an overlay-testctl. Needs root.
. "$(dirname "$0")/../lib/tap.sh"
lib=$(cd "$(dirname "$0")/../lib" && pwd)
ctl=${CONTINUO_BUILD:-build}/src/overlay/overlay-testctl
p=ov$$
work=$(mktemp -d)
pids=()
declare -A pid to from

clean_up() {
	local x
	for x in "${pids[@]}"; do end_process "$x"; done
	for x in r n1 n2 n3 a1 b1 a2 a3; do ip netns del "$p-$x" 2>/dev/null; done
	rm -rf "$work"
}
at_exit clean_up

on() { # on HOST COMMAND...
	local host=$1
	shift
	nsenter --net="/run/netns/$p-$host" "$@"
}

# ---- the machines ----

join() { # join NODE SUBNET-BRIDGE ADDRESS ROUTER
	ip -n "$p-r" link add "$p$1" type veth peer name up0 netns "$p-$1"
	ip -n "$p-r" link set "$p$1" master "$2" up
	ip -n "$p-$1" link set lo up
	ip -n "$p-$1" link set up0 mtu 1400 up
	ip -n "$p-$1" addr add "$3/24" dev up0
	ip -n "$p-$1" route add default via "$4"
}

for x in r n1 n2 n3 a1 b1 a2 a3; do ip netns add "$p-$x"; done
ip -n "$p-r" link set lo up
on r sysctl -qw net.ipv4.ip_forward=1
for x in a b; do ip -n "$p-r" link add "s$x" type bridge && ip -n "$p-r" link set "s$x" up; done
ip -n "$p-r" addr add 192.0.2.254/24 dev sa
ip -n "$p-r" addr add 198.51.100.254/24 dev sb
join n1 sa 192.0.2.1 192.0.2.254
join n2 sa 192.0.2.2 192.0.2.254
join n3 sb 198.51.100.3 198.51.100.254
ip -n "$p-r" route add 10.42.1.0/24 via 192.0.2.1
ip -n "$p-r" route add 10.42.2.0/24 via 192.0.2.2
ip -n "$p-r" route add 10.42.3.0/24 via 198.51.100.3

# A firewall of the owner's on n1, which lets pods through as docs/network.md asks.
on n1 nft -f - <<-END
	table inet owner {
		set guests { type ipv4_addr; elements = { 203.0.113.9 }; }
		chain input {
			type filter hook input priority 0; policy drop;
			iifname "lo" accept
			ct state established,related accept
			iifname "cnt0" meta l4proto { tcp, udp } th dport 53 accept
		}
		chain forward {
			type filter hook forward priority 0; policy drop;
			iifname "cnt0" accept
			oifname "cnt0" accept
			ct status dnat accept
		}
	}
END
on n1 nft list table inet owner >"$work/owner"

nsenter --net="/run/netns/$p-r" python3 "$lib/overlay_upstream.py" 192.0.2.254 >"$work/upstream" &
pids+=($!)
echo "nameserver 192.0.2.254" >"$work/resolv.conf"

# ---- driving the nodes ----

declare -A address=([n1]=192.0.2.1 [n2]=192.0.2.2 [n3]=198.51.100.3)

start() { # start NODE: prints what the overlay said when it opened
	local n=$1 line
	nsenter --net="/run/netns/$p-$n" "$ctl" "$n" "${address[$n]}" "10.42.${n#n}.0/24" 10.42.0.0/16 10.43.0.0/16 "$work/$n" \
		"$work/resolv.conf" <"$work/$n.in" >"$work/$n.out" 2>"$work/$n.log" &
	pid[$n]=$!
	pids+=($!)
	read -r -t 10 line <&"${from[$n]}"
	started=$line
}

ask() { # ask NODE COMMAND...: prints the answer
	local n=$1 line
	shift
	echo "$*" >&"${to[$n]}"
	read -r -t 10 line <&"${from[$n]}" || line="no answer; log: $(tail -3 "$work/$n.log")"
	echo "$line"
}

says() { # says EXPECTED NODE COMMAND...
	local expected=$1 answer
	shift
	answer=$(ask "$@")
	[ "$answer" = "$expected" ] || { echo "answer: $answer"; return 1; }
}

for n in n1 n2 n3; do
	mkfifo "$work/$n.in" "$work/$n.out"
	exec {fd}<>"$work/$n.in"
	to[$n]=$fd
	exec {fd}<>"$work/$n.out"
	from[$n]=$fd
	start "$n"
	tap_check "$n opens" test "$started" = "ok 10.42.${n#n}.1"
done

services() { # services: the table on standard input, to all nodes
	local n table
	table=$(grep -v '^$')
	for n in n1 n2 n3; do
		echo "$table" >&"${to[$n]}"
		says "ok" "$n" services || return 1
	done
}

# ---- tests: addresses and routes ----

tap_check "a pod gets the first free address" says "ok 10.42.1.2" n1 attach uid-a1 "/run/netns/$p-a1"
tap_check "another pod gets the next" says "ok 10.42.1.3" n1 attach uid-b1 "/run/netns/$p-b1"
tap_check "attaching again gives the same" says "ok 10.42.1.2" n1 attach uid-a1 "/run/netns/$p-a1"
tap_check "a namespace that is not there is an error" bash -c "[[ \$1 == 'error pod uid-x: cannot open'* ]]" - \
	"$(ask n1 attach uid-x /run/netns/none)"
tap_check "its lease is given back" says "ok" n1 detach uid-x
tap_check "n2 attaches" says "ok 10.42.2.2" n2 attach uid-a2 "/run/netns/$p-a2"
tap_check "n3 attaches" says "ok 10.42.3.2" n3 attach uid-a3 "/run/netns/$p-a3"
tap_check "the pod has the uplink's MTU" grep -q "mtu 1400" <(on a1 ip link show eth0)

for n in n1 n2 n3; do
	printf 'peer n%d %s 10.42.%d.0/24\n' 1 192.0.2.1 1 2 192.0.2.2 2 3 198.51.100.3 3 >&"${to[$n]}"
	tap_check "$n learns its peers" says "ok" "$n" peers
done
tap_check "the neighbour's pods are routed to it" \
	test "$(on n1 ip route show 10.42.2.0/24)" = "10.42.2.0/24 via 192.0.2.2 dev up0 proto 142 "
tap_check "those behind the router are left to it" test -z "$(on n1 ip route show 10.42.3.0/24)"

for x in a1 b1 a2 a3; do
	nsenter --net="/run/netns/$p-$x" python3 "$lib/overlay_pod.py" $x >"$work/$x.ready" &
	pids+=($!)
done
all_ready() { ! grep -L ready "$work"/{a1,b1,a2,a3}.ready "$work/upstream" | grep -q .; }
wait_for 20 all_ready

get() { # get HOST URL
	on "$1" curl -s -m 3 "$2"
}
gets() { # gets EXPECTED HOST URL
	local answer
	answer=$(get "$2" "$3")
	[ "$answer" = "$1" ] || { echo "answer: $answer"; return 1; }
}
tap_check "pod to pod on one node" gets "b1 10.42.1.2" a1 http://10.42.1.3:8080
tap_check "pod to pod on one subnet" gets "a2 10.42.1.2" a1 http://10.42.2.2:8080
tap_check "pod to pod through the router" gets "a3 10.42.1.2" a1 http://10.42.3.2:8080
tap_check "and back" gets "a1 10.42.3.2" a3 http://10.42.1.2:8080

nsenter --net="/run/netns/$p-r" python3 "$lib/overlay_pod.py" world >"$work/world.ready" &
pids+=($!)
wait_for 10 grep -q ready "$work/world.ready"
tap_check "the world sees the node's address" gets "world 192.0.2.1" a1 http://192.0.2.254:8080

# ---- services ----

table() { # table ENDPOINTS OF WEB...
	cat <<-END
		service default web 10.43.0.10 0 0 -
		port http TCP 80 30080
		$(for x in "$@"; do echo "endpoint $x 8080 - - 1"; done)
		service default udp 10.43.0.11 0 0 -
		port echo UDP 9 0
		$(for x in "$@"; do echo "endpoint $x 9000 - - 1"; done)
		service default none 10.43.0.12 0 0 -
		port http TCP 80 0
		endpoint 10.42.1.2 8080 - - 0
		port udp UDP 80 0
		service default self 10.43.0.13 0 0 -
		port http TCP 80 0
		endpoint 10.42.1.2 8080 - - 1
		service default sticky 10.43.0.14 10800 0 -
		port http TCP 80 0
		endpoint 10.42.1.2 8080 - - 1
		endpoint 10.42.1.3 8080 - - 1
		endpoint 10.42.2.2 8080 - - 1
		endpoint 10.42.3.2 8080 - - 1
		service default db None 0 0 -
		port redis TCP 6379 0
		endpoint 10.42.2.2 6379 db-0 n2 1
		endpoint 10.42.3.2 6379 - n3 1
		endpoint 10.42.3.9 6379 db-2 n3 0
		service default out - 0 0 www.example.com
	END
}

spread() { # spread HOST URL COUNT: the names of all that answered
	local i
	for ((i = 0; i < $3; i++)); do get "$1" "$2"; done | cut -d' ' -f1 | sort -u | tr '\n' ' '
}

tap_check "services are told to all nodes" services < <(table 10.42.1.2 10.42.2.2 10.42.3.2)
tap_check "a service spreads over its endpoints" test "$(spread b1 http://10.43.0.10 40)" = "a1 a2 a3 "
tap_check "from the node too" test "$(spread n2 http://10.43.0.10 40)" = "a1 a2 a3 "
tap_check "an endpoint sees the client's address" gets "a1 10.42.3.2" a3 http://10.43.0.13
tap_check "a pod reaches itself by a service" gets "a1 10.42.1.1" a1 http://10.43.0.13
tap_check "a client sticks to one endpoint" test "$(spread b1 http://10.43.0.14 15 | wc -w)" = 1
tap_check "a node port leads to endpoints on all nodes" \
	test "$(spread r http://198.51.100.3:30080 40)" = "a1 a2 a3 "
tap_check "a node port behind the owner's firewall" test "$(spread r http://192.0.2.1:30080 40)" = "a1 a2 a3 "

refused() { # refused HOST: TCP and UDP, each within half a second
	on "$1" python3 - <<-END
		import socket, time
		for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
		    start = time.monotonic()
		    s = socket.socket(socket.AF_INET, kind)
		    s.settimeout(3)
		    try:
		        s.connect(("10.43.0.12", 80))
		        s.send(b"x")
		        s.recv(1)
		        raise SystemExit(f"{kind} was answered")
		    except (ConnectionRefusedError, PermissionError):  # the latter from one's own firewall
		        assert time.monotonic() - start < 0.5, "refused late"
	END
}
tap_check "no ready endpoint: refused at once" refused a1
tap_check "on the node too" refused n2

# One UDP socket, so one tracked flow, asks before and after its endpoint goes.
cat >"$work/flow.py" <<-END
	import socket, sys
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.settimeout(3)
	s.connect(("10.43.0.11", 9))
	for line in sys.stdin:
	    s.send(b"x")
	    print(s.recv(100).decode().split()[0], flush=True)
END
mkfifo "$work/flow.in" "$work/flow.out"
nsenter --net="/run/netns/$p-a3" python3 "$work/flow.py" <"$work/flow.in" >"$work/flow.out" 2>"$work/flow.log" &
pids+=($!)
exec {flow_in}<>"$work/flow.in" {flow_out}<>"$work/flow.out"
flow() {
	local line
	echo >&"$flow_in"
	read -r -t 5 line <&"$flow_out"
	echo "$line"
}
services < <(table 10.42.2.2) >/dev/null
tap_check "a removed endpoint is not asked again" test "$(spread b1 http://10.43.0.10 20)" = "a2 "
tap_check "a UDP flow finds its endpoint" test "$(flow)" = a2
services < <(table 10.42.1.2) >/dev/null
tap_check "and another one when that goes" test "$(flow)" = a1

tap_check "a host port leads to its pod" says "ok" n2 hostport uid-a2 TCP 8088 8080
tap_check "from outside" gets "a2 192.0.2.254" r http://192.0.2.2:8088
tap_check "a host port is had once" says "error pod uid-none has no address" n2 hostport uid-none TCP 8088 8080

# ---- names ----

names() { # names EXPECTED HOST WORDS FOR dig...
	local expected=$1 host=$2 answer
	shift 2
	answer=$(on "$host" dig "@10.42.${host#?}.1" +short +tries=1 +time=8 "$@" | sort | tr '\n' ' ')
	[ "$answer" = "$expected" ] || { echo "answer: $answer"; return 1; }
}
status() { # status EXPECTED HOST WORDS FOR dig...
	local expected=$1 host=$2
	shift 2
	on "$host" dig "@10.42.${host#?}.1" +tries=1 +time=8 "$@" | grep -q "status: $expected"
}
z=default.svc.cluster.local
tap_check "a service's name" names "10.43.0.10 " a1 web.$z
tap_check "a headless service's names" names "10.42.2.2 10.42.3.2 " a3 db.$z
tap_check "over TCP" names "10.42.2.2 10.42.3.2 " a3 +tcp db.$z
tap_check "a pod's own name" names "10.42.2.2 " a1 db-0.db.$z
tap_check "a port's record" names "0 10 6379 10-42-3-2.db.$z. 0 10 6379 db-0.db.$z. " a1 _redis._tcp.db.$z SRV
tap_check "from the address to the name" names "web.$z. " a1 -x 10.43.0.10
tap_check "an external name" names "192.0.2.53 www.example.com. " a1 out.$z
tap_check "busybox finds it" grep -q "Address.*10.43.0.10" <(on a1 busybox nslookup web.$z 10.42.1.1)
tap_check "no such service" status NXDOMAIN a1 nothing.$z
tap_check "no such type" status NOERROR a1 web.$z AAAA
tap_check "the world's names" names "192.0.2.53 " a1 www.example.com
tap_check "unknown there" status NXDOMAIN a1 www.example.org
tap_check "a long answer comes over TCP" test "$(on a1 dig @10.42.1.1 +short big.example.com | wc -l)" = 200
asked() { grep -c "udp www.example.com 1" "$work/upstream"; }
before=$(asked)
names "192.0.2.53 " a1 www.example.com
tap_check "what was asked is remembered" test "$(asked)" = "$before"
tap_check "a silent upstream is an error in the end" status SERVFAIL a1 lost.example.com

# ---- crash ----

shape() { # what the kernel holds for a node, without counters and ages
	on "$1" nft list table ip continuo | sort
	on "$1" ip -o addr | grep -v inet6 | sed 's/valid_lft.*//' | sort
	on "$1" ip route | sort
}
crash() {
	kill -9 "${pid[$1]}"
	wait "${pid[$1]}" 2>/dev/null
}
before=$(shape n1)
crash n1
tap_check "services go on without the agent" gets "a1 10.42.1.3" b1 http://10.43.0.10
start n1
tap_check "n1 opens again" test "$started" = "ok 10.42.1.1"
tap_check "and keeps what is there" diff <(echo "$before") <(shape n1)
tap_check "pods have their addresses" says "ok 10.42.1.2" n1 attach uid-a1 "/run/netns/$p-a1"
tap_check "as they were" says "ok 10.42.1.3" n1 attach uid-b1 "/run/netns/$p-b1"
printf 'peer n%d %s 10.42.%d.0/24\n' 2 192.0.2.2 2 3 198.51.100.3 3 >&"${to[n1]}"
says "ok" n1 peers
services < <(table 10.42.1.2) >/dev/null
tap_check "the same again changes nothing" diff <(echo "$before") <(shape n1)

elements() { # what the maps hold, one element a line
	local map
	for map in services endpoints node-services node-endpoints; do
		on "$1" nft list map ip continuo $map | tr '{},' '\n' | grep ' : [0-9g]' | sed "s/^[[:space:]]*/$map /"
	done | sort
}
before=$(elements n1)
tap_check "there are elements to compare" test "$(wc -l <<<"$before")" -gt 10

# Somebody else's words in our table: it is made anew.
crash n1
on n1 nft add element ip continuo services "{ 10.43.9.9 . tcp . 80 : goto refuse }"
echo garbage >"$work/n1/leases"
start n1
tap_check "addresses are known without the file" says "ok 10.42.1.3" n1 attach uid-b1 "/run/netns/$p-b1"
services < <(table 10.42.1.2) >/dev/null
tap_check "a table that is not as we left it is mended" diff <(echo "$before") <(elements n1)

# ---- news from the kernel ----

ip -n "$p-n1" link set up0 down
ip -n "$p-n1" link set up0 up
ip -n "$p-n1" route add default via 192.0.2.254
printf 'peer n%d %s 10.42.%d.0/24\n' 2 192.0.2.2 2 3 198.51.100.3 3 >&"${to[n1]}"
says "ok" n1 peers
ip -n "$p-n1" link set up0 down
ip -n "$p-n1" link set up0 up
route_is_back() { on n1 ip route show 10.42.2.0/24 | grep -q "via 192.0.2.2"; }
tap_check "routes come back with their link" wait_for 5 route_is_back
ip -n "$p-n1" route add default via 192.0.2.254

on n1 nft delete table ip continuo
table_is_back() { diff <(echo "$before") <(elements n1); }
tap_check "a table that was flushed comes back" wait_for 15 table_is_back

# ---- leaving ----

gone() { ! on n1 ip link show cnt-0a2a0103; }
tap_check "pods that are not named are let go" says "ok" n1 keep uid-a1
tap_check "with their interfaces" wait_for 5 gone
tap_check "a new pod gets another address" says "ok 10.42.1.4" n1 attach uid-new "/run/netns/$p-b1"
tap_check "the kept one works" gets "a1 10.42.1.1" a1 http://10.43.0.13
on n2 ip route add 10.42.77.0/24 via 192.0.2.1
tap_check "without peers there are no routes of ours" says "ok" n2 peers
tap_check "and those of others stay" test "$(on n2 ip route show | grep -c "via 192.0.2.1")" = 1

nothing_left() {
	! on "$1" ip link | grep cnt && ! on "$1" ip route | grep 142 && ! on "$1" nft list tables | grep continuo &&
		! grep uid "$work/$1/leases"
}
for n in n1 n2 n3; do
	says "ok" $n close all
	tap_check "$n leaves nothing behind" nothing_left $n
done
tap_check "the owner's firewall was never touched" diff "$work/owner" <(on n1 nft list ruleset)
tap_check "nothing else was worth a warning" test -z "$(cat "$work"/n?.log | grep -v -e overlay_table_was_removed -e overlay_leases_lost)"
tap_finish

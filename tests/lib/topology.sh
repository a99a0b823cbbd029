# Hosts as network namespaces, joined by a router namespace with one bridge per site. Nothing is made
# in the machine's own namespace but the names below /run/netns, so topologies do not meet, and need
# no addresses of their own. All names begin with $topo_id (set it first; at most 8 characters).

topo_router=

# topo_start: makes the router.
topo_start() {
	topo_router=$topo_id-router
	ip netns add "$topo_router" || return 1
	topo_in router ip link set lo up
	topo_in router sysctl -qw net.ipv4.ip_forward=1
}

# topo_in HOST COMMAND...: runs it in the host's network. Not `ip netns exec`, which hides the cgroups.
topo_in() {
	local host=$1
	shift
	nsenter --net="/run/netns/$topo_id-$host" "$@"
}

# topo_site NAME GATEWAY/BITS: a subnet; its gateway is the router.
topo_site() {
	topo_in router ip link add "br-$1" type bridge &&
		topo_in router ip address add "$2" dev "br-$1" &&
		topo_in router ip link set "br-$1" up
}

# topo_host NAME SITE ADDRESS/BITS GATEWAY
topo_host() {
	local netns=$topo_id-$1
	ip netns add "$netns" &&
		ip -n "$topo_router" link add "to-$1" type veth peer name eth0 netns "$netns" &&
		topo_in router ip link set "to-$1" master "br-$2" up &&
		topo_in "$1" ip link set lo up &&
		topo_in "$1" ip address add "$3" dev eth0 &&
		topo_in "$1" ip link set eth0 up &&
		topo_in "$1" ip route add default via "$4"
}

# topo_route SUBNET ADDRESS: the router sends what is for the subnet to the host with that address.
topo_route() {
	topo_in router ip route replace "$1" via "$2"
}

# topo_cut HOST, topo_join HOST: the router silently drops all of the host's packets, or no longer.
topo_cut() {
	topo_in router nft -f - <<-EOF
		table netdev cut-$1 {
			chain from { type filter hook ingress device "to-$1" priority 0; policy drop; }
			chain to { type filter hook egress device "to-$1" priority 0; policy drop; }
		}
	EOF
}

topo_join() { topo_in router nft delete table netdev "cut-$1"; }

# topo_cut_site SITE, topo_join_site SITE: between the site and all others; within it packets still go.
topo_cut_site() {
	topo_in router nft -f - <<-EOF
		table inet cut-$1 {
			chain forward {
				type filter hook forward priority 0
				iifname "br-$1" oifname != "br-$1" drop
				iifname != "br-$1" oifname "br-$1" drop
			}
		}
	EOF
}

topo_join_site() { topo_in router nft delete table inet "cut-$1"; }

# topo_remove: all namespaces of $topo_id with the interfaces in them. Processes must be gone.
topo_remove() {
	local path
	for path in /run/netns/"$topo_id"-*; do
		[ -e "$path" ] && ip netns delete "${path##*/}"
	done
	return 0
}

#!/bin/bash
# What `apt purge continuo-agent` leaves of a state folder that is a folder, a disk of its own, or a link; in mounts and
# a network of its own, so that this machine's are not touched.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

folder=$(mktemp -d /tmp/continuo-purge-XXXXXX)
at_exit rm -rf "$folder"
if ! unshare -m -n --propagation private mount -t tmpfs none /run 2>/dev/null; then
	tap_skip "mounts cannot be made here"
	tap_finish
	exit
fi
sed /DEBHELPER/d debian/continuo-agent.postrm >"$folder/postrm"

# purge KIND: the script's status, what it says, and what is left below /var/lib.
purge() {
	unshare -m -n --propagation private bash -c '
		for place in /sys/fs/cgroup /var/lib /run; do mount -t tmpfs none $place || exit 1; done
		mkdir -p /run/continuo/agent/pods /var/lib/continuo /var/lib/disk
		case $1 in
		link) ln -s /var/lib/disk /var/lib/continuo/agent ;;
		disk) mkdir /var/lib/continuo/agent && mount -t tmpfs none /var/lib/continuo/agent ;;
		folder) mkdir /var/lib/continuo/agent ;;
		esac
		mkdir -p "/var/lib/continuo/agent/pods/a b"
		[ $1 = link ] || mount -t tmpfs none "/var/lib/continuo/agent/pods/a b"
		: >/var/lib/continuo/agent/key
		sh "$2" purge
		echo "status $?"
		cd /var/lib && find . /run/continuo -mindepth 1 2>/dev/null | sort
	' - "$1" "$folder/postrm" >"$folder/out" 2>&1
	tr '\n' ' ' <"$folder/out"
}
leaves() { # KIND TEXT
	local said
	said=$(purge "$1")
	[ "$said" = "$2 " ] || { echo "$said"; return 1; }
}
tap_check "a folder goes, with what is mounted in it" leaves folder "status 0 ./disk"
tap_check "a disk of its own is emptied and stays" leaves disk "status 0 ./continuo ./continuo/agent ./disk"
tap_check "a link goes, and it is said where the state still is" leaves link \
	"/var/lib/continuo/agent led to /var/lib/disk, where the state of the node is still: remove it status 0 ./disk ./disk/key ./disk/pods ./disk/pods/a b"
tap_finish

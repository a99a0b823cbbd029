#!/bin/bash
# The packages as a person meets them: dpkg, systemctl, an upgrade, a removal, a purge, with real systemd as the first process of
# Debian's own kernel in an emulator. A container keeps its process through all but the purge.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/busybox_root.sh
. tests/lib/emulator.sh
. tests/lib/registry.sh

build=${CONTINUO_BUILD:-./build}
checks=tests/lib/packages_vm.sh
image=127.0.0.1:5000/box:1
netns=continuo-packages-$$ # the registry's: its port is free there
folder=$(mktemp -d /var/tmp/continuo-packages-XXXXXX)
root=$folder/root
at_exit 'rm -rf --one-file-system "$folder"'
at_exit '[ ! -e "/run/netns/$netns" ] || ip netns delete "$netns"'
[ "$(dpkg --print-architecture)" = amd64 ] || { tap_skip "emulates amd64 alone" && tap_finish; }
for tool in qemu-system-x86_64 depmod cpio runc conmon nft dh docker-registry skopeo /lib/systemd/systemd deb-systemd-invoke; do
	command -v $tool >/dev/null || { tap_skip "needs $tool" && tap_finish; }
done

# ---- packages: what was built, and the same as a later version ----

make_packages() {
	local version package
	COMPRESSION="-Zgzip -z1" tools/build-deb "$build" >"$folder/debs" || return 1
	mkdir -p "$root/old" "$root/new"
	version=$(sed -n '1s/.*_\(.*\)_.*/\1/p' "$folder/debs")
	while read -r package; do
		cp "$package" "$root/old/" && dpkg-deb -R "$package" "$folder/deb" &&
			sed -i "s/^Version: .*/Version: $version+1/" "$folder/deb/DEBIAN/control" &&
			dpkg-deb -Zgzip -z1 -b "$folder/deb" "$root/new/$(basename "$package")" && rm -r "$folder/deb" || return 1
	done <"$folder/debs"
}

# Nodes find the image in their store, as the emulator has no network.
make_image() {
	local registry_prefix="nsenter --net=/run/netns/$netns"
	ip netns add "$netns" && ip -n "$netns" link set lo up || return 1
	mkdir -p "$folder/box" && busybox_root "$folder/box" && echo 'a service' >"$folder/box/etc/motd" &&
		tools/ocilayout.py "$folder/layout" box --config '{"Env": ["PATH=/bin"]}' --layer "$folder/box:gzip" >/dev/null &&
		registry_start "$folder/registry" 127.0.0.1:5000 || return 1
	registry_push "$folder/layout" box "$image" && mkdir -p "$root/images" &&
		echo '{"127.0.0.1:5000": {"insecure": true}}' >"$folder/registries.json" &&
		echo "{\"folder\": \"$root/images\", \"reference\": \"$image\", \"temporary\": \"one\",
			\"registriesFile\": \"$folder/registries.json\"}" | $registry_prefix "$build/src/main/continuo-pull"
	local status=$?
	kill "$registry_pid" && wait "$registry_pid" 2>/dev/null
	return $status
}

# ---- a machine with systemd, of this machine's programs ----

make_units() {
	local unit
	mkdir -p "$root/lib/systemd/system" "$root/etc/systemd/system"
	for unit in sysinit.target basic.target multi-user.target network.target network-pre.target local-fs.target local-fs-pre.target \
		sockets.target timers.target paths.target slices.target swap.target shutdown.target umount.target final.target \
		systemd-poweroff.service poweroff.target systemd-journald.service systemd-journald.socket \
		systemd-journald-dev-log.socket; do
		cp -L "/lib/systemd/system/$unit" "$root/lib/systemd/system/" || return 1
	done
	ln -s multi-user.target "$root/lib/systemd/system/default.target"
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/lib/systemd/system/sockets.target.wants"
	ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket "$root/lib/systemd/system/sockets.target.wants/"
	cat >"$root/etc/systemd/system/checks.service" <<-'END'
		[Service]
		Type=idle
		ExecStart=/bin/bash /checks
		ExecStopPost=/bin/busybox poweroff -f
		StandardOutput=tty
		StandardError=tty
		TTYPath=/dev/ttyS0
	END
	ln -s ../checks.service "$root/etc/systemd/system/multi-user.target.wants/"
	printf '[Manager]\nDefaultTimeoutStartSec=120s\n' >"$root/etc/systemd/system.conf"
	printf '[Journal]\nStorage=volatile\nForwardToConsole=yes\nTTYPath=/dev/ttyS0\n' >"$root/etc/systemd/journald.conf"
}

make_disk() {
	local version program
	version=$(ls "$folder/kernel/lib/modules")
	mkdir -p "$root"/{proc,sys,dev,run,new-root,lib/modules,var/lib/dpkg/info,var/lib/dpkg/updates,var/tmp,tmp,root,usr/share}
	busybox_root "$root"
	rm -f "$root"/bin/{dpkg,dpkg-deb,tar,rm,sh,bash,poweroff,start-stop-daemon,modprobe}
	for program in /lib/systemd/systemd:lib/systemd systemctl:bin dpkg:usr/bin dpkg-deb:usr/bin dpkg-split:usr/bin \
		dpkg-query:usr/bin tar:bin rm:bin bash:bin perl:usr/bin runc:usr/sbin conmon:usr/bin kmod:sbin nft:usr/sbin start-stop-daemon:sbin ldconfig:sbin \
		systemd-cgroups-agent:lib/systemd systemd-shutdown:lib/systemd systemd-journald:lib/systemd; do
		[ -e "/lib/systemd/${program%:*}" ] && emulator_copy "$root" "${program##*:}" "/lib/systemd/${program%:*}" && continue
		emulator_copy "$root" "${program##*:}" "$(command -v "${program%:*}")" || return 1
	done
	ln -s bash "$root/bin/sh" && ln -s kmod "$root/sbin/modprobe" || return 1
	cp "$(command -v deb-systemd-helper)" "$(command -v deb-systemd-invoke)" "$root/usr/bin/" || return 1
	cp -R --parents /usr/lib/x86_64-linux-gnu/perl-base "$root" || return 1
	for program in libcurl.so.4 libarchive.so.13 libmnl.so.0; do
		cp --parents -L "/usr/lib/x86_64-linux-gnu/$program" "$root" || return 1
	done
	touch "$root/var/lib/dpkg/status" && mkdir -p "$root/lib/modules/$version/kernel"
	cp -R "$folder/kernel/lib/modules/$version/kernel/net" "$folder/kernel/lib/modules/$version/kernel/lib" "$root/lib/modules/$version/kernel/"
	find "$folder/kernel/lib/modules/$version" \( -name 'overlay.ko*' -o -name 'veth.ko*' -o -name 'crc32c*.ko*' -o -name 'libcrc32c.ko*' \) \
		-exec cp {} "$root/lib/modules/$version/kernel/" \;
	depmod -b "$root" "$version" && make_units && cp "$checks" "$root/checks" && echo $image >"$root/image" && echo packages >"$root/etc/hostname" || return 1
	# A kernel's first root cannot be pivoted away from, as runc wants to.
	cat >"$root/init" <<-'END'
		#!/bin/busybox sh
		export PATH=/bin:/sbin:/usr/bin:/usr/sbin
		mount -t tmpfs -o size=1200m root /new-root
		cp -a /bin /checks /etc /image /images /lib /lib64 /new /old /root /sbin /tmp /usr /var /new-root/
		mkdir -p /new-root/proc /new-root/sys /new-root/dev /new-root/run
		exec switch_root /new-root /lib/systemd/systemd --log-target=console --log-level=notice --show-status=false
	END
	chmod +x "$root/init"
	emulator_disk "$root" "$folder/disk.gz"
}

# The agent's loop stands still while it opens its network, which its modules must not make longer.
network_opens_quickly() {
	tr -d '\r' <"$folder/console" | awk -F '[][ ]+' '/event=slice_complete/ { since = $2 } /event=network_open/ { exit }
		END { if (!since) exit 1; printf "%.1f s\n", $2 - since; exit $2 - since > 5 }'
}

boot() {
	emulator_boot 550 "$folder/kernel" "$folder/disk.gz" "$folder/console"
	tr -d '\r' <"$folder/console" | grep -q '^=== the end'
}

tap_check "packages of two versions" make_packages
tap_check "an image in a store" make_image
tap_check "Debian's kernel" emulator_kernel "$folder"
tap_check "a machine with systemd" make_disk
tap_check "it boots and runs the checks" boot
while read -r result name; do
	[ "$result" = ok ]
	tap_result $? "$name"
done < <(tr -d '\r' <"$folder/console" | sed -n 's/^=== \(ok\|failed\) /\1 /p')
tap_check "the agent opens its network within 5 s" network_opens_quickly
tap_check "systemd finds nothing wrong with the units" eval '! grep -a "continuo-.*service:[0-9]*: " "$folder/console"'
[ "$tap_failed" -eq 0 ] || tr -d '\r' <"$folder/console" | tail -n 150 | tap_note >&2
tap_finish

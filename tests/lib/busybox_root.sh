# busybox_root FOLDER: a root file system of busybox alone, with users root and web.
busybox_root() {
	local tool
	mkdir -p "$1/bin" "$1/etc" "$1/tmp"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for tool in $("$1/bin/busybox" --list); do
		[ "$tool" = busybox ] || ln -s busybox "$1/bin/$tool"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:Web:/srv:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nweb:x:102:\nmedia:x:500:web\n' >"$1/etc/group"
}

# Debian's own kernel in an emulator, for what this machine's kernel or its lack of systemd cannot show.

# emulator_kernel FOLDER: the kernel's package into FOLDER/kernel, from Debian's archive or DRIVER_V2_KERNEL=DEB.
emulator_kernel() {
	local package
	if [ -n "${DRIVER_V2_KERNEL:-}" ]; then
		cp "$DRIVER_V2_KERNEL" "$1/kernel.deb"
	else
		package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends/ { print $2; exit }')
		(cd "$1" && apt-get -q download "$package" && mv linux-image-*.deb kernel.deb) || return 1
	fi
	dpkg -x "$1/kernel.deb" "$1/kernel"
}

# emulator_copy ROOT FOLDER PROGRAM: into ROOT/FOLDER, with the libraries that it is linked to.
emulator_copy() {
	local file
	mkdir -p "$1/$2"
	cp -L "$3" "$1/$2/" || return 1
	for file in $(ldd "$3" 2>/dev/null | grep -o '/[^ ]*'); do
		[ -e "$1$file" ] || cp --parents -L "$file" "$1" || return 1
	done
}

# emulator_disk ROOT FILE
emulator_disk() { (cd "$1" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$2"; }

# emulator_boot SECONDS KERNEL_FOLDER DISK CONSOLE: runs until the machine powers itself off.
emulator_boot() {
	timeout "$1" qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 2048 -no-reboot -nographic \
		-kernel "$2"/boot/vmlinuz-* -initrd "$3" -append 'console=ttyS0 quiet panic=-1' </dev/null >"$4" 2>&1
}

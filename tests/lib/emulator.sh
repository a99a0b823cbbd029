# Debian's own kernel in an emulator, for what this machine's kernel or its lack of systemd cannot show.

# emulator_kernel FOLDER: the kernel's package into FOLDER/kernel, from DRIVER_V2_KERNEL=DEB, or from Debian's archive; that
# one is kept in the build's folder for the next test.
emulator_kernel() {
	local package deb=${DRIVER_V2_KERNEL:-} kept=${CONTINUO_BUILD:-./build}/emulator/kernel.deb
	if [ -z "$deb" ] && [ ! -e "$kept" ]; then
		package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends/ { print $2; exit }')
		mkdir -p "${kept%/*}" && (cd "$1" && apt-get -q download "$package") && mv "$1"/linux-image-*.deb "$kept" || return 1
	fi
	dpkg -x "${deb:-$kept}" "$1/kernel"
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

# emulator_boot SECONDS KERNEL_FOLDER DISK CONSOLE: runs until the machine powers itself off. In the foreground: a process group
# of its own would outlive the test that is interrupted.
emulator_boot() {
	timeout --foreground "$1" qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 2048 -no-reboot -nographic \
		-kernel "$2"/boot/vmlinuz-* -initrd "$3" -append 'console=ttyS0 quiet panic=-1' </dev/null >"$4" 2>&1
}

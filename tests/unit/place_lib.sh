#!/bin/sh
# libcontinuo-place as another program gets it: installed, found by pkg-config, compiled against, and with no other names.
cd "$(dirname "$0")/../.." || exit 1
build=${CONTINUO_BUILD:-./build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0

check() { # check NAME COMMAND...
	name=$1
	shift
	count=$((count + 1))
	if said=$("$@" 2>&1); then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		echo "$said" | sed 's/^/# /'
	fi
}

pc=$work/root
pkg() { PKG_CONFIG_SYSROOT_DIR=$pc PKG_CONFIG_PATH=$(dirname "$(find "$pc" -name '*.pc')") pkg-config "$@" libcontinuo-place; }
compiles() { # warnings are errors: the headers are for others' flags too
	# shellcheck disable=SC2046
	cc -std=c17 -Wall -Wextra -Wpedantic -Werror lib/place/example.c $(pkg --cflags --libs) -o "$work/example"
}
decides() {
	LD_LIBRARY_PATH=$(pkg --variable=libdir | sed "s|^|$pc|;s|^$pc$pc|$pc|") "$work/example" > "$work/said" && cat "$work/said" &&
		grep -q 'want 1: edge-1, at a cost of 0\.' "$work/said" &&
		grep -q 'want 1: nowhere for 1 of it: 0/3 nodes are available: 1 Insufficient cpu, 2 node(s)' "$work/said"
}
only_its_own() {
	nm -D --defined-only "$(find "$pc" -name 'libcontinuo-place.so')" | awk '$2 != "A" {print $3}' > "$work/names"
	grep -q '^place_solve@@CONTINUO_PLACE_0$' "$work/names" || { cat "$work/names" && return 1; }
	! grep -vE '^(place|assign|err|buf)_' "$work/names"
}
check 'it installs by itself' meson install -C "$build" --no-rebuild --quiet --tags place --destdir "$pc"
check 'nothing else comes with it' sh -c '[ -z "$(find "$1" -path "*/bin/*")" ]' - "$pc"
check 'pkg-config tells its version' sh -c '[ "$1" = "$(sed -n "s/^  version: .\(.*\).,$/\1/p" meson.build)" ]' - "$(pkg --modversion)"
check 'the example compiles against what was installed' compiles
check 'and decides' decides
check 'it has no other names' only_its_own
echo "1..$count"

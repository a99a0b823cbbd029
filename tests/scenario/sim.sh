#!/bin/bash
# One seed replays a whole continuum: twice the same, and the same from gcc's and from clang's build.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

build=$(realpath "${CONTINUO_BUILD:-build}")
work=$(mktemp -d)
at_exit 'rm -rf "$work"'
is() { [ "$1" = "$2" ] || { echo "$1"; echo "$2"; return 1; }; }
# last_line PROGRAM SEED
last_line() { "$1" sim --seed "$2" --nodes 10 --hours 0.05 --faults all 2>/dev/null | tail -n 1; }

first=$(last_line "$build/src/main/continuo" 42)
tap_check "a seed ends well" grep -q '^ok seed=42 .* hash=[0-9a-f]\{32\}$' <<<"$first"
tap_check "and does so again in the same way" is "$(last_line "$build/src/main/continuo" 42)" "$first"
tap_check "another seed is another story" eval '[ "${first##*hash=}" != "$(last_line "$build/src/main/continuo" 43 | sed "s/.*hash=//")" ]'
bad=$("$build/src/main/continuo" sim --faults nonsense 2>&1)
tap_check "unknown faults are refused" [ $? = 2 ]
tap_check "with a word on which there are" grep -qi partition <<<"$bad"

if command -v clang >/dev/null; then
	compiler=clang
	case $(sed -n 's/.*"exelist": *\["\([^"]*\)".*/\1/p' "$build/meson-info/intro-compilers.json" 2>/dev/null) in
	*clang*) compiler=gcc ;;
	esac
	CC=$compiler meson setup "$work/other" -Dtests=disabled >"$work/log" 2>&1 &&
		ninja -C "$work/other" src/main/continuo >>"$work/log" 2>&1
	tap_check "the other compiler builds it ($compiler)" [ -x "$work/other/src/main/continuo" ]
	for seed in 42 7; do
		tap_check "seed $seed is the same from both" is "$(last_line "$work/other/src/main/continuo" $seed)" \
			"$(last_line "$build/src/main/continuo" $seed)"
	done
else
	tap_skip "there is no clang"
fi
tap_finish

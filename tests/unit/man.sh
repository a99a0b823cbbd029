#!/bin/sh
# The man pages: shown without a warning, one for each program, and saying what --help says.
cd "$(dirname "$0")/../.." || exit 1
build=${CONTINUO_BUILD:-./build}
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

shows_without_warnings() { # PAGE
	said=$(LC_ALL=C.UTF-8 groff -ww -rHY=0 -man -Tutf8 "$1" 2>&1 > /dev/null) && [ -z "$said" ] || { echo "$said" && return 1; }
}

every_program_has_a_page() { # in the line that says its name and what it is
	for program in $(cd "$build/src/main" && find . -maxdepth 1 -type f -name 'continuo*' -perm -100 -printf '%f\n'); do
		sed -n '/^\.SH NAME$/{n;s/\\//g;s/ - .*//;s/, /\n/g;p}' docs/man/*.[1-8] | grep -qx -- "$program" ||
			{ echo "none names $program" && return 1; }
	done
}

names_what_is_installed() { # each page is in a list of debian/
	for page in docs/man/*.[1-8]; do
		cat debian/*.manpages | grep -qx "$page" && grep -q "'$page'" meson.build || { echo "$page is in no package" && return 1; }
	done
}

for page in docs/man/*.[1-8]; do
	check "$page shows" shows_without_warnings "$page"
done
check "every program has a page" every_program_has_a_page
check "every page is installed" names_what_is_installed
check "they say what --help says" tools/gen-man --check "$build"
echo "1..$count"

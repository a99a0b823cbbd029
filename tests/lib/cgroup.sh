# A tree of cgroups for a test or demo, in every hierarchy of this machine (v1, hybrid or v2), so that
# all that runs in it can be limited, counted and ended together.

# cgroup_roots: the mount points, one a line.
cgroup_roots() {
	awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts | sort -u
}

# cgroup_make PATH: makes /PATH in every hierarchy, and lets its children use memory, cpu and pids (v2).
cgroup_make() {
	local root part at
	for root in $(cgroup_roots); do
		at=$root
		for part in ${1//\// }; do
			if [ -e "$at/cgroup.subtree_control" ] && [ -s "$at/cgroup.controllers" ]; then
				for controller in cpu memory pids; do
					echo "+$controller" 2>/dev/null >"$at/cgroup.subtree_control" || true
				done
			fi
			at=$at/$part
			[ -d "$at" ] || mkdir "$at" || return 1
			cgroup_copy_cpuset "$at"
		done
	done
}

# A v1 cpuset is empty when it is made, and takes no process then.
cgroup_copy_cpuset() {
	local file
	for file in cpuset.cpus cpuset.mems; do
		if [ -e "$1/$file" ] && [ ! -s "$1/$file" ] || { [ -e "$1/$file" ] && [ -z "$(cat "$1/$file")" ]; }; then
			cat "${1%/*}/$file" >"$1/$file" 2>/dev/null || true
		fi
	done
}

# cgroup_enter PATH: this shell and what it starts.
cgroup_enter() {
	local root
	for root in $(cgroup_roots); do
		echo $BASHPID >"$root/$1/cgroup.procs" || return 1
	done
}

# cgroup_file PATH V1_FILE V2_FILE: where the memory controller keeps a value.
cgroup_file() {
	if [ -d /sys/fs/cgroup/memory ]; then
		echo "/sys/fs/cgroup/memory/$1/$2"
	else
		echo "/sys/fs/cgroup/$1/$3"
	fi
}

cgroup_limit_memory() { # PATH BYTES
	echo "$2" >"$(cgroup_file "$1" memory.limit_in_bytes memory.max)"
}

cgroup_peak_memory() { # PATH: bytes; v2 before Linux 5.19 has none
	cat "$(cgroup_file "$1" memory.max_usage_in_bytes memory.peak)" 2>/dev/null
}

# cgroup_processes PATH: all in the tree, in any hierarchy.
cgroup_processes() {
	local root
	for root in $(cgroup_roots); do
		[ -d "$root/$1" ] && find "$root/$1" -name cgroup.procs -exec cat {} + 2>/dev/null
	done | sort -un
}

# cgroup_end PATH: kills all that is in the tree and removes it.
cgroup_end() {
	local root processes
	for _ in $(seq 200); do
		for root in $(cgroup_roots); do
			[ -e "$root/$1/cgroup.kill" ] && echo 1 >"$root/$1/cgroup.kill" 2>/dev/null
			[ -e "$root/$1/freezer.state" ] &&
				find "$root/$1" -name freezer.state -exec sh -c 'echo THAWED >"$1"' - {} \; 2>/dev/null
		done
		processes=$(cgroup_processes "$1")
		[ -n "$processes" ] || break
		kill -KILL $processes 2>/dev/null
		sleep 0.02
	done
	for root in $(cgroup_roots); do
		for _ in $(seq 100); do
			[ -d "$root/$1" ] || break
			find "$root/$1" -depth -type d -exec rmdir {} + 2>/dev/null
			[ -d "$root/$1" ] && sleep 0.02
		done
	done
	return 0
}

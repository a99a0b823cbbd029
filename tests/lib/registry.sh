# Real registries (docker-registry) for tests and the demo.

# registry_start FOLDER ADDRESS:PORT [yaml lines for http: or auth:]: starts it in the background and
# sets registry_pid. With registry_prefix set, that comes before the command (nsenter ...).
registry_start() {
	local folder=$1 address=$2 extra=${3:-}
	mkdir -p "$folder/data"
	cat >"$folder/config.yml" <<-EOF
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $folder/data}}
		http:
		  addr: $address
		$extra
	EOF
	${registry_prefix:-} docker-registry serve "$folder/config.yml" >"$folder/log" 2>&1 &
	registry_pid=$!
	${registry_prefix:-} bash -c "
		for _ in \$(seq 200); do
			(exec 3<>/dev/tcp/${address%:*}/${address##*:}) 2>/dev/null && exit 0
			sleep 0.05
		done; exit 1" || { cat "$folder/log" >&2; return 1; }
}

# registry_push LAYOUT NAME DESTINATION [skopeo's options]
registry_push() {
	local layout=$1 name=$2 destination=$3
	shift 3
	${registry_prefix:-} skopeo --insecure-policy copy -q --all --preserve-digests --dest-tls-verify=false "$@" \
		"oci:$layout:$name" "docker://$destination"
}

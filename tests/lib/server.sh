# A `continuo server` of a test's own on loopback. Source tap.sh first.
#   server_start FOLDER [OPTION...]   starts it and waits until it is ready: $server_url, $server_pid
#   server_kill SIGNAL                ends it and waits until it is gone
#   api METHOD PATH [curl options]    one request with the administrator's certificate
CONTINUO_BUILD=${CONTINUO_BUILD:-$PWD/build}
server_pid=
server_port=

server_start() {
	local state=$1
	shift
	# A fixed port for all starts of one test, so that clients find it again.
	[ -n "$server_port" ] || server_port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
	"$CONTINUO_BUILD/src/main/continuo" server --state "$state" --listen "127.0.0.1:$server_port" \
		--advertise "127.0.0.1:$server_port" "$@" 2>>"${server_log:-$state.log}" &
	server_pid=$!
	server_url=https://127.0.0.1:$server_port
	wait_for 20 curl -s -k -f -o /dev/null "$server_url/readyz" || return 1
	server_credentials "$state"
}

# Cuts the kubeconfig into the files that curl wants.
server_credentials() {
	local config=$1/admin.kubeconfig name
	credentials=$1/curl
	mkdir -p "$credentials"
	for name in certificate-authority-data client-certificate-data client-key-data; do
		sed -n "s/^ *$name: //p" "$config" | base64 -d >"$credentials/$name"
	done
}

api() {
	local method=$1 path=$2
	shift 2
	curl -s --cacert "$credentials/certificate-authority-data" --cert "$credentials/client-certificate-data" \
		--key "$credentials/client-key-data" -X "$method" -H 'content-type: application/json' "$@" "$server_url$path"
}

server_kill() {
	[ -n "$server_pid" ] || return 0
	kill "-${1:-TERM}" "$server_pid" 2>/dev/null
	wait "$server_pid" 2>/dev/null
	server_pid=
}

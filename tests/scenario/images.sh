#!/bin/bash
# continuo-pull against real registries (http; TLS with a private CA and basic auth) and one that
# misbehaves: what is pulled, what is refused, what is said, and that nothing is left over.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/registry.sh
build=$(realpath "${CONTINUO_BUILD:-build}")
pull=$build/src/main/continuo-pull
work=$(mktemp -d /tmp/continuo-images-XXXXXX)
at_exit rm -rf --one-file-system "$work"
layout=$work/oci
store=$work/store
other_digest=sha256:$(printf x | sha256sum | cut -c1-64)

# ---- images ----
mkdir -p "$work"/{base,top,arm}/etc "$work"/big
echo base >"$work/base/etc/base"
echo gone >"$work/base/etc/gone"
ln -s base "$work/base/etc/link"
echo top >"$work/top/etc/top"
touch "$work/top/etc/.wh.gone"
echo 'grün' >"$work/top/etc/grün"
echo arm >"$work/arm/etc/arm"
head -c 6000000 /dev/urandom >"$work/big/data"
image() { tools/ocilayout.py "$layout" "$@"; }
image app --layer "$work/base:gzip" --layer "$work/top:zstd" --config '{"Cmd": ["/x"]}' >"$work/app.digest"
image plain --layer "$work/base:none" >/dev/null
image again --layer "$work/base:gzip" --layer "$work/top:zstd" --layer "$work/base:gzip" >/dev/null
image arm --architecture arm64 --variant v8 --layer "$work/arm" >/dev/null
image multi --index app arm >/dev/null
image armonly --index arm >/dev/null
image big --layer "$work/big:none" --layer "$work/base:gzip" >/dev/null
python3 - "$work/evil.tar" <<-'EOF'
	import sys, tarfile
	with tarfile.open(sys.argv[1], "w") as tar:
	    tar.addfile(tarfile.TarInfo("../../evil"))
EOF
image evil --layer "$work/evil.tar:none" >/dev/null

# ---- registries ----
port=$((20000 + $$ % 20000))
plain=127.0.0.1:$port
secure=127.0.0.1:$((port + 1))
registry_start "$work/plain" "$plain" || exit 1
at_exit end_process $registry_pid
for name in app plain again multi armonly big; do
	registry_push "$layout" $name "$plain/team/$name:1" || exit 1
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
	-addext subjectAltName=IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/ca.pem" 2>/dev/null
# bcrypt of "secret"
python3 - "$work/htpasswd" <<-'EOF'
	import sys, warnings
	warnings.simplefilter("ignore")
	import crypt
	open(sys.argv[1], "w").write("user:" + crypt.crypt("secret", "$2y$05$" + "a" * 22) + "\n")
EOF
registry_start "$work/secure" "$secure" "$(printf '  tls: {certificate: %s, key: %s}\nauth:\n  htpasswd: {realm: x, path: %s}' \
	"$work/ca.pem" "$work/key.pem" "$work/htpasswd")" || exit 1
at_exit end_process $registry_pid
registry_push "$layout" app "$secure/app:1" --dest-creds user:secret || exit 1
tests/lib/registry_fake.py "$layout" "$work/port" "$work/requests" &
at_exit end_process $!
wait_for 10 test -s "$work/port" || exit 1
fake=127.0.0.1:$(cat "$work/port")
cat >"$work/registries.json" <<-EOF
	{"$plain": {"insecure": true}, "$fake": {"insecure": true}, "$secure": {"ca": "$work/ca.pem"},
	 "127.0.0.1:1": {"insecure": true}, "docker.io": {"mirror": "$plain"},
	 "mirrored.example": {"mirror": "$fake"},
	 "localhost:$port": {"insecure": true, "mirror": "$fake"},
	 "many.example": {"mirror": ["127.0.0.1:1", "$secure", "$plain"]},
	 "bad.example": {"mirror": ["$plain", 7]}}
EOF

# ---- helpers ----
# pull REFERENCE [,"more": "of the request"]: the last line is in $answer
pull() {
	lines=$work/lines.$BASHPID
	answer=$("$pull" <<<"{\"folder\": \"$store\", \"reference\": \"$1\", \"registriesFile\":
		\"$work/registries.json\", \"temporary\": \"t$BASHPID\"${2:-}}" | tee "$lines" | tail -1)
}
# field NAME: of the answer; the values have no quotes in them that matter here
field() {
	[[ $answer =~ \"$1\":(\"([^\"]*)\"|([a-z]+)) ]] && echo "${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
}
fresh() { rm -rf --one-file-system "$store"; }
layer() { # the folder of layer N (1 is the lowest) of the image that was pulled last
	local record=$store/images/$(field digest | tr : -).json
	sed 's/.*"layers":\[\([^]]*\)\].*/\1/' "$record" | tr ',' '\n' | tr -d '"' |
		sed -n "$1s|^sha256:|$store/layers/sha256-|p"
}
gives() { # NAME REFERENCE REQUEST: the pull must succeed
	pull "$2" "${3:-}"
	tap_check "$1" test -n "$(field digest)"
	[ -n "$(field digest)" ] || tap_note <<<"$answer"
}
refuses() { # NAME REFERENCE ERROR SENTENCE [REQUEST]
	fresh
	pull "$2" "${5:-}"
	local ok=1
	[ "$(field error)" = "$3" ] && grep -qF -- "$4" <<<"$answer" && ok=0
	[ -z "$(ls "$store/tmp" 2>/dev/null)" ] || { ok=1; echo "# something is left in tmp/"; }
	tap_result $ok "$1"
	[ $ok -eq 0 ] || tap_note <<<"$answer"
}

# ---- what works ----
gives "an image with gzip and zstd layers" "$plain/team/app:1"
tap_check "its digest is that of its manifest" test "$(field digest)" = "$(cat "$work/app.digest")"
tap_check "a file of the lowest layer" grep -q base "$(layer 1)/etc/base"
tap_check "a symbolic link is one" test "$(readlink "$(layer 1)/etc/link")" = base
tap_check "a whiteout is a device 0/0" test "$(stat -c '%F %t:%T' "$(layer 2)/etc/gone")" = "character special file 0:0"
tap_check "a name with an umlaut" grep -q grün "$(layer 2)/etc/grün"
mkdir "$work/merged"
mount -t overlay overlay -o "ro,lowerdir=$(layer 2):$(layer 1)" "$work/merged"
tap_check "overlayfs hides what was removed" test ! -e "$work/merged/etc/gone" -a -e "$work/merged/etc/base" -a -e "$work/merged/etc/top"
umount "$work/merged"
pull "$plain/team/app:1"
tap_check "a second pull fetches nothing" test "$(field present)" = true
gives "a plain tar, which shares no layer" "$plain/team/plain:1"
gives "an image with the same layer twice" "$plain/team/again:1"
tap_check "keeps the upper one of them" grep -q base "$(layer 2)/etc/base"
gives "by digest" "$plain/team/app@$(cat "$work/app.digest")"
fresh
gives "an index gives this machine's image" "$plain/team/multi:1"
case $(uname -m) in x86_64) mine=base ;; *) mine=arm ;; esac
tap_check "and it is the right one" grep -q "$mine" "$(layer 1)/etc/$mine"
gives "an index, asked for arm64" "$plain/team/multi:1" ', "architecture": "arm64", "variant": "v8"'
fresh
gives "a large layer, with progress" "$plain/team/big:1"
tap_check "progress ends at the total" grep -q '^{"done":\([0-9]*\),"total":\1}$' "$lines"
tap_check "the large file is whole" cmp "$work/big/data" "$store"/layers/*/data
gives "over the mirror" "docker.io/team/app:1"
credentials() { # HOST USER PASSWORD: a config.json as a part of the request
	printf ', "auth": "{\\"auths\\": {\\"%s\\": {\\"auth\\": \\"%s\\"}}}"' "$1" "$(printf %s "$2:$3" | base64)"
}
auth=$(credentials "$secure" user secret)
fresh
gives "over the third mirror, when two have not got it" "many.example/team/app:1"
fresh
for mode in wrong long cut html; do
	registry_push "$layout" big "$plain/$mode/big:1" || exit 1
	fresh
	gives "over the host itself, when its mirror has the blobs wrong ($mode)" "localhost:$port/$mode/big:1"
	tap_check "whole" cmp "$work/big/data" "$store"/layers/*/data
done
gives "private CA and basic auth" "$secure/app:1" "$auth"
fresh
gives "a token from a token server" "$fake/token/app:1"
fresh
: >"$work/requests"
gives "blobs from another host" "$fake/redirect/app:1"
tap_check "the other host was asked" grep -q '^blobs GET' "$work/requests"
tap_check "and got no token" test -z "$(grep '^blobs' "$work/requests" | grep -v ' -$')"
pull "$fake/recover/app:1"
pull "$fake/recover/app:1"
gives "a registry that came back" "$fake/recover/app:1"
both=0
for _ in $(seq 6); do
	fresh
	(pull "$plain/team/big:1" && test -n "$(field digest)") &
	first=$!
	pull "$plain/team/big:1"
	wait $first && test -n "$(field digest)" -a "$(ls "$store/layers" | wc -l)" = 2 && both=$((both + 1))
done
tap_check "two at the same time, six times" test $both -eq 6
[ $both -eq 6 ] || tap_note <<<"$answer"

# ---- what broke off goes on ----
ranges() { grep -c "RANGE /v2/$1/" "$work/requests"; }
data_is_whole() { cmp "$work/big/data" "$store"/layers/*/data; }
nothing_partial() { [ -z "$(ls "$store/partial")" ]; }
fresh
gives "a blob whose connection breaks and breaks" "$fake/brittle/big:1"
tap_check "each time it was asked for the rest" test "$(ranges brittle)" -eq 3
tap_check "and is whole" data_is_whole
tap_check "no partial file is left" nothing_partial
fresh
gives "from a registry that ignores Range" "$fake/norange/big:1"
tap_check "whole too" data_is_whole
kept() { [ "$(cat "$store"/partial/* 2>/dev/null | wc -c)" -ge 3000000 ]; }
hang() { # a pull that is killed in the middle of a blob
	fresh
	"$pull" <<<"{\"folder\": \"$store\", \"reference\": \"$fake/hang/big:1\", \"registriesFile\":
		\"$work/registries.json\", \"temporary\": \"killed\"}" >/dev/null &
	wait_for 10 kept
	kill -KILL $!
	wait $! 2>/dev/null
}
hang
tap_check "a pull that is killed leaves what came" kept
gives "the next one" "$fake/range/big:1"
tap_check "asks for the rest alone" grep -qE 'RANGE /v2/range/.* bytes=3[0-9]{6}-$' "$work/requests"
tap_check "and has it whole" data_is_whole
tap_check "then the partial file goes" nothing_partial
hang
shred -n 1 -x "$store"/partial/*
gives "a partial file that is damaged" "$fake/range/big:1"
tap_check "does no harm" data_is_whole
hang
touch -d '2 days ago' "$store"/partial/*
cp --sparse=never "$store"/partial/* "$store/partial/sha256-$(printf old | sha256sum | cut -c1-64)"
touch -d '2 days ago' "$store"/partial/*
gives "what is older than a day" "$fake/range/big:1"
tap_check "is not kept" nothing_partial
refuses "another part than was asked for" "$fake/badrange/big:1" "protocol error" "when asked for byte"
refuses "a mirror that is no name" "bad.example/x:1" invalid "or a list of such texts"

# ---- archives ----
continuo=$build/src/main/continuo
state=$work/state
mkdir "$state"
save() { "$continuo" image save "$@" --registries "$work/registries.json"; }
load() { "$continuo" image load --state "$state" "$@"; }
loads() { # FILE NAME [options]: and the image is in the store under that name
	local file=$1 name=$2
	shift 2
	load -i "$file" "$@" >"$work/out" 2>&1 && grep -q "^loaded $name sha256:" "$work/out" ||
		{ cat "$work/out"; return 1; }
	grep -qF "\"$name\"" "$state"/images/refs/*.json || { echo "no name"; return 1; }
}
loaded_layers() { ls "$state/images/layers" | wc -l; }
not_loaded() { # SENTENCE FILE [options]: refused with it, and nothing is left half made
	local sentence=$1 file=$2
	shift 2
	tap_says 1 "$sentence" load -i "$file" "$@" && [ -z "$(ls "$state/images/tmp" 2>/dev/null)" ]
}
python3 - "$work/steering.tar" <<-'EOF'
	import sys, tarfile
	with tarfile.open(sys.argv[1], "w") as tar:
	    tar.addfile(tarfile.TarInfo("../\x1b[2J"))
EOF
tap_check "a name in an archive does not steer the terminal" not_loaded '"../^[[2J" that leads out' "$work/steering.tar"
tap_check "save writes two images into one archive" save "$plain/team/app:1" "$fake/brittle/big:1" -o "$work/two.tar"
tap_check "skopeo reads the first" skopeo inspect "oci-archive:$work/two.tar:$plain/team/app:1"
inspected() { skopeo inspect "oci-archive:$work/two.tar:$plain/team/app:1" | jq -r .Digest; }
tap_check "with its digest" test "$(inspected)" = "$(cat "$work/app.digest")"
tap_check "and the second, as a docker archive" skopeo inspect "docker-archive:$work/two.tar:$fake/brittle/big:1"
tap_check "skopeo finds all blobs whole" skopeo --insecure-policy copy -q "oci-archive:$work/two.tar:$plain/team/app:1" "dir:$work/copied"
tap_check "load brings both" loads "$work/two.tar" "$plain/team/app:1"
tap_check "with all their layers" test "$(loaded_layers)" -eq 3
tap_check "whole" cmp "$work/big/data" "$state"/images/layers/*/data
skopeo --insecure-policy copy -q "oci:$layout:app" "oci-archive:$work/oci.tar:example.com/oci:2"
tap_check "an OCI archive of skopeo's" loads "$work/oci.tar" example.com/oci:2
skopeo --insecure-policy copy -q "oci:$layout:plain" "docker-archive:$work/docker.tar:example.com/docker:3"
tap_check "a docker archive of skopeo's" loads "$work/docker.tar" example.com/docker:3
gzip -k "$work/docker.tar"
tap_check "compressed too" loads "$work/docker.tar.gz" example.com/docker:3
squeezed() { # OUT DIFF_ID: the docker archive with its layer compressed, as other builders write it
	python3 - "$work/docker.tar" "$1" "$2" <<-'EOF'
		import gzip, io, json, sys, tarfile
		with tarfile.open(sys.argv[1]) as old, tarfile.open(sys.argv[2], "w") as new:
		    image = json.load(old.extractfile("manifest.json"))[0]
		    config = json.load(old.extractfile(image["Config"]))
		    config["rootfs"]["diff_ids"] = [sys.argv[3] or one for one in config["rootfs"]["diff_ids"]]
		    files = {"config.json": json.dumps(config).encode()}
		    for i, name in enumerate(image["Layers"]):
		        files[f"{i}.tar.gz"] = gzip.compress(old.extractfile(name).read())
		    image["Config"], image["Layers"] = list(files)[0], list(files)[1:]
		    files["manifest.json"] = json.dumps([image]).encode()
		    for name, data in files.items():
		        info = tarfile.TarInfo(name)
		        info.size = len(data)
		        new.addfile(info, io.BytesIO(data))
	EOF
}
squeezed "$work/squeezed.tar" ""
tap_check "one whose layers are compressed" loads "$work/squeezed.tar" example.com/docker:3
squeezed "$work/squeezed.tar" "$other_digest"
tap_check "but not with what is not in them" not_loaded diff_ids "$work/squeezed.tar"
skopeo --insecure-policy copy -q "oci:$layout:app" "oci-archive:$work/nameless.tar"
tap_check "an image without a name wants one" not_loaded "--name REFERENCE" "$work/nameless.tar"
tap_check "and takes it" loads "$work/nameless.tar" docker.io/library/app:7 --name app:7
auth_file=$work/config.json
printf '{"auths": {"%s": {"auth": "%s"}}}' "$secure" "$(printf user:secret | base64)" >"$auth_file"
tap_check "save with credentials" save "$secure/app:1" -o "$work/secret.tar" --auth "$auth_file"
tap_check "save for another platform" save "$plain/team/multi:1" -o "$work/arm.tar" --platform linux/arm64/v8
architecture() { skopeo inspect "oci-archive:$work/arm.tar:$plain/team/multi:1" | jq -r .Architecture; }
tap_check "which is in it" test "$(architecture)" = arm64
echo before >"$work/kept.tar"
tap_check "a blob that is wrong ends it" tap_says 1 "instead of" save "$fake/wrong/app:1" -o "$work/kept.tar"
tap_check "the file is as it was" grep -qx before "$work/kept.tar"
tap_check "and nothing lies beside it" test -z "$(ls "$work"/*.part-* 2>/dev/null)"
# Hostile ones: DAMAGE is Python over entries (name -> bytes) of the layout's archive, and may add to tar.
hostile() { # FILE DAMAGE
	python3 - "$work/two.tar" "$1" "$2" <<-'EOF'
		import io, json, sys, tarfile
		with tarfile.open(sys.argv[1]) as tar:
		    entries = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
		extra = []
		def link(name, target, kind=tarfile.SYMTYPE):
		    info = tarfile.TarInfo(name)
		    info.type, info.linkname = kind, target
		    extra.append(info)
		index = json.loads(entries["index.json"])
		first = index["manifests"][0]["digest"][7:]
		exec(sys.argv[3])
		with tarfile.open(sys.argv[2], "w") as tar:
		    for info in extra:
		        tar.addfile(info)
		    for name, data in entries.items():
		        info = tarfile.TarInfo(name)
		        info.size = len(data)
		        tar.addfile(info, io.BytesIO(data))
	EOF
}
state=$work/hostile
mkdir "$state"
hostile "$work/h1.tar" 'entries["../../escape"] = b"x"'
tap_check "a name that leads out" not_loaded "leads out" "$work/h1.tar"
# All of its layers: one that is sound may stay, as layers are unpacked side by side.
hostile "$work/h2.tar" 'for k in ["blobs/sha256/" + l["digest"][7:] for l in json.loads(entries["blobs/sha256/" + first])["layers"]]: entries[k] = b"x" * len(entries[k])'
tap_check "a layer with another digest" not_loaded "" "$work/h2.tar"
tap_check "which is not kept" test "$(loaded_layers)" -eq 0
hostile "$work/h3.tar" 'entries["blobs/sha256/" + first] += b" "'
tap_check "a manifest with another digest" not_loaded "has the digest" "$work/h3.tar"
hostile "$work/h4.tar" 'b = json.loads(entries["blobs/sha256/" + first])["config"]["digest"][7:]; del entries["blobs/sha256/" + b]; link("blobs/sha256/" + b, "/etc/passwd")'
tap_check "a link to a file of the machine" not_loaded "has no file" "$work/h4.tar"
hostile "$work/h5.tar" 'b = json.loads(entries["blobs/sha256/" + first])["config"]["digest"][7:]; del entries["blobs/sha256/" + b]; link("blobs/sha256/" + b, b)'
tap_check "a link to itself" not_loaded "has no file" "$work/h5.tar"
hostile "$work/h6.tar" 'entries["index.json"] = b"{\"a\": \"" + b"x" * (4 << 20) + b"\"}"'
tap_check "an index of 4 MiB" not_loaded "index.json" "$work/h6.tar"
hostile "$work/h7.tar" '[link("l%d" % i, "x") for i in range(20001)]'
tap_check "too many entries" not_loaded "more than 20000 entries" "$work/h7.tar"
hostile "$work/h8.tar" 'del entries["index.json"]; del entries["manifest.json"]'
tap_check "no archive of images" not_loaded "neither an OCI archive" "$work/h8.tar"
head -c 5000 "$work/two.tar" >"$work/h9.tar"
tap_check "one that is cut off" not_loaded "" "$work/h9.tar"
hostile "$work/h10.tar" 'import hashlib
def put(data):
    digest = hashlib.sha256(data).hexdigest()
    entries["blobs/sha256/" + digest] = data
    return {"digest": "sha256:" + digest, "size": len(data)}
manifest = json.loads(entries["blobs/sha256/" + first])
config = json.loads(entries["blobs/sha256/" + manifest["config"]["digest"][7:]])
config["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64 for _ in config["rootfs"]["diff_ids"]]
manifest["config"].update(put(json.dumps(config).encode()))
index["manifests"][0].update(put(json.dumps(manifest).encode()))
entries["index.json"] = json.dumps(index).encode()'
tap_check "a configuration with other layers than are there" not_loaded "diff_ids" "$work/h10.tar"
tap_check "no tar at all" not_loaded "no sound tar" "$work/registries.json"
tap_check "none of them left anything" test "$(loaded_layers)" -eq 0 -a -z "$(ls "$state/images/refs")"
tap_check "a folder that is no agent's" tap_says 1 "name the state folder" "$continuo" image load -i "$work/two.tar" --state "$work/none"
mkdir "$work/relative"
loads_relative() {
	local program
	program=$(realpath "$continuo")
	(cd "$work" && "$program" image load -i two.tar --state relative)
}
tap_check "the state folder by a relative path" loads_relative
tap_check "a platform that is none" tap_says 2 "--platform" "$continuo" image save x -o "$work/x.tar" --platform linux

# ---- what is refused ----
refuses "a reference that is none" "A b" invalid "is no repository"
refuses "an image that does not exist" "$plain/team/none:1" "not found" "has no such image"
refuses "a tag that does not exist" "$plain/team/app:2" "not found" "manifest unknown"
refuses "an index without this architecture" "$plain/team/armonly:1" "not found" "linux/s390x, it has: linux/arm64" \
	', "architecture": "s390x"'
refuses "a registry that is down" "127.0.0.1:1/x:1" unavailable "127.0.0.1:1"
refuses "a host without an address" "registry.invalid/x:1" unavailable "registry.invalid"
refuses "a CA that is not known" "127.0.0.1:$((port + 1))/app:1" unauthorized "no credentials"
sed -i "s|\"ca\": \"[^\"]*\"||" "$work/registries.json"
refuses "a certificate that is not trusted" "$secure/app:1" unavailable "certificate is not trusted"
refuses "http where https is wanted" "$secure/x:1" unavailable "" "$auth"
refuses "401" "$fake/s401/app:1" unauthorized "no credentials for it were given"
refuses "401 with credentials" "$fake/s401/app:1" unauthorized "credentials that it was given do not do" \
	"$(credentials "$fake" a b)"
refuses "a token server that refuses" "$fake/token/app:1" unauthorized "token server" \
	"$(credentials "$fake" wrong b)"
refuses "403" "$fake/s403/app:1" unauthorized "answers 403"
refuses "429 with its time" "$fake/s429/app:1" "too many requests" "after 17"
refuses "500" "$fake/s500/app:1" unavailable "answers 500: it hurts"
refuses "a web page" "$fake/html/app:1" "protocol error" "no JSON"
refuses "noise" "$fake/noise/app:1" "protocol error" "$fake"
refuses "a manifest of 4 MiB" "$fake/big/app:1" "too large" "manifest"
refuses "endless redirects" "$fake/loop/app:1" "protocol error" "redirects"
refuses "a blob with another digest" "$fake/wrong/app:1" "stored data is corrupt" "instead of"
refuses "a blob that is too long" "$fake/long/app:1" "stored data is corrupt" "more than"
refuses "a manifest with another digest" "$fake/wrongmanifest/app:1" "stored data is corrupt" "manifest with the digest"
refuses "a digest that the registry has not got" "$plain/team/app@$other_digest" "not found" ""
refuses "a connection that breaks at the same byte each time" "$fake/cut/big:1" unavailable "transfer closed"
refuses "a layer that climbs out" "$fake/plain/evil:1" "protocol error" "leads out of the image"
tap_check "nothing climbed out" test ! -e "$work/evil" -a ! -e "$store/evil" -a ! -e "$store/layers/evil"
refuses "credentials that are garbage" "$plain/team/app:1" "cannot be decoded" "credentials" ', "auth": "{"'
mkdir -p "$store"
mount -t tmpfs -o size=4m tmpfs "$store"
at_exit "umount '$store' 2>/dev/null"
pull "$plain/team/big:1"
tap_check "a full disk is said" test "$(field error)" = "no space left"
tap_check "and leaves no part behind" test -z "$(ls "$store/tmp")"
gives "a small image still fits then" "$plain/team/app:1"
umount "$store"
tap_check "a request that is none" grep -q "reads one request" <("$pull" <<<nonsense)
tap_finish

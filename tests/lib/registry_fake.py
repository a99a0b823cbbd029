#!/usr/bin/env python3
"""A registry that misbehaves, for tests: the first part of the repository says how.

usage: registry_fake.py LAYOUT PORT_FILE LOG

Serves the images of an OCI layout on a free port of 127.0.0.1 (written to PORT_FILE) as MODE/NAME:TAG,
where NAME is a name of the layout; a second port stands for a foreign blob store. Each request adds a
line to LOG: port (main, blobs), method, path, the Authorization header or "-"; one with a Range header another:
port, RANGE, path, its value.
"""
import http.server
import json
import pathlib
import sys
import threading

LAYOUT = pathlib.Path(sys.argv[1])
LOG = open(sys.argv[3], "a", buffering=1)
PORTS = {}
failures = {}


def read_blob(digest):
    return (LAYOUT / "blobs/sha256" / digest[7:]).read_bytes()


def find(name):
    for entry in json.loads((LAYOUT / "index.json").read_text())["manifests"]:
        if entry["annotations"]["org.opencontainers.image.ref.name"] == name:
            return entry
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    role = "main"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # the client had enough

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status, message, **headers):
        body = json.dumps({"errors": [{"code": "X", "message": message}]}).encode()
        self.answer(status, body, **headers)

    def do_GET(self):
        authorization = self.headers.get("Authorization", "-")
        LOG.write(f"{self.role} GET {self.path} {authorization}\n")
        if "Range" in self.headers:
            LOG.write(f"{self.role} RANGE {self.path} {self.headers['Range']}\n")
        path = self.path.split("?")[0]
        if path == "/token":
            return self.give_token(authorization)
        parts = path.strip("/").split("/")
        if len(parts) < 5 or parts[0] != "v2":
            return self.problem(404, "no such page")
        mode, name, kind, what = parts[1], parts[2], parts[3], parts[4]
        handler = getattr(self, "mode_" + mode.replace("-", "_"), None)
        if handler and handler(name, kind, what, authorization):
            return None
        return self.serve(name, kind, what)

    def serve(self, name, kind, what):
        if kind == "blobs":
            try:
                return self.answer(200, read_blob(what))
            except FileNotFoundError:
                return self.problem(404, "blob unknown")
        entry = find(name)
        if what.startswith("sha256:"):
            return self.answer(200, read_blob(what))
        if not entry or what != "1":
            return self.problem(404, "manifest unknown")
        return self.answer(200, read_blob(entry["digest"]), Content_Type=entry["mediaType"])

    def give_token(self, authorization):
        if "user=wrong" in self.path or authorization.startswith("Basic d3Jvbmc6"):
            return self.problem(401, "who are you?")
        return self.answer(200, b'{"token": "t0ken"}')

    # Each mode returns true when it has answered.

    def mode_token(self, name, kind, what, authorization):
        if authorization == "Bearer t0ken":
            return False
        realm = f'Bearer realm="http://127.0.0.1:{PORTS["main"]}/token",service="fake"'
        self.problem(401, "token wanted", WWW_Authenticate=realm)
        return True

    def mode_s401(self, *_):
        self.problem(401, "go away", WWW_Authenticate='Basic realm="x"')
        return True

    def mode_s403(self, *_):
        self.problem(403, "go away")
        return True

    def mode_s429(self, *_):
        self.problem(429, "slow down", Retry_After="17")
        return True

    def mode_s500(self, *_):
        self.problem(500, "it hurts")
        return True

    def mode_html(self, *_):
        self.answer(200, b"<html>welcome to the hotel</html>", Content_Type="text/html")
        return True

    def mode_noise(self, *_):
        self.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n" * 50)
        self.close_connection = True
        return True

    def mode_big(self, name, kind, what, _):
        if kind != "manifests":
            return False
        self.answer(200, b'{"a": "' + b"x" * (4 << 20) + b'"}')
        return True

    def mode_wrong(self, name, kind, what, _):
        """Blobs of the right length with one bit changed."""
        if kind != "blobs":
            return False
        data = bytearray(read_blob(what))
        data[-1] ^= 1
        self.answer(200, bytes(data))
        return True

    def mode_wrongmanifest(self, name, kind, what, _):
        if kind != "manifests":
            return False
        entry = find(name)
        self.answer(200, read_blob(entry["digest"]) + b" ", Docker_Content_Digest=entry["digest"])
        return True

    def mode_long(self, name, kind, what, _):
        """Blobs with more behind them."""
        if kind != "blobs":
            return False
        self.answer(200, read_blob(what) + b"x" * 100)
        return True

    def mode_cut(self, name, kind, what, _):
        """The connection breaks in the middle of a blob."""
        if kind != "blobs":
            return False
        data = read_blob(what)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True
        return True

    def begin_part(self, what, honour=True):
        """The head of an answer with the blob from where it was asked for; returns the bytes to send."""
        data, first = read_blob(what), 0
        if honour and "Range" in self.headers:
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        return data[first:]

    def mode_brittle(self, name, kind, what, _):
        """Connections break after two million bytes; Range is understood."""
        if kind != "blobs":
            return False
        self.wfile.write(self.begin_part(what)[:2000000])
        self.close_connection = True
        return True

    def mode_norange(self, name, kind, what, _):
        """The first connection for a blob breaks; Range is ignored."""
        if kind != "blobs":
            return False
        failures[what] = failures.get(what, 0) + 1
        data = self.begin_part(what, honour=False)
        self.wfile.write(data[: len(data) // 2] if failures[what] == 1 else data)
        self.close_connection = True
        return True

    def mode_hang(self, name, kind, what, _):
        """Half of a large blob, then nothing more."""
        if kind != "blobs" or len(read_blob(what)) < 1 << 20:
            return False
        data = self.begin_part(what)
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        threading.Event().wait()

    def mode_range(self, name, kind, what, _):
        """Range is understood."""
        if kind != "blobs":
            return False
        self.wfile.write(self.begin_part(what))
        return True

    def mode_badrange(self, name, kind, what, _):
        """Sends another part than the one that was asked for."""
        if kind != "blobs" or "Range" not in self.headers:
            return self.mode_cut(name, kind, what, _)
        data = read_blob(what)
        self.answer(206, data[7:], Content_Range=f"bytes 7-{len(data) - 1}/{len(data)}")
        return True

    def mode_noblobs(self, name, kind, *_):
        """A mirror that has the manifests alone."""
        if kind != "blobs":
            return False
        self.problem(404, "blob unknown")
        return True

    def mode_redirect(self, name, kind, what, authorization):
        """Blobs live on another host; with a token for the manifests."""
        if self.mode_token(name, kind, what, authorization):
            return True
        if kind != "blobs":
            return False
        self.answer(307, Location=f"http://127.0.0.1:{PORTS['blobs']}/v2/plain/{name}/blobs/{what}")
        return True

    def mode_loop(self, name, kind, what, _):
        self.answer(307, Location=self.path)
        return True

    def mode_recover(self, name, kind, what, _):
        """Twice 503, then all is well."""
        failures[name] = failures.get(name, 0) + 1
        if failures[name] > 2:
            return False
        self.problem(503, "back soon")
        return True


class BlobHandler(Handler):
    role = "blobs"


def start(role, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    PORTS[role] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()


start("main", Handler)
start("blobs", BlobHandler)
pathlib.Path(sys.argv[2] + ".new").write_text(str(PORTS["main"]))
pathlib.Path(sys.argv[2] + ".new").rename(sys.argv[2])
threading.Event().wait()

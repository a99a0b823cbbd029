"""What a pod of tests/scenario/overlay.sh offers: HTTP on 8080 and UDP on 9000, both answer "NAME CLIENT"."""
import http.server
import socket
import sys
import threading

name = sys.argv[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{name} {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


def answer_datagrams(s):
    while True:
        data, client = s.recvfrom(2048)
        s.sendto(f"{name} {client[0]}".encode(), client)


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 9000))
threading.Thread(target=answer_datagrams, args=(udp,), daemon=True).start()
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
print("ready", flush=True)
server.serve_forever()

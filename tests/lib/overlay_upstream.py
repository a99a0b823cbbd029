"""An upstream name server for tests/scenario/overlay.sh: knows www.example.com and, over TCP only,
big.example.com (many addresses). Prints each question; never answers lost.example.com."""
import socket
import struct
import sys
import threading

ADDRESS = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04"


def answer(query, tcp):
    at, name = 12, []
    while query[at]:
        name.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += query[at] + 1
    question = query[12 : at + 5]
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    name = ".".join(name)
    print("tcp" if tcp else "udp", name, kind, flush=True)
    head, records, flags = query[:2], [], 0x8180
    if name == "lost.example.com":
        return None
    if name == "www.example.com":
        records = [ADDRESS + bytes([192, 0, 2, 53])] if kind == 1 else []
    elif name == "big.example.com":
        flags = 0x8180 if tcp else 0x8380
        records = [ADDRESS + bytes([192, 0, 2, i]) for i in range(200)] if tcp else []
    else:
        flags = 0x8183
    return head + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


def serve_tcp(s):
    while True:
        c, _ = s.accept()
        with c, c.makefile("rb") as f:
            while size := f.read(2):
                a = answer(f.read(struct.unpack(">H", size)[0]), True)
                if a:
                    c.sendall(struct.pack(">H", len(a)) + a)


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 53))
tcp = socket.create_server((sys.argv[1], 53))
threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
print("ready", flush=True)
while True:
    query, client = udp.recvfrom(4096)
    reply = answer(query, False)
    if reply:
        udp.sendto(reply, client)

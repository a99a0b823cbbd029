#!/usr/bin/env python3
"""Load for tests that kill the server: creates and updates ConfigMaps from four threads and writes down what was
acknowledged, as "NAME VALUE" lines. Ends when the stop file appears, or after two minutes.

    load.py URL CREDENTIALS ACKNOWLEDGED STOP
    load.py --check LIST ACKNOWLEDGED    each name is in the list once, with its last acknowledged value or a later one
"""
import http.client
import json
import os
import ssl
import sys
import threading
import time


def check(list_file, acknowledged_file):
    items = json.load(open(list_file))["items"]
    there = {}
    for item in items:
        name = item["metadata"]["name"]
        if name in there:
            sys.exit(f"{name} is there twice")
        there[name] = int(item.get("data", {}).get("value", -1))
    wanted = {}
    for line in open(acknowledged_file):
        name, value = line.split()
        wanted[name] = int(value)
    lost = [f"{n}={v} (is {there.get(n)})" for n, v in wanted.items() if there.get(n, -2) < v]
    if lost:
        sys.exit(f"{len(lost)} of {len(wanted)} lost: {', '.join(lost[:10])}")
    print(f"{len(wanted)} objects checked")


class Writer(threading.Thread):
    """One connection: creates objects and updates each a few times. After a broken connection the outcome of the last
    request is unknown, so it goes on with the next name."""

    def __init__(self, number, url, context, out, lock, stop):
        super().__init__(daemon=True)
        self.number, self.url, self.context = number, url, context
        self.out, self.lock, self.stop = out, lock, stop

    def run(self):
        host = self.url.removeprefix("https://")
        count = 0
        connection = None
        while not self.stop():
            try:
                connection = connection or http.client.HTTPSConnection(host, context=self.context, timeout=10)
                count += 1
                self.write(connection, f"w{self.number}-{count}")
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.02)

    def write(self, connection, name):
        path = "/api/v1/namespaces/default/configmaps"
        for value in range(3):
            body = json.dumps({"metadata": {"name": name}, "data": {"value": str(value)}})
            method, where = ("POST", path) if value == 0 else ("PUT", f"{path}/{name}")
            connection.request(method, where, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 201):
                return
            with self.lock:
                self.out.write(f"{name} {value}\n")
                self.out.flush()


def main():
    if sys.argv[1] == "--check":
        check(sys.argv[2], sys.argv[3])
        return
    url, credentials, acknowledged, stop_file = sys.argv[1:5]
    context = ssl.create_default_context(cafile=f"{credentials}/certificate-authority-data")
    context.load_cert_chain(f"{credentials}/client-certificate-data", f"{credentials}/client-key-data")
    end = time.monotonic() + 120
    with open(acknowledged, "w") as out:
        lock = threading.Lock()
        stop = lambda: os.path.exists(stop_file) or time.monotonic() > end
        writers = [Writer(n, url, context, out, lock, stop) for n in range(4)]
        for w in writers:
            w.start()
        for w in writers:
            w.join()


main()

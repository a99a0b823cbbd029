"""The API, for tests and benches: one connection that asks, others that watch."""
import http.client
import json
import ssl
import sys

PATIENCE_S = 120


class Client:
    def __init__(self, url, credentials):
        self.host = url.removeprefix("https://")
        self.context = ssl.create_default_context(cafile=f"{credentials}/certificate-authority-data")
        self.context.load_cert_chain(f"{credentials}/client-certificate-data", f"{credentials}/client-key-data")
        self.connection = self.connect()

    def connect(self):
        return http.client.HTTPSConnection(self.host, context=self.context, timeout=PATIENCE_S)

    def call(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                {"content-type": "application/json"})
        answer = self.connection.getresponse()
        data = json.loads(answer.read() or "{}")
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {data.get('message')}")
        return data

    def watch(self, path):
        connection = self.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        while line := answer.readline():
            yield json.loads(line)


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))

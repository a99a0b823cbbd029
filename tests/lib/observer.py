#!/usr/bin/env python3
"""Sees all pods and nodes by watches, and answers one line for each line on its input.

    observer.py URL CREDENTIALS

    replaced NODE COUNT    when COUNT pods of controllers are Ready, none of them on NODE: ms since the epoch
    ready COUNT            when COUNT pods of controllers are Ready, wherever
    clean NODE             when NODE is Ready and no pod on it is being deleted: ms since the epoch
    evicted                how many pods were marked for deletion so far
    lost                   how often a node stopped being Ready so far
    pods NODE              the names of the pods that are assigned to NODE
A command that is not fulfilled within LIMIT_S is answered with "timeout" and what there is instead.
"""
import sys
import threading
import time

from api import Client, is_ready

LIMIT_S = 60


class World:
    def __init__(self, url, credentials):
        self.url, self.credentials = url, credentials
        self.changed = threading.Condition()
        self.objects = {"pods": {}, "nodes": {}}
        self.evicted, self.lost = set(), 0
        for kind in self.objects:
            threading.Thread(target=self.follow, args=(kind,), daemon=True).start()

    def follow(self, kind):
        """Again and again: a server that is killed ends its watches."""
        while True:
            try:
                client = Client(self.url, self.credentials)
                listed = client.call("GET", f"/api/v1/{kind}")
                with self.changed:
                    gone = set(self.objects[kind]) - {o["metadata"]["uid"] for o in listed["items"]}
                    for uid in gone:
                        del self.objects[kind][uid]
                    for o in listed["items"]:
                        self.put(kind, o)
                    self.changed.notify_all()
                revision = listed["metadata"]["resourceVersion"]
                for event in client.watch(f"/api/v1/{kind}?watch=true&resourceVersion={revision}"):
                    if event["type"] == "ERROR":
                        break
                    with self.changed:
                        if event["type"] == "DELETED":
                            self.objects[kind].pop(event["object"]["metadata"]["uid"], None)
                        else:
                            self.put(kind, event["object"])
                        self.changed.notify_all()
            except (OSError, SystemExit):
                pass
            time.sleep(0.02)

    def put(self, kind, o):
        uid = o["metadata"]["uid"]
        before = self.objects[kind].get(uid)
        if kind == "pods" and "deletionTimestamp" in o["metadata"]:
            self.evicted.add(uid)
        if kind == "nodes" and before and is_ready(before) and not is_ready(o):
            self.lost += 1
        self.objects[kind][uid] = o

    def on(self, node):
        return [p for p in self.objects["pods"].values() if p["spec"].get("nodeName") == node]

    def ready(self):
        return [p for p in self.objects["pods"].values() if is_ready(p) and "deletionTimestamp" not in p["metadata"]
                and p["metadata"].get("ownerReferences")]

    def is_replaced(self, node, count):
        ready = self.ready()
        return len(ready) == int(count) and all(p["spec"]["nodeName"] != node for p in ready)

    def is_clean(self, node):
        return (any(n["metadata"]["name"] == node and is_ready(n) for n in self.objects["nodes"].values())
                and not any("deletionTimestamp" in p["metadata"] for p in self.on(node)))

    def until(self, condition):
        end = time.monotonic() + LIMIT_S
        with self.changed:
            while not condition():
                if not self.changed.wait(end - time.monotonic()):
                    return "timeout " + "; ".join(
                        f'{p["metadata"]["name"]} on {p["spec"].get("nodeName")}: {p["status"].get("phase")}'
                        f'{" ready" if is_ready(p) else ""}{" going" if "deletionTimestamp" in p["metadata"] else ""}'
                        for p in self.objects["pods"].values())
            return str(time.time_ns() // 1000000)

    def answer(self, verb, *args):
        if verb == "replaced":
            return self.until(lambda: self.is_replaced(*args))
        if verb == "ready":
            return self.until(lambda: len(self.ready()) == int(args[0]))
        if verb == "clean":
            return self.until(lambda: self.is_clean(*args))
        with self.changed:
            if verb == "evicted":
                return str(len(self.evicted))
            if verb == "lost":
                return str(self.lost)
            if verb == "pods":
                return " ".join(sorted(p["metadata"]["name"] for p in self.on(args[0])))
        return f"what is {verb}?"


def main():
    world = World(sys.argv[1], sys.argv[2])
    for line in sys.stdin:
        print(world.answer(*line.split()), flush=True)


main()

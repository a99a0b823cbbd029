#!/usr/bin/env python3
"""A client of the API for benches: one connection that writes, one that watches.

    client.py URL CREDENTIALS pods COUNT IMAGE OUT         COUNT pods, one after the other: ms from the create request
                                                           to Ready in the watch, one a line; OUT is a folder on the
                                                           node in which each pod leaves its own timestamp
    client.py URL CREDENTIALS replicas COUNT IMAGE OUT     a Deployment of COUNT: ms from the create request to the
                                                           last workload's own timestamp
    client.py URL CREDENTIALS keep COUNT IMAGE OUT         the same, left running
    client.py URL CREDENTIALS namespace                    the namespace that the others use
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
from api import PATIENCE_S, Client, is_ready

NAMESPACE = "bench"
BASE = f"/api/v1/namespaces/{NAMESPACE}"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


def pod_spec(image, out):
    return {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "stamp", "image": image, "imagePullPolicy": "IfNotPresent",
                            "volumeMounts": [{"name": "out", "mountPath": "/out"}]}],
            "volumes": [{"name": "out", "hostPath": {"path": out, "type": "Directory"}}]}


def read_stamp(path):
    end = time.monotonic() + PATIENCE_S
    while not os.path.exists(path) or not os.path.getsize(path):
        if time.monotonic() > end:
            sys.exit(f"{path}: the workload never ran")
        time.sleep(0.0005)
    with open(path) as f:
        return int(f.read())


def measure_pods(client, count, image, out):
    revision = client.call("GET", BASE + "/pods")["metadata"]["resourceVersion"]
    events = client.watch(f"{BASE}/pods?watch=true&resourceVersion={revision}")
    for n in range(count):
        name = f"stamp-{n}"
        pod = {"metadata": {"name": name}, "spec": pod_spec(image, out)}
        start = time.time_ns()
        client.call("POST", BASE + "/pods", pod)
        for event in events:
            if event["object"]["metadata"]["name"] == name and is_ready(event["object"]):
                break
        ready = time.time_ns()
        # Ready says that the container was started; its first own deed may come a moment later. The later counts.
        stamp = read_stamp(f"{out}/{name}")
        if stamp < start:
            sys.exit(f"{name}: the workload's own time {stamp} is before the request, {start}")
        print(f"{(max(ready, stamp) - start) / 1e6:.2f} {(stamp - start) / 1e6:.2f}", flush=True)
        client.call("DELETE", f"{BASE}/pods/{name}")
        for event in events:
            if event["object"]["metadata"]["name"] == name and event["type"] == "DELETED":
                break


def measure_replicas(client, count, image, out, keep):
    deployment = {"metadata": {"name": "stamp"},
                  "spec": {"replicas": count, "selector": {"matchLabels": {"app": "stamp"}},
                           "template": {"metadata": {"labels": {"app": "stamp"}}, "spec": pod_spec(image, out)}}}
    start = time.time_ns()
    client.call("POST", DEPLOYMENTS, deployment)
    end = time.monotonic() + PATIENCE_S
    while sum(os.path.getsize(f"{out}/{name}") > 0 for name in os.listdir(out)) < count:
        if time.monotonic() > end:
            sys.exit(f"only {len(os.listdir(out))} of {count} replicas ran within {PATIENCE_S} s")
        time.sleep(0.01)
    last = max(int(open(f"{out}/{name}").read()) for name in os.listdir(out))
    print(f"{(last - start) / 1e6:.2f}", flush=True)
    if keep:
        return
    client.call("DELETE", DEPLOYMENTS + "/stamp")
    while client.call("GET", BASE + "/pods")["items"]:
        time.sleep(0.05)


def main():
    client = Client(sys.argv[1], sys.argv[2])
    what = sys.argv[3]
    if what == "namespace":
        client.call("POST", "/api/v1/namespaces", {"metadata": {
            "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}})
        return
    count, image, out = int(sys.argv[4]), sys.argv[5], sys.argv[6]
    if what == "pods":
        measure_pods(client, count, image, out)
    else:
        measure_replicas(client, count, image, out, what == "keep")


main()

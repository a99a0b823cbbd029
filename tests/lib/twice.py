#!/usr/bin/env python3
"""Watches containers below a control group: says when two of one pod, or two of one word, run at once.

twice.py CGROUP WORD [ALONE]: every 50 ms, the processes below /sys/fs/cgroup[/unified]/CGROUP that are the first of
their PID namespace and have WORD in their command line. Each pod (pod-UID in the path of the group) may have one; of
those that have ALONE too there may be one in all. Prints a line for each offence; ends with its parent.
twice.py --list CGROUP WORD: the pids of these processes, and their command lines.
"""
import os
import re
import sys
import time


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def is_first(pid):
    line = re.search(rb"^NSpid:\s+(.*)$", read(f"/proc/{pid}/status"), re.M)
    return line is not None and len(line.group(1).split()) > 1 and line.group(1).split()[-1] == b"1"


def main_processes(root, word):
    """(pod uid, pid, command line) of each container."""
    for folder, _, files in os.walk(root):
        uid = re.search(r"pod-([^/]+)", folder)
        if not uid or "cgroup.procs" not in files:
            continue
        for pid in read(folder + "/cgroup.procs").split():
            pid = int(pid)
            command = read(f"/proc/{pid}/cmdline")
            if word in command and b"Z (zombie)" not in read(f"/proc/{pid}/status") and is_first(pid):
                yield uid.group(1), pid, command


def list_all(group, word):
    for _, pid, command in sorted(main_processes(root_of(group), word.encode())):
        print(pid, command.replace(b"\0", b" ").decode(errors="replace").replace("\n", " "))


def root_of(group):
    hybrid = os.path.isdir("/sys/fs/cgroup/unified")
    return f"/sys/fs/cgroup/{'unified/' if hybrid else ''}{group}"


def watch():
    root = root_of(sys.argv[1])
    word = sys.argv[2].encode()
    alone = sys.argv[3].encode() if len(sys.argv) > 3 else None
    parent = os.getppid()
    looks = 0
    while os.getppid() == parent:
        pods, ones = {}, []
        for uid, pid, command in main_processes(root, word):
            pods.setdefault(uid, []).append(pid)
            if alone and alone in command:
                ones.append(pid)
        for uid, pids in pods.items():
            if len(pids) > 1:
                print(f"pod {uid} runs {len(pids)} times: {pids}", flush=True)
        if len(ones) > 1:
            print(f"{sys.argv[3]} runs {len(ones)} times: {ones}", flush=True)
        looks += 1
        time.sleep(0.05)


if sys.argv[1] == "--list":
    list_all(sys.argv[2], sys.argv[3])
else:
    watch()

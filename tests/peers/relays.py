#!/usr/bin/env python3
"""Run under wrapsock: what the relay is to the processes that need it. relays.py PORT of an echo server that the policy wraps."""
import os
import socket
import sys
import time


def relays(pids):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % entry) as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if words[0] == "wrapsock-relay" and any("(%d)" % pid in words[1] for pid in pids):
            found.append(int(entry))
    return found


def child(sock, gate):
    os.dup2(sock.fileno(), 0)
    sock.close()
    os.write(0, b"hello")
    if os.read(0, 5) != b"hello":
        os._exit(1)
    os.write(gate[1], b"r")
    os.read(gate[0], 1)
    os._exit(0)


def gone(pid):
    for _ in range(400):
        if not os.path.exists("/proc/%d" % pid):
            return True
        time.sleep(0.02)
    return False


def main():
    kids, gates = [], []
    for _ in range(3):
        sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            child(sock, (theirs.fileno(), theirs.fileno()))
        sock.close()
        theirs.close()
        kids.append(pid)
        gates.append(ours)
        if ours.recv(1) != b"r":
            print("a child failed")
    found = relays(kids)
    print("relays:", len(found))
    relay = found[0]
    print("session of its own:", os.getsid(relay) not in (os.getsid(0), 0))
    print("parent:", "ours" if any(str(os.getpid()) == line.split()[1] for line in open("/proc/%d/status" % relay) if line.startswith("PPid")) else "another")
    kinds = set()
    for fd in os.listdir("/proc/%d/fd" % relay):
        target = os.readlink("/proc/%d/fd/%s" % (relay, fd))
        kinds.add(target.split(":")[0])
    print("files:", " ".join(sorted(kinds)))
    print("sockets:", sum(os.readlink("/proc/%d/fd/%s" % (relay, fd)).startswith("socket") for fd in os.listdir("/proc/%d/fd" % relay)))
    for gate in gates:
        gate.close()
    print("children:", [os.waitpid(pid, 0)[1] for pid in kids])
    try:
        os.wait()
        print("another child")
    except ChildProcessError:
        print("no other child")
    print("ends:", gone(relay))


main()

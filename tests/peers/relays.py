#!/usr/bin/env python3
"""Run under wrapsock: what the relay is to the processes that need it, and what it needs. relays.py PORT of an echo server that the policy
wraps; relays.py PORT COUNT under route = relay: its descriptors and KiB for each of COUNT connections."""
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


def needs(relay):
    """(descriptors, KiB)"""
    with open("/proc/%d/status" % relay) as f:
        resident = next(line.split()[1] for line in f if line.startswith("VmRSS:"))
    return len(os.listdir("/proc/%d/fd" % relay)), int(resident)


def used():
    """A connection that has been used in both directions, and goes on to exist."""
    sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    sock.sendall(b"x" * 5000)
    left = 5000
    while left:
        left -= len(sock.recv(left))
    return sock


def many(count):
    held = [used() for _ in range(20)]
    found = relays([os.getpid()])
    before = needs(found[0])
    held += [used() for _ in range(count)]
    after = needs(found[0])
    print("relays:", len(relays([os.getpid()])))
    print("descriptors for each:", (after[0] - before[0]) / count)
    kib = (after[1] - before[1]) / count
    print("at most 40 KiB for each" if kib <= 40 else "%.1f KiB for each" % kib)
    print("KiB for each: %.1f" % kib, file=sys.stderr)
    for sock in held:
        sock.close()


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


if len(sys.argv) > 2:
    many(int(sys.argv[2]))
else:
    main()

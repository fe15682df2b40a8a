#!/usr/bin/env python3
"""Mixed load for a while, and what it leaves: soak.py MIX WIRE SECONDS HELD PAUSE DIR INLINE RELAYED NEAR -- WRAPPED...

MIX is tests/probes/mix, run behind the words of WRAPPED. A server on the ports INLINE and RELAYED, a client with HELD connections, one that forks and
executes, and from time to time one whose wire is recorded between NEAR and INLINE (WIRE is wire.py) and judged. One line a judgement, the last one is
"soaked".
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

WARM = 0.5          # of the time, before memory counts
MEMORY = 2048       # kB, and a tenth: what a heap may breathe
DESCRIPTORS = 12


class Process:
    """One wrapped process, and samples of it."""

    def __init__(self, name, directory, words):
        self.name, self.samples = name, []
        self.out = open("%s/%s.out" % (directory, name), "w+")
        self.child = subprocess.Popen(words, stdout=self.out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.pid = self.child.pid

    def said(self):
        self.out.seek(0)
        return self.out.read()

    def memory(self):
        with open("/proc/%d/status" % self.pid) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def sample(self):
        try:
            self.samples.append((time.monotonic(), self.memory(), self.descriptors()))
        except (OSError, StopIteration):
            pass

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait()


def slope(points):
    """Of the line nearest to the points: growth over their whole time."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0
    return rise * (points[-1][0] - points[0][0]), mean_y


def judge(process, bad):
    warm = process.samples[int(len(process.samples) * WARM):]
    if len(warm) < 5:
        bad.append("%s: %d samples" % (process.name, len(warm)))
        return
    memory, mean = slope([(at, kb) for at, kb, _ in warm])
    descriptors, mean_d = slope([(at, n) for at, _, n in warm])
    print("%s: memory %+d kB on %d, descriptors %+.1f on %d, in %d samples of %d s" % (
        process.name, memory, mean, descriptors, mean_d, len(warm), warm[-1][0] - warm[0][0]), flush=True)
    if memory > MEMORY + mean / 10:
        bad.append("%s grows" % process.name)
    if descriptors > DESCRIPTORS + mean_d / 10:
        bad.append("%s keeps descriptors" % process.name)


def listening(port, limit):
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def take_wire(mix, wire, wrapped, directory, near, inline, seconds, number, bad):
    """A client whose wire is recorded."""
    folder = "%s/wire%d" % (directory, number)
    os.mkdir(folder)
    recorder = subprocess.Popen([sys.executable, wire, "record", near, inline, folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not listening(int(near), time.monotonic() + 20):
        bad.append("the recorder did not start")
    guest = Process("recorded%d" % number, directory, wrapped + [mix, "client", str(seconds), "0", "20000", near])
    guest.child.wait()
    recorder.terminate()
    recorder.wait()
    verdict = subprocess.run([sys.executable, wire, "check", folder], capture_output=True, text=True)
    print("wire %d: %s %s" % (number, guest.said().strip().splitlines()[-1:], verdict.stdout.strip() or "TLS records only"), flush=True)
    if verdict.returncode or guest.child.returncode:
        bad.append("the recorded wire: %s %s" % (verdict.stdout[:300], guest.said()[:300]))
    shutil.rmtree(folder)


def main():
    cut = sys.argv.index("--")
    wrapped = sys.argv[cut + 1:]
    mix, wire, seconds, held, pause, directory, inline, relayed, near = sys.argv[1:cut]
    seconds, bad = int(seconds), []
    server = Process("server", directory, wrapped + [mix, "server", inline, relayed])
    if not listening(int(inline), time.monotonic() + 20):
        print("the server did not start: %s" % server.said())
        return 1
    time.sleep(0.5)
    at_rest = server.descriptors()
    client = Process("client", directory, wrapped + [mix, "client", str(seconds), held, pause, inline, inline, inline, relayed])
    limit = time.monotonic() + 60 + int(held) / 10
    while "there" not in client.said() and client.child.poll() is None and time.monotonic() < limit:
        time.sleep(0.1)
    forks = Process("forks", directory, wrapped + [mix, "forks", str(seconds), str(20 * int(pause)), inline, relayed])
    began, every, wires, next_wire = time.monotonic(), min(5, seconds / 40), 0, seconds / 4
    while client.child.poll() is None or forks.child.poll() is None:
        elapsed = time.monotonic() - began
        if elapsed < seconds - 1.5:  # then they hang up
            for process in (server, client, forks):
                process.sample()
        if elapsed > next_wire and elapsed < seconds - 5:
            take_wire(mix, wire, wrapped, directory, near, inline, 2, wires, bad)
            wires, next_wire = wires + 1, next_wire + max(seconds / 4, 60)
        if elapsed > seconds + 60:
            bad.append("they do not come to an end: %s %s" % (client.child.poll(), forks.child.poll()))
            break
        time.sleep(every)
    for process in (client, forks):
        print("%s: %s" % (process.name, process.said().strip().splitlines()[-1:]), flush=True)
        if process.child.poll() != 0:
            bad.append("%s: status %s, %s" % (process.name, process.child.poll(), process.said()[:1500]))
    for process in (server, client, forks):
        judge(process, bad)
    limit = time.monotonic() + 20
    while server.descriptors() > at_rest + 1 and time.monotonic() < limit:      # the relay's end may be one of them
        time.sleep(0.1)
    print("server at rest: %d descriptors, %d before" % (server.descriptors(), at_rest), flush=True)
    if server.descriptors() > at_rest + 1:
        bad.append("the server keeps descriptors")
    if server.child.poll() is not None or "failed" in server.said():
        bad.append("the server: status %s, %s" % (server.child.poll(), server.said()[:1500]))
    for process in (server, client, forks):
        if process.child.poll() is None:
            process.stop()
    if not wires:
        bad.append("no wire was looked at")
    print("\n".join(bad + ["%s" % ("fell" if bad else "soaked")]), flush=True)
    return 1 if bad else 0


sys.exit(main())

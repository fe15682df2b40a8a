#!/usr/bin/env python3
"""Every system call of a program under the preload and every allocation of our objects fails once, in short scenarios of each route, role and TLS
version.

sweep.py BUILD CERTS SCRATCH [--share F] [--seed N] [--scenario NAME] [--kind KIND] [--one KIND:AT:ERROR] [--jobs N]

Allocations are a KIND like others, "allocation", of objects built for it (BUILD/faulty, tests/faults/allocate.c). Each run: the program ends with "ok" or with a step and its errno, does not hang, does not die of a signal, leaves no descriptor, and the log has
one line about it (and one of what the process lacks, if it lacks something). When all have run: the wires (tests/peers/wire.py) carry TLS records only, and nowhere the word that is in all data. The last
line is "N passed, N failed": a scenario each, and the wires.
"""
import argparse
import collections
import concurrent.futures
import errno
import glob
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(TOP, "tests", "peers")
SIZE = 30000
PATIENCE = 25

RESOURCES = ["ENOMEM", "EMFILE"]
ERRORS = {
    "recvfrom": ["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM", "SHORT"],
    "sendto": ["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM", "SHORT"],
    "recvmsg": ["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM"],
    "sendmsg": ["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM", "EMFILE"],
    "read": ["EINTR", "EIO", "ENOMEM", "SHORT"],
    "write": [],  # the program's own last word
    "readv": ["EINTR", "EIO"],
    "writev": ["EINTR", "EIO", "ENOSPC"],
    "pread64": ["EINTR", "EIO", "SHORT"],
    "socket": ["EMFILE", "ENOMEM", "EACCES"],
    "connect": ["EINTR", "ECONNREFUSED", "ECONNRESET", "ENOMEM", "EAGAIN"],
    "bind": ["EADDRINUSE", "EACCES", "ENOMEM"],
    "accept": ["EINTR", "EMFILE", "ECONNABORTED", "ENOMEM"],
    "accept4": ["EINTR", "EMFILE", "ECONNABORTED", "ENOMEM"],
    "openat": ["EINTR", "EMFILE", "ENOMEM", "EACCES", "ENOENT"],
    "open": ["EINTR", "EMFILE", "ENOMEM", "EACCES"],
    "newfstatat": ["ENOMEM", "EACCES", "ENOENT"],
    "faccessat": ["EACCES", "ENOMEM"],
    "close": ["EINTR", "EIO"],
    "fcntl": ["EINTR", "EMFILE", "ENOMEM", "EACCES"],
    "dup": ["EMFILE", "ENOMEM"],
    "dup2": ["EMFILE", "EINTR"],
    "dup3": ["EMFILE", "EINTR"],
    "ioctl": ["EINTR", "ENOTTY", "ENOMEM"],
    "shutdown": ["ENOTCONN", "ENOMEM"],
    "getsockopt": ["ENOMEM", "ENOPROTOOPT", "EACCES"],
    "setsockopt": ["ENOMEM", "ENOPROTOOPT", "EACCES"],
    "getsockname": ["ENOMEM", "ENOBUFS"],
    "getpeername": ["ENOMEM", "ENOTCONN"],
    "epoll_pwait": ["EINTR", "ENOMEM"],
    "epoll_wait": ["EINTR", "ENOMEM"],
    "epoll_ctl": ["ENOMEM", "ENOSPC"],
    "epoll_create1": ["EMFILE", "ENOMEM"],
    "poll": ["EINTR", "ENOMEM"],
    "ppoll": ["EINTR", "ENOMEM"],
    "pselect6": ["EINTR", "ENOMEM"],
    "socketpair": ["EMFILE", "ENOMEM"],
    "clone": ["EAGAIN", "ENOMEM"],
    "execve": ["ENOMEM", "EACCES", "ETXTBSY"],
    "wait4": ["EINTR", "ECHILD"],
    "getrandom": ["EINTR", "EAGAIN", "ENOSYS"],
    "getdents64": ["ENOMEM", "EIO"],
    "mmap": ["ENOMEM"],
    "mprotect": ["ENOMEM"],
    "munmap": ["ENOMEM"],
    "madvise": ["ENOMEM", "EINVAL"],
    "prctl": ["EPERM"],
    "kill": ["EPERM"],
}

# The relay waits for edges, which follow every refusal that is the kernel's own; and what its end of the pair says of the program is true.
NOT_RELAYED = [("recvfrom", "EAGAIN"), ("sendto", "EAGAIN"), ("sendto", "ECONNRESET")]

Scenario = collections.namedtuple("Scenario", "name route role version mode")
SCENARIOS = [Scenario("%s-%s-1.%s-%s" % (route, role, version[-1], mode), route, role, version, mode)
             for route, role, mode in (("inline", "client", "blocking"), ("inline", "client", "nonblocking"), ("inline", "server", "blocking"),
                                       ("inline", "server", "nonblocking"), ("relay", "client", "blocking"), ("relay", "client", "nonblocking"),
                                       ("relay", "server", "blocking"), ("auto", "leave", "blocking"))
             for version in ("TLSv1.2", "TLSv1.3")]

# What has found something before, and the allocations of one: never left out.
TELLING = {
    "inline-server-1.3-blocking": [("getsockopt", "EACCES")],
    "inline-client-1.2-nonblocking": [("getsockopt", "EACCES")],
    "inline-client-1.3-nonblocking": [("sendto", "ENOMEM"), ("epoll_ctl", "ENOSPC"), ("allocation", "ENOMEM")],
    "relay-client-1.3-blocking": [("recvfrom", "ENOMEM"), ("recvfrom", "SHORT"), ("sendto", "ENOMEM"), ("fcntl", "EACCES")],
    "relay-client-1.3-nonblocking": [("epoll_ctl", "ENOMEM")],
}

# A step and its errno; what the loader says before there is a program; what the launcher would have said.
STEP = re.compile(r"^([a-z0-9_:& ]+): (E[A-Z0-9]+)$", re.M)
LOADER = re.compile(r"error while loading shared libraries|cannot allocate|ld\.so")
TOLD = re.compile(r"^wrapsock: (?:warn|error): .*", re.M)


def free_port():
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        return sock.getsockname()[1]


def listening(port):
    want = ":%04X" % port
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in lines:
                words = line.split()
                if words[1].endswith(want) and words[3] == "0A":
                    return True
    return False


def wait_listening(port, alive=lambda: True):
    end = time.monotonic() + PATIENCE
    while alive() and time.monotonic() < end:
        if listening(port):
            return True
        time.sleep(0.005)
    return False


def expected(word):
    mark = word.encode()
    return b"".join(mark + bytes([97 + at // 64 % 26]) * (64 - len(mark)) for at in range(0, SIZE, 64))[:SIZE]


class Stage:
    """What a scenario is played on: peers, recorder, policy. One for each job, for a server's port is its own."""

    def __init__(self, sweep, scenario, number):
        self.sweep, self.scenario = sweep, scenario
        self.place = os.path.join(sweep.options.scratch, "%s-%d" % (scenario.name, number))
        os.makedirs(self.place + ".wire", exist_ok=True)
        self.near, self.far = free_port(), free_port()
        self.processes = []
        if scenario.role != "server":
            self.start([sys.executable, os.path.join(PEERS, "echo_tls.py"), sweep.options.certs,
                        "%s:echo:%d" % (scenario.version.replace("v", "").replace(".", "").lower(), self.far)])
            wait_listening(self.far)
        self.start([sys.executable, os.path.join(PEERS, "wire.py"), "record", str(self.near), str(self.far), self.place + ".wire"])
        wait_listening(self.near)
        self.policy = self.place + ".conf"
        with open(os.open(self.policy, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write("[%s all]\nmatch = *:*\nroute = %s\nhandshake_timeout = 8s\nminimum_version = %s\nmaximum_version = %s\n" % (
                "server" if scenario.role == "server" else "client", scenario.route, scenario.version, scenario.version))
            if scenario.role == "server":
                file.write("certfile = {0}/server.pem\nkeyfile = {0}/server.key\n".format(sweep.options.certs))
            else:
                file.write("ca_certs = %s/ca.pem\n" % sweep.options.certs)

    def start(self, command):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def stop(self):
        for each in self.processes:
            each.terminate()
        for each in self.processes:
            each.wait()

    def visit(self, word, process, result):
        """A native client of the program: what became of it goes to result."""
        try:
            if not wait_listening(self.far, lambda: process.poll() is None):
                return
            context = ssl.create_default_context(cafile=self.sweep.options.certs + "/ca.pem")
            with socket.create_connection(("127.0.0.1", self.near), timeout=PATIENCE) as conn, \
                    context.wrap_socket(conn, server_hostname="localhost") as tls:
                tls.sendall(b"ask\n")
                heard = b""
                while len(heard) < SIZE:
                    data = tls.recv(65536)
                    if not data:
                        break
                    heard += data
                result["right"] = heard == expected(word)
                result["wrong"] = not expected(word).startswith(heard)
                if result["right"]:
                    tls.sendall(b"yes\n")
                    tls.unwrap()
        except OSError as error:
            result["error"] = str(error)

    def play(self, what, word):
        """One run: the process's words, its errors and ours, and the log."""
        log, preload, allocations = self.place + ".log", self.sweep.preload, None
        if os.path.exists(log):
            os.unlink(log)
        options = self.sweep.options
        if what.startswith("allocation:"):
            preload, allocations = options.build + "/faulty/libwrapsock-preload.so", self.place + ".allocations"
            with open(allocations, "wb") as file:
                file.write(struct.pack("III", int(what.split(":")[1]), 0, 0))
            what = "count"
        command = [options.build + "/faults/inject", "-t", str(PATIENCE)]
        for each in ("LD_PRELOAD=" + preload, "WRAPSOCK_POLICY=" + self.policy, "WRAPSOCK_LOG=info", "WRAPSOCK_LOG_FILE=" + log,
                     "FAULT_ALLOCATION=%s" % allocations):
            command += ["-e", each]
        port = self.far if self.scenario.role == "server" else self.near
        command += [what, options.build + "/probes/errand", self.scenario.role, str(port), self.scenario.mode, word]
        result = {}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        visitor = None
        if self.scenario.role == "server":
            visitor = threading.Thread(target=self.visit, args=(word, process, result))
            visitor.start()
        out, err = process.communicate()
        if visitor:
            visitor.join()
        try:
            with open(log, errors="replace") as file:
                text = file.read()
        except OSError:
            text = ""
        if allocations:
            with open(allocations, "rb") as file:
                _, made, met = struct.unpack("III", file.read())
            err += "allocation %d%s\n" % (made, ", met" if met else "")
        return out, err, text, result


def judge(out, err, log, visitor, word):
    """None, or what is wrong."""
    end = re.search(r"^inject: (hang|signal \d+|exit (\d+))", err, re.M)
    said = out + "\n" + err
    lines = TOLD.findall(log) + TOLD.findall(err)
    if not end:
        return "no end: " + err
    if end.group(1) == "hang":
        return "hangs"
    if end.group(1).startswith("signal"):
        return "dies of " + end.group(1)
    if "AddressSanitizer" in said or "runtime error" in said or "LeakSanitizer" in said:
        return "the sanitizer complains"
    if word in log or word in err:
        return "data in the log"
    if "leaks:" in said:
        return "leaks descriptors"
    if visitor.get("wrong"):
        return "the peer read other bytes"
    status = int(end.group(2))
    if status == 0:
        if not re.search("^ok$", said, re.M):
            return "no word of success"
        if visitor and not visitor.get("right"):
            return "success, but not at the peer"
        return None
    step = STEP.search(said)
    if step:
        if step.group(2) in ("ETIME", "EBADMSG"):
            return "%s: %s" % step.groups()
        if sum("warn:" in line and "cannot be reached" not in line for line in lines) > 1 or sum("error:" in line for line in lines) > 1:
            return "more than a line in the log"
        return None
    if LOADER.search(said):
        return None
    return "no word of failure"


class Sweep:
    def __init__(self, options):
        self.options = options
        self.preload = options.preload or options.build + "/libwrapsock-preload.so"
        self.seed = options.seed or int(time.time())
        self.random = random.Random(self.seed)
        self.canary = "%08x" % random.SystemRandom().getrandbits(32)
        self.number = 0
        self.lock = threading.Lock()
        self.passed = self.failed = 0

    def word(self):
        with self.lock:
            self.number += 1
            return "%s%06d" % (self.canary, self.number)

    def scenarios(self):
        """All, or of a sample those that have found something before, and of the others three."""
        named = [each for each in SCENARIOS if self.options.scenario in each.name]
        if self.options.share >= 1 or self.options.one or self.options.scenario:
            return named
        others = self.random.sample([each for each in named if each.name not in TELLING], 3 if self.options.share else 0)
        return [each for each in named if each.name in TELLING or each in others]

    def faults(self, stage):
        counts = {}
        for what in "count", "allocation:0:ENOMEM":
            out, err, log, visitor = stage.play(what, self.word())
            wrong = judge(out, err, log, visitor, self.canary)
            if wrong or "ok" not in out + err:
                print("FAIL %s without a fault: %s: %s%s%s" % (stage.scenario.name, wrong, out, err, log))
                return None
            counts.update(line.split() for line in err.splitlines() if re.match(r"^[a-z0-9_]+ \d+$", line))
        return [(kind, at, error) for kind, count in counts.items() if self.options.kind in ("", kind) for at in range(1, int(count) + 1)
                for error in ERRORS.get(kind, RESOURCES[:1]) if stage.scenario.route == "inline" or (kind, error) not in NOT_RELAYED]

    def chooses(self, scenario, kind, error):
        return (kind, error) in TELLING.get(scenario.name, []) or self.random.random() < self.options.share

    def run(self, stages, what):
        stage = stages.pop()
        try:
            word = self.word()
            out, err, log, visitor = stage.play(what, word)
            wrong = judge(out, err, log, visitor, word)
            if self.options.one:
                print(out, err, log, visitor)
            if wrong:
                print("FAIL %s %s: %s\n    %s" % (stage.scenario.name, what, wrong, "\n    ".join((out + err + log).splitlines()[-8:])), flush=True)
            return wrong, ", met" in err, bool(re.search("^ok$", out + err, re.M))
        finally:
            stages.append(stage)

    def play(self, scenario):
        began = time.monotonic()
        stages = [Stage(self, scenario, 0)]
        try:
            whole = [self.options.one] if self.options.one else self.faults(stages[0])
            if whole is None:
                self.failed += 1
                return
            chosen = whole if self.options.one else ["%s:%d:%s" % fault for fault in whole if self.chooses(scenario, fault[0], fault[2])]
            jobs = min(self.options.jobs, 1 + len(chosen) // 4)
            stages += [Stage(self, scenario, number) for number in range(1, jobs)]
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                results = list(pool.map(lambda what: self.run(stages, what), chosen))
            bad = sum(1 for wrong, _, _ in results if wrong)
            print("%s: %d faults, %d tried, %d met, %d of them unnoticed, %d wrong, %d s" % (
                scenario.name, len(whole), len(chosen), sum(met for _, met, _ in results), sum(met and fine for _, met, fine in results), bad,
                time.monotonic() - began), flush=True)
            self.failed += bad > 0
            self.passed += bad == 0
        finally:
            for stage in stages:
                stage.stop()

    def wires(self):
        """All that was recorded is TLS, and has none of our words."""
        bad = total = 0
        for name in sorted(glob.glob(os.path.join(self.options.scratch, "*.wire"))):
            done = subprocess.run([sys.executable, os.path.join(PEERS, "wire.py"), "check", name], stdout=subprocess.PIPE, text=True)
            if done.returncode:
                bad += 1
                print("FAIL %s: %s" % (name, done.stdout))
            for each in glob.glob(name + "/*.bytes"):
                with open(each, "rb") as file:
                    data = file.read()
                total += len(data)
                if self.canary.encode() in data:
                    bad += 1
                    print("FAIL %s: data in clear" % each)
        print("%d bytes on the wires, %d runs" % (total, self.number))
        self.failed += bad > 0
        self.passed += bad == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("certs")
    parser.add_argument("scratch")
    parser.add_argument("--preload", help="the preload object, if it is not BUILD's")
    parser.add_argument("--share", type=float, default=1.0, help="of the faults, chosen by the seed")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--scenario", default="", help="those whose names contain it")
    parser.add_argument("--kind", default="", help="these calls only")
    parser.add_argument("--one", help="this fault only, with what was said")
    parser.add_argument("--jobs", type=int, default=4)
    sweep = Sweep(parser.parse_args())
    sweep.options.build, sweep.options.scratch = os.path.abspath(sweep.options.build), os.path.abspath(sweep.options.scratch)
    print("seed %d, %.3g of the faults" % (sweep.seed, sweep.options.share), flush=True)
    if sweep.options.one:
        sweep.options.jobs = 1
    for scenario in sweep.scenarios():
        sweep.play(scenario)
    sweep.wires()
    print("%d passed, %d failed" % (sweep.passed, sweep.failed))
    return sweep.failed > 0


if __name__ == "__main__":
    sys.exit(main())

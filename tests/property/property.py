#!/usr/bin/env python3
"""Random sequences of descriptor operations, over plain TCP and over wrapsock: whatever a process sees must be the same.

Every sequence has a number, its seed; run it alone with --seed N --count 1 (and --show to see it). A sequence that differs is shrunk to the
operations that it takes and printed as a script with both answers; --script FILE runs such a script. What differs once and not again in
three more runs is counted as unsteady and named, but fails nothing.
"""
import argparse
import multiprocessing
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from queue import Empty

from generate import Generator, Sequence
from model import AS_TCP, REFUSED, ROUTES, Model, Op

PATIENCE = 6.0
# What goes over TCP, and what goes over TLS, so that a recorder can tell them apart.
PLAIN_HOST, TLS_HOST = "127.0.0.2", "127.0.0.1"
RULES = {
    "client": "[client all]\nmatch = *:*\nca_certs = %(certs)s/ca.pem\n%(more)s",
    "server": "[server all]\nmatch = *:*\ncertfile = %(certs)s/server.pem\nkeyfile = %(certs)s/server.key\n%(more)s%(accept)s",
}
# name: rules, TLS version, whether accept makes the handshake, the end that has TLS of its own
MODES = {
    "tcp": ((), "", False, None),
    "tls13": (("client", "server"), "1.3", False, None),
    "tls13-accept": (("client", "server"), "1.3", True, None),
    "tls12": (("client", "server"), "1.2", False, None),
    "native-server-13": (("client",), "1.3", False, "server"),
    "native-server-12": (("client",), "1.2", False, "server"),
    "native-client-13": (("server",), "1.3", False, "client"),
    "native-client-12": (("server",), "1.2", False, "client"),
}


def modes_of(sequence):
    if sequence.native:
        return [m for m in MODES if m.startswith("native-" + sequence.native)]
    return ["tls13", "tls13-accept", "tls12"]


def events(answer):
    """What an epoll_wait said of level-triggered and one-shot watches, and of edge-triggered ones."""
    level, edge = {}, {}
    for word in answer.split()[1:]:
        slot, found, names = word.partition("=")
        if found:
            (edge if names.endswith("*") else level)[slot] = set(names.rstrip("*").split("+"))
        else:
            level[slot] = True
    return level, edge


def alike(a, b, before, route):
    """
    Two answers that differ in their text and yet mean the same. An edge that is told twice is no difference, one that is not told is: programs
    read until EAGAIN, but wait for ever for a lost one. A reset is told for ever, by TCP once.
    """
    if a in ("0", "EPIPE", "EPIPE SIGPIPE") and b == "ECONNRESET" and b in before:
        return True
    if route != "inline" and relayed_alike(a, b):
        return True
    if "*" not in a + b:
        return False
    (level, edge), (other, more) = events(a), events(b)
    return level == other and all(names <= more.get(slot, set()) for slot, names in edge.items())


def relayed_alike(a, b):
    """
    What a pair cannot say: that there is an error behind an end of stream that was seen, in SO_ERROR and as POLLERR, and that a peer which has
    gone resets, where a pair has its own EPIPE at once.
    """
    return (a, b) in (("0 EPIPE", "0 0"), ("ECONNRESET", "EPIPE"), ("ECONNRESET", "EPIPE SIGPIPE")) or \
        (a != b and "err" in a and a.replace("err+", "").replace("+err", "") == b)


def same(tcp, tls, route):
    return len(tcp) == len(tls) and all(a == b or alike(a, b, tcp[:i], route) for i, (a, b) in enumerate(zip(tcp, tls)))


class Nursery:
    """Processes of one mode, forked on demand."""

    def __init__(self, mode, route, options, scratch):
        rules, version, accept, native = MODES[mode]
        name = mode + "." + route
        self.mode, self.path, self.log = mode, os.path.join(scratch, name), os.path.join(scratch, name + ".log")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.listener.settimeout(PATIENCE)
        environment = {"PATH": "/usr/bin:/bin", "PROPERTY_SOCKET": self.path, "PROPERTY_CERTS": options.certs, "PROPERTY_VERSION": version,
                       "PROPERTY_HOST": PLAIN_HOST if mode == "tcp" else TLS_HOST}
        if native:
            environment["PROPERTY_NATIVE"] = native
        if rules:
            more = "route = %s\nminimum_version = TLSv%s\nmaximum_version = TLSv%s\n" % (route, version, version)
            policy = os.path.join(scratch, name + ".conf")
            with open(os.open(policy, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                for rule in rules:
                    file.write(RULES[rule] % {"certs": options.certs, "more": more, "accept": "do_handshake_on_connect = yes\n" if accept else ""})
            preload = (os.environ.get("SANITIZER_RUNTIME", "") + " " + options.preload).strip()
            environment.update(LD_PRELOAD=preload, WRAPSOCK_POLICY=policy, WRAPSOCK_LOG_FILE=self.log)
            for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
                if name in os.environ:
                    environment[name] = os.environ[name]
        self.process = subprocess.Popen([options.worker, self.path], stdin=subprocess.PIPE, env=environment, text=True, bufsize=1)

    def make(self, name):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.listener.close()


class Channel:
    def __init__(self, sock, pid, tid):
        self.sock, self.pid, self.tid = sock, pid, tid
        self.sock.settimeout(PATIENCE)

    def ask(self, line):
        self.sock.send(line.encode())

    def answer(self):
        """What the program saw, and what is for the driver alone; None = no answer in time."""
        try:
            text = self.sock.recv(4096).decode()
        except (socket.timeout, ConnectionError):
            return None
        return text if text else None

    def wait_asleep(self):
        """Until the operation that was begun in the background has answered or waits."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if select.select([self.sock], [], [], 0)[0]:
                return
            with open("/proc/%d/task/%d/stat" % (self.pid, self.tid), encoding="ascii") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "S":
                    return
            time.sleep(0)


class Run:
    """One sequence in one mode."""

    number = 0

    def __init__(self, sequence, nursery):
        Run.number += 1
        self.sequence, self.nursery, self.prefix = sequence, nursery, "%d." % Run.number
        self.model = Model(sequence.single, sequence.route)
        self.channels, self.ports, self.offsets, self.sent, self.seen, self.begun = {}, {}, {}, {}, {}, {}
        self.reference = nursery.mode == "tcp"
        self.groups = []

    def meet(self, name):
        """The actor of this name has connected."""
        while name not in self.channels:
            sock, _ = self.nursery.listener.accept()
            full, pid, tid = sock.recv(100).decode().split()
            if full.startswith(self.prefix):
                self.channels[full[len(self.prefix):]] = Channel(sock, int(pid), int(tid))
            else:
                sock.close()

    def run(self):
        answers = []
        try:
            for name in "A" if self.sequence.single else "AB":
                self.nursery.make(self.prefix + name)
                self.meet(name)
                self.groups.append(self.channels[name].pid)
            if self.sequence.single:
                self.channels["A"].ask("thread %sB" % self.prefix)
                self.channels["A"].answer()
                self.meet("B")
            for op in self.sequence.ops:
                answers.append(self.step(op))
                if answers[-1] == "no answer":
                    break
        except (OSError, ValueError) as error:
            answers.append("driver: %r" % error)
        finally:
            self.end()
        return answers

    def end(self):
        for pid in self.groups:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for channel in self.channels.values():
            channel.sock.close()

    def step(self, op):
        if op.verb == "join":
            text = self.channels[op.actor].answer()
            before = self.model.busy[op.actor]
            self.model.apply(op)
            return self.read(op.actor, before, text)
        if self.reference:
            refused = self.model.refusal(op)
            if refused:
                self.model.apply(op)
                return refused
        if op.verb == "exec" and self.reference:
            self.shed(self.model.actors[op.actor], self.channels[op.actor])
        channel = self.channels[op.actor]
        channel.ask(("&" if op.background else "") + self.text(op))
        if op.background:
            if channel.answer() != "begun":
                return "no answer"
            channel.wait_asleep()
            if op.verb in ("send", "writeall"):
                self.move(op, int(op.words[2]))
            self.model.apply(op)
            return "begun"
        text = channel.answer()
        if op.verb in ("fork", "thread") and text:
            self.meet(op.words[1])
        self.model.apply(op)
        return self.read(op.actor, op, text)

    def shed(self, process, channel):
        """What a new program does not find under the contract."""
        for slot, file in process.slots.items():
            if file.kind == "connection" and slot not in process.cloexec and not self.model.stays(process, slot):
                channel.ask("cloexec %s 1" % slot)
                channel.answer()

    def text(self, op):
        """The request: names filled in, and what must have arrived first."""
        words = []
        for word in op.words:
            if word == "OFFSET":
                word = str(self.offsets.get(self.stream(op), 0))
            elif word[0] == "@":
                word = str(self.ports[word[1:]])
            elif op.verb in ("fork", "thread") and word == op.words[1]:
                word = self.prefix + word
            words.append(word)
        wants = []
        process = self.model.actors[op.actor]
        for slot, file in process.slots.items():
            if file.kind != "connection":
                continue
            peer = file.connection.ends[1 - file.end.number]
            want = "reset" if file.connection.reset else "end" if peer.ended else self.sent.get(peer)
            if want and self.seen.get((file.end, process.name)) != want:
                self.seen[(file.end, process.name)] = want
                if self.sent.get(peer):
                    wants.append("%s:%s/%d" % (slot, self.sent[peer], 0 if file.end.shut_read else file.connection.waiting(file.end)))
                if want in ("end", "reset"):
                    wants.append("%s:%s" % (slot, want))
        return ("@" + ",".join(wants) + " " if wants else "") + " ".join(words)

    def stream(self, op):
        return self.model.file(op).end

    def move(self, op, n):
        stream = self.model.file(op).end
        self.offsets[stream] = self.offsets.get(stream, 0) + n

    def read(self, actor, op, text):
        if text is None:
            return "gone" if op.verb == "exit" else "no answer"
        seen, _, rest = text.partition("|")
        seen = seen.strip()
        if op.verb == "listen" and "port=" in seen:
            seen, self.ports[op.words[1]] = seen.split(" port=")
        if op.verb == "wait":
            seen = self.edges(actor, op, seen)
        if op.verb in ("send", "file", "nsend", "stream") and not op.background and seen.split()[0].isdigit():
            self.move(op, int(seen.split()[0]))
        if op.verb == "writeall" and not op.background:
            self.move(op, int(op.words[2]))
        slots = self.model.actors[actor].slots if actor in self.model.actors else {}
        for each in rest.split():
            slot, count = each.split(":")
            file = slots.get(slot)
            if file and file.kind == "connection":
                self.sent[file.end] = max(self.sent.get(file.end, 0), int(count))
        return seen


    def edges(self, actor, op, seen):
        """Mark what comes from edge-triggered watches."""
        watched = self.model.actors[actor].slots[op.words[1]].watched
        words = [w + "*" if w.partition("=")[0] in watched and watched[w.partition("=")[0]].edge else w for w in seen.split()]
        return " ".join(words)


class Judge:
    """Runs sequences in all their modes and says where one differs."""

    def __init__(self, options):
        self.options = options
        self.scratch = tempfile.mkdtemp(prefix="property.", dir=options.scratch)
        self.nurseries = {}

    def run(self, sequence, mode):
        return Run(sequence, self.nursery(sequence, mode)).run()

    def nursery(self, sequence, mode):
        key = mode, sequence.route if mode != "tcp" else ""
        if key not in self.nurseries:
            self.nurseries[key] = Nursery(*key, self.options, self.scratch)
        return self.nurseries[key]

    def firmly(self, sequence, mode):
        """Differs again and again: not one answer of the mode is one that TCP gave."""
        tcp = [self.run(sequence, "tcp") for _ in range(3)]
        return not any(same(a, b, sequence.route) for b in (self.run(sequence, mode) for _ in range(2)) for a in tcp)

    def shrink(self, sequence, mode):
        """Leave out ever smaller pieces for as long as it still differs."""
        until = time.monotonic() + self.options.shrink
        size = max(1, len(sequence.ops) // 2)
        while size and time.monotonic() < until:
            at, smaller = 0, False
            while at < len(sequence.ops) and time.monotonic() < until:
                candidate = sequence.with_ops(sequence.ops[:at] + sequence.ops[at + size:]).valid()
                if len(candidate.ops) < len(sequence.ops) and self.firmly(candidate, mode):
                    sequence, smaller = candidate, True
                else:
                    at += size
            size = size if smaller and size > 1 else size // 2
        return sequence

    def show(self, sequence, mode):
        tcp, tls = self.run(sequence, "tcp"), self.run(sequence, mode)
        lines = [str(sequence).splitlines()[0] + ", mode " + mode]
        for i, op in enumerate(sequence.ops):
            a, b = (answers[i] if i < len(answers) else "-" for answers in (tcp, tls))
            lines.append("%-48s # %s" % (op, a) if a == b else "%-48s # TCP: %s   <> TLS: %s" % (op, a, b))
        log = self.nursery(sequence, mode).log
        if os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as file:
                lines += ["# log: " + line.rstrip() for line in file.readlines()[-3:]]
        return "\n".join(lines)

    def check(self, sequence, modes):
        """The report of what differs, the modes in which it was unsteady, and how many runs over TLS there were."""
        reports, unsteady = [], []
        tcp = self.run(sequence, "tcp")
        if "no answer" in tcp or "driver" in tcp[-1]:
            return ["# the model is wrong: over TCP this waits for ever\n" + self.show(sequence, "tcp")], unsteady, 0
        for mode in modes:
            if same(tcp, self.run(sequence, mode), sequence.route):
                continue
            if self.firmly(sequence, mode):
                reports.append(self.show(self.shrink(sequence, mode), mode))
            else:
                unsteady.append(mode)
        return reports, unsteady, len(modes)

    def close(self):
        for nursery in self.nurseries.values():
            nursery.close()


def work(options, first, step, queue):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    judge = Judge(options)
    for seed in range(options.seed + first, options.seed + options.count, step):
        sequence = Generator(seed, options.length, options.route).make()
        if options.show:
            print(sequence, flush=True)
        modes = modes_of(sequence)
        if options.mode:
            modes = [m for m in modes if m == options.mode]
        elif not options.every:
            modes = [modes[seed % len(modes)]]
        queue.put((seed, len(sequence.ops)) + judge.check(sequence, modes))
    judge.close()
    queue.put(None)


def read_script(path, options):
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    head = lines[0] if lines[0].startswith("#") else ""
    ops = [Op.parse(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    said = {word: found.group(1) for word in ("native", "route") if (found := re.search(word + r" (\w+)", head))}
    return Sequence("of " + os.path.basename(path), "one process" in head, said.get("native"), options.route or said.get("route", "inline"), ops)


def run_scripts(options):
    judge, failed = Judge(options), False
    for path in options.script:
        sequence = read_script(path, options)
        for mode in [options.mode] if options.mode else modes_of(sequence):
            differs = not same(judge.run(sequence, "tcp"), judge.run(sequence, mode), sequence.route) and judge.firmly(sequence, mode)
            if differs or len(options.script) == 1:
                print(judge.show(sequence, mode))
            failed |= differs
    judge.close()
    return failed


def sweep(options):
    queue = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, args=(options, i, options.jobs, queue), daemon=True) for i in range(options.jobs)]
    for worker in workers:
        worker.start()
    passed = failed = runs = operations = 0
    unsteady, running, waited = [], len(workers), 0
    while running:
        try:
            item = queue.get(timeout=5)
        except Empty:                           # whoever died or hangs is a failure, not a pass
            waited += 5
            if waited < 300 and not any(worker.exitcode for worker in workers):
                continue
            print("no result for five minutes" if waited >= 300 else "a process of the driver died")
            return 1
        waited = 0
        if item is None:
            running -= 1
            continue
        seed, length, reports, shaky, modes = item
        runs, operations = runs + modes, operations + length * (modes + 1)
        unsteady += ["%d (%s)" % (seed, mode) for mode in shaky]
        passed, failed = passed + (not reports), failed + bool(reports)
        for report in reports:
            print(report + "\n", flush=True)
        if failed >= options.stop:
            for worker in workers:
                worker.terminate()
            break
    for worker in workers:
        worker.join()
    print("seeds %d to %d: %d sequences, %d runs over TLS, %d operations" %
          (options.seed, options.seed + options.count - 1, passed + failed, runs, operations))
    if unsteady:
        print("unsteady, differed and did not again: " + ", ".join(unsteady))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("preload")
    parser.add_argument("certs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--length", type=int, default=40, help="about so many operations at most")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--stop", type=int, default=5, help="after so many failures")
    parser.add_argument("--shrink", type=float, default=60, help="seconds for making a failure small")
    parser.add_argument("--mode", choices=[m for m in MODES if m != "tcp"])
    parser.add_argument("--route", choices=ROUTES, help="in all sequences; otherwise it is drawn")
    parser.add_argument("--every", action="store_true", help="each sequence in all its modes, not in one")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--as-tcp", default="", metavar="CLASS,...", help="these are judged as if never refused: exec, " + ", ".join(REFUSED))
    parser.add_argument("--script", nargs="+", help="run this instead, and of several show those that differ")
    with tempfile.TemporaryDirectory(prefix="property.") as scratch:
        options = parser.parse_args()
        AS_TCP.update(name for name in options.as_tcp.split(",") if name)
        options.scratch = scratch
        return run_scripts(options) if options.script else sweep(options)


if __name__ == "__main__":
    sys.exit(main())

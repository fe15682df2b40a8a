"""Random but bounded sequences of operations: two processes or two threads, one connection or several, and what programs do with them."""
import random

from model import Model, Op, ROUTES

SIZES = (0, 1, 2, 5, 100, 1000, 1448, 4096, 8000, 16384, 16385, 20000)
READS = ("read", "readv", "recv", "recvfrom", "recvmsg")
WRITES = ("write", "writev", "send", "sendto", "sendmsg")
POLLS = ("poll", "ppoll", "select", "pselect")


class Sequence:
    """single: both ends in threads of one process. native: which end would speak TLS by itself, None = neither. route: of the wrapped ends."""

    def __init__(self, seed, single=False, native=None, route="inline", ops=()):
        self.seed, self.single, self.native, self.route, self.ops = seed, single, native, route, list(ops)

    def with_ops(self, ops):
        return Sequence(self.seed, self.single, self.native, self.route, ops)

    def valid(self):
        """Without the operations that no longer make sense."""
        model, kept = Model(self.single, self.route), []
        for op in self.ops:
            if model.allows(op):
                model.apply(op)
                kept.append(op)
        return self.with_ops(kept)

    def __str__(self):
        head = "# seed %s, route %s%s%s\n" % (self.seed, self.route, ", one process" if self.single else "",
                                            ", native %s" % self.native if self.native else "")
        return head + "".join("%s\n" % op for op in self.ops)


class Generator:
    def __init__(self, seed, length, route=None):
        self.random = random.Random(seed)
        chance = self.random.random()
        native = "server" if 0.15 <= chance < 0.25 else "client" if 0.25 <= chance < 0.35 else None
        self.sequence = Sequence(seed, chance < 0.15, native, route or self.random.choices(ROUTES, (4, 3, 3))[0])
        self.model = Model(self.sequence.single, self.sequence.route)
        self.length = length
        self.names = 0

    def make(self):
        self.open()
        choices = [c for c in dir(self) if c.startswith("do_")]
        weights = [getattr(self, c).__func__.weight for c in choices]
        for _ in range(self.random.randint(2, self.length)):
            getattr(self, self.random.choices(choices, weights)[0])()
        self.end()
        return self.sequence

    def add(self, actor, *words, background=False):
        op = Op(actor, *[w for w in words if w != ""], background=background)
        if not self.model.allows(op):
            return False
        self.model.apply(op)
        self.sequence.ops.append(op)
        return True

    def maybe(self, word, chance=0.3):
        return word if self.random.random() < chance else ""

    def pick(self, *of):
        return self.random.choice(of)

    def slot(self, actor):
        slots = self.model.actors[actor].slots
        return next("s%d" % i for i in range(30) if "s%d" % i not in slots)

    def idle(self):
        return [a for a in self.model.actors if a not in self.model.busy]

    def somebody(self, kind="connection", native=False):
        """An idle actor and a slot of its; ends that are native have operations of their own."""
        found = [(a, s) for a in self.idle() for s, f in self.model.actors[a].slots.items()
                 if f.kind == kind and (kind != "connection" or native == self.is_native(f))]
        return self.random.choice(found) if found else (None, None)

    def is_native(self, file):
        return self.sequence.native == ("client", "server")[file.end.number]

    def other(self, actor, slot):
        """Somebody who is at the other end of this connection."""
        file = self.model.actors[actor].slots[slot]
        found = [(a, s) for a in self.idle() for s, f in self.model.actors[a].slots.items()
                 if a != actor and f.kind == "connection" and f.connection is file.connection and f.end is not file.end]
        return self.random.choice(found) if found else (None, None)

    # --- connections ---

    def open(self):
        ls = next((s for s, f in self.model.actors["B"].slots.items() if f.kind == "listener"), None)
        if "A" in self.model.busy or "B" in self.model.busy:
            return
        if not ls:
            ls = self.slot("B")
            self.add("B", "listen", ls, self.maybe("nb"))
        cs = self.slot("A")
        nonblocking = self.sequence.native is None and self.random.random() < 0.4
        self.add("A", "socket", cs, "nb" if nonblocking else "", self.maybe("cloexec"))
        if self.random.random() < 0.1 and not self.sequence.native:
            self.add("A", "dup", cs, self.slot("A"))
        self.add("A", "connect", cs, "@" + ls, background=not nonblocking and self.sequence.native != "client")
        if nonblocking and self.random.random() < 0.3:
            watched = self.slot("A")
            self.add("A", "epoll", watched)
            self.add("A", "watch", watched, cs, "out" + self.pick("", "+et", "+oneshot"), "add")
            self.add("A", "wait", watched, 3000, background=True)
        elif nonblocking:
            self.add("A", self.pick(*POLLS), 3000, cs + ":out", background=True)
        ss = self.slot("B")
        style = self.pick("plain", "nb", "")
        self.add("B", "accept", ls, ss, "" if self.sequence.native == "server" and style == "nb" else style, self.maybe("cloexec"))
        self.handshake(cs, ss, nonblocking)

    def handshake(self, cs, ss, nonblocking):
        if self.sequence.native == "server":
            self.add("B", "tls", ss, "server")
            self.add("A", "join")
            self.add("B", "poll", 3000, ss + ":out")
            return
        self.add("B", self.pick(*POLLS), 3000, ss + ":out", background=True)
        if self.sequence.native == "client":
            self.add("A", "tls", cs, "client")
        else:
            self.add("A", "join")
        if nonblocking:
            self.add("A", self.pick("option", "names"), cs, "error")
        self.add("B", "join")

    def do_open(self):
        if len(self.model.connections) < 3 and "A" in self.model.actors and "B" in self.model.actors:
            self.open()
    do_open.weight = 2

    def end(self):
        """All that is under way is read, then the end is seen, then everything is closed."""
        for actor in list(self.model.busy):
            file = next((self.model.actors[actor].slots.get(w) for w in self.model.busy[actor].words[1:2]), None)
            if file and file.kind == "connection" and self.model.connections and file.connection.ends[1 - file.end.number].ended:
                self.add(actor, "join")
        done = set()
        for close in (False, True):
            for actor in self.idle():
                for slot, file in list(self.model.actors[actor].slots.items()):
                    if file.kind != "connection":
                        continue
                    if close and file.end in done:
                        continue
                    if close:
                        if self.is_native(file):
                            seen = self.add(actor, "nrecv", slot, 60000)
                        else:
                            self.add(actor, "nonblock", slot, 0)
                            seen = self.add(actor, "recv", slot, 60000, "recv", "all")
                        if seen:
                            done.add(file.end)
                    elif file.end.shut_write:
                        continue
                    else:
                        self.end_of(actor, slot)
        for actor in self.idle():
            for slot in list(self.model.actors[actor].slots):
                self.add(actor, "close", slot)

    # --- data ---

    def send(self, actor, slot, size=None):
        size = self.random.choice(SIZES) if size is None else size
        file = self.model.actors[actor].slots[slot]
        stream = file.connection.number * 2 + file.end.number
        if self.is_native(file):
            return size and self.add(actor, "nsend", slot, size, stream, "OFFSET")
        how = self.random.choice(WRITES)
        flags = ["", "", ""] if how.startswith("write") else [self.maybe("dontwait", 0.1), self.maybe("nosignal"), self.maybe("more", 0.05)]
        return self.add(actor, "send", slot, size, how, stream, "OFFSET", *flags)

    def do_send(self):
        actor, slot = self.somebody(native=self.sequence.native and self.random.random() < 0.5)
        if actor:
            self.send(actor, slot)
    do_send.weight = 24

    def do_sendfile(self):
        actor, slot = self.somebody()
        if actor:
            file = self.model.actors[actor].slots[slot]
            self.add(actor, "file", slot, self.random.choice(SIZES), file.connection.number * 2 + file.end.number, "OFFSET")
    do_sendfile.weight = 1

    def do_recv(self):
        actor, slot = self.somebody()
        if not actor:
            return
        how = self.random.choice(READS)
        flags = ["", "", "", ""]
        if how.startswith("recv"):
            flags = [self.maybe("peek", 0.2), self.maybe("all", 0.2), self.maybe("dontwait"), self.maybe("trunc", 0.05 if how == "recv" else 0)]
        self.add(actor, "recv", slot, self.random.choice(SIZES), how, *flags)
    do_recv.weight = 26

    def do_native_recv(self):
        actor, slot = self.somebody(native=True)
        if actor:
            file = self.model.actors[actor].slots[slot]
            waiting = file.connection.waiting(file.end)
            if waiting:
                self.add(actor, "nrecv", slot, self.random.randint(1, waiting))
    do_native_recv.weight = 8

    def do_pump(self):
        """More than the buffers take: back-pressure, and a reader that keeps up."""
        actor, slot = self.somebody()
        to, at = self.other(actor, slot) if actor else (None, None)
        if not to:
            return
        model, n = self.model, self.pick(50000, 300000, 1000000)
        file, far = model.actors[actor].slots[slot], model.actors[to].slots[at]
        if self.is_native(far) or far.end.shut_read or file.end.shut_write or file.connection.reset:
            return
        stream = file.connection.number * 2 + file.end.number
        there = file.connection.waiting(far.end)
        if not self.model.usable(model.actors[to], far.end, "r"):
            return
        if self.add(actor, "writeall", slot, n, self.pick(700, 5000, 40000, 250000), stream, "OFFSET", background=True):
            self.add(to, "readall", at, n + there, self.pick(900, 16384, 100000), self.maybe("all", 0.1))
            self.add(actor, "join")
    do_pump.weight = 2

    def do_wake(self):
        """Somebody waits, and the other end has something for it."""
        actor, slot = self.somebody()
        to, at = self.other(actor, slot) if actor else (None, None)
        if not to:
            return
        n, what = self.random.choice(SIZES[1:]), self.random.randrange(4)
        file = self.model.actors[actor].slots[slot]
        if file.connection.waiting(file.end) or file.connection.ends[1 - file.end.number].ended or file.end.shut_read:
            return
        if self.sequence.native:        # whose records may arrive one by one
            n = min(n, 16384)
        waits = False
        if what == 0 and not file.nonblocking:
            waits = self.add(actor, "recv", slot, n, self.random.choice(READS), background=True)
        elif what == 1:
            waits = self.add(actor, self.pick(*POLLS), 3000, slot + ":in", background=True)
        elif what == 2:
            sets = [s for s, f in self.model.actors[actor].slots.items() if f.kind == "epoll" and slot in f.watched]
            waits = sets and self.add(actor, "wait", sets[0], 0) and False
        else:
            waits = self.set_waits(actor, slot)
        if not waits:
            return
        if self.send(to, at, n) or self.end_of(to, at):
            self.add(actor, "join")
    do_wake.weight = 8

    def end_of(self, actor, slot, how=1):
        native = self.is_native(self.model.actors[actor].slots[slot])
        return self.add(actor, "nshut", slot) if native else self.add(actor, "shutdown", slot, how)

    def set_waits(self, actor, slot):
        """A fresh set, so that nothing else is in it."""
        own = self.slot(actor)
        return self.add(actor, "epoll", own) and \
            self.add(actor, "watch", own, slot, "in" + self.maybe("+rdhup") + self.pick("", "+et", "+oneshot"), "add") and \
            self.add(actor, "wait", own, 3000, self.pick("", "pwait", "pwait2"), background=True)

    # --- readiness ---

    def do_poll(self):
        actor, slot = self.somebody()
        if actor:
            more = self.random.choice(list(self.model.actors[actor].slots))
            words = [slot + ":" + self.pick("in", "out", "in+out", "in+rdhup", "in+out+rdhup+pri", "pri", "")]
            if more != slot and self.random.random() < 0.4:
                words.append(more + ":in")
            self.add(actor, self.pick(*POLLS), self.pick(0, 0, 0, 12), *words)
    do_poll.weight = 16

    def do_fionread(self):
        actor, slot = self.somebody()
        if actor:
            self.add(actor, "fionread", slot)
    do_fionread.weight = 6

    def do_epoll(self):
        actor, slot = self.somebody()
        if not actor:
            return
        sets = [s for s, f in self.model.actors[actor].slots.items() if f.kind == "epoll"]
        if not sets:
            own = self.slot(actor)
            self.add(actor, "epoll", own)
            sets = [own]
        events = self.pick("in", "out", "in+out", "in+rdhup", "in+out+rdhup") + self.pick("", "", "+et", "+et", "+oneshot", "+et+oneshot")
        self.add(actor, "watch", self.random.choice(sets), slot, events, self.pick("add", "add", "mod", "mod", "del"))
    do_epoll.weight = 9

    def do_wait(self):
        actor, slot = self.somebody("epoll")
        if actor:
            self.add(actor, "wait", slot, self.pick(0, 0, 0, 12), self.pick("", "", "pwait", "pwait2"))
    do_wait.weight = 14

    # --- descriptors ---

    def do_option(self):
        actor, slot = self.somebody()
        if not actor:
            return
        what = self.random.randrange(9)
        if what == 0:
            self.add(actor, "timeout", slot, self.pick("rcv", "snd"), self.pick(0, 40, 40))
        elif what == 1:
            self.add(actor, "option", slot, "lowat", self.pick(1, 1, 50, 3000))
        elif what == 2:
            self.add(actor, "option", slot, self.pick("nodelay", "keepalive"), self.pick(0, 1))
        elif what == 3:
            self.add(actor, "option", slot, self.pick("error", "type", "domain", "accepting", "reuse", "nodelay", "lowat"))
        elif what == 4:
            self.add(actor, "names", slot)
        elif what == 5:
            self.add(actor, "cloexec", slot, self.pick(0, 1), self.maybe("ioctl"))
        elif what == 6:
            self.add(actor, "flags", slot)
        else:
            self.add(actor, "nonblock", slot, self.pick(0, 1), self.maybe("ioctl"))
    do_option.weight = 14

    def do_dup(self):
        actor, slot = self.somebody()
        if not actor or len(self.model.actors[actor].slots) > 12:
            return
        new, what = self.slot(actor), self.random.randrange(4)
        if what == 0:
            self.add(actor, "dup", slot, new)
        elif what == 1:
            self.add(actor, "dupfd", slot, new, self.pick(0, 40), self.maybe("cloexec"))
        else:
            self.add(actor, "dup2", slot, self.random.choice(list(self.model.actors[actor].slots)), new, *self.pick(("", ""), ("three", ""), ("three", "cloexec")))
    do_dup.weight = 5

    def do_close(self):
        actor, slot = self.somebody()
        if actor:
            self.add(actor, "close", slot, self.maybe("range", 0.2))
    do_close.weight = 3

    def do_shutdown(self):
        actor, slot = self.somebody(native=bool(self.sequence.native) and self.random.random() < 0.3)
        if actor:
            self.end_of(actor, slot, self.pick(0, 1, 1, 1, 2))
    do_shutdown.weight = 4

    # --- processes ---

    def name(self):
        self.names += 1
        return "CDEFGHIJ"[self.names - 1] if self.names <= 8 else None

    def do_process(self):
        actor = self.random.choice(self.idle()) if self.idle() else None
        what = self.random.randrange(8)
        if not actor or len(self.model.actors) > 4 or self.sequence.native:
            return
        if what < 4 and self.names < 4:
            self.add(actor, "fork", self.name(), self.maybe("double", 0.2))
        elif what < 6 and self.names < 4:
            self.add(actor, "thread", self.name())
        elif what == 6 and actor not in "AB":
            self.add(actor, "exit", self.maybe("_exit"))
        elif what == 7:
            self.add(actor, "exec")
    do_process.weight = 5

    def do_leave(self):
        """Ways out of our sight: refused, or the relay's."""
        actor, slot = self.somebody()
        if not actor:
            return
        file, what = self.model.actors[actor].slots[slot], self.random.randrange(4)
        stream = file.connection.number * 2 + file.end.number
        if what == 0:
            self.add(actor, "dup2", slot, self.pick(0, 1, 2), self.slot(actor))
        elif what == 1:
            self.add(actor, "stream", slot, stream, "OFFSET", 100)
        elif what == 2:
            self.add(actor, "pass", slot, self.slot(actor))
        elif self.pick(True, False):
            self.add(actor, "recv", slot, 100, "recv", "dontwait", "shared")
        else:
            self.add(actor, "send", slot, 100, "send", stream, "OFFSET", "nosignal", "shared")
    do_leave.weight = 5

    def do_serve(self):
        """A child for this connection, as super-servers have one: its standard descriptors, or one number, and perhaps a new program."""
        actor, slot = self.somebody()
        name = self.name() if actor and self.names < 4 and not self.sequence.native else None
        if not name or not self.add(actor, "fork", name):
            return
        closed = self.pick(True, False) and self.add(actor, "close", slot)
        if self.pick(True, False):
            for number in (0, 1, 2)[:self.pick(1, 2, 3)]:
                self.add(name, "dup2", slot, number, self.slot(name))
            self.add(name, "close", slot)
        else:
            self.add(name, "cloexec", slot, 0)
        self.add(name, self.pick("exec", "flags", "names"), slot)
        if not closed:
            self.add(actor, "close", slot)
    do_serve.weight = 2

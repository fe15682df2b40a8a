"""What a sequence of operations means: which descriptor is which end of which connection, what has been sent and not yet read, who would block.

The generator asks it what makes sense next, the shrinker what still makes sense without some of the operations, and the driver who waits for
whom. It predicts no results: those come from TCP.
"""

# Answers where a descriptor leaves the reach of a connection that is wrapped inline. An operation of such a class is not executed over TCP;
# the answer here stands for it. None instead of an answer: as TCP.
REFUSED = {
    "standard": "EACCES",   # dup2 onto 0 to 2
    "stream": "EACCES",     # fdopen
    "pass": "EACCES",       # SCM_RIGHTS
    "exec": "closed",       # the new program does not find it
    "shared": "EIO",        # a direction that another process has used since the fork
}

ROOM = 30000                # bytes that may be under way in one direction without anybody reading


class Op:
    """One operation: who, what, and whether the driver goes on without its answer (until `join`)."""

    def __init__(self, actor, *words, background=False):
        self.actor, self.words, self.background = actor, tuple(str(w) for w in words), background

    @property
    def verb(self):
        return self.words[0]

    def __str__(self):
        return "%s%s %s" % (self.actor, "&" if self.background else "", " ".join(self.words))

    @classmethod
    def parse(cls, line):
        actor, *words = line.split()
        return cls(actor.rstrip("&"), *words, background=actor.endswith("&"))


class Claim:
    """One direction of one end: which process has used it since the fork that made this claim."""

    def __init__(self, owner):
        self.owner = owner
        self.certain = False        # a wait may have used it, or not


class End:
    def __init__(self, number):
        self.number = number
        self.sent = self.read = 0
        self.shut_write = self.shut_read = self.closed = False
        self.nonblocking = False
        self.timeout = 0
        self.lowat = 1

    @property
    def ended(self):
        return self.shut_write or self.closed


class Connection:
    def __init__(self, number):
        self.number = number
        self.ends = (End(0), End(1))
        self.awaited = self.reset = False
        self.loose = False                      # a farewell has met an end that reads no more: the kernel has reset, TCP would not have
        self.greeted = self.dialled = False     # the server has begun its part of the handshake; the client has waited for its own

    @property
    def established(self):
        return self.greeted and self.dialled

    def waiting(self, end):
        """Bytes that this end can read."""
        return self.ends[1 - end.number].sent - end.read


class File:
    """An open file description: what several numbers stand for."""

    def __init__(self, kind, connection=None, end=None):
        self.kind, self.connection, self.end = kind, connection, end
        self.nonblocking = False
        self.pending = []           # of a listener: connections not accepted yet
        self.watched = {}           # of an epoll set: slot -> Watch
        self.refs = 0


class Watch:
    def __init__(self, file, events):
        self.file, self.edge, self.once = file, "+et" in events, "+oneshot" in events


class Process:
    def __init__(self, name):
        self.name = name
        self.slots = {}
        self.claims = {}            # (end, "r" or "w") -> Claim
        self.lost = set()           # ends whose use was refused here

    def claim(self, end, way):
        return self.claims.setdefault((end, way), Claim(self.name))


class Model:
    def __init__(self, single=False):
        self.actors = {"A": Process("A")}
        self.actors["B"] = self.actors["A"] if single else Process("B")
        self.busy = {}
        self.connections = []
        self.over = False

    # --- asking ---

    def file(self, op, n=1):
        process = self.actors.get(op.actor)
        return process.slots.get(op.words[n]) if process and n < len(op.words) else None

    def usable(self, process, end, way):
        claim = process.claims.get((end, way))
        return end not in process.lost and (claim is None or claim.owner in (None, process.name))

    def would_block(self, op, file):
        """Would a read or a write of this size wait for ever? Those with a time limit do not."""
        end, connection = file.end, file.connection
        if op.words[3].startswith("read") and op.words[2] == "0":
            return False
        if file.nonblocking or "dontwait" in op.words or connection.reset or end.timeout or end.shut_read:
            return False
        need = max(1, int(op.words[2])) if "all" in op.words else min(end.lowat, max(1, int(op.words[2])))
        return connection.waiting(end) < need and not connection.ends[1 - end.number].ended

    def allows(self, op):
        """Does it make sense here? Also false for what would wait for ever, or for what the other end could not take."""
        if self.over or op.actor not in self.actors:
            return False
        if op.verb == "join":
            return op.actor in self.busy and self.may_join(self.busy[op.actor])
        if op.actor in self.busy:
            return False
        check = getattr(self, "allows_" + op.verb, None)
        return check(op) if check else self.open_slots(op)

    def may_join(self, op):
        files = [self.actors[op.actor].slots.get(w.split(":")[0]) for w in op.words[1:] if self.is_slot(w)]
        files += [w.file for f in files if f for w in f.watched.values()]
        files = [f for f in files if f and f.kind == "connection"]
        client = [f for f in files if f.end.number == 0]
        return all(f.connection.greeted if f in client else f.connection.established for f in files)

    def open_slots(self, op):
        slots = self.actors[op.actor].slots
        return all(w.split(":")[0] in slots for w in op.words[1:] if self.is_slot(w))

    @staticmethod
    def is_slot(word):
        return word[0] == "s" and word.split(":")[0][1:].isdigit()

    def allows_new(self, op):
        return op.words[1] not in self.actors[op.actor].slots

    allows_socket = allows_listen = allows_epoll = allows_new

    def allows_connect(self, op):
        file = self.file(op)
        listener = self.actors["B"].slots.get(op.words[2][1:]) if op.words[2][0] == "@" else None
        return bool(file and file.kind == "socket" and listener and listener.kind == "listener" and not listener.pending)

    def allows_accept(self, op):
        file = self.file(op)
        if not file or file.kind != "listener" or op.words[2] in self.actors[op.actor].slots:
            return False
        return self.driven(file.pending[0]) if file.pending else file.nonblocking

    def driven(self, connection):
        """An accept that makes the handshake waits for the client: somebody must be waiting there, or have a TLS of its own."""
        if not connection.awaited:
            return True
        for actor, op in self.busy.items():
            for word in op.words[1:]:
                file = self.actors[actor].slots.get(word.split(":")[0])
                if file and (file.connection is connection or any(w.file.connection is connection for w in file.watched.values())):
                    return True
        return False

    def connected(self, op):
        file = self.file(op)
        return file if file and file.kind == "connection" and file.connection.established else None

    def allows_tls(self, op):
        file = self.file(op)
        return bool(file and file.kind == "connection" and not file.connection.established and file.end.number == ("client", "server").index(op.words[2]) and
                    (op.words[2] == "server" or file.connection.greeted))

    def allows_option(self, op):
        return bool(self.connected(op) and not self.connected(op).connection.loose)

    allows_names = allows_timeout = allows_option

    def uses(self, op, way):
        """The connection, if this process may use this direction of it, or if the refusal is what is tried ("shared" among the words)."""
        file = self.connected(op)
        if not file or (file.connection.loose and (way == "w" or file.end.shut_read)):
            return None
        allowed = self.usable(self.actors[op.actor], file.end, way)
        claim = self.actors[op.actor].claims.get((file.end, way))
        if "shared" in op.words and (file.end.shut_write or file.end.shut_read or not (claim and claim.certain)):
            return None
        return file if allowed != ("shared" in op.words) and file.end not in self.actors[op.actor].lost else None

    def allows_recv(self, op):
        file = self.uses(op, "r")
        if op.background:               # Linux wakes nobody below SO_RCVLOWAT, however little was asked for
            return bool(file and file.end.lowat == 1)
        return bool(file and not self.would_block(op, file))

    def allows_send(self, op):
        file = self.uses(op, "w")
        if not file:
            return False
        end, n = file.end, int(op.words[2])
        taken = end.sent - file.connection.ends[1 - end.number].read
        return end.closed is False and taken + n <= ROOM

    allows_file = allows_send

    def allows_nsend(self, op):
        return self.allows_send(op) and self.native_writes(self.file(op))

    def allows_nrecv(self, op):
        file = self.uses(op, "r")
        need = int(op.words[2])
        return bool(file and (file.connection.waiting(file.end) >= need or file.connection.ends[1 - file.end.number].ended))

    def allows_writeall(self, op):
        file = self.uses(op, "w")
        return bool(file and not file.connection.reset and not file.end.shut_write and
                    not file.connection.ends[1 - file.end.number].closed and not file.connection.ends[1 - file.end.number].shut_read and
                    (op.background or self.allows_send(op)))

    def allows_readall(self, op):
        file = self.uses(op, "r")
        need = int(op.words[2])
        return bool(file and not file.end.shut_read and not file.connection.reset and file.connection.waiting(file.end) >= need)

    def allows_fionread(self, op):
        return bool(self.uses(op, "r"))

    def allows_shutdown(self, op):
        file = self.connected(op)
        if not file or file.connection.loose:
            return False
        return op.words[2] == "0" or self.usable(self.actors[op.actor], file.end, "w")

    def allows_nshut(self, op):
        return self.native_writes(self.uses(op, "w"))

    @staticmethod
    def native_writes(file):
        """A library's own farewell meets a reset where a plain shutdown would not."""
        return bool(file and not file.end.shut_write and not file.connection.reset and not file.connection.ends[1 - file.end.number].ended and
                    not file.connection.ends[1 - file.end.number].shut_read)

    def allows_nonblock(self, op):
        """Whether a one-shot watch has fired is the kernel's secret: a switch to blocking mode arms it again."""
        file = self.file(op)
        sets = {f for p in self.actors.values() for f in p.slots.values() if f.kind == "epoll"}
        return bool(file) and not any(w.file is file and w.once for s in sets for w in s.watched.values())

    def allows_dup(self, op):
        return bool(self.file(op)) and op.words[2] not in self.actors[op.actor].slots

    allows_dupfd = allows_dup

    def allows_pass(self, op):
        return bool(self.connected(op)) and self.allows_dup(op)

    def allows_stream(self, op):
        return bool(self.uses(op, "w") and REFUSED["stream"])

    def allows_dup2(self, op):
        file, slots = self.file(op), self.actors[op.actor].slots
        if not file or op.words[3] in slots or op.words[1] == op.words[2]:
            return False
        if not self.is_slot(op.words[2]):
            return bool(self.connected(op))
        other = slots.get(op.words[2])
        return bool(other) and other is not file and self.may_close(self.actors[op.actor], other)

    def last(self, process, file):
        return file.refs == 1

    def may_close(self, process, file):
        """The last one to close must be the one that may write, or no farewell could be said."""
        if file.kind == "connection" and not file.connection.established:
            return False
        return file.kind != "connection" or file.refs > 1 or self.usable(process, file.end, "w")

    def allows_close(self, op):
        file = self.file(op)
        return bool(file) and not any(file is self.file(b) for b in self.busy.values()) and self.may_close(self.actors[op.actor], file)

    def allows_poll(self, op):
        """A poll that may wait for ever goes to the background; one in a process that may not read would take the right to."""
        process = self.actors[op.actor]
        for word in op.words[2:]:
            file = process.slots.get(word.split(":")[0])
            if not file or (file.kind == "connection" and not self.usable(process, file.end, "r")) or file.kind == "socket":
                return False
            if file.kind == "epoll" and any(w.edge for w in file.watched.values()):     # an edge told twice would show here
                return False
            if file.kind == "connection" and not file.connection.established and int(op.words[1]) < 3000:
                return False
            if file.kind == "connection" and (file.connection.loose or file.end.lowat > 1):
                return False
        return op.background or int(op.words[1]) >= 0

    allows_ppoll = allows_select = allows_pselect = allows_poll

    def allows_wait(self, op):
        file, process = self.file(op), self.actors[op.actor]
        if not file or file.kind != "epoll" or file.owner is not process:
            return False
        return all(f.kind != "connection" or self.usable(process, f.end, "r") and not f.connection.loose and f.end.lowat == 1 and
                   (f.connection.established or int(op.words[2]) >= 3000) for f in (w.file for w in file.watched.values()))

    def allows_watch(self, op):
        file, other = self.file(op), self.file(op, 2)
        return bool(file and other and file.kind == "epoll" and file.owner is self.actors[op.actor] and other.kind in ("connection", "listener"))

    def allows_fork(self, op):
        return op.words[1] not in self.actors and not self.busy_in(self.actors[op.actor])

    allows_thread = allows_fork

    def busy_in(self, process):
        return [a for a in self.busy if self.actors[a] is process]

    def threads(self, process):
        return [a for a, p in self.actors.items() if p is process]

    def allows_exec(self, op):
        process = self.actors[op.actor]
        return len(self.threads(process)) == 1 and all(f.refs > 1 or f.kind != "connection" for f in process.slots.values()) and \
            sum(f.kind == "connection" for f in process.slots.values()) == len({f for f in process.slots.values() if f.kind == "connection"})

    def allows_exit(self, op):
        process = self.actors[op.actor]
        return len(self.threads(process)) == 1 and all(self.may_close(process, f) for f in process.slots.values())

    # --- what follows ---

    def apply(self, op):
        if op.verb == "join":
            op = self.busy.pop(op.actor)
            if op.verb not in ("send", "writeall"):     # these have counted since they began
                self.finish(op)
        elif op.background:
            self.busy[op.actor] = op
            if op.verb in ("connect", "send", "writeall"):
                self.finish(op)
            elif op.verb in ("poll", "ppoll", "select", "pselect"):
                self.greet(op)
        else:
            self.finish(op)

    def finish(self, op):
        effect = getattr(self, "apply_" + op.verb, None)
        if effect and not ("shared" in op.words and REFUSED["shared"]):
            effect(op)
        elif effect:
            self.actors[op.actor].lost.add(self.file(op).end)

    def put(self, process, slot, file):
        process.slots[slot] = file
        file.refs += 1

    def drop(self, process, slot):
        file = process.slots.pop(slot)
        file.refs -= 1
        if file.refs or file.kind != "connection":
            return
        end, connection = file.end, file.connection
        if connection.waiting(end) > 0:
            connection.reset = True
        end.closed = True
        self.farewell(end, connection)

    @staticmethod
    def farewell(end, connection):
        if connection.ends[1 - end.number].shut_read or connection.ends[1 - end.number].closed:
            connection.loose = True

    def apply_socket(self, op):
        file = File("socket")
        file.nonblocking = "nb" in op.words
        self.put(self.actors[op.actor], op.words[1], file)

    def apply_listen(self, op):
        file = File("listener")
        file.nonblocking = "nb" in op.words
        self.put(self.actors[op.actor], op.words[1], file)

    def apply_epoll(self, op):
        """One process uses a set: what another has registered since a fork, a process cannot know."""
        file = File("epoll")
        file.owner = self.actors[op.actor]
        self.put(file.owner, op.words[1], file)

    def apply_connect(self, op):
        file = self.file(op)
        if file.kind != "socket":
            file.connection.dialled = True      # joined: the beginning has done the rest
            return
        listener = self.actors["B"].slots[op.words[2][1:]]
        connection = Connection(len(self.connections))
        self.connections.append(connection)
        file.kind, file.connection, file.end = "connection", connection, connection.ends[0]
        connection.awaited = file.nonblocking or op.background
        listener.pending.append(connection)

    def apply_accept(self, op):
        listener = self.file(op)
        if not listener.pending:
            return
        connection = listener.pending.pop(0)
        file = File("connection", connection, connection.ends[1])
        file.nonblocking = "nb" in op.words
        self.put(self.actors[op.actor], op.words[2], file)

    def use(self, op, way):
        file, process = self.file(op), self.actors[op.actor]
        claim = process.claim(file.end, way)
        claim.owner, claim.certain = process.name, True
        return file

    def apply_recv(self, op):
        file = self.use(op, "r")
        end, connection = file.end, file.connection
        if "peek" in op.words:
            return
        end.read += min(connection.waiting(end), int(op.words[2]))

    apply_readall = apply_nrecv = apply_recv

    def apply_fionread(self, op):
        self.use(op, "r")

    def apply_send(self, op):
        file = self.use(op, "w")
        end, connection = file.end, file.connection
        peer = connection.ends[1 - end.number]
        if peer.closed or peer.shut_read:
            connection.reset = connection.reset or peer.closed
            connection.loose = connection.loose or peer.shut_read
        elif not end.shut_write and not connection.reset:
            end.sent += int(op.words[2]) if op.verb != "send" or "oob" not in op.words else 0

    apply_writeall = apply_file = apply_nsend = apply_send

    def apply_shutdown(self, op):
        file = self.connected(op)
        how = int(op.words[2])
        if how:
            self.use(op, "w")
        file.end.shut_read |= how != 1
        file.end.shut_write |= how != 0
        if how:
            self.farewell(file.end, file.connection)

    def apply_nshut(self, op):
        self.use(op, "w").end.shut_write = True

    def apply_dup(self, op):
        if op.verb != "pass" or not REFUSED["pass"]:
            self.put(self.actors[op.actor], op.words[2], self.file(op))

    apply_dupfd = apply_pass = apply_dup

    def apply_dup2(self, op):
        process, file = self.actors[op.actor], self.file(op)
        if not self.is_slot(op.words[2]) and REFUSED["standard"]:
            return
        if self.is_slot(op.words[2]):
            self.drop(process, op.words[2])
        self.put(process, op.words[3], file)

    def apply_close(self, op):
        self.drop(self.actors[op.actor], op.words[1])

    def apply_nonblock(self, op):
        self.file(op).nonblocking = op.words[2] == "1"

    def apply_timeout(self, op):
        file = self.connected(op)
        if file and op.words[2] == "rcv":
            file.end.timeout = int(op.words[3])

    def apply_option(self, op):
        file = self.connected(op)
        if file and op.words[2] == "lowat" and len(op.words) > 3:
            file.end.lowat = max(1, int(op.words[3]))

    def polled(self, op, slots):
        process = self.actors[op.actor]
        for slot in slots:
            file = process.slots.get(slot)
            if file and file.kind == "connection":
                if file.end.number == 0:
                    file.connection.dialled = True
                process.claim(file.end, "r").owner = process.name

    def greet(self, op):
        """The server's first wait: its handshake runs from there."""
        for word in op.words[2:]:
            file = self.actors[op.actor].slots.get(word.split(":")[0])
            if file and file.kind == "connection" and file.end.number == 1:
                file.connection.greeted = True

    def apply_tls(self, op):
        file = self.file(op)
        if op.words[2] == "server":
            file.connection.greeted = True
        else:
            file.connection.dialled = True

    def apply_poll(self, op):
        self.greet(op)
        self.polled(op, [w.split(":")[0] for w in op.words[2:]])

    apply_ppoll = apply_select = apply_pselect = apply_poll

    def apply_watch(self, op):
        file, other = self.file(op), self.file(op, 2)
        how, known = op.words[4], file.watched.get(op.words[2])
        known = bool(known and known.file is other)
        if how == "del":
            file.watched.pop(op.words[2], None)
        elif known == (how == "mod"):           # else EEXIST, ENOENT
            file.watched[op.words[2]] = Watch(other, op.words[3])

    def apply_wait(self, op):
        self.polled(op, self.file(op).watched)

    def apply_thread(self, op):
        self.actors[op.words[1]] = self.actors[op.actor]

    def apply_fork(self, op):
        parent, child = self.actors[op.actor], Process(op.words[1])
        for slot, file in parent.slots.items():
            self.put(child, slot, file)
        for end in {f.end for f in parent.slots.values() if f.kind == "connection"}:
            for way in "rw":
                claim = parent.claim(end, way)
                if claim.owner == parent.name:
                    claim = parent.claims[end, way] = Claim(None)
                child.claims[end, way] = claim
        child.lost = set(parent.lost)
        self.actors[child.name] = child

    def apply_exec(self, op):
        process = self.actors[op.actor]
        for slot, file in list(process.slots.items()):
            if file.kind == "connection" and REFUSED["exec"]:
                self.drop(process, slot)

    def apply_exit(self, op):
        process = self.actors.pop(op.actor)
        for slot in list(process.slots):
            self.drop(process, slot)
        if not self.actors:
            self.over = True

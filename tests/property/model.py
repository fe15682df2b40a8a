"""What a sequence of operations means: which descriptor is which end of which connection, what has been sent and not yet read, who would block.

The generator asks it what makes sense next, the shrinker what still makes sense without some of the operations, and the driver who waits for
whom. It predicts no results: those come from TCP.
"""

ROUTES = ("inline", "auto", "relay")
# Answers where a descriptor leaves the reach of a connection that is wrapped inline. An operation of such a class is not executed over TCP;
# the answer here stands for it. Under another route than inline the connection is the relay's from there on, and the answer TCP's, unless
# another process holds a direction of it.
REFUSED = {
    "standard": "EACCES",   # dup2 onto 0 to 2
    "stream": "EACCES",     # fdopen
    "pass": "EACCES",       # SCM_RIGHTS
    "shared": "EIO",        # a direction that another process has used since the fork
}
AS_TCP = set()              # classes that are judged as if they were never refused

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
        self.relayed = False

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
        self.wires = []             # of what the relay has: the description that other processes still have
        self.stale = False          # such a description

    def held(self):
        """Does another process keep what the relay has taken?"""
        return any(f.refs for f in self.wires)


class Watch:
    def __init__(self, file, events):
        self.file, self.edge, self.once = file, "+et" in events, "+oneshot" in events


class Process:
    def __init__(self, name):
        self.name = name
        self.slots = {}
        self.claims = {}            # (end, "r" or "w") -> Claim
        self.lost = set()           # ends whose use was refused here
        self.cloexec = set()        # slots
        self.meant = set()          # slots that were doubled or made inheritable on purpose
        self.numbers = {}           # 0, 1, 2 -> slot

    def claim(self, end, way):
        return self.claims.setdefault((end, way), Claim(self.name))


class Model:
    def __init__(self, single=False, route="inline"):
        self.route = route
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
        return end not in process.lost and (end.relayed or claim is None or claim.owner in (None, process.name))

    def known(self, process, end):
        """Is it certain whose the directions are?"""
        claims = [process.claims.get((end, way)) for way in "rw"]
        return all(c is None or c.owner is None or c.owner == process.name or c.certain for c in claims)

    # --- leaving ---

    def leaves(self, op):
        """The class of those operations by which a descriptor leaves our sight."""
        if op.verb == "dup2" and (not self.is_slot(op.words[2]) or op.words[2] in self.actors[op.actor].numbers.values()):
            return "standard"
        return op.verb if op.verb in ("stream", "pass") else None

    def refusal(self, op):
        """The contract's answer where TCP has another one, or None."""
        if "shared" in op.words:
            return None if "shared" in AS_TCP else REFUSED["shared"]
        leaves, file = self.leaves(op), self.file(op)
        if not leaves or leaves in AS_TCP or file.end.relayed:
            return None
        return REFUSED[leaves] if self.route == "inline" or not self.takes(self.actors[op.actor], file) else None

    @staticmethod
    def over_or_failed(file):
        return file.connection.reset or (file.end.shut_write and (file.end.shut_read or file.connection.ends[1 - file.end.number].ended))

    def takes(self, process, file):
        return all(self.usable(process, file.end, way) for way in "rw")

    def may_leave(self, op):
        """Another thread's wait would be in the way, and what another process goes on using would end otherwise than over TCP."""
        file, process = self.connected(op), self.actors[op.actor]
        if not file or file.stale or file.end in process.lost or file.connection.loose:
            return False
        if file.end.relayed or self.route == "inline":
            return True
        if self.over_or_failed(file):       # stays: EACCES
            return False
        return not self.busy_in(process) and self.known(process, file.end) and self.may_share(process, file)

    def may_share(self, process, file):
        """Another process that has it, too, is not in the midst of watching what it will lose."""
        others = {p for p in self.actors.values() if p is not process and file in p.slots.values()}
        return not self.takes(process, file) or not any(w.file is file for p in others for f in p.slots.values()
                                                        if f.kind == "epoll" and f.owner is p for w in f.watched.values())

    def hand_over(self, process, file):
        """The relay takes it: another open file description for this process, and nothing of use for the others."""
        file.end.relayed = True
        if all(p is process or file not in p.slots.values() for p in self.actors.values()):
            return
        new = File(file.kind, file.connection, file.end)
        new.nonblocking, new.wires = file.nonblocking, [file]
        file.stale = True
        for slot in [s for s, f in process.slots.items() if f is file]:
            process.slots[slot] = new
            file.refs, new.refs = file.refs - 1, new.refs + 1
        for each in process.slots.values():
            for watch in each.watched.values():
                if watch.file is file and each.owner is process:
                    watch.file = new
        for other in self.actors.values():
            if other is not process and file in other.slots.values():
                other.lost.add(file.end)

    def leave(self, op):
        if self.route != "inline" and not self.file(op).end.relayed:
            self.hand_over(self.actors[op.actor], self.file(op))

    def settle(self):
        """route = relay: whatever is open is the relay's."""
        for connection in self.connections if self.route == "relay" else ():
            if connection.established:
                for end in connection.ends:
                    end.relayed = True

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
        return file if file and file.kind == "connection" and not file.stale and file.connection.established else None

    def allows_tls(self, op):
        file = self.file(op)
        return bool(file and file.kind == "connection" and not file.connection.established and file.end.number == ("client", "server").index(op.words[2]) and
                    (op.words[2] == "server" or file.connection.greeted))

    def allows_names(self, op):
        return bool(self.connected(op) and not self.connected(op).connection.loose)

    allows_timeout = allows_names

    def allows_option(self, op):
        """TCP makes an edge where SO_RCVLOWAT is set; ours is not the wire's."""
        sets = {f for p in self.actors.values() for f in p.slots.values() if f.kind == "epoll"}
        edges = len(op.words) > 3 and op.words[2] == "lowat" and any(w.file is self.file(op) and w.edge for s in sets for w in s.watched.values())
        if self.route != "inline" and op.words[2] == "nodelay" and self.connected(op) and self.over_or_failed(self.file(op)):
            return False                # the relay, which knew it, has forgotten the connection
        return self.allows_names(op) and not edges

    def uses(self, op, way):
        """The connection, if this process may use this direction of it, or if the refusal is what is tried ("shared" among the words)."""
        file = self.connected(op)
        if not file or (file.connection.loose and (way == "w" or file.end.shut_read)):
            return None
        allowed = self.usable(self.actors[op.actor], file.end, way)
        claim = self.actors[op.actor].claims.get((file.end, way))
        if "shared" in op.words and (file.end.shut_write or file.end.shut_read or file.end.relayed or not (claim and claim.certain)):
            return None
        return file if allowed != ("shared" in op.words) and file.end not in self.actors[op.actor].lost else None

    def allows_recv(self, op):
        file = self.uses(op, "r")
        if file and op.words[2] == "0" and self.route != "inline" and not file.connection.waiting(file.end):
            return False                # a pair waits for something, TCP does not
        if op.background:               # Linux wakes nobody below SO_RCVLOWAT, however little was asked for
            return bool(file and file.end.lowat == 1)
        return bool(file and not self.would_block(op, file) and not (file.connection.loose and file.connection.reset))

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
        """What had arrived before a reset is a matter of luck."""
        file = self.uses(op, "r")
        need = int(op.words[2])
        return bool(file and not file.connection.reset and (file.connection.waiting(file.end) >= need or file.connection.ends[1 - file.end.number].ended))

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
        return bool(file) and not file.stale and not any(w.file is file and w.once for s in sets for w in s.watched.values())

    def allows_flags(self, op):
        return bool(self.file(op)) and not self.file(op).stale

    def allows_dup(self, op):
        return bool(self.file(op)) and op.words[2] not in self.actors[op.actor].slots

    allows_dupfd = allows_dup

    def allows_pass(self, op):
        return self.may_leave(op) and self.allows_dup(op)

    def allows_stream(self, op):
        """Half of what a stream has written is not to be told from outside, so all of it must be taken."""
        file = self.uses(op, "w")
        if not file or not self.may_leave(op):
            return False
        taken = file.end.sent - file.connection.ends[1 - file.end.number].read
        return self.route == "inline" or (self.native_writes(file) and taken + int(op.words[4]) <= ROOM)

    def allows_dup2(self, op):
        file, slots = self.file(op), self.actors[op.actor].slots
        if not file or op.words[3] in slots or op.words[1] == op.words[2]:
            return False
        if not self.is_slot(op.words[2]):
            there = self.actors[op.actor].numbers.get(op.words[2])
            return self.may_leave(op) and there != op.words[1] and (not there or self.may_close(self.actors[op.actor], slots[there]))
        other = slots.get(op.words[2])
        if self.leaves(op) and not self.may_leave(op):
            return False
        return bool(other) and other is not file and self.may_close(self.actors[op.actor], other)

    def last(self, process, file):
        return file.refs == 1

    def may_close(self, process, file):
        """The last one to close must be the one that may write, or no farewell could be said."""
        if file.kind == "connection" and not file.connection.established:
            return False
        if file.kind == "connection" and (file.stale or file.end.relayed):
            return file.stale or file.refs > 1 or not file.held()
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
        """What is closed by it says no farewell: somebody else must still have it."""
        process = self.actors[op.actor]
        files = {f for f in process.slots.values() if f.kind == "connection"}
        if len(self.threads(process)) > 1 or not all(f.connection.established for f in files):
            return False
        if any(self.meant(process, f) and self.over_or_failed(f) for f in files):
            return False
        if any(self.meant(process, f) and not (self.known(process, f.end) and self.may_share(process, f)) for f in files):
            return False
        kept = [f for s, f in process.slots.items() if f in files and self.stays(process, s)]
        return all(f in kept or f.refs > sum(g is f for g in process.slots.values()) for f in files)

    def meant(self, process, file):
        """Is it handed over at an exec?"""
        return self.route != "inline" and not file.end.relayed and file.end not in process.lost and \
            any(f is file and s in process.meant and s not in process.cloexec for s, f in process.slots.items())

    def stays(self, process, slot):
        """Does a new program find this connection?"""
        file = process.slots[slot]
        if slot in process.cloexec or file.stale:
            return False
        return "exec" in AS_TCP or file.end.relayed or (self.meant(process, file) and self.takes(process, file))

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
                self.claim(op, [w.split(":")[0] for w in op.words[2:]])
            elif op.verb == "wait":
                self.claim(op, self.file(op).watched)
        else:
            self.finish(op)

    def finish(self, op):
        effect = getattr(self, "apply_" + op.verb, None)
        refusal = self.refusal(op)
        if refusal and "shared" in op.words:
            self.actors[op.actor].lost.add(self.file(op).end)
        elif effect and not refusal:
            effect(op)
        self.settle()

    def put(self, process, slot, file, cloexec=False, meant=False):
        process.slots[slot] = file
        file.refs += 1
        if cloexec:
            process.cloexec.add(slot)
        if meant:
            process.meant.add(slot)

    def drop(self, process, slot):
        file = process.slots.pop(slot)
        file.refs -= 1
        process.cloexec.discard(slot)
        process.meant.discard(slot)
        for number in [n for n, s in process.numbers.items() if s == slot]:
            del process.numbers[number]
        if file.refs or file.kind != "connection" or file.stale:
            return
        end, connection = file.end, file.connection
        if connection.waiting(end) > 0:
            connection.reset = True
            # what another process has decrypted and not read is unread to nobody
            reader = process.claims.get((end, "r"))
            connection.loose |= not end.relayed and reader is not None and reader.owner not in (None, process.name)
            # behind an end of stream the relay finds no reset before it writes
            connection.loose |= end.shut_write and connection.ends[1 - end.number].relayed
        end.closed = True
        self.farewell(end, connection)

    @staticmethod
    def farewell(end, connection):
        if connection.ends[1 - end.number].shut_read or connection.ends[1 - end.number].closed:
            connection.loose = True

    def apply_socket(self, op):
        file = File("socket")
        file.nonblocking = "nb" in op.words
        self.put(self.actors[op.actor], op.words[1], file, "cloexec" in op.words)

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
        self.put(self.actors[op.actor], op.words[2], file, "cloexec" in op.words and "plain" not in op.words)

    def use(self, op, way):
        file, process = self.file(op), self.actors[op.actor]
        claim = process.claim(file.end, way)
        claim.owner = process.name
        claim.certain |= op.verb not in ("recv", "send") or op.words[2] != "0"
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
        self.put(self.actors[op.actor], op.words[2], self.file(op), "cloexec" in op.words, "cloexec" not in op.words)

    apply_dupfd = apply_dup

    def apply_pass(self, op):
        self.leave(op)
        self.put(self.actors[op.actor], op.words[2], self.file(op))

    def apply_stream(self, op):
        self.leave(op)
        self.use(op, "w").end.sent += int(op.words[4])

    def apply_dup2(self, op):
        process, onto, new = self.actors[op.actor], op.words[2], op.words[3]
        if self.leaves(op):
            self.leave(op)
        there = onto if self.is_slot(onto) else process.numbers.get(onto)
        number = next((n for n, s in process.numbers.items() if s == there), None if self.is_slot(onto) else onto)
        file = self.file(op)
        if there:
            self.drop(process, there)
        self.put(process, new, file, "cloexec" in op.words, "cloexec" not in op.words)
        if number is not None:
            process.numbers[number] = new

    def apply_cloexec(self, op):
        process, slot = self.actors[op.actor], op.words[1]
        if op.words[2] == "1":
            process.cloexec.add(slot)
        else:
            process.cloexec.discard(slot)
            process.meant.add(slot)

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

    def claim(self, op, slots):
        process = self.actors[op.actor]
        files = [f for f in map(process.slots.get, slots) if f and f.kind == "connection"]
        for file in files:
            process.claim(file.end, "r").owner = process.name
        return files

    def polled(self, op, slots):
        for file in self.claim(op, slots):
            if file.end.number == 0:
                file.connection.dialled = True

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
        child.cloexec, child.meant, child.numbers = set(parent.cloexec), set(parent.meant), dict(parent.numbers)
        self.actors[child.name] = child

    def apply_exec(self, op):
        process = self.actors[op.actor]
        kept = {s for s, f in process.slots.items() if f.kind != "connection" or self.stays(process, s)}
        for file in {f for f in process.slots.values() if f.kind == "connection" and self.meant(process, f) and self.takes(process, f)}:
            self.hand_over(process, file)
        for slot in list(process.slots):
            if slot not in kept or slot in process.cloexec:
                self.drop(process, slot)
        process.meant = set()

    def apply_exit(self, op):
        process = self.actors.pop(op.actor)
        for slot in list(process.slots):
            self.drop(process, slot)
        if not self.actors:
            self.over = True

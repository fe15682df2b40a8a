#!/usr/bin/env python3
"""A native TLS peer (Python's ssl module) that breaks handshakes at every byte: one connection a byte, all with one wrapped program.

cutter.py PORT VERSION CERTS connect|accept COMMAND...   the COMMAND connects or accepts (tests/probes/cut.c); VERSION is 1.2 or 1.3

First and last, and between the sweeps, a connection that is not cut must work. Of the others
fin   ends behind N of our bytes; then we read to the end, so that all that the program writes is seen
rst   is reset behind N of the program's bytes
for each N from none to the whole handshake. One line for each thing that is wrong, then a count; status 0 if nothing is.
"""
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from wire import judge  # noqa: E402

PATIENCE = 10
SECRET = os.environ.get("CANARY", "secret words").encode() + b"\n"
WHOLE = None
MODES = "blocking", "nonblocking"


def make_context(version, certs, server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    if server:
        context.load_cert_chain(certs + "/server.pem", certs + "/server.key")
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    else:
        context.load_verify_locations(certs + "/ca.pem")
    return context


class Peer:
    """Our end of the handshake, in memory."""

    def __init__(self, context, server):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=None if server else "localhost")
        self.flights = 1 if server and context.minimum_version == ssl.TLSVersion.TLSv1_3 else 2
        self.done = False

    def advance(self, data):
        """What we answer."""
        self.incoming.write(data)
        if not self.done:
            try:
                self.tls.do_handshake()
                self.done = True
            except ssl.SSLWantReadError:
                pass
        return self.outgoing.read()


class Meeting:
    """One connection. `cut` is a number of bytes, ours (fin) or the program's (rst), or WHOLE."""

    def __init__(self, sock, peer, how, cut):
        self.sock, self.peer, self.how, self.cut = sock, peer, how, cut
        self.sent, self.flights, self.got = 0, 0, bytearray()
        self.complete = False   # all of our handshake is out: the program may believe that it is connected

    def room(self, how, used):
        return self.cut - used if self.how == how and self.cut is not WHOLE else 65536

    def send(self, data):
        part = data[:self.room("fin", self.sent)]
        self.sock.sendall(part)
        self.sent += len(part)
        if data:
            self.flights += 1
            self.complete = self.flights == self.peer.flights and len(part) == len(data)

    def receive(self):
        data = self.sock.recv(self.room("rst", len(self.got)))
        self.got += data
        return data

    def is_cut(self):
        return self.room("fin", self.sent) == 0 or self.room("rst", len(self.got)) == 0

    def handshake(self):
        """Until it is cut, or done."""
        if self.is_cut():
            return
        self.send(self.peer.advance(b""))
        while not self.is_cut() and not self.peer.done:
            data = self.receive()
            if not data:
                raise OSError("the program ended first")
            self.send(self.peer.advance(data))

    def read(self):
        while True:
            try:
                return self.peer.tls.read(100)
            except ssl.SSLWantReadError:
                data = self.receive()
                if not data:
                    raise OSError("the program ended without an answer")
                self.peer.incoming.write(data)

    def talk(self, speak_first):
        """The connection works."""
        self.cut = WHOLE
        if speak_first:
            self.peer.tls.write(SECRET)
            self.sock.sendall(self.peer.outgoing.read())
        if self.read() != SECRET:
            raise OSError("not what the program writes")
        if not speak_first:
            self.peer.tls.write(SECRET)
            self.sock.sendall(self.peer.outgoing.read())

    def end(self):
        if self.how == "rst" and self.is_cut():
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.sock.shutdown(socket.SHUT_WR)
            try:
                while self.receive():
                    pass
            except ConnectionError:
                pass
        self.sock.close()


class Sweep:
    def __init__(self, port, version, certs, role, command):
        self.port, self.version, self.certs, self.role = port, version, certs, role
        self.listener = socket.create_server(("127.0.0.1", port)) if role == "connect" else None
        self.log = tempfile.TemporaryFile("w+")
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, bufsize=0)
        self.wrong = self.cuts = self.unfinished = 0

    def complain(self, how, cut, what):
        self.wrong += 1
        print("TLS %s, %s, %s at %s: %s" % (self.version, self.role, how, "the end" if cut is WHOLE else cut, what), flush=True)

    def open(self, mode):
        self.program.stdin.write(mode.encode() + b"\n")
        if self.listener:
            self.listener.settimeout(PATIENCE)
            sock = self.listener.accept()[0]
        else:
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def said(self):
        if not select.select([self.program.stdout], [], [], PATIENCE)[0]:
            raise OSError("the program hangs")
        line = self.program.stdout.readline().decode().strip()
        if not line:
            raise OSError("the program is gone: %s" % self.program.wait(PATIENCE))
        return line

    def in_order(self, meeting, line):
        """What the program may say of a connection that was cut: one errno for all, unless it could believe that it was connected."""
        errors = "ok|ECONNRESET" if meeting.complete else "ECONNRESET", "13|ECONNRESET|EPIPE" if meeting.complete else "ECONNRESET"
        if self.role == "accept":
            return re.fullmatch("recv: ECONNRESET, send: (%s)" % errors[1], line)
        return re.fullmatch("connect: (%s), send: (%s), recv: ECONNRESET" % errors, line)

    def meet(self, mode, how, cut):
        """Whether there was something to cut."""
        meeting = Meeting(self.open(mode), Peer(self.context, self.role == "connect"), how, cut)
        meeting.handshake()
        was_cut = meeting.is_cut()
        if not was_cut:
            meeting.talk(self.role == "accept")
        meeting.end()
        line = self.said()
        if was_cut:
            self.cuts += 1
            # A client that goes without a word is no failure; a reset before the first word may still be TCP's connect's.
            self.unfinished += not meeting.complete and (self.role, how, cut) not in (("accept", "fin", 0), ("connect", "rst", 0))
            if not self.in_order(meeting, line):
                self.complain(how, cut, "the program says: %s" % line)
        elif line != {"connect": "connect: ok, send: 13, recv: 13", "accept": "recv: 13, send: 13"}[self.role]:
            self.complain(how, WHOLE, "the program says: %s" % line)
        fault = judge(meeting.got, [SECRET.strip()])
        if fault:
            self.complain(how, cut, "in clear: %r" % bytes(meeting.got))
        return was_cut

    def logged(self):
        """Handshakes of which the log says that they broke; it counts what is too much to be told."""
        number = 0
        self.log.seek(0)
        for line in self.log.read().splitlines():
            told = re.fullmatch(r"wrapsock: warn: (?:(\d+) similar suppressed: )?.*: the (connection broke|peer closed the connection) "
                                r"during the TLS handshake(; .* ECONNRESET)?", line)
            if told:
                number += int(told[1] or 1)
            else:
                self.complain("the log", WHOLE, line)
        return number

    def run(self):
        how = cut = WHOLE
        try:
            if self.role == "accept" and self.said() != "listening":
                raise OSError("the program does not listen")
            for how, step in (("fin", 1), ("rst", 16)):
                for mode in MODES:
                    self.context = make_context(self.version, self.certs, self.role == "connect")
                    self.meet(mode, how, WHOLE)
                    # Nothing of it is resumed.
                    self.context = make_context(self.version, self.certs, self.role == "connect")
                    cut = 0
                    while self.meet(mode, how, cut):
                        cut += step
        except (OSError, ValueError) as error:
            self.complain(how, cut, error)
        self.program.stdin.close()
        status = self.program.wait(PATIENCE)
        if status:
            self.complain("behind", WHOLE, "the program's status is %d" % status)
        logged = self.logged()
        if not self.unfinished <= logged <= self.cuts:
            self.complain("the log", WHOLE, "%d lines for %d unfinished handshakes" % (logged, self.unfinished))
        print("%d cuts, %d wrong" % (self.cuts, self.wrong))
        return 1 if self.wrong or not self.cuts else 0


def main():
    port, version, certs, role = sys.argv[1:5]
    return Sweep(int(port), version, certs, role, sys.argv[5:]).run()


if __name__ == "__main__":
    sys.exit(main())

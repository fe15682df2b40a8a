#!/usr/bin/env python3
"""A bridge between plain TCP and TLS, made of Python's ssl module, so that it shares no code with what is tested.

connect FROM TO   listen for plain TCP on FROM, speak TLS to TO and verify it: the native TLS client of a program that has none
listen FROM TO    listen for TLS on FROM, speak plain TCP to TO: the native TLS server of a program that has none
Half-closes are passed on as close_notify and back. One line on stderr for each connection that fails.
"""
import argparse
import selectors
import socket
import ssl
import sys
import threading

CHUNK = 65536


class Side:
    """One end: bytes come in through `read`, leave through `write`; b"" from read is the end, None is nothing yet."""

    def __init__(self, sock):
        self.sock = sock
        self.queue = bytearray()
        self.closing = self.shut = self.ended = False

    def flush(self):
        while self.queue:
            try:
                del self.queue[:self.sock.send(self.queue)]
            except BlockingIOError:
                return
        if self.closing and not self.shut:
            self.shut = True
            self.sock.shutdown(socket.SHUT_WR)

    def read(self):
        try:
            return self.sock.recv(CHUNK)
        except BlockingIOError:
            return None

    def write(self, data):
        self.queue += data
        self.flush()

    def close_write(self):
        self.closing = True
        self.flush()


class TlsSide(Side):
    def __init__(self, sock, context, server, name):
        super().__init__(sock)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=name)
        self.open = False
        self.waiting = bytearray()
        self.wants_close = False

    def collect(self):
        if self.outgoing.pending:
            self.queue += self.outgoing.read()

    def flush(self):
        self.collect()
        super().flush()

    def feed(self):
        """Take ciphertext from the socket; False when there is none."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return False
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return True

    def handshake(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.flush()
            return False
        self.open = True
        self.flush()
        self.write(b"")
        if self.wants_close:
            self.close_write()
        return True

    def read(self):
        fed = self.feed()
        if not self.open and not self.handshake():
            return None
        parts = []
        try:
            while True:
                data = self.tls.read(CHUNK)
                if not data:
                    break
                parts.append(data)
        except ssl.SSLWantReadError:
            self.flush()
            return b"".join(parts) or None
        except ssl.SSLZeroReturnError:
            pass
        self.flush()
        if parts:
            self.ended = True
            return b"".join(parts)
        return b"" if fed or self.ended else None

    def write(self, data):
        self.waiting += data
        if self.open and self.waiting:
            self.tls.write(bytes(self.waiting))
            self.waiting.clear()
        self.flush()

    def close_write(self):
        if not self.open:
            self.wants_close = True
            return
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.closing = True
        self.flush()


def pump(plain, tls):
    with selectors.DefaultSelector() as selector:
        for side, other in ((plain, tls), (tls, plain)):
            side.sock.setblocking(False)
            selector.register(side.sock, selectors.EVENT_READ, (side, other))
        done = set()
        if not tls.open:
            tls.handshake()
        while len(done) < 2:
            for side in (plain, tls):
                events = selectors.EVENT_WRITE if side.queue else 0
                other = tls if side is plain else plain
                if side not in done and len(other.queue) < 4 * CHUNK:
                    events |= selectors.EVENT_READ
                if side.sock in selector.get_map():
                    if events:
                        selector.modify(side.sock, events, (side, other))
                    else:
                        selector.unregister(side.sock)
                elif events:
                    selector.register(side.sock, events, (side, other))
            for key, events in selector.select():
                side, other = key.data
                if events & selectors.EVENT_WRITE:
                    side.flush()
                if events & selectors.EVENT_READ and side not in done:
                    data = side.read()
                    if data:
                        other.write(data)
                    if data == b"" or side.ended:
                        done.add(side)
                        other.close_write()
        for side in (plain, tls):
            side.sock.setblocking(True)
            if side.queue:
                side.sock.sendall(side.queue)


def serve(options, context, near):
    far = None
    try:
        with near:
            far = socket.create_connection((options.host, options.to), timeout=30)
            with far:
                for sock in (near, far):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if options.mode == "connect":
                    pump(Side(near), TlsSide(far, context, False, options.name))
                else:
                    pump(Side(far), TlsSide(near, context, True, None))
    except OSError as error:
        print("bridge: %s" % error, file=sys.stderr, flush=True)


def make_context(options):
    if options.mode == "connect":
        context = ssl.create_default_context(cafile=options.ca)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if options.ca:
            context.load_verify_locations(options.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    if options.cert:
        context.load_cert_chain(options.cert, options.key)
    if options.version:
        context.minimum_version = context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[options.version]
    if options.alpn:
        context.set_alpn_protocols(options.alpn.split(","))
    return context


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("connect", "listen"))
    parser.add_argument("port", type=int)
    parser.add_argument("to", type=int)
    parser.add_argument("--host", default="localhost", help="where TO is")
    parser.add_argument("--ca", help="connect: trust these; listen: demand a client certificate of these")
    parser.add_argument("--name", default="localhost", help="the server's name, sent and verified")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--version", choices=("1.2", "1.3"))
    parser.add_argument("--alpn")
    options = parser.parse_args()
    context = make_context(options)
    listener = socket.create_server(("::", options.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    while True:
        near, _ = listener.accept()
        threading.Thread(target=serve, args=(options, context, near), daemon=True).start()


if __name__ == "__main__":
    main()

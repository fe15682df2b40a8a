#!/usr/bin/env python3
"""A TLS peer that says words in clear between its records, as somebody on the way would.

injector.py serve|visit PORT tls12|tls13 CERTS first|middle|behind|later    as server or client of one connection

The words stand before all records, behind the first of them (of a client: before its second flight), right behind its last of the handshake, or behind
its first application data. Prints "listening" (serve), then what came of it: "N bytes of application data" that the other end has said after all, and
"in clear" if it said something that is no TLS.
"""
import os
import socket
import ssl
import sys

sys.dont_write_bytecode = True
from wire import judge  # noqa: E402

WORDS = b"RSET\r\nINJECTED WORDS\r\n"
ANSWER = os.environ.get("CANARY", "secret words").encode() + b"\n"


def make_context(serves, kind, certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serves else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}[kind]
    if serves:
        context.load_cert_chain(certs + "/server.pem", certs + "/server.key")
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    else:
        context.load_verify_locations(certs + "/ca.pem")
    return context


def behind_first_record(data):
    at = 5 + int.from_bytes(data[3:5], "big")
    return data[:at] + WORDS + data[at:]


class Injector:
    def __init__(self, sock, context, serves, place):
        self.sock, self.serves, self.place = sock, serves, place
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=serves, server_hostname=None if serves else "localhost")
        self.flights, self.last = 0, 1 if serves and context.minimum_version == ssl.TLSVersion.TLSv1_3 else 2
        self.got, self.heard, self.ended = bytearray(), 0, False

    def flush(self):
        data = self.outgoing.read()
        if not data:
            return
        self.flights += 1
        if self.place == "first" and self.flights == 1 or self.place == "middle" and not self.serves and self.flights == 2:
            data = WORDS + data
        elif self.place == "middle" and self.serves and self.flights == 1:
            data = behind_first_record(data)
        elif self.place == "behind" and self.flights == self.last:
            data += WORDS
        self.sock.sendall(data)

    def receive(self):
        data = self.sock.recv(65536)
        self.got += data
        self.ended = not data
        self.incoming.write(data)

    def handshake(self):
        while not self.ended:
            try:
                self.tls.do_handshake()
                self.flush()
                return
            except ssl.SSLWantReadError:
                self.flush()
                self.receive()

    def converse(self):
        """Application data, until the other end has had enough."""
        if self.place == "later":
            self.tls.write(ANSWER)
            self.sock.sendall(self.outgoing.read() + WORDS)
        while not self.ended:
            try:
                data = self.tls.read(65536)
                self.heard += len(data)
                self.ended = not data
            except ssl.SSLWantReadError:
                self.receive()

    def run(self):
        try:
            self.handshake()
            self.converse()
        except (ssl.SSLError, ConnectionError):
            pass            # an alert, or the end
        try:
            while not self.ended:
                self.receive()
        except ConnectionError:
            pass
        print("%d bytes of application data" % self.heard)
        if judge(self.got, [WORDS, ANSWER.strip()]):
            print("in clear: %r" % bytes(self.got))


def main():
    verb, port, kind, certs, place = sys.argv[1:]
    serves = verb == "serve"
    if serves:
        with socket.create_server(("127.0.0.1", int(port))) as listener:
            print("listening", flush=True)
            sock = listener.accept()[0]
    else:
        sock = socket.create_connection(("127.0.0.1", int(port)))
    with sock:
        sock.settimeout(10)
        Injector(sock, make_context(serves, kind, certs), serves, place).run()


if __name__ == "__main__":
    main()

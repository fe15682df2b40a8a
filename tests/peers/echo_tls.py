#!/usr/bin/env python3
"""Native servers for the probes, in plain TCP and in TLS, made of Python's ssl module: what a program without wrapsock would meet.

echo_tls.py CERTS KIND:BEHAVIOUR:PORT[:CERTIFICATE]...
KIND        plain, tls12, tls13, tls; mtls12, mtls13 demand a client certificate; weak12 knows one suite only
BEHAVIOUR   echo    what comes goes back; the end is answered with the end; a line "bye" ends it, too
            sink    everything is read, counted and hashed; the answer is one line
            greet   a line first, then echo
            reply   what came up to a line "bye" goes back at once, and the end right behind it
            mute    neither reads nor writes behind the handshake
            cut     echoes one message, then breaks the connection without close_notify
            abrupt  as echo, but a client that it refuses is reset with its first data unread, behind the alert
            silent  takes the connection and says nothing, not even TLS
            garbage sends bytes that are no TLS
"""
import select
import socket
import ssl
import sys
import threading

VERSIONS = {"12": ssl.TLSVersion.TLSv1_2, "13": ssl.TLSVersion.TLSv1_3}


def hash_of(data, value=14695981039346656037):
    for byte in data:
        value = (value ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return value


def make_context(certs, kind, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("%s/%s.pem" % (certs, certificate), "%s/%s.key" % (certs, certificate))
    if kind[-2:] in VERSIONS:
        context.minimum_version = context.maximum_version = VERSIONS[kind[-2:]]
    if kind.startswith("mtls"):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certs + "/ca.pem")
    if kind.startswith("weak"):
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    return context


def echo(conn):
    tail = b""
    while True:
        data = conn.recv(65536)
        if not data:
            return
        conn.sendall(data)
        tail = (tail + data)[-4:]
        if tail == b"bye\n":
            return


def reply(conn):
    data = b""
    while data[-4:] != b"bye\n":
        more = conn.recv(65536)
        if not more:
            return
        data += more
    conn.sendall(data)


def sink(conn):
    count, value = 0, 14695981039346656037
    while True:
        data = conn.recv(65536)
        if not data:
            break
        count += len(data)
        value = hash_of(data, value)
    conn.sendall(b"%d bytes, %016x" % (count, value))


def greet(conn):
    conn.sendall(b"220 welcome")
    echo(conn)


def mute(conn):
    MUTE.append(conn)


MUTE = []


def cut(conn):
    conn.sendall(conn.recv(65536))
    socket.socket(fileno=conn.detach()).close()


BEHAVIOURS = {"echo": echo, "abrupt": echo, "sink": sink, "greet": greet, "reply": reply, "mute": mute, "cut": cut}


def end(conn, patience):
    """close_notify, then FIN, then close once the peer has ended, too: no reset for bytes that we do not read. Without patience at once."""
    if isinstance(conn, ssl.SSLSocket):
        conn.settimeout(patience)
        try:
            conn = conn.unwrap()
        except ssl.SSLWantReadError:
            pass
    conn.shutdown(socket.SHUT_WR)
    conn.close()


def shake(conn, abrupt):
    """A refusal is an alert that arrives: no reset overtakes it for bytes that we have not read, unless it is to."""
    try:
        conn.do_handshake()
    except OSError:
        if abrupt:
            select.select([conn], [], [], 5)
            raise
        with socket.socket(fileno=conn.detach()) as raw:
            raw.settimeout(2)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65536):
                pass
        raise


def serve(conn, context, behaviour):
    try:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if behaviour == "silent":
            MUTE.append(conn)
            return
        if behaviour == "garbage":
            conn.sendall(b"\x00\x01what is this?\r\n" * 4)
            while conn.recv(4096):
                pass
            return
        if context:
            conn = context.wrap_socket(conn, server_side=True, do_handshake_on_connect=False)
            shake(conn, behaviour == "abrupt")
        BEHAVIOURS[behaviour](conn)
        if behaviour not in ("mute", "cut"):
            end(conn, 0 if behaviour == "reply" else 5)
    except OSError as error:
        print("%s: %s" % (behaviour, error), file=sys.stderr, flush=True)
        try:
            conn.close()
        except OSError:
            pass


def listen(certs, spec):
    kind, behaviour, port, *certificate = spec.split(":")
    context = None if kind == "plain" else make_context(certs, kind, *(certificate or ["server"]))
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(conn, context, behaviour), daemon=True).start()


def main():
    threads = [threading.Thread(target=listen, args=(sys.argv[1], spec)) for spec in sys.argv[2:]]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()

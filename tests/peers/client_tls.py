#!/usr/bin/env python3
"""Native clients of an echo server: client_tls.py PORT KIND CA [--count N] [--size BYTES] [--cert FILE] [--together N]

KIND is plain, tls, tls12 or tls13. Each connection sends BYTES in messages of growing size, ends, and compares what came back. CANARY of
the environment is in every message that has room for it.
"""
import argparse
import concurrent.futures
import os
import socket
import ssl
import threading

VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}


def make_context(options):
    if options.kind == "plain":
        return None
    context = ssl.create_default_context(cafile=options.ca)
    if options.kind in VERSIONS:
        context.minimum_version = context.maximum_version = VERSIONS[options.kind]
    if options.cert:
        context.load_cert_chain(options.cert, options.cert.replace(".pem", ".key"))
    return context


def exchange(conn, data):
    """As many bytes under way as the socket buffers hold safely: the servers in blocking mode read nothing while they write."""
    back = bytearray()
    step, at = 1, 0
    while at < len(data):
        conn.sendall(data[at:at + step])
        at += step
        while len(back) < min(at, len(data)):
            got = conn.recv(65536)
            if not got:
                return bytes(back)
            back += got
        step = min(step * 3, 65536)
    if isinstance(conn, ssl.SSLSocket):
        conn.unwrap()
    else:
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(65536):
            back += b"?"
    return bytes(back)


def visit(options, context, number, gate):
    canary = os.environ.get("CANARY", "").encode()
    part = bytes((number + i * 31 + (i >> 8)) & 255 for i in range(4096))
    data = b"".join(canary + part[at:at + 50] for at in range(0, len(part), 50)) * (options.size // 4096 + 1)
    data = data[:options.size]
    try:
        gate.wait(30)
        with socket.create_connection(("127.0.0.1", options.port), timeout=20) as conn:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                with context.wrap_socket(conn, server_hostname="localhost") as tls:
                    return exchange(tls, data) == data, tls.version()
            return exchange(conn, data) == data, "plain"
    except OSError as error:
        return False, str(error)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("kind")
    parser.add_argument("ca")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--cert")
    options = parser.parse_args()
    context = make_context(options)
    gate = threading.Barrier(options.together)
    with concurrent.futures.ThreadPoolExecutor(options.together) as pool:
        results = list(pool.map(lambda number: visit(options, context, number, gate), range(options.count)))
    good = sum(1 for fine, _ in results if fine)
    print("%d of %d" % (good, options.count))
    for fine, what in results:
        if not fine:
            print("failed: %s" % what)


if __name__ == "__main__":
    main()

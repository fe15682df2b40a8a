#!/usr/bin/env python3
"""Servers in the shapes that servers have, and a crowd that says nothing to them.

crowd.py serve prefork|threads|loop PORT    an echo server: 32 processes, a thread for each connection, or one event loop
crowd.py silent PORT COUNT                  COUNT connections, every second of which sends the beginning of a hello and no more
crowd.py halfopen PORT COUNT                COUNT connections that send a whole hello, take no part of what they are answered, and say no more

The crowd says "there" once it stands, for halfopen once it has been answered; it is held until somebody writes to it, or ends what it reads: then
it takes what it has been sent, which is TLS (tests/peers/wire.py), says "N of COUNT in order", and goes.
"""
import asyncio
import os
import select
import socket
import ssl
import sys
import threading

sys.dont_write_bytecode = True
from wire import judge  # noqa: E402

# TLS 1.2 and 1.3 begin alike: a handshake record of 512 bytes, a ClientHello of 508.
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)


def echo(conn):
    with conn:
        try:
            data = conn.recv(65536)
            while data:
                conn.sendall(data)
                data = conn.recv(65536)
        except OSError:
            pass


def prefork(listener):
    for _ in range(31):
        if os.fork() == 0:
            break
    while True:
        echo(listener.accept()[0])


def threads(listener):
    threading.stack_size(256 * 1024)
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


async def attend(reader, writer):
    try:
        data = await reader.read(65536)
        while data:
            writer.write(data)
            await writer.drain()
            data = await reader.read(65536)
    except OSError:
        pass
    writer.close()


def loop(listener):
    async def forever():
        server = await asyncio.start_server(attend, sock=listener, backlog=2000)
        await server.serve_forever()

    asyncio.run(forever())


def whole_hello():
    context, outgoing = ssl.create_default_context(), ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def received(sock):
    """What has arrived there."""
    sock.setblocking(False)
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except (BlockingIOError, ConnectionError):
        pass
    return data


def hold(crowd):
    print("there", flush=True)
    sys.stdin.buffer.read(1)
    print("%d of %d in order" % (sum(judge(received(sock)) is None for sock in crowd), len(crowd)), flush=True)


def silent(port, count):
    crowd = []
    for at in range(count):
        crowd.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        if at % 2:
            crowd[-1].sendall(HELLO[:1 + at % len(HELLO)])
    hold(crowd)


def halfopen(port, count):
    crowd, hello, poll = [], whole_hello(), select.poll()
    for _ in range(count):
        crowd.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        crowd[-1].sendall(hello)
    for sock in crowd:
        poll.register(sock, select.POLLIN)
    waiting = {sock.fileno() for sock in crowd}
    while waiting:
        for fd, event in poll.poll(20000) or sys.exit("%d are not answered" % len(waiting)):
            if not event & select.POLLIN or event & (select.POLLHUP | select.POLLERR):
                sys.exit("not held: %d" % event)
            poll.unregister(fd)
            waiting.remove(fd)
    hold(crowd)


if sys.argv[1] == "serve":
    listening = socket.create_server(("127.0.0.1", int(sys.argv[3])), backlog=2000)
    {"prefork": prefork, "threads": threads, "loop": loop}[sys.argv[2]](listening)
else:
    {"silent": silent, "halfopen": halfopen}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))

#!/usr/bin/env python3
"""Servers in the shapes that servers have, and a crowd that says nothing to them.

crowd.py serve prefork|threads|loop PORT    an echo server: 32 processes, a thread for each connection, or one event loop
crowd.py silent PORT COUNT                  COUNT connections, every second of which sends the beginning of a hello and no more; "there"
                                            once they stand; held until we are killed
"""
import asyncio
import os
import socket
import sys
import threading

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


def silent(port, count):
    crowd = []
    for at in range(count):
        crowd.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        if at % 2:
            crowd[-1].sendall(HELLO[:1 + at % len(HELLO)])
    print("there", flush=True)
    threading.Event().wait()


if sys.argv[1] == "serve":
    listening = socket.create_server(("127.0.0.1", int(sys.argv[3])), backlog=2000)
    {"prefork": prefork, "threads": threads, "loop": loop}[sys.argv[2]](listening)
else:
    silent(int(sys.argv[2]), int(sys.argv[3]))

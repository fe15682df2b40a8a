#!/usr/bin/env python3
"""A recorder on the wire, and the judge of what it recorded.

record FROM TO DIR      listen on port FROM, pass everything to port TO, and keep each direction of each connection as DIR/N-c2s.bytes, N-s2c.bytes
sniff ADDRESS DIR       the same of all connections to ADDRESS, with nobody between their ends: needs root, and loopback to itself
sizes DIR               the lengths of each connection's records of application data from the client, in a line
check DIR [WORD...]     every recorded byte belongs to a TLS record, and there is at least one; application data is no text, nothing that repeats
                        itself, and has none of the WORDs: exit 0, else say which bytes and exit 1
"""
import argparse
import asyncio
import glob
import os
import re
import signal
import socket
import struct
import sys
import zlib

RECORD_TYPES = {20: "change_cipher_spec", 21: "alert", 22: "handshake", 23: "application_data"}
LONGEST = 16384 + 256
TEXT = re.compile(rb"[\t\n\r -~]{32}")          # by chance: once in 10^13 bytes


def plain(body):
    """Whether this is none of a cipher's output."""
    return TEXT.search(body) or len(body) >= 512 and len(zlib.compress(body[:1024], 1)) < 0.95 * min(len(body), 1024)


def judge(data, words=()):
    """None, or (offset, what is wrong). A record that was cut off is in order: connections break."""
    for word in words:
        if word in data:
            return data.find(word), "application data in clear"
    at = 0
    while at < len(data):
        header = data[at:at + 5]
        if header[0] not in RECORD_TYPES:
            return at, "no record type"
        if at == 0 and header[0] not in (21, 22):
            return at, "the first record is neither handshake nor alert"
        if len(header) > 1 and header[1] != 3 or len(header) > 2 and not 1 <= header[2] <= 4:
            return at, "no TLS version"
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5], "big")
        if length > LONGEST or length == 0 and header[0] != 23:
            return at, "record length %d" % length
        if header[0] == 23 and plain(data[at + 5:at + 5 + length]):
            return at, "a record of clear text"
        at += 5 + length
    return None


def sizes(directory, _words):
    for name in sorted(glob.glob(os.path.join(directory, "*-c2s.bytes"))):
        with open(name, "rb") as file:
            data = file.read()
        at, found = 0, []
        while at + 5 <= len(data):
            length = int.from_bytes(data[at + 3:at + 5], "big")
            found += [length] if data[at] == 23 else []
            at += 5 + length
        print(*found)
    return 0


def check(directory, words):
    files = sorted(glob.glob(os.path.join(directory, "*.bytes")))
    total = bad = 0
    for name in files:
        with open(name, "rb") as file:
            data = file.read()
        total += len(data)
        fault = judge(data, [word.encode() for word in words])
        if fault:
            bad += 1
            at, why = fault
            print("%s, byte %d: %s: %r" % (os.path.basename(name), at, why, data[at:at + 48]))
    if total == 0:
        print("nothing was recorded")
        bad += 1
    if os.path.exists(os.path.join(directory, "lost")):
        print("not all was recorded")
        bad += 1
    return 1 if bad else 0


class Recorder:
    def __init__(self, options):
        self.options = options
        self.connections = 0
        self.tasks = set()

    async def pump(self, reader, writer, other, path, cut):
        """Bytes are on disk before they are passed on: whoever has seen them can rely on the recording."""
        sent = 0
        with open(path, "ab", buffering=0) as record:
            while True:
                try:
                    data = await reader.read(65536)
                except ConnectionError:
                    self.reset(writer)
                    return
                if not data:
                    break
                if cut is not None and sent + len(data) >= cut:
                    data = data[:cut - sent]
                record.write(data)
                step = self.options.chunk or len(data)
                try:
                    for at in range(0, len(data), step):
                        writer.write(data[at:at + step])
                        await writer.drain()
                        if self.options.chunk:
                            await asyncio.sleep(0)
                except ConnectionError:
                    self.reset(other)
                    return
                sent += len(data)
                if cut is not None and sent >= cut:
                    writer.close()
                    other.close()
                    return
        try:
            writer.write_eof()
        except OSError:
            pass

    @staticmethod
    def reset(writer):
        """Pass a reset on as one."""
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def tune(self, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.options.buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.options.buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.buffer)

    async def serve(self, reader, writer):
        number = self.connections
        self.connections += 1
        self.tasks.add(asyncio.current_task())      # nobody else holds it, and the collector would take it in mid-connection
        asyncio.current_task().add_done_callback(self.tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection(self.options.host, self.options.to)
        except OSError:
            self.reset(writer)
            return
        self.tune(writer)
        self.tune(far_writer)
        path = os.path.join(self.options.directory, "%04d-%%s.bytes" % number)
        await asyncio.gather(
            self.pump(reader, far_writer, writer, path % "c2s", self.options.cut_client),
            self.pump(far_reader, writer, far_writer, path % "s2c", self.options.cut_server))
        for each in (writer, far_writer):
            each.close()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: print(context.get("exception") or context["message"], file=sys.stderr))
        server = await asyncio.start_server(self.serve, self.options.listen, self.options.port)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with server:
            await stop.wait()


class Stream:
    """One direction of a connection, put together from its segments."""

    def __init__(self, path):
        self.path, self.first, self.next, self.ahead = path, None, None, {}

    def begin(self, sequence):
        if self.first is None:
            self.first, self.next = sequence, (sequence + 1) % 2 ** 32

    def add(self, sequence, data):
        at = (sequence - self.next + 2 ** 31) % 2 ** 32 - 2 ** 31       # of the data, behind what is known
        if at + len(data) <= 0:
            return
        if at > 0:
            self.ahead[sequence] = max(self.ahead.get(sequence, b""), data, key=len)
            return
        with open(self.path, "ab") as file:
            file.write(data[-at:])
        self.next = (self.next + len(data) + at) % 2 ** 32
        for sequence in list(self.ahead):
            if (sequence - self.next + 2 ** 31) % 2 ** 32 <= 2 ** 31:
                self.add(sequence, self.ahead.pop(sequence))


class Sniffer:
    FORCED, DROPS = 33, 6       # SO_RCVBUFFORCE; PACKET_STATISTICS of SOL_PACKET

    def __init__(self, options):
        self.address, self.directory = socket.inet_aton(options.address), options.directory
        self.streams, self.connections = {}, 0
        # Of one protocol, so that loopback shows each packet once.
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.setsockopt(socket.SOL_SOCKET, self.FORCED, 256 << 20)
        self.sock.bind(("lo", 0x0800))
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        """What has been sent is still read."""
        self.sock.settimeout(0)

    def segment(self, packet):
        head = (packet[0] & 15) * 4
        if packet[9] != socket.IPPROTO_TCP or self.address not in (packet[12:16], packet[16:20]):
            return
        ports, sequence, flags = packet[head:head + 4], int.from_bytes(packet[head + 4:head + 8], "big"), packet[head + 13]
        key = packet[12:20] + ports
        if flags & 0x12 == 0x02 and packet[16:20] == self.address and (key not in self.streams or self.streams[key].first != sequence):
            self.open(key, packet[16:20] + packet[12:16] + ports[2:] + ports[:2])
        stream = self.streams.get(key)
        if stream:
            if flags & 0x02:
                stream.begin(sequence)
            data = packet[head + (packet[head + 12] >> 4) * 4:int.from_bytes(packet[2:4], "big") or len(packet)]
            if data and stream.next is not None:
                stream.add(sequence, data)

    def open(self, key, back):
        path = os.path.join(self.directory, "%04d-%%s.bytes" % self.connections)
        self.connections += 1
        self.streams[key], self.streams[back] = Stream(path % "c2s"), Stream(path % "s2c")

    def run(self):
        print("sniffing", flush=True)
        while True:
            try:
                self.segment(self.sock.recv(1 << 17))
            except BlockingIOError:
                break
        dropped = struct.unpack("II", self.sock.getsockopt(263, self.DROPS, 8))[1]
        missing = sum(1 for stream in self.streams.values() if stream.ahead)
        if dropped or missing:
            with open(os.path.join(self.directory, "lost"), "w") as file:
                print(dropped, "packets dropped,", missing, "streams with gaps", file=file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    record = verbs.add_parser("record")
    record.add_argument("port", type=int)
    record.add_argument("to", type=int)
    record.add_argument("directory")
    record.add_argument("--host", default="127.0.0.1", help="where TO is")
    record.add_argument("--listen", nargs="*", default=["127.0.0.1", "::1"])
    record.add_argument("--chunk", type=int, help="pass on at most so many bytes at a time")
    record.add_argument("--buffer", type=int, help="socket buffers of this size")
    record.add_argument("--cut-client", type=int, metavar="N", help="break the connection after N bytes of the client")
    record.add_argument("--cut-server", type=int, metavar="N", help="break the connection after N bytes of the server")
    sniff = verbs.add_parser("sniff")
    sniff.add_argument("address")
    sniff.add_argument("directory")
    judges = {"check": check, "sizes": sizes}
    for verb in judges:
        known = verbs.add_parser(verb)
        known.add_argument("directory")
        known.add_argument("words", nargs="*")
    options = parser.parse_args()
    if options.verb in judges:
        return judges[options.verb](options.directory, options.words)
    if options.verb == "sniff":
        Sniffer(options).run()
        return 0
    asyncio.run(Recorder(options).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())

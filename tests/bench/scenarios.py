"""What is measured, by group: the names that `make bench S=...` takes."""
import loads
import programs
from machine import SERVER_CORE
from servers import Nginx, Redis, Stream, Threads
from setups import KINDS

API = ("native", "api", "api-client", "api-both")
CLIENTS = ("plain", "native", "wrapsock-client")
SERVERS = ("plain", "native", "wrapsock")
CROWDS = (10, 1000, 10000)
RELAY = "wrapsock-relay"
ALL = tuple(name for name in KINDS if name not in (*API[1:], RELAY))
GET = "GET /16 HTTP/1.0\r\nHost: localhost\r\n\r\n"


class Scenario:
    """One block of the table. MEASURE takes a set-up and the seconds of a sample; PREPARE, where given, readies each set-up before."""

    def __init__(self, group, name, server, unit, measure, prepare=None, kinds=ALL):
        self.group, self.name, self.server, self.unit, self.measure, self.prepare, self.kinds = group, name, server, unit, measure, prepare, kinds


def redis(test, size, pipeline):
    def prepare(setup):
        key, value = b"key:__rand_int__", b"x" * size
        setup.ask(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, size, value), b"+OK\r\n")
        setup.ask(b"STRLEN %s\r\n" % key, b":%d\r\n" % size)
    words = "64 B" if size == 64 else "4 KiB"
    return Scenario("redis", f"redis {test.upper()} {words} P{pipeline}", Redis(), "us/request",
                    lambda setup, seconds: loads.redis_benchmark(setup, test, size, pipeline, seconds), prepare)


def nginx(file, words, connections):
    return Scenario("nginx", f"nginx {words}", Nginx(), "us/request", lambda setup, seconds: loads.wrk(setup, file, connections, seconds))


def streams(group, prefix, kinds):
    """Our own server: bulk each way, and ping-pong on one core, where no core has to be woken."""
    def bulk(mode):
        return lambda setup, seconds: loads.load(setup, mode, seconds).scaled(64)

    def pingpong(setup, seconds):
        return loads.load(setup, "pingpong", seconds, cores=(SERVER_CORE,))
    return [Scenario(group or "bulk", f"{prefix}bulk, server sends", Stream(), "us/MiB", bulk("receive"), kinds=kinds),
            Scenario(group or "bulk", f"{prefix}bulk, server receives", Stream(), "us/MiB", bulk("send"), kinds=kinds),
            Scenario(group or "pingpong", f"{prefix}ping-pong 64 B, one core", Stream(), "us/round trip", pingpong, kinds=kinds)]


def connects(group, prefix, server, kinds, request=None):
    return [Scenario(group, f"{prefix}new connection, full", server, "us/connection",
                     lambda setup, seconds: loads.connect(setup, seconds, False, request), kinds=kinds),
            Scenario(group, f"{prefix}new connection, resumed", server, "us/connection",
                     lambda setup, seconds: loads.connect(setup, seconds, True, request), kinds=tuple(kind for kind in kinds if kind != "plain"))]


def program(cache, words):
    """Curl's own TLS has no session in either row."""
    return Scenario("programs", f"a program for each connection, {words}", Nginx(), "us/program",
                    lambda setup, seconds: programs.measure(setup, seconds, cache), kinds=programs.KINDS)


def crowd(count):
    return Scenario("scale", f"redis, {count} connections", Redis(), "us/request",
                    lambda setup, seconds: loads.crowd(setup, seconds, count), kinds=SERVERS)


def threads(count):
    return Scenario("threads", f"{count} thread{'s' if count > 1 else ''}, a connection each", Threads(), "us/round trip",
                    lambda setup, seconds: loads.threads(setup, seconds, count), kinds=SERVERS)


def curl(file, words):
    return Scenario("curl", f"curl {words}", Nginx(), "us/request", lambda setup, seconds: loads.curl(setup, file, seconds), kinds=CLIENTS)


SCENARIOS = [
    program("none", "no sessions"), program("file", "sessions in a file"),
    *(redis(test, size, pipeline) for size in (64, 4096) for pipeline in (1, 16) for test in ("set", "get")),
    nginx("1k", "1 KiB", 50), nginx("100k", "100 KiB", 50), nginx("10m", "10 MiB", 8),
    *streams(None, "", (*ALL, RELAY)),
    Scenario("pingpong", "ping-pong 64 B, two cores", Stream(), "us/round trip", lambda setup, seconds: loads.load(setup, "pingpong", seconds)),
    *connects("connect", "", Nginx(), ALL, GET),
    curl("1k", "1 KiB"), curl("10m", "10 MiB"),
    *streams("api", "API ", API), *connects("api", "API ", Threads(), API),
    threads(1), threads(64), *(crowd(count) for count in CROWDS),
]


def idle(server, wanted, descriptors):
    """Connections that can be held at once: a proxy needs two descriptors for each."""
    count = min(wanted, (descriptors - 600) // 2)
    less = f" (a proxy needs more than {descriptors} descriptors for {wanted})" if count < wanted else ""
    return Scenario("idle", f"{server.name} idle, {count} connections{less}", server, "KiB/connection", lambda setup, seconds: loads.idle(setup, count),
                    kinds=(*ALL, RELAY))


def idles(descriptors, quick):
    return [idle(server, wanted, descriptors) for wanted in ((1000,) if quick else (2000, 10000)) for server in (Nginx(), Redis())]

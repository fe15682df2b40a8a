"""The targets: what wrapsock is to reach, beside the same program's own TLS or beside the best proxy, measured in the same run."""
from setups import PROXIES

# Scenario, side, figure, target, bound computed from the cost in plain, of encryption and of unavoidable mathematics. Ratios to native.
RATIOS = [
    *((f"redis {test} 64 B P{pipeline}", "wrapsock", "server", 0.95, 0.78) for pipeline in (1, 16) for test in ("SET", "GET")),
    ("nginx 1 KiB", "wrapsock", "server", 0.95, 0.78),
    ("redis GET 4 KiB P16", "wrapsock", "server", 0.70, 0.40),
    ("redis SET 4 KiB P16", "wrapsock", "server", 0.85, 0.67),
    ("nginx 100 KiB", "wrapsock", "server", 0.85, 0.60),
    ("nginx 10 MiB", "wrapsock", "server", 0.85, 0.60),
    ("bulk, server sends", "wrapsock", "server", 0.85, 0.70),
    ("bulk, server receives", "wrapsock", "server", 0.95, 0.70),
    ("ping-pong 64 B, one core", "wrapsock", "p50", 1.00, None),
    ("new connection, full", "wrapsock", "server", 1.02, None),
    ("new connection, full", "wrapsock-client", "load", 0.50, 0.40),
    *((f"API bulk, server {does}", "api", "server", 0.95, None) for does in ("sends", "receives")),
]
# Scenario, set-up, the most that native's operations per second may be of it.
RATES = [
    *((f"API bulk, server {does}", "api", 1.00) for does in ("sends", "receives")),
    *(("API new connection, full", kind, round(1 / 0.98, 2)) for kind in ("api", "api-client")),
]
# Scenario, other set-up, the relay's server CPU as a ratio to that one's.
RELAY = [("bulk, server sends", "stunnel", 1.0), ("bulk, server receives", "stunnel", 1.0), ("ping-pong 64 B, one core", "wrapsock", 2.0)]
RELAY_KIB = 40
WORDS = {"server": "server CPU", "load": "client CPU", "p50": "p50"}
# What many cost beside few, whose growth it is compared with (caches are cold for everybody), and how much faster it may grow.
GROWTHS = [
    ("redis, 1000 connections, beside 10", "redis, 1000 connections", "redis, 10 connections", "native", 1.10),
    ("redis, 10000 connections, beside 10", "redis, 10000 connections", "redis, 10 connections", "native", 1.10),
    ("64 threads and connections, beside 1", "64 threads, a connection each", "1 thread, a connection each", "plain", 1.10),
]
PAIR_LIMIT, CLIENT_LIMIT = 1.00, 1.00
CONNECT_LIMIT = 2000
PROXY_LIMIT, IDLE_LIMIT, IDLE_KIB, IDLE_BOUND, CALL_LIMIT, START_LIMIT = 0.60, 1.00, 14.6, 13.5, 3.0, 0.3


class Row:
    """One target: the figure of the run, and the least and the most that single rounds gave. MEASURED is None where this run did not look."""

    def __init__(self, name, unit, measured, limit, bound=None):
        self.name, self.unit, self.limit, self.bound = name, unit, limit, bound
        self.measured, self.least, self.most = measured or (None, None, None)

    def verdict(self):
        if self.measured is None:
            return "not measured"
        sure = "" if (self.least <= self.limit) == (self.most <= self.limit) else ", rounds differ"
        return ("met" if self.measured <= self.limit else "NOT met") + sure


def compared(cell, other, figure):
    """(ratio of the figures of the run, least, most ratio of one round)."""
    rounds = [getattr(a, figure) / getattr(b, figure) for a, b in zip(cell.samples, other.samples)]
    return getattr(cell, figure) / getattr(other, figure), min(rounds), max(rounds)


def ratio(results, scenario, kind, figure, other="native"):
    block = results.get(scenario, {})
    return compared(block[kind], block[other], figure) if {kind, other} <= block.keys() else None


def growth(results, many, few, than):
    """(what many cost beside few, as a multiple of the same of THAN, least, most of one round)"""
    cells = [results.get(name, {}).get(kind) for kind in ("wrapsock", than) for name in (many, few)]
    if None in cells:
        return None
    rounds = [a.server / b.server / (c.server / d.server) for a, b, c, d in zip(*(cell.samples for cell in cells))]
    a, b, c, d = (cell.server for cell in cells)
    return a / b / (c / d), min(rounds), max(rounds)


def against_native(results, kind, figure, without=()):
    """The scenario in which KIND compares worst with native: (its compared, its name)."""
    found = [(compared(block[kind], block["native"], figure), scenario) for scenario, block in results.items()
             if {kind, "native"} <= block.keys() and not any(word in scenario for word in without)]
    return max(found, default=None)


def against_proxies(results):
    """The scenario that compares worst with the best proxy of it: (its compared, its name, the proxy's)."""
    worst = None
    for scenario, block in results.items():
        proxies = [kind for kind in PROXIES if kind in block]
        if "wrapsock" in block and proxies and " idle, " not in scenario:
            best = min(proxies, key=lambda kind: block[kind].server)
            here = (compared(block["wrapsock"], block[best], "server"), scenario, best)
            worst = max(worst, here) if worst else here
    return worst


def rows(results, smalls):
    table = [Row(f"{scenario}: {WORDS[figure]}, {kind}", "x native", ratio(results, scenario, kind, figure), limit, bound)
             for scenario, kind, figure, limit, bound in RATIOS]
    table += [Row(f"{scenario}: per second, native", f"x {kind}", ratio(results, scenario, "native", "rate", kind), limit) for scenario, kind, limit in RATES]
    for scenario in [scenario for scenario in results if " idle, " in scenario] or ["idle connections"]:
        table.append(Row(f"{scenario}: memory, wrapsock", "x native", ratio(results, scenario, "wrapsock", "server"), IDLE_LIMIT))
        block = results.get(scenario, {})
        if scenario.startswith("nginx") and {"wrapsock", "plain"} <= block.keys():
            more = block["wrapsock"].server - block["plain"].server
            table.append(Row(f"{scenario}: memory, wrapsock less plain", "KiB", (more, more, more), IDLE_KIB, IDLE_BOUND))
        if "wrapsock-relay" in block:
            each = block["wrapsock-relay"].server
            table.append(Row(f"{scenario}: memory, wrapsock-relay", "KiB", (each, each, each), RELAY_KIB))
    for scenario, other, limit in RELAY:
        table.append(Row(f"{scenario}: server CPU, wrapsock-relay", f"x {other}", ratio(results, scenario, "wrapsock-relay", "server", other), limit))
    for kind, figure, limit, words in (("wrapsock-client", "load", CLIENT_LIMIT, "client CPU"), ("wrapsock-both", "both", PAIR_LIMIT, "CPU of both")):
        worst = against_native(results, kind, figure, (" idle, ", "new connection"))
        table.append(Row(f"{words}, {kind}{f', the worst scenario: {worst[1]}' if worst else ''}", "x native", worst and worst[0], limit))
    table += [Row(f"{name}: server CPU, wrapsock", f"x {than}", growth(results, many, few, than), limit) for name, many, few, than, limit in GROWTHS]
    worst = against_proxies(results)
    table.append(Row(f"best proxy{f', the worst scenario: {worst[1]}, {worst[2]}' if worst else ''}", "x proxy", worst and worst[0], PROXY_LIMIT))
    small = {(one.name, one.unit): (one.added, one.least, one.most) for one in smalls}
    table.append(Row("call on an unwrapped descriptor, added", "ns", small.get(("read, unwrapped descriptor", "ns")), CALL_LIMIT))
    table.append(Row("connect that no rule of 1000 matches, added", "ns", small.get(("connect, 1000 rules", "ns")), CONNECT_LIMIT))
    table.append(Row("start of a program that wraps nothing, added", "ms", small.get(("start of true, 1 rule", "ms")), START_LIMIT))
    return table

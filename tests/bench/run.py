#!/usr/bin/python3
"""Side by side in one run: plain TCP, the server's own TLS, wrapsock at either end and at both, and TLS proxies before the server.

CPU is user and system time per operation of everything on the server's side (program and proxy) and of the client, the minimum over rounds
in which the set-ups take turns; latency is the median over the rounds; the spread of either is in the table.  Everybody has the same suite,
group and certificate.  The server side is pinned to one core and the load to another, in a network namespace of their own (the server with
threads and its load have all cores).  Before it is measured, each server shows them in a verified handshake.  A run in which a process died or no operation completed is not reported.

In the table "server" is program and proxy, "client" the load, "both" their sum: CPU for each operation, or memory for each idle connection.
"x native" compares with the server's own TLS.  A wrapped client may resume sessions by itself, in full connections, too.  Of the targets at
the end "rounds" has the least and the most that single rounds gave; where these stand on both sides of the target, the verdict says so.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True # the checkout may be anybody's

import loads
import machine
import report
import scenarios
import small
import targets
import tls
from process import Refused
from setups import KINDS, Setup

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
GROUPS = list(dict.fromkeys([*(scenario.group for scenario in scenarios.SCENARIOS), "idle", *small.GROUPS]))


class Bench:
    """What all set-ups share: where things are, and how much is asked for."""

    def __init__(self, folder, build, rounds, seconds, quick):
        self.folder, self.rounds, self.seconds, self.quick = folder, rounds, seconds, quick
        self.programs = os.path.join(build, "bench")
        self.preload = os.path.join(build, "libwrapsock-preload.so")
        self.launcher = os.path.join(TOP, "tools", "wrapsock") if build == os.path.join(TOP, "build") else os.path.join(build, "prefix/bin/wrapsock")
        self.descriptors = machine.raise_limits()
        self.keys = tls.Keys(folder)
        self.server_policy, self.client_policy = tls.server_policy(folder, self.keys), tls.client_policy(folder, self.keys)
        self.relay_policy = tls.server_policy(folder, self.keys, "relay")
        self.rates = {}
        self.ports = set()

    def program(self, name):
        return os.path.join(self.programs, name)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def free_port(self):
        """One that nobody has, and that none of ours has had: what lingers of its connections could not be told apart."""
        while True:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                port = s.getsockname()[1]
            if port not in self.ports:
                self.ports.add(port)
                return port


def progress(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def chosen(names, known, what):
    for name in names:
        if name not in known:
            raise SystemExit(f"{what} {name}: not one of {' '.join(known)}")
    return [name for name in known if not names or name in names]


def in_turns(bench, group, kinds, collected):
    """The set-ups of one server are all started, and then take turns."""
    server = group[0].server
    setups = {}
    try:
        for name in [name for name in kinds if any(name in scenario.kinds for scenario in group)]:
            progress(f"starting {server.name} {name}")
            setups[name] = Setup(bench, KINDS[name], server)
            if KINDS[name].client == "wrapped":
                loads.verified_client(setups[name])
        for scenario in group:
            taking = {name: setup for name, setup in setups.items() if name in scenario.kinds}
            for setup in taking.values():
                if scenario.prepare:
                    scenario.prepare(setup)
            for turn in range(bench.rounds):
                progress(f"{scenario.name}, round {turn + 1} of {bench.rounds}")
                for name, setup in taking.items():
                    collected.setdefault(scenario, {}).setdefault(name, []).append(scenario.measure(setup, bench.seconds))
        for setup in setups.values():
            setup.alive()
    finally:
        for setup in setups.values():
            setup.stop()


def one_by_one(bench, group, kinds, collected):
    """Memory does not mind the neighbours, but needs a server that has held nothing yet; a crowd stays for all its rounds."""
    for scenario in group:
        for name in [name for name in kinds if name in scenario.kinds]:
            progress(f"{scenario.name}, {name}")
            setup = Setup(bench, KINDS[name], scenario.server)
            try:
                measured = scenario.measure(setup, bench.seconds)
                collected.setdefault(scenario, {})[name] = measured if isinstance(measured, list) else [measured]
                setup.alive()
            finally:
                setup.stop()


def groups_of(wanted, match, bench):
    """The scenarios by group and server, as they can share the running set-ups."""
    shared = {}
    for scenario in scenarios.SCENARIOS + scenarios.idles(bench.descriptors, bench.quick):
        if scenario.group in wanted and re.search(match, scenario.name):
            shared.setdefault((scenario.group, scenario.server.name), []).append(scenario)
    return shared


def measure(bench, wanted, match, kinds):
    collected, smalls = {}, []
    for (group, _), members in groups_of(wanted, match, bench).items():
        needs = (*members[0].server.needs, *({"nginx": ("wrk",), "curl": ("curl",)}.get(group, ())))
        missing = [need for need in needs if not shutil.which(need)]
        if missing:
            raise SystemExit(f"{group}: {' '.join(missing)} is not installed")
        (one_by_one if group in ("idle", "scale") else in_turns)(bench, members, kinds, collected)
    for group, measured in small.GROUPS.items():
        if group in wanted:
            smalls += measured(bench, match, progress)
    blocks = [(scenario, {name: report.Cell(samples) for name, samples in block.items()}) for scenario, block in collected.items()]
    if not blocks and not smalls:
        raise SystemExit("nothing to measure: no scenario has such a name")
    return blocks, smalls


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=(
        "from make: make bench S='GROUP...' SETUPS='SET-UP...' MATCH=REGEX ROUNDS=N SECONDS=N QUICK=1 OUT=FOLDER\n"
        f"groups: {' '.join(GROUPS)}\nset-ups: {' '.join(KINDS)}"))
    parser.add_argument("-s", "--scenarios", metavar="'GROUP...'", default="", help="only these groups")
    parser.add_argument("-m", "--match", metavar="REGEX", default="", help="only scenarios whose name in the table matches")
    parser.add_argument("-w", "--setups", metavar="'SET-UP...'", default="", help="only these set-ups; ratios need native among them")
    parser.add_argument("-r", "--rounds", type=int, metavar="N", help="rounds (3; quick: 2)")
    parser.add_argument("-t", "--seconds", type=float, metavar="N", help="seconds of a sample (3; quick: 1)")
    parser.add_argument("-q", "--quick", action="store_true",
                        help="everything in short rounds, 1,000 idle connections; ratios to look at, no figures to quote")
    parser.add_argument("-o", "--out", metavar="FOLDER", help="where table.txt, summary.md, figures.json and the plots go (BUILD/bench/out)")
    parser.add_argument("--version", metavar="TEXT", default="", dest="revision", help="of wrapsock, for the header")
    return parser.parse_args()


def header(args, bench, left_out, began_load, stolen):
    lines = [f"{time.strftime('%Y-%m-%d %H:%M')}, {bench.rounds} rounds of {bench.seconds:g} s" + (", QUICK: no figures to quote" if bench.quick else ""),
             *machine.describe(args.revision, bench.descriptors),
             f"{tls.CIPHER}, {tls.GROUP}, ECDSA P-256; load average before {began_load[0]:.2f}, stolen meanwhile {stolen * 100:.1f} %"]
    if began_load[0] > 0.5:
        lines.append("THE MACHINE WAS NOT QUIET: ratios may carry, absolute figures do not")
    return lines + [f"left out: {name}: {' '.join(missing)} not installed" for name, missing in left_out.items()]


def main():
    args = arguments()
    wanted = chosen(args.scenarios.split(), GROUPS, "group")
    kinds = chosen(args.setups.split(), list(KINDS), "set-up")
    machine.enter_namespace([sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    left_out = {name: KINDS[name].missing() for name in kinds if KINDS[name].missing()}
    kinds = [name for name in kinds if name not in left_out]
    build = os.path.abspath(os.environ.get("BUILD") or os.path.join(TOP, "build"))
    out = args.out or os.path.join(build, "bench", "out")
    os.makedirs(out, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise SystemExit(f"{out}: may not be written to")
    folder = tempfile.mkdtemp(prefix="wrapsock-bench.")
    os.chmod(folder, 0o755)
    began_load, began_steal = os.getloadavg(), machine.steal()
    try:
        bench = Bench(folder, build, args.rounds or (2 if args.quick else 3), args.seconds or (1 if args.quick else 3), args.quick)
        blocks, smalls = measure(bench, wanted, args.match, kinds)
    except Refused as why:
        print(f"REFUSED, nothing is reported: {why}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    ended_steal = machine.steal()
    stolen = (ended_steal[0] - began_steal[0]) / max(1, ended_steal[1] - began_steal[1])
    about = header(args, bench, left_out, began_load, stolen)
    results = {scenario.name: block for scenario, block in blocks}
    table = report.text(about, blocks, smalls, results)
    for name, content in (("table.txt", table), ("figures.json", report.figures(about, blocks, smalls, results)),
                          ("summary.md", "\n".join(report.summary(about, blocks, targets.rows(results, smalls))) + "\n")):
        with open(os.path.join(out, name), "w") as f:
            f.write(content)
    made = report.plots(out, blocks)
    print(table, end="")
    print(f"in {out}: table.txt, summary.md, figures.json{''.join(', ' + name for name in made)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

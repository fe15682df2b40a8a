"""The costs that are too small for a load: a program's start, one call, one decision of the policy. Plain beside preloaded, no server."""
import os
import re
import shutil

from machine import SERVER_CORE
from process import Refused, bounded
from tls import write_policy

RULES = (1, 100, 1000)


class Small:
    """One row: what it is, its unit, and what each round gave without us and with us."""

    def __init__(self, name, unit, rounds):
        self.name, self.unit, self.rounds = name, unit, rounds
        self.plain, self.wrapped = (min(values) for values in zip(*rounds))
        self.added = self.wrapped - self.plain
        differences = [wrapped - plain for plain, wrapped in rounds]
        self.least, self.most = min(differences), max(differences)


def policy(bench, rules):
    """Rules that have to be looked at, and match nothing here: networks, names and ports in turn."""
    text = ["[defaults]\nunmatched = plain\n"]
    for i in range(rules):
        match = (f"10.{i // 250}.{i % 250}.0/24:*", f"host{i}.example:5432, *.zone{i}.example:5432", f"192.0.2.{i % 250}:{20000 + i}")[i % 3]
        text.append(f"[client rule{i}]\nmatch = {match}\n")
    return write_policy(os.path.join(bench.folder, f"rules-{rules}.conf"), "".join(text))


def preloaded(bench, rules):
    return {"LD_PRELOAD": bench.preload, "WRAPSOCK_POLICY": policy(bench, rules), "WRAPSOCK_LOG": "error"}


def output(command, env=None):
    status, out = bounded(300, command, env=dict(os.environ, **(env or {})), preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}))
    if status:
        raise Refused(f"{' '.join(command)}: status {status}: {out[-300:].strip()}")
    return out


def start(bench, match, progress):
    """Milliseconds from the start of `true` to its end, the minimum of each round."""
    rows = {f"start of true, {rules} rule{'s' if rules > 1 else ''}": rules for rules in RULES}
    rows = {name: rules for name, rules in rows.items() if re.search(match, name)}

    def once(env):
        return float(output([bench.program("start"), "200", *(f"{k}={v}" for k, v in env.items()), "/bin/true"]).split()[0])
    if not rows:
        return []
    progress("start of true")
    envs = [{}] + [preloaded(bench, rules) for rules in rows.values()]
    rounds = [[once(env) for env in envs] for _ in range(bench.rounds)]
    return [Small(name, "ms", [(times[0], times[i + 1]) for times in rounds]) for i, name in enumerate(rows)]


def instructions(bench, what, env):
    """Of one call: the difference between many and few."""
    few, many = (1000, 3000) if what == "read" else (20, 220)

    def counted(count):
        out = output(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", bench.program("call"), what, "1", str(count), "only"], env)
        return int(re.search(r"Collected : (\d+)", out)[1])
    return (counted(many) - counted(few)) / (many - few)


def call(bench, match, progress):
    """A call on a descriptor that is not wrapped, and the decision that a connect takes with 1,000 rules that do not match."""
    rows = []
    for name, what, rules, turns, count in (("read, unwrapped descriptor", "read", 1, 1000, 2000), ("connect, 1 rule", "connect", 1, 100, 50),
                                            ("connect, 1000 rules", "connect", 1000, 100, 50)):
        if not re.search(match, name):
            continue
        progress(name)
        command = [bench.program("call"), what, str(turns), str(count)]
        rows.append(Small(name, "ns", [tuple(float(x) for x in output(command, preloaded(bench, rules)).split()) for _ in range(bench.rounds)]))
        if shutil.which("valgrind"):
            rows.append(Small(name, "instructions", [(instructions(bench, what, {}), instructions(bench, what, preloaded(bench, rules)))]))
    return rows


GROUPS = {"start": start, "call": call}

#!/usr/bin/env python3
"""CPython's own network tests, three times: as they are, under the preload with a policy that matches nothing, and with all of loopback wrapped.

The second must give what the first gives, test by test. So must the third, but for the tests in the list of exceptions, each with its reason.

usage: run.py PRELOAD CERTS EXCEPTIONS [MODULE...]
"""
import fnmatch
import os
import re
import signal
import subprocess
import sys
import tempfile

PYTHON = "/usr/bin/python3"
MODULES = "test_epoll test_select test_telnetlib test_poplib test_smtplib test_wsgiref".split()
NOTHING = "[client nothing]\nmatch = 192.0.2.1:1\n"
ALL = "[client all]\nmatch = *:*\nca_certs = %(certs)s/ca.pem\n[server all]\nmatch = *:*\ncertfile = %(certs)s/server.pem\nkeyfile = %(certs)s/server.key\n"
LIMIT = 600
RESULT = re.compile(r"^(\w+) \(([\w.]+)\)(?:.*?)? \.\.\. (?:.*?)(ok|FAIL|ERROR|skipped|expected failure)\b", re.S | re.M)


def exceptions(path):
    """Patterns of "MODULE.Class.test", each with its reason behind white space."""
    rules = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            pattern, _, reason = line.partition(" ")
            if not reason.strip():
                sys.exit("%s:%d: no reason" % (path, number))
            rules.append((pattern, reason.strip()))
    return rules


def left_out(rules, module):
    """Those whose wait would last for ever are not even begun."""
    options = []
    for pattern, reason in rules:
        if reason.startswith("hangs:") and fnmatch.fnmatch(module, pattern.split(".")[0]):
            options += ["-i", "*." + pattern.split(".", 1)[1]]
    return options


def run(module, more, environment, scratch):
    """The result of each test by its name; how the whole ended is one of them."""
    command = [PYTHON, "-m", "test", "-v", "-u", "network", "-i", "*VSOCK*", *more, module]
    process = subprocess.Popen(command, cwd=scratch, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                               text=True, errors="replace", start_new_session=True)
    try:
        text, _ = process.communicate(timeout=LIMIT)
        ended = "status %d" % process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        ended = "past its limit of %d s" % LIMIT
    results = {}
    for name, where, result in RESULT.findall(text):
        place = where if where.endswith("." + name) else "%s.%s" % (where, name)
        results[module + "." + ".".join(place.split(".")[-2:])] = result
    return results, ended, text


def compare(module, kind, bare, other, rules):
    """Lines for what differs and is no exception; how many were excepted."""
    lines, excepted = [], 0
    for name in sorted(set(bare) | set(other)):
        a, b = bare.get(name, "not run"), other.get(name, "not run")
        if a == b:
            continue
        if kind == "wrapped" and any(fnmatch.fnmatch(name, pattern) for pattern, _ in rules):
            excepted += 1
        else:
            lines.append("%s: %s: %s, %s with TCP" % (kind, name, b, a))
    return lines, excepted


def main():
    preload, certs, listed, *modules = sys.argv[1:]
    rules = exceptions(listed)
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="suites.") as scratch:
        base = {"PATH": "/usr/bin:/bin", "HOME": scratch, "LANG": "C.UTF-8"}
        kinds = {}
        for kind, text in ("plain", NOTHING), ("wrapped", ALL % {"certs": certs}):
            path = os.path.join(scratch, kind + ".conf")
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write(text)
            kinds[kind] = dict(base, LD_PRELOAD=preload, WRAPSOCK_POLICY=path, WRAPSOCK_LOG_FILE=os.path.join(scratch, kind + ".log"))
        for module in modules or MODULES:
            bare, ended, text = run(module, [], base, scratch)
            if not bare:
                print("SKIP: %s: nothing ran: %s" % (module, text.strip().splitlines()[-1:]), flush=True)
                continue
            for kind, environment in kinds.items():
                more = left_out(rules, module) if kind == "wrapped" else []
                results, how, text = run(module, more, environment, scratch)
                lines, excepted = compare(module, kind, bare, results, rules)
                if how != ended and not excepted:
                    lines.append("%s: %s: %s, %s with TCP" % (kind, module, how, ended))
                print("%-28s %-8s %4d tests, %d differ, %d excepted" % (module, kind, len(results), len(lines), excepted), flush=True)
                for line in lines:
                    print("    " + line, flush=True)
                same = sum(results.get(name) == result for name, result in bare.items())
                passed, failed = passed + same, failed + len(lines)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

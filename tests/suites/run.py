#!/usr/bin/env python3
"""CPython's own network tests, three times: as they are, under the preload with a policy that matches nothing, and with all of loopback wrapped.

The second must give what the first gives, test by test. So must the third, but for the tests in the list of exceptions, each with its reason.
In the modules of LATE a client shakes hands with its first byte (do_handshake_on_connect = no): their servers accept when the client has
connected, or never. Those of PLAIN are not wrapped: they make TLS themselves, or no TCP connection.

usage: run.py PRELOAD CERTS EXCEPTIONS [MODULE...]
KEEP=FOLDER keeps what the runs have printed and logged.
"""
import fnmatch
import os
import re
import signal
import subprocess
import sys
import tempfile

PYTHON = "/usr/bin/python3"
MODULES = """test_epoll test_select test_poll test_selectors test_socket test_socketserver test_timeout test_httplib test_httpservers
test_urllib2_localnet test_ftplib test_poplib test_imaplib test_smtplib test_smtpd test_telnetlib test_nntplib test_xmlrpc test_docxmlrpc
test_asyncore test_asynchat test_wsgiref test_asyncio test_multiprocessing_fork test_multiprocessing_forkserver test_multiprocessing_spawn""".split()
LATE = "test_socket test_asyncio test_socketserver test_httplib test_ftplib".split()
PLAIN = """test_ssl test_urllib test_urllib2 test_logging test_subprocess test_os test_posix test_signal test_io test_threading test_fork1 test_pty
test_mailbox test_eintr test_faulthandler test_ctypes test_largefile""".split()
NOTHING = "[client nothing]\nmatch = 192.0.2.1:1\n"
ALL = """[defaults]
handshake_timeout = 10s
[client all]
match = *:*
ca_certs = %(certs)s/ca.pem
server_hostname = localhost
do_handshake_on_connect = %(early)s
[server all]
match = *:*
certfile = %(certs)s/server.pem
keyfile = %(certs)s/server.key
"""
LIMIT = 900
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


def write_policy(scratch, kind, text):
    path = os.path.join(scratch, kind + ".conf")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    return path


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
        keep = os.environ.get("KEEP", scratch)
        policies = {"plain": write_policy(scratch, "plain", NOTHING), "wrapped": write_policy(scratch, "wrapped", ALL % {"certs": certs, "early": "yes"}),
                    "late": write_policy(scratch, "late", ALL % {"certs": certs, "early": "no"})}
        for module in modules or MODULES + PLAIN:
            bare, ended, text = run(module, [], base, scratch)
            if not bare:
                print("SKIP: %s: nothing ran: %s" % (module, text.strip().splitlines()[-1:]), flush=True)
                continue
            for kind in ("plain",) if module in PLAIN else ("plain", "wrapped"):
                more = left_out(rules, module) if kind == "wrapped" else []
                policy = policies["late" if kind == "wrapped" and module in LATE else kind]
                log = os.path.join(keep, "%s.%s.log" % (module, kind))
                results, how, text = run(module, more, dict(base, LD_PRELOAD=preload, WRAPSOCK_POLICY=policy, WRAPSOCK_LOG_FILE=log), scratch)
                with open(os.path.join(keep, "%s.%s.out" % (module, kind)), "w", encoding="utf-8", errors="replace") as file:
                    file.write(text)
                lines, excepted = compare(module, kind, bare, results, rules)
                if how != ended and not excepted:
                    lines.append("%s: %s: %s, %s with TCP" % (kind, module, how, ended))
                print("%-28s %-8s %4d tests, %d differ, %d excepted" % (module, kind, len(results), len(lines), excepted), flush=True)
                if how.startswith("past"):      # nothing is told by those that never began
                    lines = [line for line in lines if ": not run, " not in line] + ["%s: %s, within: %s" % (kind, how, text[-2000:])]
                for line in lines:
                    print("    " + line, flush=True)
                same = sum(results.get(name) == result for name, result in bare.items())
                passed, failed = passed + same, failed + len(lines)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

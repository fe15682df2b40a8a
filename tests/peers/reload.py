#!/usr/bin/env python3
"""Files that a policy names are replaced while connections come and go.

reload.py drive DIR CERTS ROUNDS RATE OUT WEB...   native clients of the wrapped echo servers on ports WEB (RATE connections a second together), and a
                                    native server on port OUT for the wrapped client; files in DIR are replaced from CERTS in every way,
                                    ROUNDS times; one line a step, "ok" or what was wrong; the logs are DIR/*.log
reload.py dial PORT RATE            the client to be wrapped: connections to PORT until killed, one line each: start, end, result
"""
import collections
import errno
import glob
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

SETTLE = 2.2    # seconds after which whoever comes meets the new files: one of rest, one between looks
STEP = 2.8
WORKERS = 12


def pace(rate, visit):
    """Calls of visit, rate a second."""
    due = time.monotonic()
    while True:
        visit()
        due = max(due + 1 / rate, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


# --- the client that is wrapped ---

def dial(port, rate):
    kept = []

    def visit():
        began = time.monotonic()
        try:
            if not kept:
                kept.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            with socket.create_connection(("127.0.0.1", port), timeout=20) as conn:
                conn.sendall(b"hello")
                got = b""
                while len(got) < 5:
                    data = conn.recv(5)
                    if not data:
                        break
                    got += data
            what = "ok" if got == b"hello" else "lost"
        except OSError as error:
            what = errno.errorcode.get(error.errno, str(error)) if error.errno else str(error)
        try:
            for conn in kept:
                conn.sendall(b"still here?")
                if conn.recv(100) != b"still here?":
                    what += " kept:lost"
        except OSError as error:
            what += " kept:%s" % error
        print("%.3f %.3f %s" % (began, time.monotonic(), what), flush=True)

    pace(rate, visit)


# --- the driver ---

class Server(threading.Thread):
    """A native TLS echo server: which certificates came?"""

    def __init__(self, certs, port):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certs + "/server.pem", certs + "/server.key")
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(certs + "/ca.pem")
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)

    def run(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.attend, args=(conn,), daemon=True).start()

    def attend(self, conn):
        try:
            with self.context.wrap_socket(conn, server_side=True) as tls:
                data = tls.recv(4096)
                while data:
                    tls.sendall(data)
                    data = tls.recv(4096)
        except OSError:
            pass


class Load:
    """Native clients: one in eight shows a certificate."""

    Visit = collections.namedtuple("Visit", "began port shown serial error")

    def __init__(self, certs, ports, rate):
        self.visits, self.ports, self.turn = [], ports, 0
        self.lock = threading.Lock()
        self.plain = ssl.create_default_context(cafile=certs + "/ca.pem")
        self.shown = ssl.create_default_context(cafile=certs + "/ca.pem")
        self.shown.load_cert_chain(certs + "/client.pem", certs + "/client.key")
        self.kept = [self.open(self.plain, port) for port in ports]
        for _ in range(WORKERS):
            threading.Thread(target=pace, args=(rate / WORKERS, self.visit), daemon=True).start()

    @staticmethod
    def open(context, port):
        conn = socket.create_connection(("127.0.0.1", port), timeout=20)
        try:
            return context.wrap_socket(conn, server_hostname="localhost")
        except OSError:
            conn.close()
            raise

    def visit(self):
        with self.lock:
            self.turn += 1
            turn = self.turn
        port, shown = self.ports[turn % len(self.ports)], turn % 8 == 0
        began, serial, error = time.monotonic(), None, None
        try:
            with self.open(self.shown if shown else self.plain, port) as tls:
                serial = tls.getpeercert()["serialNumber"]
                tls.sendall(b"hello")
                got = b""
                while len(got) < 5:
                    data = tls.recv(5)
                    if not data:
                        break
                    got += data
                error = None if got == b"hello" else "lost"
        except OSError as problem:
            error = str(problem)
        with self.lock:
            self.visits.append(self.Visit(began, port, shown, serial, error))

    def since(self, moment):
        with self.lock:
            return [visit for visit in self.visits if visit.began >= moment]

    def kept_are_untouched(self):
        for conn in self.kept:
            conn.sendall(b"still here?")
            if conn.recv(100) != b"still here?":
                return "an old connection lost its data"
        return None


class Files:
    def __init__(self, directory, certs):
        self.directory, self.certs = directory, certs

    def read(self, name):
        with open("%s/%s" % (self.certs, name), "rb") as file:
            return file.read()

    def in_place(self, name, data):
        with open("%s/%s" % (self.directory, name), "r+b") as file:
            file.truncate(0)
            file.write(data)

    def rename(self, name, data):
        path = "%s/%s" % (self.directory, name)
        descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.rename(path + ".new", path)

    def remove(self, name):
        os.unlink("%s/%s" % (self.directory, name))


class Drive:
    def __init__(self, directory, certs, rate, out, ports):
        self.files, self.directory = Files(directory, certs), directory
        self.serials = {name: self.serial("%s/%s.pem" % (certs, name)) for name in ("server", "chain")}
        Server(certs, out).start()
        self.dialer = "%s/dial.out" % directory
        self.load = Load(certs, ports, rate)
        self.policy = self.files.read("policy")
        self.bad, self.refused = 0, False

    @staticmethod
    def serial(path):
        text = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-serial"], check=True, capture_output=True, text=True).stdout
        return "%040X" % int(text.strip().split("=")[1], 16)

    def lines(self):
        """{log: {pid: [line]}}"""
        found = {}
        for name in glob.glob(self.directory + "/*.log"):
            by_pid = found.setdefault(os.path.basename(name)[:-4], collections.defaultdict(list))
            with open(name) as file:
                for line in file:
                    match = re.match(r"wrapsock: (\w+): \S+\[(\d+)\]: (.*)", line)
                    if match and match[1] in ("error", "warn"):
                        by_pid[match[2]].append(match[3])
        return found

    def news(self, before, after, log):
        return {pid: lines[len(before.get(log, {}).get(pid, [])):] for pid, lines in after.get(log, {}).items()}

    def dials(self, moment):
        with open(self.dialer) as file:
            return [line.split(" ", 2)[2].strip() for line in file.read().splitlines()
                    if line.count(" ") >= 2 and float(line.split(" ", 1)[0]) >= moment]

    def step(self, name, change, cert, shown="ok", dial="ok", web=(), out=()):
        """web, out: what each process of a server, or the client, says in this step: exactly these, once each, and nothing else."""
        before, began = self.lines(), time.monotonic()
        change()
        rest = time.monotonic() + SETTLE
        while time.monotonic() < rest + STEP - SETTLE:
            time.sleep(0.1)
        faults = list(self.judge(began, rest, cert, shown, dial))
        self.refused = shown != "ok"
        after = self.lines()
        for log in after:
            expected = out if log == "dial" else web
            told = self.news(before, after, log)
            if expected and not any(told.values()):
                faults.append("%s said nothing" % log)
            for pid, lines in told.items():
                lines = [line for line in lines if "handshake failed" not in line and "similar suppressed" not in line]
                odd = [line for line in lines if not any(word in line for word in expected)]
                odd += ["%d times: %s" % (n, word) for word in expected for n in [sum(word in line for line in lines)] if n > 1]
                faults += ["%s said: %s" % (log, line) for line in odd]
        for word in web:
            for log in after:
                if log != "dial" and not any(word in line for lines in self.news(before, after, log).values() for line in lines):
                    faults.append("%s never said: %s" % (log, word))
        self.bad += bool(faults)
        print("%s: %s" % (name, "; ".join(faults[:6]) if faults else "ok"), flush=True)

    def judge(self, began, rest, cert, shown, dial):
        visits = self.load.since(began)
        settled = [visit for visit in visits if visit.began >= rest]
        if len(settled) < 10:
            yield "only %d connections" % len(settled)
        for visit in visits:
            lately = self.refused and visit.began < rest    # a list that called it back may still be in force
            if visit.error and not (visit.shown and (shown != "ok" or lately)):
                yield "port %d: %s" % (visit.port, visit.error)
        for visit in settled:
            if not visit.error and int(visit.serial, 16) != int(self.serials[cert], 16):
                yield "port %d shows the wrong certificate" % visit.port
            if visit.shown and shown != "ok" and not visit.error:
                yield "port %d: a revoked certificate passes" % visit.port
        if {visit.port for visit in settled if not visit.error} != set(self.load.ports):
            yield "a server served nobody"
        dials = self.dials(rest)
        if not dials:
            yield "the client did not dial"
        for what in dials:
            if what != dial:
                yield "the client got %s, expected %s" % (what, dial)
        if dial == "ok":
            for what in self.dials(began + 0.1):
                if "kept" in what:
                    yield "the client's old connection: %s" % what
        kept = self.load.kept_are_untouched()
        if kept:
            yield kept

    # Each step begins where the one before has ended: with server, or with chain.
    def renamed(self):
        self.files.rename("web.key", self.files.read("chain.key"))
        self.files.rename("web.pem", self.files.read("chain.pem"))

    def half(self):
        data = self.files.read("server.pem")
        self.files.in_place("web.pem", data[:len(data) // 2])
        self.files.in_place("web.key", self.files.read("server.key"))
        self.files.in_place("policy.conf", self.policy + b"nonsense = 1\n")
        self.files.rename("roots.pem", self.files.read("other-ca.pem"))

    def whole(self):
        self.files.in_place("web.pem", self.files.read("server.pem"))
        self.files.in_place("policy.conf", self.policy)
        self.files.rename("roots.pem", self.files.read("ca.pem"))

    def removed(self):
        self.files.remove("web.key")
        self.files.in_place("roots.pem", b"-----BEGIN CERTIFICATE-----\nhalf of one")

    def back(self):
        self.files.rename("web.key", self.files.read("server.key"))
        self.files.rename("crl.pem", self.files.read("revoked.crl"))
        self.files.rename("roots.pem", self.files.read("ca.pem"))

    def apart(self):
        """The certificate, and its key a moment later."""
        self.files.rename("web.pem", self.files.read("chain.pem"))
        time.sleep(0.4)
        self.files.rename("web.key", self.files.read("chain.key"))
        self.files.in_place("crl.pem", self.files.read("clean.crl"))

    def home(self):
        self.files.remove("web.pem")
        self.files.remove("web.key")
        self.files.rename("web.pem", self.files.read("server.pem"))
        self.files.rename("web.key", self.files.read("server.key"))
        self.files.rename("policy.conf", b"# a line more\n" + self.policy)

    def round(self):
        again, kept = "can be used again", "stays in force"
        self.step("renamed over", self.renamed, "chain")
        self.step("half-written", self.half, "chain", dial="EKEYREJECTED", web=("the changed files are not used", kept), out=(kept,))
        self.step("whole again", self.whole, "server", web=("files " + again, "policy " + again), out=("policy " + again,))
        self.step("removed", self.removed, "server", web=("is gone",), out=("the changed files are not used",))
        self.step("there again, with a CRL", self.back, "server", shown="refused", web=("files " + again,), out=("files " + again,))
        self.step("for a moment not matching", self.apart, "chain")
        self.step("removed and made anew", self.home, "server")


def main():
    if sys.argv[1] == "dial":
        dial(int(sys.argv[2]), float(sys.argv[3]))
        return 0
    directory, certs = sys.argv[2:4]
    drive = Drive(directory, certs, float(sys.argv[5]), int(sys.argv[6]), [int(port) for port in sys.argv[7:]])
    limit = time.monotonic() + 20
    while not os.path.exists(drive.dialer) or not drive.dials(0):
        if time.monotonic() > limit:
            print("the client has not begun")
            return 1
        time.sleep(0.05)
    for _ in range(int(sys.argv[4])):
        drive.round()
    print("%d connections" % len(drive.load.visits))
    return 1 if drive.bad else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)

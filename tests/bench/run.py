#!/usr/bin/python3
"""Side by side in one run: plain TCP, the server's own TLS, and the plain server under wrapsock.

CPU is user + system of every server process, per operation, the minimum over interleaved rounds; memory is the growth of the
servers' private memory per idle connection.  A run in which a process died or no operation completed is not reported.
"""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(TOP, "build"))
WRAPSOCK = os.path.join(TOP, "tools", "wrapsock")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
IDLE = int(os.environ.get("BENCH_IDLE", "2000"))
TICK = os.sysconf("SC_CLK_TCK")
CIPHER = "TLS_AES_128_GCM_SHA256"


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    found = [pid]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(entry))
            except FileNotFoundError:
                continue
    return found


def cpu(pids):
    """Seconds of user and system time; from schedstat, which counts nanoseconds."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def memory(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith(("Private_Dirty:", "Private_Clean:")))
    return total


def certificates(folder):
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder, stderr=subprocess.DEVNULL)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench CA", "-days", "2")
    openssl("req", *ec, "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=localhost")
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
            "-out", "cert.pem")


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {0}))
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise SystemExit(f"{name}: the server did not start")
                time.sleep(0.02)
        self.pids = children(self.process.pid)

    def alive(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name}: the server died")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


class Bench:
    def __init__(self, folder):
        self.folder = folder
        certificates(folder)
        with open(os.path.join(folder, "index.html"), "wb") as f:
            f.write(b"x" * 1024)
        with open(os.path.join(folder, "100k"), "wb") as f:
            f.write(b"x" * 102400)
        self.policy = os.path.join(folder, "policy.conf")
        with open(self.policy, "w") as f:
            f.write("[defaults]\nunmatched = plain\n[server bench]\nmatch = *:*\ncertfile = cert.pem\nkeyfile = key.pem\n"
                    f"ciphersuites = {CIPHER}\n")
        os.chmod(self.policy, 0o644)
        os.chmod(folder, 0o755)
        for name in ("cert.pem", "key.pem"):
            os.chmod(os.path.join(folder, name), 0o644)

    def path(self, name):
        return os.path.join(self.folder, name)

    def verified(self, port):
        """One verified handshake: a wrapper that does nothing cannot pass for a fast one."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
            if s.version() != "TLSv1.3" or s.cipher()[0] != CIPHER:
                raise SystemExit(f"port {port} speaks {s.version()} with {s.cipher()[0]}")

    def redis(self, kind):
        p = port()
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder]
        if kind == "native":
            command += ["--port", "0", "--tls-port", str(p), "--tls-cert-file", self.path("cert.pem"), "--tls-key-file",
                        self.path("key.pem"), "--tls-ca-cert-file", self.path("ca.pem"), "--tls-auth-clients", "no",
                        "--tls-ciphersuites", CIPHER, "--tls-session-caching", "no"]
        else:
            command += ["--port", str(p)]
        return self.server("redis", kind, command, p)

    def nginx(self, kind):
        p = port()
        tls = f" ssl; ssl_certificate {self.path('cert.pem')}; ssl_certificate_key {self.path('key.pem')}; ssl_protocols TLSv1.3; " \
              f"ssl_conf_command Ciphersuites {CIPHER}; ssl_session_tickets on" if kind == "native" else ""
        temp = " ".join(f"{x}_temp_path {self.folder}/{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = self.path(f"nginx-{kind}.conf")
        with open(conf, "w") as f:
            f.write(f"daemon off; worker_processes 1; pid {self.folder}/{kind}.pid; error_log /dev/null;\n"
                    "events { worker_connections 16000; }\n"
                    f"http {{ access_log off; sendfile on; keepalive_requests 1000000; keepalive_timeout 600; {temp}\n"
                    f" server {{ listen 127.0.0.1:{p}{tls}; root {self.folder}; }} }}\n")
        return self.server("nginx", kind, ["nginx", "-p", self.folder, "-c", conf, "-e", "/dev/null"], p)

    def server(self, name, kind, command, p):
        if kind == "wrapsock":
            command = [WRAPSOCK, "-q", "-p", self.policy, *command]
        server = Server(f"{name} ({kind})", command, p)
        if kind != "plain":
            self.verified(p)
        server.pids = children(server.process.pid)
        return server

    def load(self, server, command, operations):
        """CPU microseconds of the server per operation."""
        before = cpu(server.pids)
        out = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {1}))
        used = cpu(server.pids) - before
        server.alive()
        done = operations(out.stdout.replace("\r", "\n"))
        if out.returncode or not done:
            raise SystemExit(f"{server.name}: no operation completed: {command[0]}: {out.stderr[-300:]}")
        return used / done * 1e6

    def redis_load(self, server, kind, test, size, pipeline):
        n = 400000 if pipeline > 1 else 100000
        tls = ["--tls", "--cacert", self.path("ca.pem"), "--sni", "localhost"] if kind != "plain" else []
        command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-n", str(n), "-c", "50", "-P", str(pipeline), "-d",
                   str(size), "-t", test, "--csv", *tls]
        return self.load(server, command, lambda out: n if f'"{test.upper()}"' in out else 0)

    def nginx_load(self, server, kind, name):
        scheme = "http" if kind == "plain" else "https"
        command = ["wrk", "-t1", "-c50", "-d3s", f"{scheme}://127.0.0.1:{server.port}/{name}"]
        return self.load(server, command, lambda out: int((re.search(r"(\d+) requests in", out) or [0, 0])[1]))

    def idle(self, start, kind, request):
        server = start(kind)
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        before, held = memory(server.pids), []
        for _ in range(IDLE):
            s = socket.create_connection(("127.0.0.1", server.port), 10)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if kind != "plain":
                s = context.wrap_socket(s, server_hostname="localhost")
            s.sendall(request)
            if not s.recv(65536):
                raise SystemExit(f"{server.name}: closed an idle connection")
            held.append(s)
        used = (memory(server.pids) - before) / IDLE
        server.alive()
        for s in held:
            s.close()
        server.stop()
        return used


def row(name, unit, plain, native, wrapped):
    print(f"{name:<34}{unit:>8}{plain:10.2f}{native:10.2f}{wrapped:10.2f}{wrapped / native:10.2f}", flush=True)


def interleaved(bench, start, measure):
    """Minimum per kind over ROUNDS rounds, the kinds in turn."""
    kinds = ("plain", "native", "wrapsock")
    servers = {kind: start(kind) for kind in kinds}
    best = {}
    for _ in range(ROUNDS):
        for kind in kinds:
            used = measure(servers[kind], kind)
            best[kind] = min(used, best.get(kind, used))
    for server in servers.values():
        server.alive()
        server.stop()
    return [best[kind] for kind in kinds]


def small(bench):
    """Start-up of `true`, and one call on a descriptor that is not wrapped."""
    preload = dict(os.environ, LD_PRELOAD=os.path.join(BUILD, "libwrapsock-preload.so"), WRAPSOCK_POLICY=bench.policy, WRAPSOCK_LOG="error")

    def started(env):
        began = time.perf_counter()
        subprocess.run(["/bin/true"], env=env, check=True)
        return (time.perf_counter() - began) * 1e3
    pairs = [(started(dict(os.environ)), started(preload)) for _ in range(300)]
    plain, wrapped = min(p for p, _ in pairs), min(w for _, w in pairs)
    print(f"{'start-up of true':<34}{'ms':>8}{plain:10.2f}{'-':>10}{wrapped:10.2f}   +{wrapped - plain:.2f}")
    call = os.path.join(BUILD, "bench", "call")
    plain, wrapped = (min(float(subprocess.run([call], env=env, capture_output=True, text=True, check=True).stdout) for _ in range(ROUNDS))
                      for env in (dict(os.environ), preload))
    print(f"{'call on an unwrapped descriptor':<34}{'ns':>8}{plain:10.2f}{'-':>10}{wrapped:10.2f}   +{wrapped - plain:.2f}")


def main():
    folder = tempfile.mkdtemp(prefix="wrapsock-bench.")
    try:
        bench = Bench(folder)
        print(f"{'':<34}{'':>8}{'plain':>10}{'native':>10}{'wrapsock':>10}{'ratio':>10}")
        small(bench)
        for size, pipeline in ((64, 1), (64, 16), (4096, 1), (4096, 16)):
            for test in ("set", "get"):
                row(f"redis {test} {size} B, pipeline {pipeline}", "us/op",
                    *interleaved(bench, bench.redis, lambda s, k: bench.redis_load(s, k, test, size, pipeline)))
        for name in ("index.html", "100k"):
            row(f"nginx {'1 KiB' if name == 'index.html' else '100 KiB'}, keep-alive", "us/op",
                *interleaved(bench, bench.nginx, lambda s, k: bench.nginx_load(s, k, name)))
        request = b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n"
        row(f"nginx idle, {IDLE} connections", "KiB", *(bench.idle(bench.nginx, kind, request) for kind in ("plain", "native", "wrapsock")))
        row(f"redis idle, {IDLE} connections", "KiB", *(bench.idle(bench.redis, kind, b"PING\r\n") for kind in ("plain", "native", "wrapsock")))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())

"""The set-ups that are compared: one server each, alone, under wrapsock or behind a proxy, and how its clients speak."""
import os
import secrets
import shutil
import socket
import ssl

from machine import CORES, SERVER_CORE
from process import Process, Refused, Relay
from servers import Stream, nginx_frame, nginx_tls
from tls import CIPHER, GROUP, handshake

NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


def stunnel(bench, port, to):
    conf = bench.file(f"stunnel-{port}.conf",
                      "foreground = yes\npid =\nsyslog = no\ndebug = err\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n[bench]\n"
                      f"accept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{to}\ncert = {bench.keys.cert}\nkey = {bench.keys.key}\n"
                      f"sslVersion = TLSv1.3\nciphersuites = {CIPHER}\ncurves = {GROUP}\n")
    return ["stunnel", conf]


def hitch(bench, port, to):
    user = 'user = "nobody"\n' if os.getuid() == 0 else ""
    conf = bench.file(f"hitch-{port}.conf",
                      f'{user}frontend = "[127.0.0.1]:{port}"\nbackend = "[127.0.0.1]:{to}"\npem-file = "{bench.keys.both}"\nworkers = 1\n'
                      f'daemon = off\nquiet = on\nbacklog = 4096\ntls-protos = TLSv1.3\nciphersuites = "{CIPHER}"\necdh-curve = "{GROUP}"\n')
    return ["hitch", f"--config={conf}"]


def haproxy(bench, port, to):
    conf = bench.file(f"haproxy-{port}.cfg",
                      f"global\n nbthread 1\n maxconn {bench.descriptors // 2 - 100}\n ssl-default-bind-ciphersuites {CIPHER}\n"
                      f" ssl-default-bind-options ssl-min-ver TLSv1.3\n ssl-default-bind-curves {GROUP}\n"
                      "defaults\n mode tcp\n timeout connect 10s\n timeout client 1h\n timeout server 1h\n"
                      f"listen bench\n bind 127.0.0.1:{port} ssl crt {bench.keys.both} curves {GROUP} backlog 4096\n server app 127.0.0.1:{to}\n")
    return ["haproxy", "-db", "-q", "-f", conf]


def nginx_stream(bench, port, to):
    conf = bench.file(f"stream-{port}.conf", f"load_module {NGINX_STREAM};\n" + nginx_frame(
        bench.folder, f"stream-{port}", bench.descriptors,
        f"stream {{ server {{ listen 127.0.0.1:{port} ssl backlog=4096; {nginx_tls(bench.keys)} proxy_timeout 1h; proxy_pass 127.0.0.1:{to}; }} }}\n"))
    return ["nginx", "-p", bench.folder, "-c", conf, "-e", "stderr"]


class Kind:
    """SERVER is plain, native, api, wrapped, relayed or a proxy in front of a plain one; CLIENT plain, native, api or wrapped."""

    def __init__(self, name, server, client, needs=()):
        self.name, self.server, self.client, self.needs = name, server, client, needs

    def missing(self):
        return [need for need in self.needs if not (os.path.exists(need) if "/" in need else shutil.which(need))]


KINDS = {kind.name: kind for kind in (
    Kind("plain", "plain", "plain"),
    Kind("native", "native", "native"),
    Kind("wrapsock", "wrapped", "native"),
    Kind("wrapsock-client", "native", "wrapped"),
    Kind("wrapsock-both", "wrapped", "wrapped"),
    Kind("wrapsock-relay", "relayed", "native"),
    Kind("stunnel", stunnel, "native", ("stunnel",)),
    Kind("hitch", hitch, "native", ("hitch",)),
    Kind("haproxy", haproxy, "native", ("haproxy",)),
    Kind("nginx-stream", nginx_stream, "native", ("nginx", NGINX_STREAM)),
    Kind("api", "api", "native"),
    Kind("api-client", "native", "api"),
    Kind("api-both", "api", "api"),
)}
PROXIES = [kind.name for kind in KINDS.values() if callable(kind.server)]


class Setup:
    """A server running as its kind says; everything of it is pinned to the server's core."""

    def __init__(self, bench, kind, server):
        self.bench, self.kind, self.server = bench, kind, server
        self.name = f"{server.name} {kind.name}"
        self.port = bench.free_port()
        self.processes = []
        self.held = self.env = None
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        proxied = callable(self.kind.server)
        behind = self.bench.free_port() if proxied else self.port
        command = self.server.command(self.bench, behind, self.kind.server if self.kind.server in ("native", "api") else "plain")
        if self.kind.server in ("wrapped", "relayed"):
            policy = self.bench.server_policy if self.kind.server == "wrapped" else self.bench.relay_policy
            wrapped = [self.bench.launcher, "-q", "-p", policy]
            command = [*wrapped, *command]
        if self.kind.server == "relayed":
            self.anchor_relay(wrapped)
        self.run(self.name if not proxied else f"{self.name} server", command, behind)
        if proxied:
            self.run(f"{self.name} proxy", self.kind.server(self.bench, self.port, behind), self.port)
        if self.kind.server != "plain":
            handshake(self.name, self.port, self.bench.keys)
        for process in self.processes:
            process.settle()

    def anchor_relay(self, wrapped):
        """A connection of another server keeps the relay between two samples, when it would end for want of work."""
        self.env = dict(os.environ, WRAPSOCK_RELAY=secrets.token_hex(8))
        port = self.bench.free_port()
        self.run(f"{self.name} anchor", [*wrapped, *Stream().command(self.bench, port, "plain")], port)
        self.held = self.connect(port)
        self.held.sendall(b"\0")  # a connection changes over with its first read
        self.processes.append(Relay(self.name, self.processes[0]))

    def run(self, name, command, port):
        self.processes.append(Process(name, command, CORES if self.server.spread else [SERVER_CORE], self.bench.folder, self.env))
        self.processes[-1].await_port(port)

    def cpu(self):
        return sum(process.cpu() for process in self.processes)

    def memory(self):
        return sum(process.memory() for process in self.processes)

    def alive(self):
        for process in self.processes:
            process.alive()

    def connect(self, port=None):
        """A client of Python's."""
        raw = socket.create_connection(("127.0.0.1", port or self.port), 10)
        if self.kind.server == "plain":
            return raw
        return ssl.create_default_context(cafile=self.bench.keys.ca).wrap_socket(raw, server_hostname="127.0.0.1")

    def ask(self, request, expected):
        """One exchange, to prepare the server."""
        with self.connect() as end:
            end.sendall(request)
            got = b""
            while len(got) < len(expected):
                part = end.recv(65536)
                if not part:
                    break
                got += part
        if got != expected:
            raise Refused(f"{self.name}: answered {got[:60]!r} to {request[:60]!r}")

    def stop(self):
        if self.held:
            self.held.close()
        for process in reversed(self.processes):
            process.stop()

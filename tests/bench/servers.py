"""The servers: how each is started in plain, and with TLS of its own, configured as a careful administrator would."""
import os

from tls import CIPHER, GROUP

FILES = {"16": 16, "1k": 1024, "100k": 102400, "10m": 10485760}
ENDING = "="  # of every answer that the load program waits for


def nginx_tls(keys):
    return (f"ssl_certificate {keys.cert}; ssl_certificate_key {keys.key}; ssl_protocols TLSv1.3; ssl_ecdh_curve {GROUP}; "
            f"ssl_conf_command Ciphersuites {CIPHER}; ssl_session_tickets on;")


def nginx_frame(folder, pid, descriptors, rest):
    """A configuration up to and with its events section, and the rest."""
    user = "user root;\n" if os.getuid() == 0 else ""
    return (f"{user}daemon off; worker_processes 1; worker_rlimit_nofile {descriptors}; pid {folder}/{pid}.pid; error_log stderr crit;\n"
            f"events {{ worker_connections {descriptors}; }}\n{rest}")


class Server:
    """SPREAD servers have all cores, others one. The request that each answers, and what its answer ends with, are for the load program."""
    needs, spread = (), False


class Redis(Server):
    name, needs = "redis", ("redis-server", "redis-benchmark")
    request = "ECHO =\r\n"
    ending = f"{ENDING}\r\n"

    def command(self, bench, port, speaks):
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", bench.folder, "--maxclients", "12000"]
        if speaks == "plain":
            return [*command, "--port", str(port)]
        return [*command, "--port", "0", "--tls-port", str(port), "--tls-cert-file", bench.keys.cert, "--tls-key-file", bench.keys.key,
                "--tls-ca-cert-file", bench.keys.ca, "--tls-auth-clients", "no", "--tls-protocols", "TLSv1.3", "--tls-ciphersuites", CIPHER]


class Nginx(Server):
    name, needs = "nginx", ("nginx",)
    request = "GET /16 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ending = ENDING

    def command(self, bench, port, speaks):
        www = os.path.join(bench.folder, "www")
        if not os.path.exists(www):
            os.mkdir(www)
            for name, size in FILES.items():
                with open(os.path.join(www, name), "w") as f:
                    f.write("x" * (size - 1) + ENDING)
        temp = " ".join(f"{x}_temp_path {bench.folder}/{x};" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        native = speaks == "native"
        listen = f"listen 127.0.0.1:{port}{' ssl' if native else ''} backlog=4096; {nginx_tls(bench.keys) if native else ''}"
        conf = os.path.join(bench.folder, f"nginx-{port}.conf")
        with open(conf, "w") as f:
            f.write(nginx_frame(bench.folder, f"nginx-{port}", bench.descriptors,
                                "http { access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; open_file_cache max=100 inactive=600s;\n"
                                f" keepalive_requests 1000000000; keepalive_timeout 3600; {temp}\n"
                                f" server {{ {listen} root {www}; }} }}\n"))
        return ["nginx", "-p", bench.folder, "-c", conf, "-e", "stderr"]


class Stream(Server):
    """Our own, for bulk and ping-pong: blocking calls, with TLS of its own the loop of OpenSSL's manual, or this library's interface."""
    name, options = "stream", ()

    def command(self, bench, port, speaks):
        tls = [bench.keys.cert, bench.keys.key, CIPHER, GROUP] if speaks != "plain" else []
        return [bench.program("api_serve" if speaks == "api" else "serve"), *self.options, str(port), *tls]


class Threads(Stream):
    """The same with a thread for each connection, on all cores."""
    name, options, spread = "threads", ("-t",), True

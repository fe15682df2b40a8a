"""One certificate, suite and group for everybody: made once, written into policies, and seen in a verified handshake."""
import os
import re
import subprocess

from process import Refused, bounded

CIPHER, GROUP = "TLS_AES_128_GCM_SHA256", "X25519"


class Keys:
    """ca.pem, cert.pem, key.pem and both.pem (for programs that want one file) in the folder; ECDSA with P-256."""

    def __init__(self, folder):
        self.ca, self.cert, self.key, self.both = (os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem", "both.pem"))

        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, cwd=folder, stderr=subprocess.DEVNULL)
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", self.ca, "-subj", "/CN=bench CA", "-days", "2")
        openssl("req", *new, "-keyout", self.key, "-out", "csr.pem", "-subj", "/CN=localhost")
        with open(os.path.join(folder, "ext"), "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "csr.pem", "-CA", self.ca, "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
                "-out", self.cert)
        with open(self.both, "w") as both:
            for name in (self.key, self.cert):
                with open(name) as f:
                    both.write(f.read())
        os.chmod(self.key, 0o600)
        os.chmod(self.both, 0o600)


def write_policy(path, text):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return path


def server_policy(folder, keys, route="auto"):
    return write_policy(os.path.join(folder, f"server-{route}.conf"), f"[defaults]\nunmatched = refuse\n[server bench]\nmatch = *:*\nroute = {route}\n"
                        f"certfile = {keys.cert}\nkeyfile = {keys.key}\nciphersuites = {CIPHER}\ngroups = {GROUP}\n")


def client_policy(folder, keys):
    return write_policy(os.path.join(folder, "client.conf"), "[defaults]\nunmatched = refuse\n[client bench]\nmatch = *:*\n"
                        f"ca_certs = {keys.ca}\nciphersuites = {CIPHER}\ngroups = {GROUP}\n")


def handshake(name, port, keys):
    """One verified handshake with what listens there: a wrapper that does nothing must not pass for a fast one."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", keys.ca, "-verify_return_error", "-verify_ip", "127.0.0.1"]
    status, out = bounded(5, command)

    def said(pattern):
        found = re.search(pattern, out, re.MULTILINE)
        return found[1] if found else "nothing"
    seen = (said(r"^New, ([^,]+),"), said(r"Cipher is (\S+)$"), said(r"^(?:Server Temp Key|Peer Temp Key): (\w+)"), said(r"^Verification: (\w+)"))
    if status or seen != ("TLSv1.3", CIPHER, GROUP, "OK"):
        raise Refused(f"{name}: the verified handshake has {', '.join(seen)}, not TLSv1.3, {CIPHER}, {GROUP}, OK")

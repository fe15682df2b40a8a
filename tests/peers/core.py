#!/usr/bin/env python3
"""What is left in a process's memory?

core.py serve PORT CERTS KEYLOG SAID   a native TLS echo server that sends a random word first; its secrets go to KEYLOG, the word, which
                                       comes back twice, to SAID
core.py dial PORT KIND CERTS KEYLOG SAID    a native client, the same: it says a random word and reads it back twice; KIND is tls12 or tls13
core.py needles OUT [--keylog FILE] [--said FILE] [--key FILE] [--hello FILE]
                                       what is not to be found: secrets and what follows from them, words, a private key in every
                                       form; hello: what a server sent in TLS 1.2, for its random number
core.py scan PID NEEDLES               the writable memory of the process: a line for each needle that is there; "clean" if none
core.py grep NEEDLES FILE...           the same in files, binary, in hexadecimal and in base64
"""
import base64
import glob
import hashlib
import hmac
import os
import re
import socket
import ssl
import subprocess
import sys
import threading

VERSIONS = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}


def note(path, word):
    with open(path, "ab") as file:
        file.write(word + b"\n")


def random_word():
    return base64.b16encode(os.urandom(24))


# --- peers ---

def receive(conn, n):
    got = b""
    while len(got) < n:
        data = conn.recv(n - len(got))
        if not data:
            raise OSError("end after %d bytes" % len(got))
        got += data
    return got


def attend(conn, context, said):
    try:
        with context.wrap_socket(conn, server_side=True) as tls:
            word = random_word()
            note(said, word)
            tls.sendall(word)
            if receive(tls, 2 * len(word)) != word + word:
                print("other bytes came back", file=sys.stderr, flush=True)
            tls.settimeout(10)
            tls.recv(1)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)


def serve(port, certs, keylog, said):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs + "/server.pem", certs + "/server.key")
    context.keylog_filename = keylog
    listener = socket.create_server(("127.0.0.1", port), backlog=16)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=attend, args=(conn, context, said), daemon=True).start()


def dial(port, kind, certs, keylog, said):
    context = ssl.create_default_context(cafile=certs + "/ca.pem")
    context.minimum_version = context.maximum_version = VERSIONS[kind]
    context.keylog_filename = keylog
    word = random_word()
    note(said, word)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as conn, context.wrap_socket(conn, server_hostname="localhost") as tls:
        tls.sendall(word)
        if receive(tls, 2 * len(word)) != word + word:
            raise SystemExit("other bytes came back")
        tls.unwrap()


# --- what must not be found ---

def expand_label(digest, secret, label, n):
    info = n.to_bytes(2, "big") + bytes([len(label) + 6]) + b"tls13 " + label + b"\0"
    return hmac.new(secret, info + b"\1", digest).digest()[:n]


def prf(digest, secret, seed, n):
    out, a = b"", seed
    while len(out) < n:
        a = hmac.new(secret, a, digest).digest()
        out += hmac.new(secret, a + seed, digest).digest()
    return out[:n]


def of_keylog(path, hello):
    found = {}
    with open(path) as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    for number, (label, client_random, secret) in enumerate(lines):
        secret, name = bytes.fromhex(secret), "%s %d" % (label, number)
        found[name] = secret
        if "TRAFFIC" in label:
            digest = {32: hashlib.sha256, 48: hashlib.sha384}[len(secret)]
            found[name + " key"] = expand_label(digest, secret, b"key", 32)
        elif label == "CLIENT_RANDOM" and hello:
            seed = b"key expansion" + hello[11:43] + bytes.fromhex(client_random)
            block = prf(hashlib.sha384, secret, seed, 64)   # the one suite that the tests speak: AES-256-GCM with SHA-384
            found[name + " client key"], found[name + " server key"] = block[:32], block[32:]
    return found


def of_key(path):
    text = subprocess.run(["openssl", "pkey", "-in", path, "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    scalar = bytes.fromhex(re.sub(r"[^0-9a-f]", "", re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", text)[1])).lstrip(b"\0")
    with open(path, "rb") as file:
        body = [line for line in file.read().split(b"\n") if line and not line.startswith(b"-")]
    return {"private key": scalar, "private key, in words": scalar[::-1], "private key, PEM": max(body, key=len)}


def needles(out, options):
    found, option = {}, dict(zip(options[::2], options[1::2]))
    hello = b""
    if "--hello" in option:
        with open(option["--hello"], "rb") as file:
            hello = file.read()
    if "--keylog" in option:
        found.update(of_keylog(option["--keylog"], hello))
    if "--key" in option:
        found.update(of_key(option["--key"]))
    if "--said" in option:
        with open(option["--said"], "rb") as file:
            found.update(("plaintext %d" % i, word) for i, word in enumerate(file.read().split()))
    with open(out, "w") as file:
        for name, value in found.items():
            file.write("%s\t%s\n" % (name, value.hex()))
    print("%d needles" % len(found))


def load_needles(path):
    with open(path) as file:
        return {name: bytes.fromhex(value) for name, value in (line.rstrip("\n").split("\t") for line in file)}


# --- the search ---

def regions(pid):
    with open("/proc/%d/maps" % pid) as file:
        for line in file:
            fields = line.split()
            if "w" in fields[1] and (len(fields) < 6 or not fields[5].startswith(("[vvar", "[vsyscall"))):
                yield [int(end, 16) for end in fields[0].split("-")] + [fields[5] if len(fields) > 5 else "anonymous"]


def scan(pid, wanted):
    clean = True
    try:
        memory = open("/proc/%d/mem" % pid, "rb", buffering=0)
    except PermissionError:
        print("not permitted")
        return 1
    with memory:
        for begin, end, name in list(regions(pid)):
            at, tail = begin, b""
            while at < end:
                try:
                    memory.seek(at)
                    data = memory.read(min(1 << 22, end - at))
                except OSError:
                    break
                if not data:
                    break
                both = tail + data
                for what, needle in wanted.items():
                    where = both.find(needle)
                    while where >= 0:
                        clean = False
                        print("%s at %#x, %s" % (what, at - len(tail) + where, name))
                        where = both.find(needle, where + 1)
                tail = both[-128:] if len(data) >= 128 else both[-256:]
                at += len(data)
    if clean:
        print("clean")
    return 0 if clean else 1


def grep(wanted, paths):
    clean = True
    for path in paths:
        with open(path, "rb") as file:
            data = file.read()
        lower = data.lower()
        for what, needle in wanted.items():
            if needle in data or needle.hex().encode() in lower or base64.b64encode(needle)[:-4] in data:
                clean = False
                print("%s in %s" % (what, path))
    if clean:
        print("clean")
    return 0 if clean else 1


def main():
    verb, arguments = sys.argv[1], sys.argv[2:]
    if verb == "serve":
        serve(int(arguments[0]), *arguments[1:])
    elif verb == "dial":
        dial(int(arguments[0]), *arguments[1:])
    elif verb == "needles":
        needles(arguments[0], arguments[1:])
    elif verb == "scan":
        return scan(int(arguments[0]), load_needles(arguments[1]))
    else:
        return grep(load_needles(arguments[0]), [each for path in arguments[1:] for each in glob.glob(path)])
    return 0


if __name__ == "__main__":
    sys.exit(main())

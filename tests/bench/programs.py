"""A program for each connection: curl, started again and again, as scripts do. It has no session of the program before it, unless we keep one."""
import os
import shutil

from loads import drive, wrapped_env
from process import Refused, bounded
from tls import CIPHER, GROUP, write_policy

KINDS = ("plain", "native", "wrapsock-client")


def curl(setup):
    native = setup.kind.client == "native"
    tls = ["--cacert", setup.bench.keys.ca, "--tls13-ciphers", CIPHER, "--curves", GROUP] if native else []
    return [shutil.which("curl") or "curl", "-q", "-sSf", "--http1.1", "-o", "/dev/null", *tls, f"{'https' if native else 'http'}://127.0.0.1:{setup.port}/16"]


def environment(bench, cache):
    """A policy that says where sessions are kept, and a runtime directory of our own."""
    path = os.path.join(bench.folder, f"client-{cache}.conf")
    if not os.path.exists(path):
        with open(bench.client_policy) as f:
            write_policy(path, f.read().rstrip() + f"\nsession_cache = {cache}\n")
    runtime = os.path.join(bench.folder, "runtime")
    os.makedirs(runtime, 0o700, exist_ok=True)
    return {"WRAPSOCK_POLICY": path, "XDG_RUNTIME_DIR": runtime}


def verify(setup, env, expected):
    """A row of resumed connections in which none was resumed must not pass."""
    log = os.path.join(setup.bench.folder, f"curl-{setup.port}.log")
    for _ in range(2):
        if os.path.exists(log):
            os.unlink(log)
        status, out = bounded(20, curl(setup), env=dict(wrapped_env(setup.bench, WRAPSOCK_LOG_FILE=log), **env, WRAPSOCK_LOG="info"))
    with open(log) as f:
        said = f.read()
    if status or expected not in said:
        raise Refused(f"{setup.name}: expected a connection that is {expected}: {said.strip() or out.strip()}")


def measure(setup, seconds, cache):
    env = environment(setup.bench, cache) if setup.kind.client == "wrapped" else {}
    if env:
        verify(setup, env, "resumed" if cache == "file" else "full handshake")

    def run(count):
        return drive(setup, [setup.bench.program("start"), str(count), *(f"{k}={v}" for k, v in env.items()), *curl(setup)],
                     lambda out: (count, None, None, 0) if len(out.split()) == 2 else None)
    rates = setup.bench.rates
    if (setup.name, cache) not in rates:
        rates[setup.name, cache] = run(20).rate
    return run(max(20, int(rates[setup.name, cache] * seconds)))

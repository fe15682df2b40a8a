"""The load: programs that drive a set-up from the other core, and what one run of them gives, a sample."""
import os
import re
import subprocess
import time

from machine import CORES, LOAD_CORE
from process import Limit, Refused, bounded, cpu, memory
from servers import ENDING
from tls import CIPHER, GROUP


class Sample:
    """Microseconds of CPU per operation on each side, and of latency; operations per second of the load's run."""

    def __init__(self, operations, server, load, p50=None, p99=None, resumed=0, rate=0):
        self.operations, self.server, self.load, self.p50, self.p99, self.resumed, self.rate = operations, server, load, p50, p99, resumed, rate
        self.both = server + load

    def scaled(self, by):
        """The same with operations that are so many times smaller."""
        return Sample(self.operations * by, self.server / by, self.load / by, resumed=self.resumed, rate=self.rate * by)


def wrapped_env(bench, **more):
    """What the launcher would set; without it its own work would be counted as the client's."""
    return dict(os.environ, LD_PRELOAD=bench.preload, WRAPSOCK_POLICY=bench.client_policy, WRAPSOCK_LOG="error", **more)


def pin(*cores):
    return lambda: os.sched_setaffinity(0, cores)


def drive(setup, command, read, *cores):
    """Run a load to its end. READ makes (operations, p50, p99, resumed) of its output."""
    before, began = setup.cpu(), time.monotonic()
    env = wrapped_env(setup.bench) if setup.kind.client == "wrapped" else None
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, preexec_fn=pin(*cores or (LOAD_CORE,)))
    with Limit(child, 60 + 20 * setup.bench.seconds), child.stdout:
        out = child.stdout.read().decode(errors="replace").replace("\r", "\n")
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - began
    setup.alive()
    used = setup.cpu() - before
    operations, p50, p99, resumed = read(out) or (0, 0, 0, 0)
    if child.returncode or not operations:
        raise Refused(f"{setup.name}: no operation completed, or not all: {os.path.basename(command[0])}, status {child.returncode}: {out[-300:].strip()}")
    return Sample(operations, used / operations * 1e6, (usage.ru_utime + usage.ru_stime) / operations * 1e6, p50, p99, resumed,
                  operations / took)


def redis_benchmark(setup, test, size, pipeline, seconds):
    tls = ["--tls", "--cacert", setup.bench.keys.ca] if setup.kind.client == "native" else []

    def run(count):
        def read(out):
            line = re.search(r'^"' + test.upper() + r'","([^\n]*)"$', out, re.MULTILINE)
            if not line:
                return None
            figures = [float(x) for x in line[1].split('","')]
            rates[0] = figures[0]
            return count, figures[3] * 1e3, figures[5] * 1e3, 0
        return drive(setup, ["redis-benchmark", "-h", "127.0.0.1", "-p", str(setup.port), "-n", str(count), "-c", "50", "-P", str(pipeline),
                             "-d", str(size), "-t", test, "--csv", "--precision", "3", *tls], read)
    rates = setup.bench.rates.setdefault((setup.name, test, size, pipeline), [0])
    if not rates[0]:
        run(4000 * pipeline)
    return run(max(1000, int(rates[0] * seconds)))


def micro(text):
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def wrk(setup, name, connections, seconds):
    def read(out):
        if re.search(r"Non-2xx|connect [1-9]|read [1-9]|write [1-9]|timeout [1-9]", out):
            return None
        count = re.search(r"(\d+) requests in", out)
        p50, p99 = (re.search(rf"^ *{p}%\s+(\S+)$", out, re.MULTILINE) for p in (50, 99))
        return (int(count[1]), micro(p50[1]), micro(p99[1]), 0) if count and p50 and p99 else None
    scheme = "https" if setup.kind.client == "native" else "http"
    return drive(setup, ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "--latency",
                         f"{scheme}://127.0.0.1:{setup.port}/{name}"], read)


def load_command(setup, mode, seconds, *options):
    tls = ["-a", setup.bench.keys.ca, "-s", CIPHER, "-g", GROUP] if setup.kind.client in ("native", "api") else []
    return [setup.bench.program("api_load" if setup.kind.client == "api" else "load"), *tls, *options, mode, str(setup.port), str(seconds)]


def read_load(out):
    figures = re.search(r"^operations (\d+) bytes \d+ resumed (\d+) p50 (\S+) p99 (\S+)$", out, re.MULTILINE)
    return (int(figures[1]), float(figures[3]), float(figures[4]), int(figures[2])) if figures else None


def load(setup, mode, seconds, *options, cores=(LOAD_CORE,)):
    return drive(setup, load_command(setup, mode, seconds, *options), read_load, *cores)


def threads(setup, seconds, count):
    return load(setup, "pingpong", seconds, "-n", str(count), cores=CORES)


def curl(setup, name, seconds):
    """One program and one connection, the file again and again."""
    native = setup.kind.client == "native"
    tls = ["--cacert", setup.bench.keys.ca, "--tls13-ciphers", CIPHER, "--curves", GROUP] if native else []

    def run(count):
        url = f"{'https' if native else 'http'}://127.0.0.1:{setup.port}/{name}?[1-{count}]"
        return drive(setup, ["curl", "-q", "-sSf", "--http1.1", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", *tls, url],
                     lambda out: (count, None, None, 0) if out == "200 1\n" + "200 0\n" * (count - 1) else None)
    rates = setup.bench.rates
    if (setup.name, name) not in rates:
        rates[setup.name, name] = run(50).rate
    return run(max(50, int(rates[setup.name, name] * seconds)))


def connect(setup, seconds, resume, request=None):
    """New connections of eight threads; REQUEST, or serve.c's."""
    sample = load(setup, "connect", seconds, "-n", "8", *(["-q", request, "-e", ENDING] if request else []), *(["-r"] if resume else []))
    if setup.kind.client in ("native", "api") and not resume and sample.resumed:
        raise Refused(f"{setup.name}: {sample.resumed} of {sample.operations} full connections were resumed")
    return sample


def verified_client(setup):
    """A wrapped client says of one connection what it speaks: a wrapper that does nothing must not pass for a fast one."""
    log = os.path.join(setup.bench.folder, f"client-{setup.port}.log")
    env = wrapped_env(setup.bench, WRAPSOCK_LOG_FILE=log)
    env["WRAPSOCK_LOG"] = "info"
    status, out = bounded(10, load_command(setup, "dial", 0), env=env)
    said = ""
    if os.path.exists(log):
        with open(log) as f:
            said = f.read()
    if status or "TLSv1.3" not in said or CIPHER not in said:
        raise Refused(f"{setup.name}: the client's verified handshake: {said.strip() or out.strip()}")


def crowd(setup, seconds, count):
    """Requests to one of COUNT connections after the other, ten under way; a sample for each round, with the connections held."""
    command = load_command(setup, "crowd", seconds, "-n", str(count), "-q", setup.server.request, "-e", setup.server.ending)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          preexec_fn=pin(LOAD_CORE)) as child, Limit(child, 60 + count / 10 + 20 * seconds * setup.bench.rounds):
        def sample():
            before, before_load = setup.cpu(), cpu(child.pid)
            print(file=child.stdin, flush=True)
            said = child.stdout.readline().strip()
            setup.alive()
            if not said.isdigit() or said == "0":
                raise Refused(f"{setup.name}: {count} connections: {said} {child.stdout.read()[-300:].strip()}")
            done = int(said)
            return Sample(done, (setup.cpu() - before) / done * 1e6, (cpu(child.pid) - before_load) / done * 1e6, rate=done / seconds)
        said = child.stdout.readline().strip()
        if said != "held":
            raise Refused(f"{setup.name}: {count} connections: {said} {child.stdout.read()[-300:].strip()}")
        samples = [sample() for _ in range(setup.bench.rounds)]
        child.stdin.close()
        if not read_load(child.stdout.read()) or child.wait():
            raise Refused(f"{setup.name}: {count} connections did not end well")
    return samples


def idle(setup, count):
    """KiB per idle connection, in all of the server side and in the client."""
    command = load_command(setup, "idle", 0, "-n", str(count), "-q", setup.server.request, "-e", setup.server.ending)
    env = wrapped_env(setup.bench) if setup.kind.client == "wrapped" else None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                          preexec_fn=pin(LOAD_CORE)) as child, Limit(child, 60 + count / 10):
        def until(expected):
            said = child.stdout.readline().strip()
            if said != expected:
                raise Refused(f"{setup.name}: {count} idle connections: {said} {child.stdout.read()[-300:].strip()}")
        until("started")
        before, before_load = setup.memory(), memory(child.pid)
        print(file=child.stdin, flush=True)
        until("held")
        setup.alive()
        used = Sample(count, (setup.memory() - before) / count, (memory(child.pid) - before_load) / count)
        print(file=child.stdin, flush=True)
        if not read_load(child.stdout.read()) or child.wait():
            raise Refused(f"{setup.name}: the idle connections did not end well")
    return used

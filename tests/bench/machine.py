"""The machine: a network of our own, cores, limits, and what must be said about it beside the figures."""
import os
import platform
import resource
import shutil
import subprocess

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[1 % len(CORES)]
MARK = "WRAPSOCK_BENCH_NAMESPACE"
PACKAGES = ("redis-server", "redis-tools", "nginx", "libnginx-mod-stream", "wrk", "stunnel4", "hitch", "haproxy", "libssl3", "libssl3t64",
            "openssl", "libc6", "valgrind")


def enter_namespace(argv):
    """Start again inside a network namespace; where that is not allowed, go on in the network that is there."""
    if MARK not in os.environ:
        unshare = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-current-user", "--keep-caps"]
        if shutil.which("unshare") and subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvpe("unshare", [*unshare, *argv], dict(os.environ, **{MARK: "1"}))
        return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in (("tcp_congestion_control", "reno"), ("ip_local_port_range", "1024 65000")):
        with open(f"/proc/sys/net/ipv4/{name}", "w") as f:
            f.write(value)


def raise_limits():
    """As many descriptors as we may have; their number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 25000), max(hard, 25000)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def first(path, key, otherwise):
    try:
        with open(path) as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), otherwise)
    except OSError:
        return otherwise


def steal():
    """Ticks that the hypervisor gave to others, and all ticks."""
    with open("/proc/stat") as f:
        ticks = [int(x) for x in f.readline().split()[1:9]]
    return ticks[7], sum(ticks)


def describe(version, descriptors):
    """Lines about the machine and the programs."""
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as f:
        congestion = f.read().strip()
    versions = []
    if shutil.which("dpkg-query"):
        out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n", *PACKAGES], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True).stdout
        versions = [line.split(" ", 1)[1] for line in out.splitlines() if line.startswith("installed ")]
    lines = [f"wrapsock {version}; Linux {platform.release()}; {first('/proc/cpuinfo', 'model name', platform.machine())}; {len(CORES)} cores, "
             f"server side on {SERVER_CORE}, load on {LOAD_CORE}",
             f"{'network namespace of its own' if MARK in os.environ else 'NO network namespace of its own'}, {congestion}; {descriptors} descriptors",
             ", ".join(versions)]
    if SERVER_CORE == LOAD_CORE:
        lines.append("ONE CORE ONLY: server side and load share it, latencies compare with no others")
    return lines

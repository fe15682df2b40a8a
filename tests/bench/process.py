"""Processes under measurement: started on a core, awaited, measured, checked and stopped."""
import os
import signal
import subprocess
import threading
import time


class Refused(Exception):
    """A run that must not be reported."""


class Limit:
    """A child that takes longer than this is killed, and then says so by its status."""

    def __init__(self, child, seconds):
        self.timer = threading.Timer(seconds, child.kill)

    def __enter__(self):
        self.timer.start()

    def __exit__(self, *_):
        self.timer.cancel()
        self.timer.join()


def bounded(seconds, command, **how):
    """(status, output) of a command that gets so many seconds."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how) as child:
        with Limit(child, seconds):
            out = child.stdout.read()
            return child.wait(), out


def listening(port):
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as f:
            for line in f:
                fields = line.split()
                if fields[3] == "0A" and fields[1].endswith(wanted):
                    return True
    return False


def tree(root):
    """A process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                parents[int(entry)] = int(fields[1])
    found = [root] if root in parents else []
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def commands():
    """(process, its words) of all that there are."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline") as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if len(words) > 1:
            yield int(entry), words


def cpu(pid):
    """Seconds of user and system time of all threads, those that have ended too."""
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid):
    """KiB that the process shares with nobody."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Private_Dirty:", "Private_Clean:", "Swap:")))


class Process:
    """A server or a proxy, with all its workers, on the CORES given. What it says goes to a file of the scratch folder."""

    def __init__(self, name, command, cores, folder, env=None):
        self.name, self.pids = name, []
        self.output = os.path.join(folder, name.replace(" ", "-").replace("/", "-") + ".log")
        with open(self.output, "wb") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env=env, start_new_session=True,
                                          preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def said(self):
        with open(self.output, errors="replace") as f:
            return f.read()[-500:].strip()

    def await_port(self, port, seconds=15):
        until = time.monotonic() + seconds
        while not listening(port):
            if self.popen.poll() is not None or time.monotonic() > until:
                raise Refused(f"{self.name}: did not start: {self.said()}")
            time.sleep(0.02)

    def settle(self):
        """From now on the processes of this moment must live."""
        self.pids = tree(self.popen.pid)
        self.alive()

    def alive(self):
        living = tree(self.popen.pid)
        for pid in self.pids or [self.popen.pid]:
            if pid not in living:
                raise Refused(f"{self.name}: process {pid} died: {self.said()}")

    def cpu(self):
        try:
            return sum(cpu(pid) for pid in self.pids)
        except OSError:
            self.alive()
            raise

    def memory(self):
        return sum(memory(pid) for pid in self.pids)

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()


class Relay:
    """The process that has the connections of another one's tree; it ends by itself when they have gone."""

    def __init__(self, name, of, seconds=5):
        self.name, self.pids = f"{name} relay", []
        until = time.monotonic() + seconds
        while not self.pids:
            users = tree(of.popen.pid)
            self.pids = [pid for pid, words in commands() if words[0] == "wrapsock-relay" and any(words[1].endswith(f"({user})") for user in users)]
            if time.monotonic() > until:
                raise Refused(f"{self.name}: there is none")
            time.sleep(0.02)

    def settle(self):
        self.alive()

    def alive(self):
        living = dict(commands())
        if any(pid not in living for pid in self.pids):
            raise Refused(f"{self.name}: it died")

    def cpu(self):
        return sum(cpu(pid) for pid in self.pids)

    def memory(self):
        return sum(memory(pid) for pid in self.pids)

    def stop(self):
        pass

"""What a run gives: cells out of samples, the table as text, figures as JSON, and plots by gnuplot."""
import json
import os
import shutil
import statistics
import subprocess

import targets
from setups import KINDS


COLOURS = {"plain": "#bbbbbb", "native": "#444444", "wrapsock": "#1f5fbf", "wrapsock-client": "#6fa8dc", "wrapsock-both": "#2ca089", "wrapsock-relay": "#8e7cc3",
           "stunnel": "#b03a2e", "hitch": "#e67e22", "haproxy": "#f1c40f", "nginx-stream": "#8e6fb0",
           "api": "#1f5fbf", "api-client": "#6fa8dc", "api-both": "#2ca089"}
PLOTS = ("cpu", "latency", "latency-p99", "memory")


class Cell:
    """One set-up in one scenario: minima of CPU (or memory), medians of latency, and the spread between the rounds."""

    def __init__(self, samples):
        self.samples = samples
        self.server, self.load, self.both = (min(getattr(sample, side) for sample in samples) for side in ("server", "load", "both"))
        self.p50, self.p99 = (statistics.median(values) if None not in values else None
                              for values in ([sample.p50 for sample in samples], [sample.p99 for sample in samples]))
        self.spread = max(sample.server for sample in samples) / self.server - 1 if self.server > 0 else 0
        self.rate = statistics.median(sample.rate for sample in samples)
        p50s = [sample.p50 for sample in samples]
        self.spread50 = (max(p50s) - min(p50s)) / self.p50 if self.p50 else None
        self.resumed = sum(sample.resumed for sample in samples) / sum(sample.operations for sample in samples)


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}" if abs(value) < 1e6 else f"{value / 1e3:.0f}k"


def times(value, native):
    return f"{value / native:.2f}" if native else "-"


def percent(value):
    return "-" if value is None else f"{value * 100:.0f} %"


HEAD = ("server", "x native", "client", "x native", "both", "x native", "spread", "per s", "p50 us", "x native", "p99 us", "spread")


def block_lines(scenario, block):
    """The table of one scenario; the first column says which end is not the program as it is."""
    timed, rated = any(cell.p50 for cell in block.values()), any(cell.rate for cell in block.values())
    head = HEAD if timed else HEAD[:8] if rated else HEAD[:7]
    native = block.get("native")
    yield f"{scenario.name}  ({scenario.unit})"
    yield f"  {'':<16}" + "".join(f"{x:>10}" for x in head)
    for kind, cell in block.items():
        row = [number(cell.server), times(cell.server, native and native.server), number(cell.load), times(cell.load, native and native.load),
               number(cell.both), times(cell.both, native and native.both), percent(cell.spread)]
        if rated:
            row.append(number(cell.rate))
        if timed:
            row += [number(cell.p50), times(cell.p50, native and native.p50), number(cell.p99), percent(cell.spread50)]
        remark = ""
        if scenario.name.endswith("resumed"):
            remark = f"   {percent(cell.resumed)} resumed" if KINDS[kind].client != "wrapped" else "   resumed or not is not seen by the client"
        yield f"  {kind:<16}" + "".join(f"{x:>10}" for x in row) + remark


def small_lines(smalls):
    yield f"{'small costs':<34}{'':>14}{'plain':>10}{'wrapsock':>12}{'added':>12}   rounds"
    for one in smalls:
        yield (f"  {one.name:<32}{one.unit:>14}{one.plain:>10.2f}{one.wrapped:>12.2f}{one.added:>12.2f}"
               f"   {one.least:.2f} .. {one.most:.2f}")


def target_lines(rows):
    yield f"{'targets':<85}{'measured':>9}{'rounds':>16}{'target':>8}{'bound':>8}"
    for row in rows:
        rounds = "-" if row.measured is None else f"{row.least:.2f} .. {row.most:.2f}"
        yield (f"  {row.name:<74}{row.unit:>9}{number(row.measured):>9}{rounds:>16}{row.limit:>8.2f}{number(row.bound):>8}  {row.verdict()}")


def text(header, blocks, smalls, results):
    lines = [*header, ""]
    for scenario, block in blocks:
        lines += [*block_lines(scenario, block), ""]
    if smalls:
        lines += [*small_lines(smalls), ""]
    return "\n".join(lines + list(target_lines(targets.rows(results, smalls)))) + "\n"


def summary(header, blocks, rows):
    """For a page: what the server side (program and proxy) costs as a multiple of native TLS, a row for each scenario; and the targets."""
    kinds = [kind for kind in COLOURS if any(kind in block for _, block in blocks)]
    yield "<!-- " + "; ".join(header) + " -->"
    yield "| server side, x native TLS | " + " | ".join(kinds) + " |"
    yield "|---" * (len(kinds) + 1) + "|"
    for scenario, block in blocks:
        native = block.get("native")
        cells = (times(block[kind].server, native and native.server) if kind in block else "-" for kind in kinds)
        yield f"| {scenario.name}, {'memory' if scenario.group == 'idle' else 'CPU'} | " + " | ".join(cells) + " |"
    yield ""
    yield "| target | | measured | rounds | at most | bound | |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        if row.measured is not None:
            yield (f"| {row.name} | {row.unit} | {number(row.measured)} | {row.least:.2f} .. {row.most:.2f} | {row.limit:g} | {number(row.bound)} | "
                   f"{row.verdict()} |")


def figures(header, blocks, smalls, results):
    return json.dumps({
        "about": header,
        "scenarios": {scenario.name: {"unit": scenario.unit, "set-ups": {kind: [vars(sample) for sample in cell.samples] for kind, cell in block.items()}}
                      for scenario, block in blocks},
        "small": [vars(small) for small in smalls],
        "targets": [dict(vars(row), verdict=row.verdict()) for row in targets.rows(results, smalls)],
    }, indent=1)


def plot(folder, name, title, figure, blocks):
    """FIGURE of each set-up as a multiple of native's, the scenarios side by side; True if there was something to show."""
    shown = [(scenario, block) for scenario, block in blocks if block.get("native") and getattr(block["native"], figure)]
    kinds = list(dict.fromkeys(kind for _, block in shown for kind in block))
    if not shown or not shutil.which("gnuplot"):
        return False
    data = os.path.join(folder, f"{name}.dat")
    with open(data, "w") as f:
        print("scenario", *(f'"{kind}"' for kind in kinds), file=f)
        for scenario, block in shown:
            native = getattr(block["native"], figure)
            values = ((getattr(block[kind], figure) or 0) / native if kind in block else 0 for kind in kinds)
            print(f'"{scenario.name.split(" (")[0]}"', *(f"{value:.3f}" if value > 0 else "NaN" for value in values), file=f)
    script = (f"set terminal svg size {240 + 110 * len(shown)},520 dynamic background 'white' font 'sans,11'\n"
              f"set output '{folder}/{name}.svg'\nset title '{title}'\nset style data histograms\nset style histogram clustered gap 1\n"
              "set style fill solid noborder\nset boxwidth 0.95\nset ylabel 'times native TLS'\nset yrange [0:*]\nset grid ytics\nset key outside right top\nset xtics rotate by -30 scale 0\nset bmargin 9\n"
              "set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lw 1.5 front\n"
              "plot " + ", ".join(f"'{data}' using {i}:xtic(1) title columnheader({i}) lc rgb '{COLOURS[kind]}'"
                                  for i, kind in enumerate(kinds, 2)) + "\n")
    run = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE)
    if run.returncode:
        raise RuntimeError(f"gnuplot: {run.stderr}")
    os.remove(data)
    return True


def plots(folder, blocks):
    """Draw what there are figures for; the files."""
    for name in PLOTS:
        if os.path.exists(os.path.join(folder, f"{name}.svg")):
            os.remove(os.path.join(folder, f"{name}.svg"))
    timed = [(scenario, block) for scenario, block in blocks if scenario.group != "idle"]
    idle = [(scenario, block) for scenario, block in blocks if scenario.group == "idle"]
    made = (plot(folder, "cpu", "CPU of the server side (program and proxy) for each operation", "server", timed),
            plot(folder, "latency", "latency, median", "p50", timed), plot(folder, "latency-p99", "latency, 99th percentile", "p99", timed),
            plot(folder, "memory", "memory of the server side for each idle connection", "server", idle))
    return [f"{name}.svg" for name, there in zip(PLOTS, made) if there]

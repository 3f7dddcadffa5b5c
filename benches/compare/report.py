"""Results: verdicts, the lines and tables that are printed and written."""

from __future__ import annotations

import datetime
import math
import os
import platform
import re
import subprocess
from dataclasses import dataclass, field
from statistics import median

from . import workloads
from .peers import ROOT

#: How far the peers' results may be apart, relative to the root mean square of the result.
TOLERANCE = 5e-3
HALF_TOLERANCE = 5e-2


@dataclass
class Result:
    """What one peer did with one workload."""

    #: Times of the turns in which nothing else ran on the machine, and of the others.
    quiet: list = field(default_factory=list)
    disturbed: list = field(default_factory=list)
    peak: int | None = None
    some: dict | None = None
    error: str = ""

    def spans(self, quiet):
        return [sum(turn) for turn in (self.quiet if quiet else self.disturbed)]

    @property
    def times(self):
        """The samples that count: of quiet turns, if there was one."""
        return [t for turn in (self.quiet or self.disturbed) for t in turn]

    @property
    def seconds(self):
        """The median time; None where there is none."""
        return None if self.error or not self.times else median(self.times)


@dataclass
class Row:
    """A line: one workload at one number of threads."""

    threads: int
    workload: workloads.Workload
    results: dict
    #: Peers' times divided by Tengen's.
    ratios: dict
    #: The peers whose result is not Tengen's.
    differs: list
    #: The most that was possible meanwhile, in 10⁹ operations or bytes a second, and the part of it
    #: that Tengen reached.
    ceiling: float | None = None
    share: float | None = None
    #: What is under its goal, in words.
    faults: list = field(default_factory=list)

    def disturbed(self):
        """The peers that had no turn for themselves."""
        return [name for name, r in self.results.items() if r.times and not r.quiet]


def machine():
    """The processor's name, and a name for files from it."""
    fields = {}
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                key, _, value = line.partition(":")
                fields.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:
        name += f", family {fields['cpu family']}, model {fields['model']}"
    cores = len(os.sched_getaffinity(0))
    slug = re.sub(r"[^a-z0-9]+", "-", f"{name}, {cores} cores".lower()).strip("-")
    return {"name": name, "cores": cores, "slug": slug}


def commit():
    """The commit that was measured, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def duration(seconds):
    """Three digits with a unit."""
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            value = float(f"{seconds / scale:.3g}")
            return f"{value:.{max(0, 2 - int(math.log10(value)))}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def times(ratio):
    return "–" if ratio is None else f"{ratio:.2f}×"


def mean(ratios):
    """The geometric mean; None of nothing."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def speed(workload, seconds):
    if not seconds or not (workload.flops or workload.bytes):
        return "–"
    unit = "GFLOP/s" if workload.flops else "GB/s"
    value = (workload.flops or workload.bytes) / seconds / 1e9
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def differing(workload, results):
    """The peers whose result is not Tengen's."""
    ours = results["tengen"].some
    if not ours or not workload.same:
        return []
    half = workload.args.get("dtype", "float32") != "float32"
    allowed = (HALF_TOLERANCE if half else TOLERANCE) * ours["scale"] + 1e-9

    def near(some):
        a, b = ours["values"], some["values"]
        return len(a) == len(b) and all(
            abs(p - q) <= allowed or p == q for p, q in zip(a, b, strict=True)
        )

    return [name for name, r in results.items() if r.some and not near(r.some)]


class Run:
    """Everything that one call of the program measured."""

    def __init__(self, columns, ceilings, seconds):
        self.columns, self.ceilings, self.budget = columns, ceilings, seconds
        self.rows = []
        self.versions = {}
        self.started = datetime.datetime.now().astimezone()
        self.load = os.getloadavg()[0]
        self.commit = commit()

    def add(self, threads, workload, results, ceiling=None):
        ours = results["tengen"].seconds
        ratios = {
            name: r.seconds / ours
            for name, r in results.items()
            if name != "tengen" and r.seconds and ours
        }
        row = Row(threads, workload, results, ratios, differing(workload, results), ceiling)
        if ours and ceiling:
            row.share = (workload.flops or workload.bytes) / ours / 1e9 / ceiling
        row.faults = self.faults(row)
        self.rows.append(row)

    def faults(self, row):
        w, ratios, found = row.workload, row.ratios, []
        ours, torch = row.results["tengen"], row.results.get("torch")
        if not ours.seconds:
            return ["not available"]
        if w.goal and ratios.get("torch", w.goal) < w.goal:
            found.append(f"{times(ratios['torch'])} of {w.goal:g}×")
        if w.goal and ratios.get("torch-keep", 1) < 1:
            found.append(f"{times(ratios['torch-keep'])} with memory kept")
        if w.share_goal and row.share is not None and row.share < w.share_goal:
            found.append(f"{row.share:.0%} of the ceiling, not {w.share_goal:.0%}")
        if w.memory_goal and torch and torch.peak and ours.peak and ours.peak > torch.peak:
            found.append(f"peak memory {ours.peak / 1e6:.0f} MB, PyTorch's {torch.peak / 1e6:.0f}")
        return found

    def verdict(self, row):
        if row.faults:
            verdict = "under: " + "; ".join(row.faults)
        elif row.workload.goal and "torch" in row.ratios:
            verdict = "met"
        else:
            return "–"
        return f"{verdict} (disturbed)" if row.disturbed() else verdict

    def line(self, threads, workload, results):
        """The last row as a line of a terminal."""
        row = self.rows[-1]
        cells = [f"{threads}T {workload.name:52s} {duration(results['tengen'].seconds):>9s}"]
        for peer in self.columns[1:]:
            ratio = times(row.ratios.get(peer.name))
            cells.append(f"{peer.name} {duration(results[peer.name].seconds):>8s} {ratio:>7s}")
        cells.append(f"{speed(workload, results['tengen'].seconds):>12s}")
        cells.append("    –" if row.share is None else f"{row.share:5.0%}")
        cells.append(self.verdict(row))
        text = "  ".join(cells)
        for name in row.differs:
            text += f"\n   {name} computes something else"
        for name, r in results.items():
            if r.error:
                text += f"\n   {name}: not available: {r.error}"
        return text

    def group_rows(self, group, threads):
        return [r for r in self.rows if r.workload.group == group.name and r.threads == threads]

    def thread_counts(self):
        return sorted({row.threads for row in self.rows})

    def means(self):
        """Per group and number of threads: the geometric mean of the ratios, and its goal."""
        found = []
        for threads in self.thread_counts():
            for group in workloads.GROUPS:
                rows = [r for r in self.group_rows(group, threads) if r.workload.goal]
                by_peer = {
                    peer.name: mean([r.ratios[peer.name] for r in rows if peer.name in r.ratios])
                    for peer in self.columns[1:]
                }
                if rows and any(by_peer.values()):
                    found.append((threads, group, by_peer))
        return found

    def under(self, threads):
        return [row for row in self.rows if row.threads == threads and row.faults]

    def data(self):
        return {
            "date": self.started.isoformat(timespec="seconds"),
            "commit": self.commit,
            "machine": machine(),
            "load": self.load,
            "versions": self.versions,
            "seconds": self.budget,
            "ceilings": [
                {"threads": threads, "name": name, "least": min(found), "most": max(found)}
                for (threads, name), found in self.ceilings.found.items()
            ],
            "rows": [
                {
                    "workload": row.workload.name,
                    "group": row.workload.group,
                    "threads": row.threads,
                    "goal": row.workload.goal,
                    "ceiling": row.ceiling,
                    "share": row.share,
                    "faults": row.faults,
                    "peers": {
                        name: {
                            "median": r.seconds,
                            "least": min(r.times, default=None),
                            "samples": len(r.times),
                            "quiet_turns": len(r.quiet),
                            "disturbed_turns": len(r.disturbed),
                            "peak": r.peak,
                            "ratio": row.ratios.get(name),
                            "error": r.error or None,
                        }
                        for name, r in row.results.items()
                    },
                }
                for row in self.rows
            ],
        }

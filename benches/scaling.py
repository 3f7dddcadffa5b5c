"""How time and memory grow with a workload's size and with threads: `python -m benches.scaling`.

The work is that of `benches.compare`, with one argument of it varied. Each point runs in a process
of its own, so that its peak memory is its own too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from .compare.markdown import cells, count_threads, table_head
from .compare.peers import ROOT, Unavailable, peers
from .compare.quiet import Waiting, Watch
from .compare.report import commit, duration, machine

#: Seconds that one answer may take.
PATIENCE = 300
#: The most turns of a point that other work disturbs.
TURNS = 3
#: The section of docs/performance.md that `--update` writes.
PAGE = ROOT / "docs" / "performance.md"
START, END = "<!-- scaling: begin -->", "<!-- scaling: end -->"
#: Memory beyond the idle process below which a growth is the allocator's grain.
LITTLE = 4 << 20


@dataclass(frozen=True)
class Series:
    """A workload of the comparison at several values of one quantity."""

    title: str
    quantity: str
    workload: str
    values: tuple
    #: The arguments that make the workload one of this value.
    args: object
    #: The exponent of the operations.
    expected: int


CONV = "conv 3×3 64×56² batch 16: forward"
RESNET = "ResNet-18 inference batch 1"
DIGITS = "digits CNN training step batch 64"
BATCHES = (1, 2, 4, 8, 16, 32, 64)

SERIES = [
    Series("Convolution 3×3, 64 channels, 56²", "batch", CONV, BATCHES, lambda v: {"batch": v}, 1),
    Series("Convolution 3×3, 28², batch 8", "channels", CONV, (8, 16, 32, 64, 128, 256, 512),
           lambda v: {"batch": 8, "size": 28, "channels": v, "out_channels": v}, 2),
    Series("Convolution 3×3, 64 channels, batch 4", "image size", CONV, (7, 14, 28, 56, 112, 224),
           lambda v: {"batch": 4, "size": v}, 2),
    Series("Matrix product n×n·n×n", "n", "matmul 1024", (32, 64, 128, 256, 512, 1024, 2048),
           lambda v: {"a": [v, v], "b": [v, v]}, 3),
    Series("ResNet-18 inference, 224²", "batch", RESNET, BATCHES, lambda v: {"batch": v}, 1),
    Series("ResNet-18 inference, batch 2", "image size", RESNET, (32, 64, 128, 224, 448),
           lambda v: {"batch": 2, "size": v}, 2),
    Series("Digits training step, Adam", "batch", DIGITS, BATCHES, lambda v: {"batch": v}, 1),
]

#: What is run on more threads than there are cores, too.
THREADED = [(CONV, "convolution 3×3, 64 channels, 56², batch 16"), ("matmul 1024",) * 2,
            (RESNET, RESNET), (DIGITS, DIGITS)]


@dataclass
class Point:
    """Seconds of a run, and bytes of peak memory beyond those of the idle process."""

    seconds: float
    memory: int | None


class Meter:
    """Measures points, each in a process of Tengen of its own."""

    def __init__(self, seconds, wait):
        self.peer, self.seconds, self.waiting = peers(None, None)[0], seconds, Waiting(wait)
        #: Turns that other work disturbed.
        self.disturbed = 0

    def point(self, workload, threads, args):
        """One point; None, with the reason printed, where it cannot be had."""
        try:
            with self.peer.start(threads) as process:
                idle = process.ask(PATIENCE, do="release")["peak"]
                process.ask(PATIENCE, do="prepare", name=workload, args=args)
                seconds = self.time(process)
                peak = process.ask(PATIENCE, do="release")["peak"]
        except Unavailable as error:
            print(f"{workload} {args}: {error}", flush=True)
            return None
        memory = max(peak - idle, 0) if peak and idle else None
        return Point(seconds, memory)

    def time(self, process):
        """The median of a turn that nothing disturbed, or the best of a few disturbed ones."""
        medians = []
        for _ in range(TURNS):
            self.waiting.wait()
            watch = Watch(process.process.pid)
            times = process.ask(PATIENCE, do="time", seconds=self.seconds)["times"]
            medians.append(statistics.median(times))
            if not watch.disturbed():
                return medians[-1]
            self.disturbed += 1
        return min(medians)


def exponent(values, measured):
    """The slope of a straight line through the logarithms; None of fewer than three points."""
    if len(values) < 3:
        return None
    return statistics.linear_regression([*map(math.log, values)], [*map(math.log, measured)]).slope


def fits(values, points):
    """The exponents of time, over all points and over the last three, and of memory."""
    have = [(v, p) for v, p in zip(values, points, strict=True) if p]
    xs, seconds = [v for v, _ in have], [p.seconds for _, p in have]
    large = [(v, p.memory) for v, p in have if p.memory and p.memory >= LITTLE]
    return {
        "time": exponent(xs, seconds),
        "time of the last three": exponent(xs[-3:], seconds[-3:]),
        "memory": exponent([v for v, _ in large], [m for _, m in large]),
    }


def number(value):
    return "–" if value is None else f"{value:.2f}"


def size(memory):
    return "–" if memory is None else f"{memory / (1 << 20):.0f} MiB"


class Report:
    """What was measured, as Markdown and as JSON."""

    def __init__(self, counts, beyond):
        self.counts, self.beyond = counts, beyond
        self.series, self.threads = [], []

    def facts(self):
        host = machine()
        return {
            "date": datetime.date.today().isoformat(),
            "commit": commit(),
            "processor": host["name"],
            "cores": host["cores"],
        }

    def data(self):
        def plain(p):
            return p and vars(p)

        return {
            **self.facts(),
            "series": [
                {
                    "title": s.title,
                    "quantity": s.quantity,
                    "values": s.values,
                    "points": {n: [plain(p) for p in points] for n, points in by.items()},
                    "exponents": {n: fits(s.values, points) for n, points in by.items()},
                }
                for s, by in self.series
            ],
            "threads": [
                {"title": title, "points": {n: plain(p) for n, p in by.items()}}
                for title, by in self.threads
            ],
        }

    def document(self):
        facts = self.facts()
        lines = [
            f"Measured on {facts['date']} at commit {facts['commit']}, on {facts['processor']}, "
            f"{facts['cores']} cores.",
            "",
            *self.exponents(),
            "",
        ]
        for s, by in self.series:
            lines += [*self.points(s, by), ""]
        return "\n".join([*lines, *self.thread_table()])

    def exponents(self):
        """Time is proportional to the quantity to the power of these."""
        titles = ["work", "grows with", "operations"]
        for n in self.counts:
            titles += [f"time, {count_threads(n)}", "its last three"]
        lines = table_head([*titles, "peak memory"])
        for s, by in self.series:
            row = [s.title, s.quantity, s.expected]
            for n in self.counts:
                fit = fits(s.values, by[n])
                row += [number(fit["time"]), number(fit["time of the last three"])]
            row.append(number(fits(s.values, by[self.counts[-1]])["memory"]))
            lines.append(cells(row))
        return lines

    def points(self, s, by):
        titles = [s.quantity]
        for n in self.counts:
            titles += [count_threads(n), f"memory, {count_threads(n)}"]
        lines = [f"**{s.title}**", "", *table_head([*titles, "speed-up"])]
        for i, value in enumerate(s.values):
            points = [by[n][i] for n in self.counts]
            row = [value]
            for p in points:
                row += [duration(p and p.seconds), size(p and p.memory)]
            lines.append(cells([*row, speed_up(points[0], points[-1])]))
        return lines

    def thread_table(self):
        counts = sorted({*self.counts, *self.beyond})
        lines = table_head(["work", *[count_threads(n) for n in counts]])
        for title, by in self.threads:
            lines.append(cells([title, *[duration(by[n] and by[n].seconds) for n in counts]]))
        return ["**Threads**, more of them than cores included", "", *lines]


def speed_up(one, many):
    return f"{one.seconds / many.seconds:.2f}×" if one and many else "–"


def measure(meter, report, only):
    """Fills a report."""
    for s in [s for s in SERIES if only in f"{s.title} {s.quantity}"]:
        by = {n: [meter.point(s.workload, n, s.args(v)) for v in s.values] for n in report.counts}
        report.series.append((s, by))
        print("\n".join(report.points(s, by)), flush=True)
    for name, title in THREADED if not only else []:
        by = {n: meter.point(name, n, {}) for n in sorted({*report.counts, *report.beyond})}
        report.threads.append((title, by))
    print("\n".join([*report.exponents(), "", *report.thread_table()]))


def update(page, text):
    """Replaces the section between the marks."""
    before, start, rest = page.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{page} has no section from {START} to {END}")
    page.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(prog="python -m benches.scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.4, help="time for each point")
    parser.add_argument("--only", default="", help="series whose title and quantity contain this")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS",
                        help="the most to wait in all for other work to pause")
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "scaling",
                        help="path of the results without a suffix")
    parser.add_argument("--update", action="store_true", help=f"write the tables to {PAGE.name}")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    report = Report(sorted({1, cores}), sorted({2, 4, 8, 2 * cores}))
    meter = Meter(options.seconds, options.wait)
    measure(meter, report, options.only)
    if meter.disturbed:
        print(f"\n{meter.disturbed} turns were disturbed by other work", file=sys.stderr)
    output = options.output
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_name(output.name + ".md").write_text(report.document() + "\n")
    text = json.dumps(report.data(), indent=1, ensure_ascii=False)
    output.with_name(output.name + ".json").write_text(text + "\n")
    print(f"\nwritten: {output}.md, {output}.json")
    if options.update:
        update(PAGE, report.document())


if __name__ == "__main__":
    main()

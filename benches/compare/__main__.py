"""Runs the comparison: `python -m benches.compare`. This is the parent of the peers' processes."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from pathlib import Path

from . import markdown, report, workloads
from .ceilings import Ceilings
from .peers import ROOT, Unavailable, peers
from .quiet import Waiting, Watch

#: Turns that each peer gets for a workload, and more where other work disturbs them.
ROUNDS, MORE_ROUNDS = 5, 5
#: Seconds that one run may take, warm-up included, before a peer is given up.
PATIENCE = 300


def parse():
    parser = argparse.ArgumentParser(prog="python -m benches.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short samples; written to out/")
    parser.add_argument("--seconds", type=float, help="time for each peer, workload and threads")
    parser.add_argument("--only", metavar="REGEX", help="workloads whose names match")
    parser.add_argument("--group", action="append", help="a group of workloads; may be repeated")
    parser.add_argument("--threads", help="numbers of threads, as 1,2 (default: 1 and all cores; "
                        "with --quick: all cores)")
    parser.add_argument("--wait", type=float, default=300.0, metavar="SECONDS",
                        help="the most to wait in all for other work to pause (default: 300)")
    parser.add_argument("--peers", default="", help="peers beside Tengen, as torch,megengine")
    parser.add_argument("--output", type=Path, help="path of the results without a suffix")
    parser.add_argument("--list", action="store_true", help="lists the workloads")
    parser.add_argument("--torch-python", default=os.environ.get("TORCH_PYTHON"))
    parser.add_argument("--megengine-python", default=os.environ.get("MEGENGINE_PYTHON"))
    parser.add_argument("--candle", metavar="LIBRARY", default=os.environ.get("COMPARE_CANDLE"),
                        help="the library that benches/candle builds")
    return parser.parse_args()


def chosen(options):
    """The workloads that the command line asks for."""
    groups = options.group or [group.name for group in workloads.GROUPS]
    unknown = set(groups) - {group.name for group in workloads.GROUPS}
    if unknown:
        sys.exit(f"no such group: {', '.join(sorted(unknown))}")
    pattern = re.compile(options.only or "")
    return [w for w in workloads.ALL if w.group in groups and pattern.search(w.name)]


class Runners:
    """The processes of all peers at one number of threads, started when needed."""

    def __init__(self, columns, threads, waiting, ceilings):
        self.columns, self.threads, self.waiting = columns, threads, waiting
        self.ceilings = ceilings
        self.processes = {}
        self.versions = {}

    def get(self, peer):
        process = self.processes.get(peer.name)
        if process is None or not process.alive():
            process = self.processes[peer.name] = peer.start(self.threads)
            self.versions[peer.name] = process.version
        return process

    def stop(self):
        for process in self.processes.values():
            process.kill()
        self.processes.clear()


def turn(process, result, seconds, runners):
    """Times a workload once under one peer."""

    def whole():
        return runners.ceilings.whole(runners.threads)

    runners.waiting.wait(whole)
    watch = Watch(process.process.pid)
    times = process.ask(PATIENCE, do="time", seconds=seconds)["times"]
    quiet = not watch.disturbed() and whole()
    (result.quiet if quiet else result.disturbed).append(times)


def wants_more(result, rounds, seconds):
    """Whether a peer is to have another turn: work that takes long gets fewer."""
    quiet, disturbed = map(sum, (result.spans(quiet=True), result.spans(quiet=False)))
    enough = len(result.quiet) >= rounds or quiet > seconds and len(result.quiet) >= 2
    return not (result.error or enough or quiet + disturbed > 10 * seconds)


def measure(workload, runners, seconds):
    """Times one workload under every peer, in turn, and measures what holds for it before each
    round: a report.Result for each, and the ceiling."""
    results = {peer.name: report.Result() for peer in runners.columns}

    def attempt(peer, action):
        try:
            action(runners.get(peer), results[peer.name])
        except Unavailable as error:
            results[peer.name].error = str(error)

    def prepare(process, result):
        result.some = process.ask(PATIENCE, do="prepare", name=workload.name)["some"]

    def release(process, result):
        result.peak = process.ask(PATIENCE, do="release")["peak"]

    if workload.memory:
        runners.stop()
    for peer in runners.columns:
        attempt(peer, prepare)

    def time_once(process, result):
        turn(process, result, seconds / ROUNDS, runners)

    ceiling = None
    for i in range(ROUNDS + MORE_ROUNDS):
        if i >= ROUNDS and runners.waiting.over():
            break
        if i < ROUNDS and workload.ceiling:
            found = runners.ceilings.measure(runners.threads, workload.ceiling)
            ceiling = max(found or 0, ceiling or 0) or None
        for peer in runners.columns:
            if wants_more(results[peer.name], ROUNDS, seconds):
                attempt(peer, time_once)
    for peer in runners.columns:
        if not results[peer.name].error:
            attempt(peer, release)
    if workload.memory:
        runners.stop()
    return results, ceiling


def measure_all(run, selected, runners, seconds):
    """Times workloads at one number of threads."""
    try:
        for workload in selected:
            results, ceiling = measure(workload, runners, seconds)
            run.add(runners.threads, workload, results, ceiling)
            print(run.line(runners.threads, workload, results), flush=True)
    finally:
        runners.stop()
        run.ceilings.stop()
        run.versions.update(runners.versions)


def main():
    options = parse()
    selected = chosen(options)
    if options.list:
        print("\n".join(f"{w.group:14s} {w.name}" for w in selected))
        return
    columns = peers(options.torch_python, options.megengine_python, options.candle)
    if options.peers:
        columns = [p for p in columns if p.name in ("tengen", *options.peers.split(","))]
    cores = len(os.sched_getaffinity(0))
    threads = [cores] if options.quick else [1, cores]
    if options.threads:
        threads = [int(n) for n in options.threads.split(",")]
    seconds = options.seconds or (0.2 if options.quick else 1.0)
    waiting = Waiting(options.wait)
    output = options.output
    if output is None:
        whole = not (options.quick or options.only or options.group or options.peers)
        folder = ROOT / "benches" / "results" if whole else ROOT / "out"
        output = folder / (report.machine()["slug"] if whole else "compare")
    run = report.Run(columns, Ceilings(), seconds)
    try:
        for n in sorted(set(threads)):
            measure_all(run, selected, Runners(columns, n, waiting, run.ceilings), seconds)
    except KeyboardInterrupt:
        print("interrupted: what was measured is reported", file=sys.stderr)
    finally:
        if run.rows:
            markdown.write(run, output)
            print(f"{markdown.summary(run)}\n\nwritten: {output}.md, {output}.json")


if __name__ == "__main__":
    # The peers' processes are stopped most of the time, so they do not end on their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()

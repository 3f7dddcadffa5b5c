"""The process of one peer: builds workloads, times them and reports, one JSON line a command.

Commands: ``prepare`` (builds, with other ``args`` if given, and warms up), ``time`` (for some
seconds), ``release`` (forgets the workload). It imports one peer's library only.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from dataclasses import replace

from . import workloads
from .faces import open_face

#: A sample of short work is a loop that takes about this long, in seconds.
SAMPLE = 300e-6
#: The samples of one `time` command.
MOST_SAMPLES = 400


class Running:
    """A workload under way in this process."""

    def __init__(self, workload, face, tiny):
        reset_peak()
        self.sync, self.least = face.sync, face.least
        timed = workload.timed(face, tiny)
        self.run, self.before = timed.run, timed.before
        self.repeats = 1
        first, self.result = self.sample()
        #: Read now: later runs of a training step give other numbers.
        self.some = face.some(self.result)
        self.seconds = first
        if not tiny:
            self.warm_up(first)

    def warm_up(self, first):
        """Fills caches and pools, starts threads, and chooses the length of a sample."""
        end = time.perf_counter() + min(0.1, 2 * first)
        taken = [first]
        while time.perf_counter() < end or len(taken) < 3 and first < 1:
            taken.append(self.sample()[0])
        self.seconds = min(taken)
        if not self.before:
            self.repeats = max(1, min(10_000, int(SAMPLE / self.seconds)))

    def sample(self):
        """Seconds of one run, and its result. Short work without ``before`` is run in a loop."""
        run, clock = self.run, time.perf_counter
        if self.before:
            self.before()
            self.sync()
            start = clock()
            result = run()
            self.sync()
            return clock() - start, result
        repeats = range(self.repeats)
        start = clock()
        for _ in repeats:
            result = run()
        self.sync()
        return (clock() - start) / self.repeats, result

    def time(self, seconds):
        """Samples until the time is over; at least one. Work too short for the face is an error."""
        gc.collect()
        gc.disable()
        end = time.perf_counter() + seconds
        times = []
        while not times or time.perf_counter() < end and len(times) < MOST_SAMPLES:
            # The first run after another process had the cores finds cold caches; it is not kept
            # where runs are short.
            if not times and self.seconds < 0.01:
                self.sample()
            elapsed, self.result = self.sample()
            times.append(elapsed)
        gc.enable()
        if min(times) < self.least:
            raise NotImplementedError(f"work under {self.least * 1e6:.0f} µs is not timed")
        return times


def reset_peak():
    """Sets the peak of resident memory to what is resident now."""
    gc.collect()
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak_bytes():
    """The peak of resident memory since `reset_peak`; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return sizes[0] * 1024 if sizes else None


def serve(face, commands, answer):
    """Answers commands until they end."""
    by_name = {workload.name: workload for workload in workloads.ALL}
    running = None
    for line in commands:
        command = json.loads(line)
        try:
            if command["do"] == "prepare":
                running = None
                workload = by_name[command["name"]]
                if "args" in command:
                    workload = replace(workload, args={**workload.args, **command["args"]})
                running = Running(workload, face, command.get("tiny", False))
                answer({"seconds": running.seconds, "some": running.some})
            elif command["do"] == "time":
                answer({"times": running.time(command["seconds"])})
            else:
                running = None
                answer({"peak": peak_bytes()})
        except Exception as error:
            running = None
            text = " ".join(str(error).split())
            answer({"error": f"{type(error).__name__}: {text[:300]}"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--face", choices=["megengine", "torch", "candle"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    # Answers go where stdout was; whatever a library prints goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    try:
        face = open_face(options.face, options.threads)
    except ImportError as error:
        answer({"error": f"ImportError: {error}"})
        return
    answer({"version": face.version})
    serve(face, sys.stdin, answer)


if __name__ == "__main__":
    main()

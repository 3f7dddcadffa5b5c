"""What the machine can do at most: arithmetic and memory speed, measured by a Rust program."""

from __future__ import annotations

import os
import subprocess

from .peers import ROOT

#: The part of the best arithmetic speed below which the machine is not whole.
WHOLE = 0.75
#: The ceilings with their units.
UNITS = {"fma": "GFLOP/s", "read": "GB/s", "copy": "GB/s"}


class Ceilings:
    """The program at each number of threads, and everything that it measured."""

    def __init__(self):
        self.processes = {}
        #: By number of threads and name.
        self.found = {}
        self.error = None

    def measure(self, threads, name):
        """A ceiling now, in 10⁹ operations or bytes a second; None where the program cannot be
        built or run."""
        if self.error:
            return None
        try:
            process = self.processes.get(threads) or self.start(threads)
            process.stdin.write(name + "\n")
            process.stdin.flush()
            value = float(process.stdout.readline())
        except (OSError, ValueError) as error:
            self.error = f"{type(error).__name__}: {error}"
            return None
        self.found.setdefault((threads, name), []).append(value)
        return value

    def whole(self, threads):
        """Whether all cores work as fast as ever: a virtual machine may lose one for seconds, and
        its own counters do not tell."""
        now = self.measure(threads, "fma")
        return now is None or now >= WHOLE * max(self.found[threads, "fma"])

    def start(self, threads):
        command = ["cargo", "run", "--release", "--quiet", "-p", "tengen-kernels"]
        process = self.processes[threads] = subprocess.Popen(
            [*command, "--example", "ceilings"],
            cwd=ROOT,
            env={**os.environ, "TENGEN_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return process

    def stop(self):
        """Ends the programs, which end with their input."""
        for process in self.processes.values():
            process.communicate()
        self.processes.clear()

"""What the machine can do at most: arithmetic and memory speed, measured by a Rust program."""

from __future__ import annotations

import json
import os
import subprocess

from .peers import ROOT


class Ceilings:
    """The best of every measurement of a run, by number of threads."""

    def __init__(self):
        self.best = {}
        self.error = None

    def measure(self, threads):
        """Runs the program; where it cannot be built, shares of a ceiling stay empty."""
        command = ["cargo", "run", "--release", "--quiet", "-p", "tengen-kernels"]
        environment = {**os.environ, "TENGEN_NUM_THREADS": str(threads)}
        try:
            done = subprocess.run(
                [*command, "--example", "ceilings"],
                cwd=ROOT, env=environment, capture_output=True, text=True,
            )
        except OSError as error:
            self.error = str(error)
            return
        if done.returncode:
            self.error = done.stderr.strip()[-500:]
            return
        best = self.best.setdefault(threads, {})
        for name, value in json.loads(done.stdout).items():
            best[name] = max(value, best.get(name, 0))

    def share(self, workload, threads, seconds):
        """The part of the ceiling that a time reaches; None where there is no ceiling for it.

        Work on fewer bytes than the caches hold has no ceiling here.
        """
        best = self.best.get(threads)
        if not best:
            return None
        if workload.flops:
            return workload.flops / seconds / 1e9 / best["fma_gflops"]
        if workload.bytes >= 48e6:
            return workload.bytes / seconds / 1e9 / best[f"{workload.traffic}_gbs"]
        return None

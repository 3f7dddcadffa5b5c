"""Counts the instructions of small operators and holds them to `baseline.json` beside this file.

Valgrind's callgrind counts the same on every run, whatever else the machine does, so a change of a
few instructions shows. Needs valgrind; compilers differ, so the baseline names its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASELINE = Path(__file__).with_name("baseline.json")
# Runs of an operator: the difference of the two counts leaves out the start of the program.
FEW, MANY = 200, 1200


def build():
    """The program that runs the operators."""
    command = ["cargo", "build", "--release", "--quiet", "-p", "tengen-core"]
    subprocess.run([*command, "--example", "small_ops"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "examples" / "small_ops"


def count(program, name, runs):
    """Instructions of a process that runs an operator so often, on one thread."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    environment = {**os.environ, "TENGEN_NUM_THREADS": "1", "TENGEN_ISA": "avx2"}
    done = subprocess.run(
        [*command, program, name, str(runs)], env=environment, capture_output=True, text=True
    )
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not collected:
        sys.exit(f"{name}: valgrind gave no count:\n{done.stderr}")
    return int(collected[1])


def measure(program):
    """Instructions of one run of each operator."""
    names = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    return {
        name: round((count(program, name, MANY) - count(program, name, FEW)) / (MANY - FEW))
        for name in names
    }


def main():
    parser = argparse.ArgumentParser(prog="benches.instructions", description=__doc__)
    parser.add_argument("--update", action="store_true", help="store the counts as the baseline")
    update = parser.parse_args().update
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    compiler = compiler.stdout.strip()
    counts = measure(build())
    stored = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"instructions": {}}
    if update:
        tolerance = stored.get("tolerance", 0.03)
        new = {"compiler": compiler, "tolerance": tolerance, "instructions": counts}
        BASELINE.write_text(json.dumps(new, indent=2) + "\n")
        stored = new
    if stored.get("compiler") != compiler:
        print(f"the baseline was counted with {stored.get('compiler')}, this is {compiler}")
    worse = []
    for name, now in counts.items():
        before = stored["instructions"].get(name)
        change = f"{now / before - 1:+.1%}" if before else "no baseline"
        print(f"{name:20} {now:8} {change}")
        if not before or now > before * (1 + stored["tolerance"]):
            worse.append(name)
    if worse:
        sys.exit(f"more instructions than the baseline allows: {', '.join(worse)}")


if __name__ == "__main__":
    main()

"""The peers' processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: glibc keeps what it was given: no mappings of their own for large blocks, nothing returned to the
#: system, one arena. Without it a large tensor costs page faults each time it is made.
KEEPING = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "MALLOC_ARENA_MAX": "1",
}


class Unavailable(Exception):
    """A peer cannot run a workload; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A column of the table."""

    name: str
    title: str
    face: str
    python: str
    environment: dict

    def start(self, threads):
        return Process(self, threads)


def peers(torch_python, megengine_python, candle=None):
    """Tengen, PyTorch as installed, PyTorch with an allocator that keeps its memory, MegEngine,
    and candle, whose library is at the path ``candle``."""
    found = [Peer("tengen", "Tengen", "megengine", sys.executable, {})]
    if torch_python:
        found.append(Peer("torch", "PyTorch", "torch", torch_python, {}))
        found.append(Peer("torch-keep", "PyTorch, memory kept", "torch", torch_python, KEEPING))
    if megengine_python:
        quiet = {"MEGENGINE_LOGGING_LEVEL": "ERROR"}
        found.append(Peer("megengine", "MegEngine 1.13", "megengine", megengine_python, quiet))
    if candle:
        library = {"COMPARE_CANDLE": str(Path(candle).resolve())}
        found.append(Peer("candle", "candle", "candle", sys.executable, library))
    return found


class Process:
    """One peer at one number of threads. It is stopped whenever it is not asked something, so that
    its threads cannot spin on cores that another peer is timed on."""

    def __init__(self, peer, threads):
        self.peer, self.threads = peer, threads
        self.log = tempfile.TemporaryFile()
        environment = {
            **os.environ,
            "TENGEN_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "PYTHONPATH": str(ROOT),
            **peer.environment,
        }
        command = [peer.python, "-m", "benches.compare.worker", "--face", peer.face]
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.pending = b""
        self.version = self._answer(120)["version"]

    def ask(self, timeout, **command):
        """Sends a command and waits for its answer."""
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable(self._death()) from None
        answer = self._answer(timeout)
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def _answer(self, timeout):
        end = time.monotonic() + timeout
        output = self.process.stdout.fileno()
        while b"\n" not in self.pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                self.kill()
                raise Unavailable(f"no answer within {timeout:.0f} s")
            received = os.read(output, 1 << 16)
            if not received:
                raise Unavailable(self._death())
            self.pending += received
        line, _, self.pending = self.pending.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def _death(self):
        code = self.process.wait()
        self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, self.log.tell() - 2000))
        lines = self.log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the process ended with {how}: {last[:200]}"

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

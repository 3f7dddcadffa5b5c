"""What a workload is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Timed:
    """A piece of work to time.

    ``run`` does it once and returns its result. ``before``, if given, is called before each run,
    outside of the timed span: it is how a gradient is timed without its forward pass.
    """

    run: Callable[[], Any]
    before: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Workload:
    """One line of the table.

    ``build(face, **args)`` gives a `Timed`, or a function, which is `Timed` alone; ``tiny`` are the
    arguments that differ in the form that tests run.
    """

    name: str
    group: str
    build: Callable[..., Any]
    args: dict = field(default_factory=dict)
    tiny: dict = field(default_factory=dict)
    #: What PyTorch's time divided by Tengen's is to reach, on all cores. None: only reported.
    goal: float | None = None
    #: Floating-point operations of one run, counted for the direct algorithm.
    flops: float = 0
    #: Bytes that one run must read and write, if nothing stays in the caches.
    bytes: float = 0
    #: The memory speed to hold ``bytes`` against: "copy" or "read".
    traffic: str = "copy"
    #: The part of the ceiling to reach. None: only reported.
    share_goal: float | None = None
    #: Runs in processes of its own, and its peak memory is reported.
    memory: bool = False
    #: Tengen's peak memory is to stay at or under PyTorch's.
    memory_goal: bool = False
    #: Whether all peers compute the same numbers, so that results are compared.
    same: bool = True

    @property
    def ceiling(self):
        """The ceiling that holds for it, as the program that measures them calls it; None for work
        on fewer bytes than the caches hold."""
        if self.flops:
            return "fma"
        return self.traffic if self.bytes >= 48e6 else None

    def timed(self, face, tiny=False) -> Timed:
        """Builds the work for a peer."""
        args = {**self.args, **self.tiny} if tiny else self.args
        work = self.build(face, **args)
        return work if isinstance(work, Timed) else Timed(work)


@dataclass(frozen=True)
class Group:
    """A table: a title, and the goal for the geometric mean of its ratios."""

    name: str
    title: str
    goal: float | None = None

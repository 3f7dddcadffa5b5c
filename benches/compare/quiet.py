"""Notices other work on the machine, which would be counted as a peer's time."""

from __future__ import annotations

import os
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
#: Seconds of other work that are allowed, and the part of a core: the clock's grain, and daemons.
GRAIN, PART = 0.03, 0.05


def busy():
    """Seconds that all cores have worked, other guests' theft included; None if unknown."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) * TICK


def used(pid):
    """Seconds of work of one process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


class Watch:
    """Watches a span in which one process is to have the machine for itself."""

    def __init__(self, pid):
        self.pid, self.start, self.busy = pid, time.monotonic(), busy()
        self.used = used(pid) if self.busy is not None else 0

    def disturbed(self):
        """Whether others worked too."""
        if self.busy is None:
            return False
        others = busy() - self.busy - (used(self.pid) - self.used)
        return others > GRAIN + PART * (time.monotonic() - self.start)


class Waiting:
    """Waits for the machine to be quiet, for a limited time in all."""

    #: Seconds that the cores are watched, and the longest that one call waits.
    STEP, LONGEST = 0.05, 2.0

    def __init__(self, seconds):
        self.left = seconds

    def over(self):
        """Whether all of the time is used."""
        return self.left <= 0

    def wait(self, whole=lambda: True):
        """Returns when the cores are idle and ``whole()``, or when no time is left."""
        end = time.monotonic() + min(self.left, self.LONGEST)
        while time.monotonic() < end:
            before = busy()
            if before is None:
                return
            time.sleep(self.STEP)
            self.left -= self.STEP
            if busy() - before <= self.STEP / 4 and whole():
                return

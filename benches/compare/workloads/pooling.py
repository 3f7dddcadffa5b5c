"""Pooling: forward, and backward alone."""

from ..workload import Group, Workload
from .reductions import elements, timed

GROUP = Group("pooling", "Pooling", goal=3.0)


def pooling(face, op, settings, backward, shape):
    x, pool = face.normal("x", *shape), getattr(face, op)
    return timed(face, lambda: pool(x, *settings), [x], backward)


SHAPE = (32, 64, 56, 56)
#: Label, function, kernel and stride and padding (or the output's size), pixels of the output.
ENTRIES = [
    ("max 3×3 stride 2", "max_pool2d", (3, 2, 1), 28 * 28),
    ("max 2×2", "max_pool2d", (2, 2), 28 * 28),
    ("average 3×3 stride 2", "avg_pool2d", (3, 2), 27 * 27),
    ("average 2×2", "avg_pool2d", (2, 2), 28 * 28),
    ("adaptive average to 1", "adaptive_avg_pool2d", (1,), 1),
    ("adaptive average to 7", "adaptive_avg_pool2d", (7,), 49),
    ("adaptive max to 7", "adaptive_max_pool2d", (7,), 49),
]
WORKLOADS = [
    Workload(
        f"{label} 32×64×56²: {'backward' if backward else 'forward'}",
        "pooling",
        pooling,
        {"op": op, "settings": settings, "backward": backward, "shape": SHAPE},
        {"shape": (1, 2, 8, 8)},
        goal=3.0,
        bytes=4.0 * (elements(SHAPE) + elements(SHAPE[:2]) * pixels),
    )
    for label, op, settings, pixels in ENTRIES
    for backward in (False, True)
]

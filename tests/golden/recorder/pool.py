"""Pooling with fixed windows and with a fixed output."""

import numpy as np

from .store import rng

SHAPE = (2, 2, 6, 7)
WINDOWS = {
    "two": {"kernel_size": 2},
    "three": {"kernel_size": 3},
    "pair": {"kernel_size": [2, 3]},
    "overlap": {"kernel_size": 3, "stride": 1},
    "stride_pair": {"kernel_size": [3, 2], "stride": [2, 1]},
    "gaps": {"kernel_size": 2, "stride": 3},
    "padding": {"kernel_size": 3, "stride": 2, "padding": 1},
    "padding_pair": {"kernel_size": 3, "stride": [2, 3], "padding": [1, 0]},
    "padding_same": {"kernel_size": 3, "stride": 1, "padding": 1},
    "one": {"kernel_size": 1},
    "whole": {"kernel_size": [6, 7]},
}
MODES = ("average", "average_count_exclude_padding")


def distinct(name, shape=SHAPE):
    """Values without ties: a window's maximum has one place."""
    size = int(np.prod(shape))
    values = rng(name).permutation(size) - size / 2
    return (values.reshape(shape) / 16).astype("float32")


def record(family):
    for kind, attrs in WINDOWS.items():
        name = f"max_pool2d_{kind}"
        family.op(name, "max_pool2d", {"inp": distinct(name)}, attrs)
        for mode in MODES:
            name = f"avg_pool2d_{kind}_{'include' if mode == 'average' else 'exclude'}"
            family.op(name, "avg_pool2d", {"inp": distinct(name)}, {**attrs, "mode": mode})
    family.op(
        "avg_pool2d_default_mode", "avg_pool2d", {"inp": distinct("mode")}, WINDOWS["padding"]
    )
    low = {"inp": distinct("low") - 40}
    family.op("max_pool2d_padding_below_zero", "max_pool2d", low, WINDOWS["padding"])
    tied = {"inp": np.array([[[[1, 1, 2], [1, 1, 2], [0, 3, 3]]]], "float32")}
    why = "every tied maximum receives the whole gradient"
    family.op("max_pool2d_ties", "max_pool2d", tied, {"kernel_size": 2, "stride": 1}, why=why)
    # The window is size - (out - 1) * (size // out), whatever the remainder.
    for op in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        for shape, out in (
            ((2, 3, 6, 6), 1),
            ((2, 2, 6, 6), 3),
            ((2, 2, 6, 8), [3, 2]),
            ((1, 2, 7, 5), [3, 3]),
            ((1, 2, 7, 7), [5, 4]),
            ((1, 1, 5, 9), [1, 4]),
            ((2, 1, 4, 4), 4),
        ):
            size = "x".join(map(str, out if isinstance(out, list) else [out]))
            name = f"{op}_{shape[2]}x{shape[3]}_to_{size}"
            family.op(name, op, {"inp": distinct(name, shape)}, {"oshp": out})
    half = {"inp": distinct("half", (1, 2, 4, 4)).astype("float16")}
    family.op("avg_pool2d_f16", "avg_pool2d", half, {"kernel_size": 2})

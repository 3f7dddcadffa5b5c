"""Elementwise operators: forward, and backward alone, at sizes from 3 elements up."""

from __future__ import annotations

from ..workload import Group, Workload

GROUP = Group("elementwise", "Elementwise operators", goal=2.0)
SIZES = {"3": 3, "4 K": 4096, "64 K": 65_536, "1 M": 1_048_576, "6.4 M": 6_422_528}

#: Tensors read and written: forward, and backward where the least is clear.
TRAFFIC = {
    "add": (3, 0),
    "mul": (3, 5),
    "exp": (2, 3),
    "log": (2, 3),
    "tanh": (2, 3),
    "sigmoid": (2, 3),
    "gelu": (2, 3),
    "silu": (2, 3),
    "prelu": (2, 3),
    "where": (3.25, 3.25),
}


def call(face, op, shape, dtype):
    """The operator as a function of no arguments, and the tensors to differentiate by."""
    x = face.positive("x", *shape) if op == "log" else face.normal("x", *shape, dtype=dtype)
    if op in ("add", "mul", "where"):
        y = face.normal("y", *shape, dtype=dtype)
        if op == "add":
            return lambda: x + y, [x, y]
        if op == "mul":
            return lambda: x * y, [x, y]
        mask, where = face.mask("mask", *shape), face.where
        return lambda: where(mask, x, y), [x, y]
    function = getattr(face, op)
    if op == "prelu":
        slope = face.tensor([0.25])
        return lambda: function(x, slope), [x, slope]
    return lambda: function(x), [x]


def elementwise(face, op, backward, shape, dtype="float32"):
    forward, wrt = call(face, op, shape, dtype)
    if not backward:
        return forward
    return face.backward(forward, wrt, face.normal("dy", *shape, dtype=dtype))


def direction(backward):
    return "backward" if backward else "forward"


def plain(op, label, n, backward):
    traffic = TRAFFIC[op][backward]
    large = n == SIZES["6.4 M"] and traffic > 0
    return Workload(
        f"{op} {label}: {direction(backward)}",
        "elementwise",
        elementwise,
        {"op": op, "backward": backward, "shape": (n,)},
        {"shape": (5,)},
        goal=1.0,
        bytes=4.0 * n * traffic,
        share_goal=0.85 if large else None,
    )


def half(op, dtype, backward):
    return Workload(
        f"{op} 1 M {dtype}: {direction(backward)}",
        "elementwise",
        elementwise,
        {"op": op, "backward": backward, "shape": (SIZES["1 M"],), "dtype": dtype},
        {"shape": (5,)},
        goal=1.0,
        bytes=2.0 * SIZES["1 M"] * TRAFFIC[op][backward],
    )


def broadcast(face, op, backward, shape):
    """x, and an operand that repeats: one number a channel, one row, or a transposed matrix."""
    x = face.normal("x", *shape)
    if op == "prelu per channel":
        w = face.channel_weight("w", shape[1])
        prelu = face.prelu
    else:
        w = {
            "add per channel": lambda: face.normal("w", 1, shape[1], 1, 1),
            "mul per channel": lambda: face.normal("w", 1, shape[1], 1, 1),
            "add per row": lambda: face.normal("w", shape[-1]),
            "mul per row": lambda: face.normal("w", shape[-1]),
            "add transposed": lambda: face.normal("w", *reversed(shape)),
        }[op]()
    if op == "add transposed":
        transposed = face.transposed

        def forward():
            return x + transposed(w)
    elif op == "prelu per channel":

        def forward():
            return prelu(x, w)
    elif op.startswith("add"):

        def forward():
            return x + w
    else:

        def forward():
            return x * w

    if not backward:
        return forward
    return face.backward(forward, [x, w], face.normal("dy", *shape))


def broadcasting(op, label, shape, tiny, passes, backward):
    n = 1
    for size in shape:
        n *= size
    return Workload(
        f"{op} {label}: {direction(backward)}",
        "elementwise",
        broadcast,
        {"op": op, "backward": backward, "shape": shape},
        {"shape": tiny},
        goal=1.0,
        bytes=4.0 * n * passes[backward],
    )


IMAGES, ROWS, MATRIX = (32, 64, 56, 56), (4096, 768), (2048, 2048)
WORKLOADS = [
    plain(op, label, n, backward)
    for op in TRAFFIC
    for label, n in SIZES.items()
    for backward in (False, True)
]
WORKLOADS += [
    half(op, dtype, backward)
    for op in ("add", "exp", "gelu")
    for dtype in ("float16", "bfloat16")
    for backward in (False, True)
]
WORKLOADS += [
    broadcasting(op, label, shape, tiny, passes, backward)
    for op, label, shape, tiny, passes in [
        ("add per channel", "32×64×56²", IMAGES, (2, 3, 4, 4), (2, 1)),
        ("mul per channel", "32×64×56²", IMAGES, (2, 3, 4, 4), (2, 3)),
        ("prelu per channel", "32×64×56²", IMAGES, (2, 3, 4, 4), (2, 3)),
        ("add per row", "4096×768", ROWS, (4, 6), (2, 1)),
        ("mul per row", "4096×768", ROWS, (4, 6), (2, 3)),
        ("add transposed", "2048×2048", MATRIX, (4, 4), (3, 0)),
    ]
    for backward in (False, True)
]

"""Reductions, softmax and normalisation: forward, and backward alone."""

from __future__ import annotations

from ..workload import Group, Workload

GROUP = Group("reduction", "Reductions, softmax, normalisation", goal=1.5)


def timed(face, forward, wrt, backward):
    """The forward pass, or the backward pass alone from a random gradient."""
    if not backward:
        return forward
    shape = tuple(forward().shape)
    return face.backward(forward, wrt, face.normal("dy", *shape))


def reduction(face, op, axis, backward, shape):
    x, reduce = face.normal("x", *shape), getattr(face, op)
    return timed(face, lambda: reduce(x, axis), [x], backward)


def softmax(face, op, backward, shape):
    x, function = face.normal("x", *shape), getattr(face, op)
    return timed(face, lambda: function(x, -1), [x], backward)


def cross_entropy(face, backward, shape):
    x, labels = face.normal("x", *shape), face.integers("labels", shape[1], shape[0])
    function = face.cross_entropy

    def forward():
        return function(x, labels)

    return face.backward(forward, [x]) if backward else forward


def layer_norm(face, backward, shape):
    x = face.normal("x", *shape)
    w, b = face.normal("w", shape[-1]), face.normal("b", shape[-1])
    return timed(face, lambda: face.layer_norm(x, w, b), [x, w, b], backward)


def group_norm(face, backward, shape, groups):
    x = face.normal("x", *shape)
    w, b = face.normal("w", shape[1]), face.normal("b", shape[1])
    return timed(face, lambda: face.group_norm(x, groups, w, b), [x, w, b], backward)


def batch_norm(face, backward, shape):
    """Training mode: statistics of the batch, and an update of the running ones."""
    x, layer = face.normal("x", *shape), face.fill(face.batch_norm(shape[1]))
    if not backward:
        return face.training_forward(layer, x)
    return timed(face, lambda: layer(x), [x, *layer.parameters()], backward)


IMAGES, CLASSES, ROWS = (32, 64, 56, 56), (512, 1000), (4096, 768)
CUBE = (64, 100, 1000)

#: Label, builder, its arguments, what is smaller in tests, elements read and written forward and
#: backward.
ENTRIES = [
    *[
        (f"{op} {label}, 64×100×1000", reduction, {"op": op, "axis": axis, "shape": CUBE},
         {"shape": (2, 3, 4)}, (1, 1 if op == "sum" else 2))
        for op in ("sum", "max")
        for label, axis in [("of all", None), ("first axis", 0), ("middle axis", 1),
                            ("last axis", 2)]
    ],
    ("softmax 512×1000", softmax, {"op": "softmax", "shape": CLASSES}, {"shape": (3, 5)}, (2, 3)),
    ("softmax 64×8×128×128", softmax, {"op": "softmax", "shape": (64, 8, 128, 128)},
     {"shape": (2, 2, 3, 3)}, (2, 3)),
    ("logsoftmax 512×1000", softmax, {"op": "logsoftmax", "shape": CLASSES}, {"shape": (3, 5)},
     (2, 3)),
    ("cross_entropy 512×1000", cross_entropy, {"shape": CLASSES}, {"shape": (3, 5)}, (1, 2)),
    ("layer_norm 4096×768", layer_norm, {"shape": ROWS}, {"shape": (3, 8)}, (2, 3)),
    ("group_norm 8 groups 32×64×56²", group_norm, {"shape": IMAGES, "groups": 8},
     {"shape": (2, 4, 3, 3), "groups": 2}, (2, 3)),
    ("batch_norm training 32×64×56²", batch_norm, {"shape": IMAGES}, {"shape": (2, 4, 3, 3)},
     (2, 3)),
]


def elements(shape):
    n = 1
    for size in shape:
        n *= size
    return n


WORKLOADS = [
    Workload(
        f"{label}: {'backward' if backward else 'forward'}",
        "reduction",
        build,
        {**args, "backward": backward},
        tiny,
        goal=1.0,
        bytes=4.0 * elements(args["shape"]) * passes[backward],
        traffic="read" if build is reduction and not backward else "copy",
    )
    for label, build, args, tiny, passes in ENTRIES
    for backward in (False, True)
]

"""Matrix products."""

import numpy as np

from .store import rng

SHAPES = {
    "plain": ((3, 4), (4, 5)),
    "one_row": ((1, 7), (7, 3)),
    "one_column": ((4, 6), (6, 1)),
    "inner_one": ((4, 1), (1, 3)),
    "odd": ((9, 17), (17, 11)),
    "vectors": ((5,), (5,)),
    "matrix_vector": ((3, 5), (5,)),
    "vector_matrix": ((5,), (5, 4)),
    "batched": ((2, 3, 4), (2, 4, 5)),
    "two_batches": ((2, 3, 4, 5), (2, 3, 5, 2)),
    "batch_matrix": ((2, 3, 4), (4, 5)),
    "matrix_batch": ((3, 4), (2, 4, 5)),
    "batch_vector": ((2, 3, 4), (4,)),
    "vector_batch": ((4,), (2, 4, 3)),
    "more_batches": ((2, 3, 2, 4), (3, 4, 2)),
}


def real(name, shape, dtype="float32"):
    return np.asarray(rng(name).uniform(-1, 1, shape)).astype(dtype)


def pair(name, first, second, dtype="float32"):
    return {"inp1": real(name + "a", first, dtype), "inp2": real(name + "b", second, dtype)}


def record(family):
    for kind, (first, second) in SHAPES.items():
        name = f"matmul_{kind}"
        family.op(name, "matmul", pair(name, first, second))
    for ta, tb, label in ((True, False, "a"), (False, True, "b"), (True, True, "both")):
        attrs = {"transpose_a": ta, "transpose_b": tb}
        for batch in ((), (2,), (2, 3)):
            first = (*batch, 4, 3) if ta else (*batch, 3, 4)
            second = (*batch, 5, 4) if tb else (*batch, 4, 5)
            name = f"matmul_transpose_{label}_{len(batch)}_batch"
            family.op(name, "matmul", pair(name, first, second), attrs)
    family.op("matmul_f16", "matmul", pair("mh", (3, 4), (4, 5), "float16"))
    family.op("dot", "dot", pair("dot", (7,), (7,)))
    family.op("dot_one", "dot", pair("dot1", (1,), (1,)))
    for kind, shape in (
        ("matrix", (3, 4)),
        ("batch", (2, 3, 4)),
        ("vector", (4,)),
        ("wide", (5, 33)),
    ):
        inputs = {"inp": real("li" + kind, shape), "weight": real("lw" + kind, (6, shape[-1]))}
        family.op(f"linear_{kind}", "linear", inputs)
        inputs["bias"] = real("lb" + kind, (6,))
        family.op(f"linear_{kind}_bias", "linear", inputs)

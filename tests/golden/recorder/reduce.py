"""Reductions, norms, cumulative sums and softmax."""

import numpy as np

from .store import rng

AXES = {
    "all": {},
    "first": {"axis": 0},
    "last": {"axis": -1},
    "middle": {"axis": 1},
    "pair": {"axis": [0, 2]},
    "every": {"axis": [0, 1, 2]},
    "negative_pair": {"axis": [-1, -2]},
    "last_keep": {"axis": -1, "keepdims": True},
    "pair_keep": {"axis": [0, 2], "keepdims": True},
}
ORDERED = ("sum", "mean", "prod", "max", "min")


def real(name, shape, low=-2, high=2, dtype="float32"):
    return np.asarray(rng(name).uniform(low, high, shape)).astype(dtype)


def distinct(name, shape, dtype="float32"):
    """Values without ties, so that the position of an extremum is certain."""
    size = int(np.prod(shape))
    values = rng(name).permutation(size) - size // 2
    return (values.reshape(shape) * (0.25 if dtype.startswith("float") else 1)).astype(dtype)


def plain(family):
    for op in (*ORDERED, "var", "std"):
        for kind, attrs in AXES.items():
            name = f"{op}_{kind}"
            make = distinct if op in ("max", "min") else real
            family.op(name, op, {"inp": make(name, (2, 3, 4))}, attrs)
        name = f"{op}_long"
        family.op(name, op, {"inp": distinct(name, (3, 133)) / 64 + 1}, {"axis": 1})
        name = f"{op}_scalar"
        if op in ORDERED:
            family.op(name, op, {"inp": real(name, ())})
        family.op(
            f"{op}_one_axis",
            op,
            {"inp": real(op, (1, 4))},
            {"axis": 0},
            grads=None if op != "std" else [],
        )
        name = f"{op}_f16"
        x = distinct(name, (2, 6), "float16") / 4 + np.float16(1 / 32)
        family.op(name, op, {"inp": x}, {"axis": 1})
    for op in ("sum", "mean", "prod", "max", "min", "var", "std"):
        for dtype in ("int32", "uint8", "int8", "bool"):
            x = rng(op + dtype).integers(0, 2 if dtype == "bool" else 12, (2, 5)).astype(dtype)
            family.op(f"{op}_{dtype}", op, {"inp": x}, {"axis": 1})
            family.op(f"{op}_{dtype}_all", op, {"inp": x})
    family.op("sum_wraps_u8", "sum", {"inp": np.array([200, 100], "uint8")})
    family.op("sum_no_axes", "sum", {"inp": real("none", (2, 3))}, {"axis": []})
    for op in ("max", "min"):
        x = np.array([[1, 3, 3], [2, 2, 2], [0, 5, 1]], "float32")
        why = "every tied extremum receives the whole gradient"
        family.op(f"{op}_ties", op, {"inp": x}, {"axis": 1}, why=why)
        x[1, 1] = np.nan
        family.op(f"{op}_nan", op, {"inp": x}, {"axis": 1}, grads=[])
    for op in ("sum", "prod"):
        empty = np.zeros((0, 3), "float32")
        family.op(f"{op}_empty_first", op, {"inp": empty}, {"axis": 0}, grads=[])
        family.op(f"{op}_empty_last", op, {"inp": empty}, {"axis": 1}, grads=[])
        family.op(f"{op}_empty_all", op, {"inp": empty}, grads=[])


def arguments(family):
    for op in ("argmax", "argmin"):
        for kind in ("all", "first", "last", "middle", "last_keep"):
            name = f"{op}_{kind}"
            family.op(name, op, {"inp": distinct(name, (2, 3, 4))}, AXES[kind], grads=[])
        family.op(
            f"{op}_ties", op, {"inp": np.array([[1, 3, 3, 1]], "float32")}, {"axis": 1}, grads=[]
        )
        for dtype in ("int32", "uint8"):
            x = np.abs(distinct(op + dtype, (3, 5), "int32")).astype(dtype)
            family.op(f"{op}_{dtype}", op, {"inp": x}, {"axis": 0})


def norms(family):
    for order in (None, 1, 2, 3, 0.5):
        label = str(order).replace(".", "_").lower()
        for axis, keep in ((0, False), (1, False), (-1, True)):
            attrs = {"ord": order, "axis": axis, "keepdims": keep}
            name = f"norm_{label}_axis_{axis}".replace("-1", "last")
            family.op(name, "norm", {"inp": real(name, (3, 4)) + np.float32(2.5)}, attrs)
        name = f"norm_{label}_vector"
        family.op(name, "norm", {"inp": real(name, (7,), 0.2, 2)}, {"ord": order})
    family.op("norm_pair", "norm", {"inp": real("np", (2, 3, 4))}, {"ord": 2, "axis": [1, 2]})
    for axis in (0, 1, -1):
        name = f"normalize_axis_{axis}".replace("-1", "last")
        family.op(name, "normalize", {"inp": real(name, (3, 4))}, {"axis": axis})
    family.op(
        "normalize_order", "normalize", {"inp": real("no", (3, 4), 0.1, 2)}, {"ord": 3, "axis": 1}
    )
    small = {"inp": np.array([[3, 4], [0.001, 0]], "float32")}
    family.op("normalize_eps", "normalize", small, {"axis": 1, "eps": 0.1})
    family.op("normalize_vector", "normalize", {"inp": real("nv", (5,))})


def softmaxes(family):
    for op in ("softmax", "logsoftmax", "logsumexp"):
        for axis in (0, 1, -1):
            name = f"{op}_axis_{axis}".replace("-1", "last")
            family.op(name, op, {"inp": real(name, (2, 3, 4), -4, 4)}, {"axis": axis})
        name = f"{op}_long"
        family.op(name, op, {"inp": real(name, (2, 131), -4, 4)}, {"axis": 1})
        big = np.array([[1000, 0, -1000], [88, 89, 90], [-50, -51, -52]], "float32")
        family.op(f"{op}_large", op, {"inp": big}, {"axis": 1})
        holes = np.array([[-np.inf, 0, 1], [2, -np.inf, -np.inf]], "float32")
        family.op(f"{op}_minus_infinity", op, {"inp": holes}, {"axis": 1}, grads=[])
        name = f"{op}_f16"
        family.op(name, op, {"inp": real(name, (2, 5), dtype="float16")}, {"axis": 1})
    # The default axis of softmax is 0 for one and three dimensions, else 1.
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 2, 2)):
        name = f"softmax_default_{len(shape)}d"
        family.op(name, "softmax", {"inp": real(name, shape)})
    for kind, attrs in (
        ("pair", {"axis": [0, 2]}),
        ("pair_keep", {"axis": [1, 2], "keepdims": True}),
        ("keep", {"axis": 1, "keepdims": True}),
    ):
        name = f"logsumexp_{kind}"
        family.op(name, "logsumexp", {"inp": real(name, (2, 3, 4))}, attrs)


def cumulative(family):
    for axis in (0, 1, 2, -1):
        name = f"cumsum_axis_{axis}".replace("-1", "last")
        family.op(name, "cumsum", {"inp": real(name, (2, 3, 4))}, {"axis": axis})
    family.op("cumsum_vector", "cumsum", {"inp": real("cv", (9,))}, {"axis": 0})
    family.op("cumsum_long", "cumsum", {"inp": real("cl", (3, 97))}, {"axis": 1})
    x = rng("ci").integers(-9, 9, (3, 5)).astype("int32")
    family.op("cumsum_i32", "cumsum", {"inp": x}, {"axis": 1})
    family.op("cumsum_wraps_i8", "cumsum", {"inp": np.array([100, 100], "int8")}, {"axis": 0})


def record(family):
    plain(family)
    arguments(family)
    norms(family)
    softmaxes(family)
    cumulative(family)

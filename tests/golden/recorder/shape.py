"""Shapes, joining and splitting, selection, sorting and creation."""

import numpy as np

from .store import rng


def real(name, shape, dtype="float32"):
    return np.asarray(rng(name).uniform(-2, 2, shape)).astype(dtype)


def integers(name, shape, low, high, dtype="int32"):
    return np.asarray(rng(name).integers(low, high, shape)).astype(dtype)


def distinct(name, shape, dtype="float32"):
    size = int(np.prod(shape))
    return (rng(name).permutation(size) - size // 2).reshape(shape).astype(dtype)


def one(family, op, kinds, shape=(2, 3, 4)):
    """One case of a function of one tensor for each entry of kinds: label: attributes."""
    for kind, attrs in kinds.items():
        name = f"{op}_{kind}"
        family.op(name, op, {"inp": real(name, shape)}, attrs)


def reshaping(family):
    one(
        family,
        "reshape",
        {
            "two": {"target_shape": [6, 4]},
            "infer": {"target_shape": [2, -1]},
            "flat": {"target_shape": [-1]},
            "more": {"target_shape": [1, 2, 3, 2, 2]},
            "same": {"target_shape": [2, 3, 4]},
        },
    )
    family.op("reshape_to_scalar", "reshape", {"inp": real("rs", (1,))}, {"target_shape": []})
    family.op("reshape_scalar", "reshape", {"inp": real("rt", ())}, {"target_shape": [1, 1]})
    family.op("reshape_empty", "reshape", {"inp": real("re", (0, 3))}, {"target_shape": [3, 0]}, [])
    family.op(
        "reshape_i32", "reshape", {"inp": integers("ri", (2, 3), 0, 9)}, {"target_shape": [3, 2]}
    )
    one(
        family,
        "flatten",
        {
            "all": {},
            "from_one": {"start_axis": 1},
            "middle": {"start_axis": 1, "end_axis": 2},
            "to_minus_two": {"end_axis": -2},
            "from_minus_two": {"start_axis": -2},
        },
        (2, 3, 4, 2),
    )
    one(
        family,
        "transpose",
        {
            "reverse": {"pattern": [2, 1, 0]},
            "rotate": {"pattern": [1, 2, 0]},
            "same": {"pattern": [0, 1, 2]},
        },
    )
    for kind, pattern in (("new_axis", [0, "x", 2, 1]), ("new_last", [1, 0, 2, "x"])):
        inputs = {"inp": real(kind, (2, 3, 4))}
        why = "MegEngine's gradient raises"
        family.op(f"transpose_{kind}", "transpose", inputs, {"pattern": pattern}, [], why=why)
    family.op(
        "transpose_four", "transpose", {"inp": real("t4", (2, 3, 4, 5))}, {"pattern": [0, 2, 3, 1]}
    )
    family.op(
        "transpose_bool",
        "transpose",
        {"inp": integers("tb", (2, 3), 0, 2, "bool")},
        {"pattern": [1, 0]},
    )
    one(
        family,
        "swapaxes",
        {
            "ends": {"axis1": 0, "axis2": 2},
            "negative": {"axis1": -1, "axis2": 1},
            "same": {"axis1": 1, "axis2": 1},
        },
    )
    one(
        family,
        "expand_dims",
        {
            "first": {"axis": 0},
            "last": {"axis": -1},
            "middle": {"axis": 2},
            "both": {"axis": [0, -1]},
            "two": {"axis": [1, 3]},
        },
    )
    one(
        family,
        "squeeze",
        {"all": {}, "first": {"axis": 0}, "last": {"axis": -1}, "two": {"axis": [0, 2]}},
        (1, 3, 1, 4, 1),
    )
    for kind, shape, out in (
        ("row", (4,), [3, 4]),
        ("column", (3, 1), [3, 4]),
        ("scalar", (), [2, 3]),
        ("leading", (2, 1, 3), [4, 2, 5, 3]),
        ("same", (2, 3), [2, 3]),
    ):
        name = f"broadcast_to_{kind}"
        family.op(name, "broadcast_to", {"inp": real(name, shape)}, {"shape": out})


def joining(family):
    for kind, shapes, axis in (
        ("first", ((2, 3), (4, 3), (1, 3)), 0),
        ("last", ((2, 3), (2, 1), (2, 5)), -1),
        ("middle", ((2, 3, 4), (2, 2, 4)), 1),
        ("one", ((2, 3),), 0),
        ("empty", ((2, 3), (0, 3)), 0),
    ):
        name = f"concat_{kind}"
        inputs = {f"x{i}": real(f"{name}{i}", s) for i, s in enumerate(shapes)}
        family.op(name, "concat", inputs, {"axis": axis}, list_input=True)
    mixed = {"x0": real("cm", (3,)), "x1": integers("cm", (2,), 0, 9)}
    family.op("concat_mixed", "concat", mixed, {"axis": 0}, list_input=True)
    for axis in (0, 1, 2, -1):
        name = f"stack_{axis}".replace("-1", "last")
        inputs = {f"x{i}": real(f"{name}{i}", (2, 3)) for i in range(3)}
        family.op(name, "stack", inputs, {"axis": axis}, list_input=True)
    one(
        family,
        "split",
        {
            "halves": {"nsplits_or_sections": 2, "axis": 2},
            "uneven": {"nsplits_or_sections": 3, "axis": 2},
            "sections": {"nsplits_or_sections": [1, 3], "axis": 2},
            "first": {"nsplits_or_sections": 2, "axis": 0},
            "one": {"nsplits_or_sections": 1, "axis": 1},
        },
    )
    one(
        family,
        "tile",
        {"rows": {"reps": [2, 1, 1]}, "all": {"reps": [2, 1, 3]}, "more": {"reps": [2, 1, 1, 1]}},
    )
    one(
        family,
        "repeat",
        {
            "flat": {"repeats": 2},
            "first": {"repeats": 3, "axis": 0},
            "middle": {"repeats": 2, "axis": 1},
            "last": {"repeats": 2, "axis": 2},
            "once": {"repeats": 1, "axis": 1},
        },
    )
    one(
        family,
        "roll",
        {
            "flat": {"shift": 5},
            "first": {"shift": 1, "axis": 0},
            "back": {"shift": -1, "axis": 2},
            "two": {"shift": [1, -2], "axis": [1, 2]},
            "round": {"shift": 7, "axis": 2},
        },
    )
    widths = [[1, 0], [0, 2], [2, 1]]
    one(
        family,
        "pad",
        {
            "constant": {"pad_width": widths},
            "value": {"pad_width": widths, "mode": "constant", "constant_value": 2.5},
            "edge": {"pad_width": widths, "mode": "edge"},
            "replicate": {"pad_width": widths, "mode": "replicate"},
            "reflect": {"pad_width": widths, "mode": "reflect"},
            "none": {"pad_width": [[0, 0], [0, 0], [0, 0]]},
        },
    )
    pair = {"x0": real("g0", (2,)), "x1": real("g1", (3,))}
    for indexing in ("xy", "ij"):
        family.op(f"meshgrid_{indexing}", "meshgrid", pair, {"indexing": indexing})
    triple = {**pair, "x2": real("g2", (4,))}
    for indexing in ("xy", "ij"):
        family.op(f"meshgrid_three_{indexing}", "meshgrid", triple, {"indexing": indexing})
    for k in (0, 1, -2):
        label = str(k).replace("-", "minus_")
        for kind, shape in (("vector", (3,)), ("matrix", (3, 4)), ("square", (4, 4))):
            name = f"diag_{kind}_{label}"
            family.op(name, "diag", {"inp": real(name, shape)}, {"k": k})


def choosing(family):
    for axis, shape, index in (
        (0, (3, 4), (2, 4)),
        (1, (3, 4), (3, 2)),
        (-1, (3, 4), (3, 6)),
        (0, (5,), (7,)),
        (1, (2, 3, 4), (2, 5, 4)),
        (2, (2, 3, 4), (2, 3, 1)),
    ):
        name = f"gather_axis_{axis}_{len(shape)}d".replace("-1", "last")
        inputs = {"inp": real(name, shape), "index": integers(name, index, 0, shape[axis])}
        family.op(name, "gather", inputs, {"axis": axis}, by_name=True)
        # Indices without duplicates along the axis: a duplicate's winner is not promised.
        name = f"scatter_axis_{axis}_{len(shape)}d".replace("-1", "last")
        count = min(index[axis], shape[axis])
        index = tuple(count if i == axis % len(shape) else n for i, n in enumerate(index))
        order = np.argsort(rng(name).uniform(size=shape), axis)
        places = np.take(order, range(count), axis).astype("int32")
        inputs = {"inp": real(name, shape), "index": places, "source": real(name + "s", index)}
        family.op(name, "scatter", inputs, {"axis": axis}, by_name=True)
    for kind, shape in (("vector", (7,)), ("matrix", (3, 4))):
        name = f"cond_take_{kind}"
        inputs = {"mask": integers(name, shape, 0, 2, "bool"), "x": real(name, shape)}
        family.op(name, "cond_take", inputs)
        inputs["mask"] = np.zeros(shape, bool)
        family.op(f"{name}_nothing", "cond_take", inputs, grads=[])
        inputs["mask"] = np.ones(shape, bool)
        family.op(f"{name}_everything", "cond_take", inputs)
    for kind, shape in (("vector", (4,)), ("matrix", (2, 3))):
        name = f"one_hot_{kind}"
        family.op(name, "one_hot", {"inp": integers(name, shape, 0, 5)}, {"num_classes": 5})
    for attrs in ({}, {"keepdims": True}, {"axis": 0}, {"axis": -1}):
        name = "_".join(["indexing_one_hot", *(f"{k}_{v}" for k, v in attrs.items())])
        name = name.replace("-1", "last").replace("True", "true")
        axis = attrs.get("axis", 1)
        rows = (4,) if axis == 0 else (3,)
        inputs = {"src": real(name, (3, 4)), "index": integers(name, rows, 0, 3)}
        family.op(name, "indexing_one_hot", inputs, attrs)
    for kind, shape in (("vector", (5,)), ("matrix", (2, 3)), ("single", (1,))):
        name = f"embedding_{kind}"
        inputs = {"inp": integers(name, shape, 0, 6), "weight": real(name, (6, 4))}
        family.op(name, "embedding", inputs)


def sorting(family):
    for shape in ((7,), (3, 5), (2, 40)):
        label = "x".join(map(str, shape))
        for down in (False, True):
            tail = f"{label}_{'down' if down else 'up'}"
            attrs = {"descending": down}
            for op in ("sort", "argsort"):
                name = f"{op}_{tail}"
                family.op(name, op, {"inp": distinct(name, shape)}, attrs)
            for k in (1, 2, shape[-1]):
                name = f"topk_{k}_{tail}"
                family.op(name, "topk", {"inp": distinct(name, shape)}, {"k": k, **attrs})
            name = f"topk_kth_{tail}"
            family.op(
                name, "topk", {"inp": distinct(name, shape)}, {"k": 2, "kth_only": True, **attrs}
            )
    ties = {"inp": np.array([1, 1, 0, 1, 0], "float32")}
    family.op("argsort_ties_up", "argsort", ties)
    family.op("argsort_ties_down", "argsort", ties, {"descending": True})
    whole = {"inp": distinct("si", (3, 4), "int32")}
    family.op("sort_i32", "sort", whole)
    family.op("topk_i32", "topk", whole, {"k": 2})
    family.op("topk_default", "topk", {"inp": distinct("td", (3, 4))}, {"k": 3})


def creation(family):
    for kind, attrs in {
        "stop": {"start": 5},
        "range": {"start": 1, "stop": 6, "step": 2},
        "float": {"start": 0, "stop": 1, "step": 0.25},
        "down": {"start": 5, "stop": 0, "step": -2, "dtype": "int32"},
        "int": {"start": 0, "stop": 4, "dtype": "int32"},
        "empty": {"start": 0},
    }.items():
        family.op(f"arange_{kind}", "arange", {}, attrs)
    for kind, attrs in {
        "five": {"start": 0, "stop": 1, "num": 5},
        "down": {"start": 3, "stop": -1, "num": 4},
        "int": {"start": 0, "stop": 10, "num": 3, "dtype": "int32"},
        "one": {"start": 2, "stop": 7, "num": 1},
    }.items():
        family.op(f"linspace_{kind}", "linspace", {}, attrs)
    for kind, attrs in {
        "square": {"N": 3},
        "wide": {"N": 2, "M": 4},
        "tall": {"N": 4, "M": 2, "dtype": "int32"},
    }.items():
        family.op(f"eye_{kind}", "eye", {}, attrs)
    for kind, attrs in {
        "float": {"shape": [2, 3], "value": 1.5},
        "int": {"shape": [2], "value": 7},
        "bool": {"shape": [2], "value": True},
        "typed": {"shape": [2], "value": 3, "dtype": "float32"},
        "scalar": {"shape": [], "value": 2.5},
    }.items():
        family.op(f"full_{kind}", "full", {}, attrs)
    for op in ("zeros", "ones"):
        family.op(op, op, {}, {"shape": [2, 3]})
        family.op(f"{op}_int", op, {}, {"shape": [4], "dtype": "int32"})
        family.op(f"{op}_empty", op, {}, {"shape": [0, 3]})
        for dtype in ("float32", "int32", "uint8", "float16"):
            x = np.arange(4).reshape(2, 2).astype(dtype)
            family.op(f"{op}_like_{dtype}", f"{op}_like", {"inp": x}, grads=[])
    family.op("full_like", "full_like", {"inp": real("fl", (2, 2))}, {"value": 2}, [])
    family.op("full_like_int", "full_like", {"inp": integers("fl", (2,), 0, 9)}, {"value": 5})
    family.op("dropout_zero", "dropout", {"inp": real("dz", (2, 3))}, {"drop_prob": 0.0})
    attrs = {"drop_prob": 0.5, "training": False}
    family.op("dropout_eval", "dropout", {"inp": real("de", (2, 3))}, attrs)


def record(family):
    reshaping(family)
    joining(family)
    choosing(family)
    sorting(family)
    creation(family)

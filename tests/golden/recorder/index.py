"""NumPy-style indexing and item assignment."""

import megengine as mge
import numpy as np

from .store import rng

SHAPE = (3, 4, 5)


def real(name, shape):
    return np.asarray(rng(name).uniform(-2, 2, shape)).astype("float32")


def at(position):
    return {"int": position}


def cut(start=None, stop=None, step=None):
    return {"slice": [start, stop, step]}


NEW = {"none": True}
REST = {"ellipsis": True}
ALL = cut()


def some(*values):
    return np.array(values, "int32")


FIRST = np.array([True, False, True])
SECOND = np.array([False, True, True, True])
PLANE = np.arange(12).reshape(3, 4) % 3 == 1
CUBE = np.arange(60).reshape(SHAPE) % 4 == 1
# name: the index of a tensor of SHAPE. Arrays become inputs of the case.
BASIC = {
    "int": [at(1)],
    "negative_int": [at(-1)],
    "two_ints": [at(0), at(-2)],
    "three_ints": [at(2), at(1), at(4)],
    "last_int": [REST, at(3)],
    "all": [ALL],
    "tail": [cut(1)],
    "head": [cut(None, 2)],
    "inner": [ALL, cut(1, 3), cut(-4, -1)],
    "step": [ALL, cut(None, None, 2)],
    "odd": [ALL, ALL, cut(1, None, 2)],
    "reverse": [cut(None, None, -1)],
    "reverse_step": [ALL, cut(None, None, -2)],
    "reverse_part": [ALL, cut(3, 0, -1)],
    "empty_slice": [cut(2, 2)],
    "past_the_end": [ALL, cut(2, 9)],
    "none": [NEW],
    "none_between": [ALL, NEW, at(1)],
    "ellipsis": [REST],
    "ellipsis_slice": [REST, cut(1, 3)],
    "int_ellipsis_int": [at(1), REST, at(2)],
    "mixed": [at(1), cut(0, 3, 2), NEW, cut(None, None, -1)],
}
ADVANCED = {
    "array": [some(2, 0)],
    "array_repeats": [some(1, 1, 0, 1)],
    "array_negative": [some(-1, 0)],
    "array_2d": [np.array([[0, 2, 1], [1, 1, 0]], "int32")],
    "array_second": [ALL, some(3, 0, 1)],
    "array_last": [REST, some(4, 1)],
    "array_empty": [np.zeros(0, "int32")],
    "pair": [some(0, 2), some(1, 3)],
    "pair_last": [ALL, some(0, 3), some(4, 2)],
    "pair_apart": [some(0, 2), ALL, some(1, 3)],
    "pair_broadcast": [np.array([[0], [2]], "int32"), some(1, 3, 0)],
    "triple": [some(0, 1, 2), some(3, 2, 1), some(4, 4, 0)],
    "int_array": [at(1), some(0, 2)],
    "int_apart_array": [at(0), ALL, some(1, 2)],
    "array_int": [some(0, 2), at(1)],
    "array_slice": [some(2, 0), cut(1, 3)],
    "slice_array": [cut(1, 3), some(0, 2)],
    "array_slice_array": [some(0, 1), cut(1, 4, 2), some(1, 2)],
    "slice_array_array": [cut(1), some(0, 1), some(1, 2)],
    "none_array": [NEW, some(0, 1)],
    "array_none_array": [some(0, 1), NEW, some(1, 0)],
    "mask_first": [FIRST],
    "mask_first_slice": [FIRST, cut(1, 3)],
    "mask_second": [ALL, SECOND],
    "mask_plane": [PLANE],
    "mask_cube": [CUBE],
    "mask_nothing": [CUBE & False],
    "mask_everything": [CUBE | True],
    "mask_array": [FIRST, some(1, 2)],
    "mask_int": [FIRST, at(1)],
    "int_mask": [at(1), SECOND],
}
# Not assigned to: MegEngine gives x another shape for x[...] = v and x[None] = v; repeated indices
# leave the winner open.
UNASSIGNED = {"ellipsis", "none", "none_between", "mixed", "array_repeats", "array_2d"}
UNASSIGNED |= {"none_array", "array_none_array"}


def describe(index):
    """The index in JSON, and its arrays by name."""
    items, arrays = [], {}
    for item in index:
        if isinstance(item, dict):
            items.append(item)
            continue
        mask = item.dtype == bool
        key = f"{'m' if mask else 'i'}{len(arrays)}"
        arrays[key] = item
        items.append({"mask" if mask else "array": key})
    return items, arrays


def build(items, arrays):
    """The index that `x[...]` takes, from its description."""
    index = []
    for item in items:
        (kind, value), *_ = item.items()
        if kind == "int":
            index.append(value)
        elif kind == "slice":
            index.append(slice(*value))
        elif kind == "none":
            index.append(None)
        elif kind == "ellipsis":
            index.append(Ellipsis)
        else:
            index.append(arrays[value])
    return tuple(index)


def get(family, name, x, index):
    items, arrays = describe(index)
    expected = x[build(items, arrays)]
    answer = mge.tensor(x)[build(items, {k: mge.tensor(v) for k, v in arrays.items()})].numpy()
    if not (answer.shape == expected.shape and (answer == expected).all()):
        raise RuntimeError(f"{name}: MegEngine and NumPy differ; leave it out")
    family.new_case(name, "getitem")["attrs"] = {"index": items}
    inputs = {"x": x, **arrays}
    family.run(name, inputs, lambda tensors: tensors["x"][build(items, tensors)])


def put(family, name, x, v, index):
    items, arrays = describe(index)
    expected = x.copy()
    expected[build(items, arrays)] = v
    family.new_case(name, "setitem")["attrs"] = {"index": items}

    def call(tensors):
        y = tensors["x"] + 0
        y[build(items, tensors)] = tensors["v"]
        return y

    family.run(name, {"x": x, "v": v, **arrays}, call)
    if not np.array_equal(family.arrays[f"{name}/out/y"], expected):
        raise RuntimeError(f"{name}: MegEngine and NumPy differ; leave it out")


def record(family):
    for kind, index in {**BASIC, **ADVANCED}.items():
        name = f"getitem_{kind}"
        x = real(name, SHAPE)
        get(family, name, x, index)
        if kind in UNASSIGNED:
            continue
        selected = x[build(*describe(index))]
        name = f"setitem_{kind}"
        put(family, name, x, real(name, selected.shape), index)
        if selected.ndim and selected.size:
            name = f"setitem_{kind}_scalar"
            put(family, name, x, real(name, ()), index)
    for kind, index, shape in (
        ("row", [ALL, cut(1, 3)], (5,)),
        ("column", [at(0)], (4, 1)),
        ("array_row", [some(2, 0)], (5,)),
        ("pair_row", [ALL, some(0, 3), some(4, 2)], (2,)),
    ):
        name = f"setitem_broadcast_{kind}"
        put(family, name, real(name, SHAPE), real(name + "v", shape), index)
    vector = real("vector", (6,))
    for kind, index in (
        ("int", [at(2)]),
        ("slice", [cut(None, None, -2)]),
        ("array", [some(5, 0)]),
    ):
        get(family, f"getitem_vector_{kind}", vector, index)
    whole = np.arange(12).reshape(3, 4).astype("int32")
    get(family, "getitem_i32", whole, [some(2, 0), cut(1, 3)])
    get(family, "getitem_bool", whole % 2 == 0, [ALL, some(0, 3)])
    put(family, "setitem_i32", whole, np.array([7, 8], "int32"), [at(1), cut(1, 3)])
    put(family, "setitem_casts", whole, np.array([7.9, -8.9], "float32"), [at(1), cut(1, 3)])

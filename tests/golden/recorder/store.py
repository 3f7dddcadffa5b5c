"""Runs MegEngine on a case and keeps what it was given and what it answered."""

import json
import zlib

import megengine as mge
import megengine.functional as F
import numpy as np
from megengine.autodiff import GradManager

# Run each operation before the next is queued: in the default, asynchronous mode a gradient now and
# then comes out as zeros, or a sound index is refused.
mge.config.async_level = 0


def rng(name):
    """A generator of its own for each case, seeded by the case's name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def tuples(value):
    """JSON lists as the tuples that MegEngine's functions expect."""
    if isinstance(value, (list, tuple)):
        return tuple(tuples(v) for v in value)
    return value


def function(op):
    for place in (F, F.nn, F.loss, F.vision):
        if hasattr(place, op):
            return getattr(place, op)
    raise LookupError(f"MegEngine has no function {op!r}")


def is_float(array):
    return np.issubdtype(array.dtype, np.floating)


def tolerance(*arrays):
    """The default tolerance: half precision anywhere makes it coarse."""
    half = any(a.dtype == np.float16 for a in arrays)
    return {"rtol": 3e-3, "atol": 2e-3} if half else {"rtol": 1e-5}


def steady(measure):
    """What `measure()` returns, a dict of arrays, once two runs in a row agree."""
    last = measure()
    for _ in range(5):
        this = measure()
        if last.keys() == this.keys() and all(
            np.array_equal(last[k], this[k], equal_nan=is_float(this[k])) for k in this
        ):
            return this
        last = this
    raise RuntimeError("MegEngine gives different answers each time")


def differentiate(name, inputs, call, wanted, through=None, parameters=()):
    """Run `call(tensors)` and its gradient; return arrays by their key within the case.

    `wanted` names the inputs to differentiate by, `parameters` holds pairs of a path and a
    parameter, `through` names the outputs that the gradient comes from (default: every
    floating-point one).
    """
    random = rng(name)
    tensors = {k: mge.tensor(v) for k, v in inputs.items()}
    for key, tensor in tensors.items():
        if tensor.numpy().dtype != inputs[key].dtype:
            raise TypeError(f"{name}: input {key} is {inputs[key].dtype}")
    leaves = {f"grad/{k}": tensors[k] for k in wanted}
    leaves.update((f"pgrad/{path}", parameter) for path, parameter in parameters)
    found, ys, dys = {}, [], []
    manager = GradManager()
    if leaves:
        manager.attach(leaves.values())
    with manager:
        result = call(tensors)
        many = isinstance(result, (tuple, list))
        for i, y in enumerate(result if many else [result]):
            key = f"y{i}" if many else "y"
            value = found[f"out/{key}"] = y.numpy()
            if leaves and is_float(value) and (through is None or key in through):
                dy = found[f"dy/{key}"] = random.uniform(-1, 1, value.shape).astype(value.dtype)
                ys.append(y)
                dys.append(mge.tensor(dy))
        if ys:
            manager.backward(ys, dys)
    if ys:
        found.update((k, t.grad.numpy()) for k, t in leaves.items() if t.grad is not None)
    for tensor in leaves.values():
        tensor.grad = None
    mge._full_sync()
    return found


def named(found, kind):
    """The names of what was found of a kind: `named(found, "out")` may be `["y0", "y1"]`."""
    return [k.split("/", 1)[1] for k in found if k.startswith(kind + "/")]


class Family:
    """The cases of one family, and their arrays by key."""

    def __init__(self, name):
        self.name = name
        self.cases = []
        self.arrays = {}
        self.names = set()

    def new_case(self, name, op):
        if name in self.names:
            raise ValueError(f"two cases are named {name!r}")
        self.names.add(name)
        case = {"name": name, "op": op}
        self.cases.append(case)
        return case

    def keep(self, key, array):
        array = np.asarray(array)
        if array.dtype in (np.float64, np.int64):
            raise TypeError(f"{key}: {array.dtype} is not a MegEngine dtype")
        self.arrays[key] = array.copy()

    def keep_all(self, name, arrays):
        for key, array in arrays.items():
            self.keep(f"{name}/{key}", array)

    def save(self, folder):
        lines = [json.dumps(c, allow_nan=False) for c in self.cases]
        path = folder / f"{self.name}.json"
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
        packed = folder / f"{self.name}.npz"
        np.savez_compressed(packed, **self.arrays)
        size = (path.stat().st_size + packed.stat().st_size) / 1024
        return f"{self.name}: {len(self.cases)} cases, {size:.0f} KiB"

    def run(self, name, inputs, call, grads=None, through=None, **fields):
        """Record `call(tensors)` as the newest case.

        `grads` names the inputs to differentiate by (default: every floating-point one). An
        input that MegEngine gives no gradient, or one of a wrong shape, is left out of the case's
        "grads", and "why" says so.
        """
        wanted = [k for k, v in inputs.items() if is_float(v)] if grads is None else grads
        found = steady(lambda: differentiate(name, inputs, call, wanted, through))
        reasons = []
        for key in wanted if named(found, "dy") else []:
            grad = found.get(f"grad/{key}")
            if grad is None:
                reasons.append(f"MegEngine gives {key} no gradient")
            elif grad.shape != inputs[key].shape:
                reasons.append(f"MegEngine's gradient of {key} has the shape {grad.shape}")
                del found[f"grad/{key}"]
        if reasons:
            fields.setdefault("why", "; ".join(reasons))
        self.keep_all(name, {**{f"in/{k}": v for k, v in inputs.items()}, **found})
        case = self.cases[-1]
        case.update(inputs=list(inputs), outputs=named(found, "out"), grads=named(found, "grad"))
        case.update(tolerance(*found.values(), *inputs.values()))
        case.update({k: v for k, v in fields.items() if v is not None})

    def op(
        self, name, op, inputs, attrs=None, grads=None, list_input=False, by_name=False, **fields
    ):
        """Record one call of a function of `megengine.functional`."""
        attrs = attrs or {}
        case = self.new_case(name, op)
        case["attrs"] = attrs
        if list_input:
            case["list_input"] = True
        if by_name:
            case["by_name"] = True
        fn = function(op)
        keywords = {k: tuples(v) for k, v in attrs.items()}

        def call(tensors):
            if op == "scatter":  # MegEngine scatters into its argument
                tensors = {**tensors, "inp": tensors["inp"] * 1}
            if by_name:
                return fn(**tensors, **keywords)
            args = list(tensors.values())
            return fn(args, **keywords) if list_input else fn(*args, **keywords)

        self.run(name, inputs, call, grads, **fields)

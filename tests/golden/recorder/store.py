"""Runs MegEngine on a case and keeps what it was given and what it answered."""

import json
import zlib

import megengine as mge
import megengine.functional as F
import numpy as np
from megengine.autodiff import GradManager


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

    def save(self, folder):
        lines = [json.dumps(c, allow_nan=False) for c in self.cases]
        path = folder / f"{self.name}.json"
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
        packed = folder / f"{self.name}.npz"
        np.savez_compressed(packed, **self.arrays)
        size = (path.stat().st_size + packed.stat().st_size) / 1024
        return f"{self.name}: {len(self.cases)} cases, {size:.0f} KiB"

    def run(self, name, inputs, call, grads=None, **fields):
        """Call `call(tensors)` under a gradient manager; keep inputs, outputs and gradients.

        `grads` names the inputs to differentiate by (default: every floating-point one). An
        input that MegEngine gives no gradient, or one of a wrong shape, is left out of the case's
        "grads", and "why" says so.
        """
        random = rng(name)
        tensors = {k: mge.tensor(v) for k, v in inputs.items()}
        for key, tensor in tensors.items():
            if tensor.numpy().dtype != inputs[key].dtype:
                raise TypeError(f"{name}: input {key} is {inputs[key].dtype}")
            self.keep(f"{name}/in/{key}", inputs[key])
        wanted = [k for k, v in inputs.items() if is_float(v)] if grads is None else grads
        manager = GradManager()
        if wanted:
            manager.attach([tensors[k] for k in wanted])
        with manager:
            result = call(tensors)
            many = isinstance(result, (tuple, list))
            results = list(result) if many else [result]
            keys = [f"y{i}" for i in range(len(results))] if many else ["y"]
            values = [r.numpy() for r in results]
            ys, dys = [], []
            for key, tensor, value in zip(keys, results, values):
                self.keep(f"{name}/out/{key}", value)
                if wanted and is_float(value):
                    dy = random.uniform(-1, 1, value.shape).astype(value.dtype)
                    self.keep(f"{name}/dy/{key}", dy)
                    ys.append(tensor)
                    dys.append(mge.tensor(dy))
            if ys:
                manager.backward(ys, dys)
        got, reasons = [], []
        for key in wanted if ys else []:
            if tensors[key].grad is None:
                reasons.append(f"MegEngine gives {key} no gradient")
                continue
            grad = tensors[key].grad.numpy()
            if grad.shape != inputs[key].shape:
                reasons.append(f"MegEngine's gradient of {key} has the shape {grad.shape}")
                continue
            self.keep(f"{name}/grad/{key}", grad)
            got.append(key)
        if reasons:
            fields.setdefault("why", "; ".join(reasons))
        mge._full_sync()
        case = self.cases[-1]
        case.update(inputs=list(inputs), outputs=keys, grads=got)
        for key, value in tolerance(*values, *inputs.values()).items():
            case[key] = value
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
            if by_name:
                return fn(**tensors, **keywords)
            args = list(tensors.values())
            return fn(args, **keywords) if list_input else fn(*args, **keywords)

        self.run(name, inputs, call, grads, **fields)

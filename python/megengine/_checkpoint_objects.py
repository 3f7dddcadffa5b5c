"""What a checkpoint may hold: how its globals are found, called and given state."""

import importlib
import pickle
import re
from collections import Counter, OrderedDict, defaultdict, deque
from math import prod

import numpy as np

from .device import CompNode
from .module.module import Module
from .tensor import Parameter, Tensor


class UnsafePickleError(pickle.UnpicklingError):
    """The file holds objects that cannot be built without trusting it."""


class DamagedFileError(pickle.UnpicklingError, EOFError):
    """The file ends too early, or is not one that ``megengine.save`` wrote."""


def refuse(what):
    return UnsafePickleError(
        f"the file holds {what}, which could run code when it is loaded. Load it with "
        "megengine.load(..., trusted=True) if you trust whoever wrote it."
    )


# ---- what may be called, and with what


def _default_dict(factory=None, items=()):
    if factory is not None and factory not in _PLAIN_TYPES:
        raise refuse(f"a defaultdict of {factory!r}")
    return defaultdict(factory, items)


def _bytes(text="", encoding="latin1"):
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise refuse(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _dtype(name, align=False, copy=True):
    if not isinstance(name, str) or not re.fullmatch(r"[<>|=]?[biufcSU]\d{1,9}", name):
        raise refuse(f"an array of dtype {name!r}")
    # A new object: building its state must not change the one that all arrays share.
    return np.dtype(name, copy=True)


def _empty_array(subtype, shape, dtype):
    if subtype is not np.ndarray:
        raise refuse(f"an array of class {subtype!r}")
    return np.empty(0, np.uint8)


def _array_from_buffer(buffer, dtype, shape, order):
    return np.frombuffer(buffer, dtype=plain_dtype(dtype)).reshape(shape, order=order)


def _scalar(dtype, data):
    return np.frombuffer(data, dtype=plain_dtype(dtype), count=1)[0]


def plain_dtype(dtype):
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise refuse(f"an array of dtype {dtype!r}")
    return dtype


_PLAIN_TYPES = (
    bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, slice, str, tuple
)  # fmt: skip

# What REDUCE may call, by the name in the file. NumPy 1 and 2 differ in the name of a package.
_CONSTRUCTORS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "deque"): deque,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
    ("builtins", "slice"): slice,
    ("builtins", "range"): range,
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): lambda *args: bytearray(_bytes(*args)),
    ("_codecs", "encode"): _bytes,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
}


_PYTHON_2_NAMES = {"long": "int", "unicode": "str", "xrange": "range"}


class Global:
    """A name in the file, with the object that may stand for it and what REDUCE may call."""

    __slots__ = ("name", "value", "call")

    def __init__(self, name, value, call=None):
        self.name = name
        self.value = value
        self.call = call


def is_tensor_class(kind):
    return kind is Tensor or kind is Parameter


def find_global(module, name):
    path = f"{module}.{name}"
    if module == "__builtin__":
        module, name = "builtins", _PYTHON_2_NAMES.get(name, name)
    if module == "numpy._core" or module.startswith("numpy._core."):
        module = "numpy.core" + module[len("numpy._core") :]
    call = _CONSTRUCTORS.get((module, name))
    if module == "builtins":
        for kind in _PLAIN_TYPES:
            if kind.__name__ == name:
                return Global(path, kind, call)
    if call is not None:
        return Global(path, call, call)
    if module == "numpy":
        value = getattr(np, name, None)
        if value is np.ndarray or (isinstance(value, type) and issubclass(value, np.generic)):
            return Global(path, value)
    root = __package__ + "."
    if name == "CompNode" and module in (root + "device", root + "core._imperative_rt.common"):
        return Global(path, CompNode)
    if module.startswith(root) and name.isidentifier():
        try:
            value = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise UnsafePickleError(f"there is no `{path}` here, which the file needs") from None
        if is_tensor_class(value) or (
            isinstance(value, type)
            and issubclass(value, Module)
            and value.__module__.startswith(root)
        ):
            return Global(path, value)
    raise refuse(f"`{path}`")


# ---- how state is given to what has been built


def _names(state):
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise DamagedFileError("the state of an object is not a dict of names")
    return state


def _build_module(module, state):
    if hasattr(module, "__setstate__"):
        module.__setstate__(_names(state))
    else:
        vars(module).update(_names(state))


def _build_tensor(tensor, state):
    vars(tensor).update(_names(state))


def _build_array(array, state):
    _, shape, dtype, fortran, data = state
    if not isinstance(data, (bytes, bytearray)):
        raise refuse("an array of objects")
    shape = tuple(int(size) for size in shape)
    if min(shape, default=0) < 0 or prod(shape) * plain_dtype(dtype).itemsize != len(data):
        raise DamagedFileError(f"an array of shape {shape} and {dtype} has {len(data)} bytes")
    if array.shape != (0,) or array.base is not None:
        raise DamagedFileError("an array is built twice")
    array.__setstate__((1, shape, dtype, bool(fortran), bytes(data)))


def _build_dtype(dtype, state):
    # Only the byte order may come from the file; a dtype with other state is not a plain one.
    order = state[1]
    if order not in ("<", ">", "|", "=") or tuple(state[2:8]) != dtype.__reduce__()[2][2:8]:
        raise refuse(f"an array of dtype {dtype!r} with a state of its own")
    dtype.__setstate__((3, order, *state[2:8]))


class Device:
    """A device of MegEngine's, which comes without a name and gets it as its state."""


BUILDERS = (
    (Module, _build_module),
    (Tensor, _build_tensor),
    (np.ndarray, _build_array),
    (np.dtype, _build_dtype),
)

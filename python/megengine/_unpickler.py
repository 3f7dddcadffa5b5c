"""A reader of pickles that builds data and runs nothing that the file names.

A pickle is a program for a stack machine whose ``GLOBAL`` and ``REDUCE`` instructions can call
any function. This machine knows a fixed list of globals (:data:`_CONSTRUCTORS`, NumPy's scalar
types, and the tensors, parameters and modules of this package), calls nothing else, and checks
the arguments of what it calls.
"""

import importlib
import pickle
import pickletools
import re
from collections import Counter, OrderedDict, defaultdict, deque
from math import prod

import numpy as np

from .core._imperative_rt.common import CompNode
from .module.module import Module
from .tensor import Parameter, Tensor


class UnsafePickleError(pickle.UnpicklingError):
    """The file holds objects that cannot be built without trusting it."""


class DamagedFileError(pickle.UnpicklingError, EOFError):
    """The file ends too early, or is not one that ``megengine.save`` wrote."""


def _refuse(what):
    return UnsafePickleError(
        f"the file holds {what}, which could run code when it is loaded. Load it with "
        "megengine.load(..., trusted=True) if you trust whoever wrote it."
    )


class Source:
    """A file that refuses to read more than it holds, before memory is taken for it."""

    def __init__(self, file):
        self._file = file
        try:
            position = file.tell()
            self._left = file.seek(0, 2) - position
            file.seek(position)
        except (AttributeError, OSError):
            self._left = None

    def _took(self, data):
        if self._left is not None:
            self._left -= len(data)
        return data

    def read(self, size):
        if self._left is not None and size > self._left:
            raise DamagedFileError(
                f"the file is truncated: {size} bytes are due where {self._left} are left"
            )
        return self._took(self._file.read(size))

    def readline(self):
        return self._took(self._file.readline())


# ---- what may be called, and with what


def _default_dict(factory=None, items=()):
    if factory is not None and factory not in _PLAIN_TYPES:
        raise _refuse(f"a defaultdict of {factory!r}")
    return defaultdict(factory, items)


def _bytes(text="", encoding="latin1"):
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _refuse(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _dtype(name, align=False, copy=True):
    if not isinstance(name, str) or not re.fullmatch(r"[<>|=]?[biufcSU]\d{1,9}", name):
        raise _refuse(f"an array of dtype {name!r}")
    # A new object: building its state must not change the one that all arrays share.
    return np.dtype(name, copy=True)


def _empty_array(subtype, shape, dtype):
    if subtype is not np.ndarray:
        raise _refuse(f"an array of class {subtype!r}")
    return np.empty(0, np.uint8)


def _array_from_buffer(buffer, dtype, shape, order):
    return np.frombuffer(buffer, dtype=_is_plain(dtype)).reshape(shape, order=order)


def _scalar(dtype, data):
    return np.frombuffer(data, dtype=_is_plain(dtype), count=1)[0]


def _is_plain(dtype):
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise _refuse(f"an array of dtype {dtype!r}")
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


class _Global:
    """A name in the file, with the object that may stand for it and what REDUCE may call."""

    __slots__ = ("name", "value", "call")

    def __init__(self, name, value, call=None):
        self.name = name
        self.value = value
        self.call = call


def _is_tensor_class(kind):
    return kind is Tensor or kind is Parameter


def _find_global(module, name):
    path = f"{module}.{name}"
    if module == "__builtin__":
        module, name = "builtins", _PYTHON_2_NAMES.get(name, name)
    if module == "numpy._core" or module.startswith("numpy._core."):
        module = "numpy.core" + module[len("numpy._core") :]
    call = _CONSTRUCTORS.get((module, name))
    if module == "builtins":
        for kind in _PLAIN_TYPES:
            if kind.__name__ == name:
                return _Global(path, kind, call)
    if call is not None:
        return _Global(path, call, call)
    if module == "numpy":
        value = getattr(np, name, None)
        if value is np.ndarray or (isinstance(value, type) and issubclass(value, np.generic)):
            return _Global(path, value)
    if (module, name) == (CompNode.__module__, "CompNode"):
        return _Global(path, CompNode)
    root = __package__ + "."
    if module.startswith(root) and name.isidentifier():
        try:
            value = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise UnsafePickleError(f"there is no `{path}` here, which the file needs") from None
        if _is_tensor_class(value) or (
            isinstance(value, type)
            and issubclass(value, Module)
            and value.__module__.startswith(root)
        ):
            return _Global(path, value)
    raise _refuse(f"`{path}`")


# ---- how state is given to what has been built


def _build_module(module, state):
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise DamagedFileError(f"the state of a {type(module).__name__} is not a dict of names")
    if hasattr(module, "__setstate__"):
        module.__setstate__(state)
    else:
        vars(module).update(state)


def _build_tensor(tensor, state):
    if state:
        tensor.__setstate__(state)


def _build_array(array, state):
    _, shape, dtype, fortran, data = state
    if not isinstance(data, (bytes, bytearray)):
        raise _refuse("an array of objects")
    shape = tuple(int(size) for size in shape)
    if min(shape, default=0) < 0 or prod(shape) * _is_plain(dtype).itemsize != len(data):
        raise DamagedFileError(f"an array of shape {shape} and {dtype} has {len(data)} bytes")
    if array.shape != (0,) or array.base is not None:
        raise DamagedFileError("an array is built twice")
    array.__setstate__((1, shape, dtype, bool(fortran), bytes(data)))


def _build_dtype(dtype, state):
    # Only the byte order may come from the file; a dtype with other state is not a plain one.
    order = state[1]
    if order not in ("<", ">", "|", "=") or tuple(state[2:8]) != dtype.__reduce__()[2][2:8]:
        raise _refuse(f"an array of dtype {dtype!r} with a state of its own")
    dtype.__setstate__((3, order, *state[2:8]))


def _build_device(device, state):
    if not isinstance(state, str):
        raise DamagedFileError("the name of a device is not a string")
    device.__setstate__(state)


_BUILDERS = (
    (Module, _build_module),
    (Tensor, _build_tensor),
    (np.ndarray, _build_array),
    (np.dtype, _build_dtype),
    (CompNode, _build_device),
)

# Instructions whose argument, as pickletools reads it, goes on the stack.
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE "
    "BINUNICODE8".split()
)
_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}


def _pairs(items):
    return zip(items[::2], items[1::2], strict=True)


class Unpickler:
    """Reads one pickle.

    Args:
        file: a binary file.
        locate: a function from the name of the device that a tensor was on to the name of the
            device to put it on.
    """

    def __init__(self, file, locate):
        self._source = Source(file)
        self._locate = locate
        self._stack = []
        self._marks = []
        self._memo = {}

    def load(self):
        """The object in the file.

        Raises:
            UnsafePickleError: the file names something that is not on the list.
            DamagedFileError: the file is truncated or is not a pickle.
        """
        try:
            for opcode, arg, _ in pickletools.genops(self._source):
                name = opcode.name
                if name in _LITERALS:
                    self._stack.append(arg)
                elif name in _CONSTANTS:
                    self._stack.append(_CONSTANTS[name]())
                elif name == "STOP":
                    return self._value(self._stack.pop())
                else:
                    method = getattr(self, f"_op_{name.lower()}", None)
                    if method is None:
                        raise _refuse(f"the pickle instruction {name}")
                    method(arg)
        except (pickle.UnpicklingError, MemoryError):
            raise
        except Exception as error:
            raise DamagedFileError(
                f"the file is damaged, or megengine.save did not write it "
                f"({type(error).__name__}: {error})"
            ) from error
        raise DamagedFileError("the file is truncated: it ends without an end mark")

    @staticmethod
    def _value(item):
        return item.value if isinstance(item, _Global) else item

    def _pop(self):
        return self._value(self._stack.pop())

    def _pop_mark(self):
        start = self._marks.pop()
        items = [self._value(item) for item in self._stack[start:]]
        del self._stack[start:]
        return items

    def _target(self, kinds):
        target = self._stack[-1]
        if not isinstance(target, kinds):
            raise _refuse(f"items to put in a {type(target).__name__}")
        return target

    def _op_proto(self, arg):
        if arg > pickle.HIGHEST_PROTOCOL:
            raise DamagedFileError(f"the pickle protocol {arg} is not supported")

    def _op_frame(self, arg):
        pass

    def _op_mark(self, arg):
        self._marks.append(len(self._stack))

    def _op_pop(self, arg):
        self._stack.pop()

    def _op_pop_mark(self, arg):
        self._pop_mark()

    def _op_dup(self, arg):
        self._stack.append(self._stack[-1])

    def _op_put(self, arg):
        self._memo[arg] = self._stack[-1]

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, arg):
        self._memo[len(self._memo)] = self._stack[-1]

    def _op_get(self, arg):
        self._stack.append(self._memo[arg])

    _op_binget = _op_long_binget = _op_get

    def _op_list(self, arg):
        self._stack.append(self._pop_mark())

    def _op_tuple(self, arg):
        self._stack.append(tuple(self._pop_mark()))

    def _op_tuple1(self, arg):
        self._stack[-1:] = [tuple(map(self._value, self._stack[-1:]))]

    def _op_tuple2(self, arg):
        self._stack[-2:] = [tuple(map(self._value, self._stack[-2:]))]

    def _op_tuple3(self, arg):
        self._stack[-3:] = [tuple(map(self._value, self._stack[-3:]))]

    def _op_dict(self, arg):
        self._stack.append(dict(_pairs(self._pop_mark())))

    def _op_frozenset(self, arg):
        self._stack.append(frozenset(self._pop_mark()))

    def _op_append(self, arg):
        item = self._pop()
        self._target((list, deque)).append(item)

    def _op_appends(self, arg):
        items = self._pop_mark()
        self._target((list, deque)).extend(items)

    def _op_setitem(self, arg):
        value, key = self._pop(), self._pop()
        self._target(dict)[key] = value

    def _op_setitems(self, arg):
        items = self._pop_mark()
        self._target(dict).update(_pairs(items))

    def _op_additems(self, arg):
        items = self._pop_mark()
        self._target(set).update(items)

    def _op_global(self, arg):
        self._stack.append(_find_global(*arg.split(" ", 1)))

    def _op_stack_global(self, arg):
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DamagedFileError("a global is not named by strings")
        self._stack.append(_find_global(module, name))

    def _op_reduce(self, arg):
        args, target = self._pop(), self._stack.pop()
        if not isinstance(target, _Global) or not isinstance(args, tuple):
            raise _refuse(f"a call of a {type(target).__name__}")
        if _is_tensor_class(target.value):
            self._stack.append(self._tensor(target.value, args))
        elif target.call is None:
            raise _refuse(f"a call of `{target.name}`")
        else:
            self._stack.append(target.call(*args))

    def _op_newobj(self, arg):
        args, kind = self._pop(), self._pop()
        if _is_tensor_class(kind):
            self._stack.append(self._tensor(kind, args))
        elif isinstance(kind, type) and issubclass(kind, (Module, CompNode)) and not args:
            self._stack.append(kind.__new__(kind))
        else:
            raise _refuse(f"a new object of {kind!r}")

    def _op_build(self, arg):
        state, target = self._pop(), self._stack[-1]
        for kind, build in _BUILDERS:
            if isinstance(target, kind):
                return build(target, state)
        raise _refuse(f"a state for a {type(target).__name__}")

    def _tensor(self, kind, args):
        data, dtype, device = args
        if not isinstance(data, np.ndarray):
            raise DamagedFileError("the value of a tensor is not an array")
        return kind(data, dtype=_is_plain(dtype), device=self._locate(str(device)))

"""A reader of pickles that builds data and runs nothing that the file names.

A pickle is a program for a stack machine whose ``GLOBAL`` and ``REDUCE`` instructions can call
any function. This machine knows the globals of :mod:`._checkpoint_objects` only, calls nothing
else, and checks the arguments of what it calls.
"""

import pickle
import pickletools
from collections import deque

import numpy as np

from ._checkpoint_objects import (
    BUILDERS,
    DamagedFileError,
    Device,
    Global,
    find_global,
    is_tensor_class,
    plain_dtype,
    refuse,
)
from .device import CompNode
from .module.module import Module


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
                        raise refuse(f"the pickle instruction {name}")
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
        return item.value if isinstance(item, Global) else item

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
            raise refuse(f"items to put in a {type(target).__name__}")
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
        self._stack.append(find_global(*arg.split(" ", 1)))

    def _op_stack_global(self, arg):
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DamagedFileError("a global is not named by strings")
        self._stack.append(find_global(module, name))

    def _op_reduce(self, arg):
        args, target = self._pop(), self._stack.pop()
        if not isinstance(target, Global) or not isinstance(args, tuple):
            raise refuse(f"a call of a {type(target).__name__}")
        if is_tensor_class(target.value):
            self._stack.append(self._tensor(target.value, args))
        elif target.call is None:
            raise refuse(f"a call of `{target.name}`")
        else:
            self._stack.append(target.call(*args))

    def _op_newobj(self, arg):
        args, kind = self._pop(), self._pop()
        if is_tensor_class(kind):
            self._stack.append(self._tensor(kind, args))
        elif kind is CompNode:
            self._stack.append(CompNode(*map(str, args)) if args else Device())
        elif isinstance(kind, type) and issubclass(kind, Module) and not args:
            self._stack.append(kind.__new__(kind))
        else:
            raise refuse(f"a new object of {kind!r}")

    def _op_build(self, arg):
        state, target = self._pop(), self._stack[-1]
        if isinstance(target, Device):
            self._stack[-1] = device = CompNode(str(state))
            self._memo = {key: device if it is target else it for key, it in self._memo.items()}
            return None
        for kind, build in BUILDERS:
            if isinstance(target, kind):
                build(target, state)
                return None
        raise refuse(f"a state for a {type(target).__name__}")

    def _tensor(self, kind, args):
        data, dtype, device = args
        if not isinstance(data, np.ndarray):
            raise DamagedFileError("the value of a tensor is not an array")
        if not isinstance(dtype, str) or dtype != "bfloat16":
            plain_dtype(dtype)
        return kind(data, dtype=dtype, device=self._locate(str(device)))

"""candle, through the C interface of `benches/candle`: what it has operators for, forward only."""

import ctypes
import os
import re

import numpy as np

from ..peers import ROOT
from .base import Face

Pointer, Size = ctypes.c_void_p, ctypes.c_size_t


def load(path):
    """The library, with the types of its functions."""
    library = ctypes.CDLL(path)
    library.candle_error.restype = ctypes.c_char_p
    library.candle_tensor.argtypes = [Pointer, Pointer, Size]
    library.candle_tensor.restype = Pointer
    library.candle_free.argtypes = [Pointer]
    library.candle_free.restype = None
    library.candle_shape.argtypes = [Pointer, Pointer]
    library.candle_shape.restype = Size
    library.candle_read.argtypes = [Pointer, Pointer]
    library.candle_run.argtypes = [ctypes.c_char_p, Size, Pointer, Size, Pointer, Size]
    library.candle_run.restype = Pointer
    return library


def version():
    """The version of candle that the library is locked to."""
    lock = (ROOT / "benches" / "candle" / "Cargo.lock").read_text()
    return re.search(r'name = "candle-core"\nversion = "([^"]+)"', lock).group(1)


class CandleTensor:
    """A handle, freed with its last reference."""

    __slots__ = ("face", "handle")

    def __init__(self, face, handle):
        self.face, self.handle = face, handle
        if not handle:
            raise RuntimeError(face.library.candle_error().decode())

    def __del__(self):
        if self.handle:
            self.face.library.candle_free(self.handle)

    @property
    def shape(self):
        extents = (Size * 8)()
        return tuple(extents[: self.face.library.candle_shape(self.handle, extents)])

    def __add__(self, other):
        return self.face.run("add", self, other)

    def __mul__(self, other):
        return self.face.run("mul", self, other)

    def reshape(self, *shape):
        if shape != (-1,):
            raise NotImplementedError("the candle face only flattens")
        return self.face.run("flatten", self)

    def __getattr__(self, name):
        raise NotImplementedError(f"the candle face's tensors have no {name}")

    def __getitem__(self, index):
        raise NotImplementedError("the candle face does not index")

    def __setitem__(self, index, values):
        raise NotImplementedError("candle's tensors are immutable")


class CandleFace(Face):
    """A missing method is work that this face does not cover: an error names it."""

    name = "candle"
    index_dtype = "uint32"
    #: A call through the interface costs a few microseconds.
    least = 20e-6

    def __init__(self, threads):
        path = os.environ.get("COMPARE_CANDLE", "")
        if not os.path.exists(path):
            raise ImportError("COMPARE_CANDLE names no library; `make bench CANDLE=1` builds it")
        # Of its two pools; both are started when candle first uses them.
        os.environ["RAYON_NUM_THREADS"] = os.environ["CANDLE_NUM_THREADS"] = str(threads)
        self.library = load(path)
        self.version = version()

    def __getattr__(self, name):
        raise NotImplementedError(f"the candle face has no {name}")

    def sync(self):
        """candle's calls return when they are done."""

    def tensor(self, array, dtype="float32"):
        """Goes through f32, in which the indices of all workloads are exact."""
        array = np.ascontiguousarray(array, dtype=np.float32)
        shape = (Size * array.ndim)(*array.shape)
        x = CandleTensor(self, self.library.candle_tensor(array.ctypes.data, shape, array.ndim))
        return x if dtype == "float32" else self.run("uint8" if dtype == "bool" else dtype, x)

    def numpy(self, x):
        if not isinstance(x, CandleTensor):
            return x
        array = np.empty(x.shape, dtype=np.float32)
        if self.library.candle_read(x.handle, array.ctypes.data):
            raise RuntimeError(self.library.candle_error().decode())
        return array

    def run(self, name, *inputs, numbers=()):
        """Runs an operator of the library."""
        count, length = len(inputs), len(numbers)
        handles = (Pointer * count)(*[x.handle for x in inputs])
        numbers, text = (Size * length)(*numbers), name.encode()
        return CandleTensor(
            self, self.library.candle_run(text, len(text), handles, count, numbers, length)
        )

    def backward(self, forward, wrt, dy=None):
        raise NotImplementedError("the candle face computes no gradients")

    forward_backward = backward

    # Products and convolutions.

    def matmul(self, a, b, transpose_a=False, transpose_b=False):
        return self.run("matmul", a, b, numbers=(int(transpose_a), int(transpose_b)))

    def conv_weight(self, key, out_channels, in_channels, kernel, groups):
        return self.normal(key, out_channels, in_channels // groups, kernel, kernel)

    def conv2d(self, x, w, stride, padding, groups):
        return self.run("conv2d", x, w, numbers=(stride, padding, groups))

    def conv_transpose2d(self, x, w, stride, padding, groups):
        return self.run("conv_transpose2d", x, w, numbers=(stride, padding, groups))

    # Elementwise.

    def exp(self, x):
        return self.run("exp", x)

    def log(self, x):
        return self.run("log", x)

    def tanh(self, x):
        return self.run("tanh", x)

    def sigmoid(self, x):
        return self.run("sigmoid", x)

    def gelu(self, x):
        return self.run("gelu", x)

    def silu(self, x):
        return self.run("silu", x)

    def relu(self, x):
        return self.run("relu", x)

    def prelu(self, x, weight):
        return self.run("prelu", x, weight)

    def where(self, mask, x, y):
        return self.run("where", mask, x, y)

    def channel_weight(self, key, channels):
        """A weight for each channel of an image, as `prelu` takes it."""
        return self.normal(key, channels)

    def transposed(self, x):
        return self.run("permute", x, numbers=(1, 0))

    # Reductions and normalisation.

    def sum(self, x, axis=None):
        return self.run("sum", x, numbers=() if axis is None else (axis,))

    def max(self, x, axis=None):
        return self.run("max", x, numbers=() if axis is None else (axis,))

    def softmax(self, x, axis):
        return self.run("softmax", x, numbers=(axis % len(x.shape),))

    def logsoftmax(self, x, axis):
        return self.run("logsoftmax", x, numbers=(axis % len(x.shape),))

    def cross_entropy(self, x, labels):
        return self.run("cross_entropy", x, labels)

    def layer_norm(self, x, weight, bias):
        return self.run("layer_norm", x, weight, bias)

    def group_norm(self, x, groups, weight, bias):
        return self.run("group_norm", x, weight, bias, numbers=(groups,))

    # Pooling.

    def max_pool2d(self, x, kernel, stride=None, padding=0):
        if padding:
            raise NotImplementedError("candle's max_pool2d has no padding")
        return self.run("max_pool2d", x, numbers=(kernel, stride or kernel))

    def avg_pool2d(self, x, kernel, stride=None):
        return self.run("avg_pool2d", x, numbers=(kernel, stride or kernel))

    def adaptive_avg_pool2d(self, x, size):
        if size == 1:
            return self.run("mean of images", x)
        return self.avg_pool2d(x, self.window(x, size))

    def adaptive_max_pool2d(self, x, size):
        return self.max_pool2d(x, self.window(x, size))

    def window(self, x, size):
        """The kernel whose plain pooling gives ``size``² pixels, where there is one."""
        height, width = x.shape[2:]
        if height != width or height % size:
            raise NotImplementedError("candle has no adaptive pooling")
        return height // size

    # Copies.

    def transpose(self, x, axes):
        return self.run("permute", x, numbers=axes)

    def concat(self, xs, axis):
        return self.run("concat", *xs, numbers=(axis,))

    def split(self, x, parts, axis):
        length = x.shape[axis] // parts
        return [self.run("narrow", x, numbers=(axis, i * length, length)) for i in range(parts)]

    def pad(self, x, before_and_after):
        for axis, widths in enumerate(before_and_after):
            if any(widths):
                x = self.run("pad", x, numbers=(axis, *widths))
        return x

    def gather(self, x, axis, index):
        return self.run("gather", x, index, numbers=(axis,))

    def embedding(self, index, table):
        return self.run("embedding", index, table)

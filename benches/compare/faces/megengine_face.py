"""MegEngine's API, as Tengen and MegEngine 1.13 have it."""

import megengine as mge
import megengine.functional as F
import megengine.module as M
import megengine.optimizer as optim
import numpy as np
from megengine.autodiff import GradManager

from ..workload import Timed
from .base import Face
from .encoder import EncoderLayer


class MegEngineFace(Face):
    """Tengen reads its thread count from the environment; MegEngine 1.13 from the device."""

    name = "megengine"
    index_dtype = "int32"

    def __init__(self, threads):
        self.version = mge.__version__
        self.sync = getattr(mge, "_full_sync", None)
        if self.sync:
            mge.set_default_device("cpu0" if threads == 1 else f"multithread{threads}:0")
        else:
            self.sync = lambda: None

    # Tensors.

    def tensor(self, array, dtype="float32"):
        if dtype == "bfloat16":
            return mge.tensor(array).astype("bfloat16")
        return mge.tensor(np.array(array, dtype=dtype, order="C"))

    def parameter(self, array):
        return mge.Parameter(np.ascontiguousarray(array, dtype=np.float32))

    def numpy(self, x):
        if not isinstance(x, mge.Tensor):
            return x
        if x.dtype not in (np.float32, np.float16, np.int32, np.bool_):
            x = x.astype("float32")
        return x.numpy()

    def named_parameters(self, model):
        return model.named_parameters()

    def assign(self, parameter, values):
        parameter._reset(mge.tensor(values))

    def set_grad(self, parameter, values):
        parameter.grad = mge.tensor(values)

    # Gradients.

    def backward(self, forward, wrt, dy=None):
        """Times ``GradManager.backward`` alone: the gradients of (y * dy).sum(), added to grad."""
        gm = GradManager().attach(wrt)
        y = None

        def before():
            nonlocal y
            for x in wrt:
                x.grad = None
            gm.record()
            y = forward()

        def run():
            nonlocal y
            gm.backward(y, dy)
            y = None
            return [x.grad for x in wrt]

        return Timed(run, before)

    def forward_backward(self, forward, wrt, dy=None):
        """Times recording the forward pass and the backward pass together."""
        gm = GradManager().attach(wrt)

        def run():
            for x in wrt:
                x.grad = None
            with gm:
                gm.backward(forward(), dy)
            return [x.grad for x in wrt]

        return run

    def inference(self, model, x):
        """Times a network in evaluation mode."""
        model.eval()
        return lambda: model(x)

    def training_forward(self, layer, x):
        """Times a layer in training mode, without recording."""
        layer.train()
        return lambda: layer(x)

    def training_step(self, model, loss, optimizer):
        """Times forward pass, backward pass, and the optimizer's step."""
        model.train()
        gm = GradManager().attach(list(model.parameters()))

        def run():
            with gm:
                value = loss()
                gm.backward(value)
            optimizer.step().clear_grad()
            return value

        return run

    # Products and convolutions.

    def matmul(self, a, b, transpose_a=False, transpose_b=False):
        return F.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)

    def conv2d(self, x, w, stride, padding, groups):
        return F.conv2d(x, w, stride=stride, padding=padding, groups=groups)

    def conv_transpose2d(self, x, w, stride, padding, groups):
        return F.conv_transpose2d(x, w, stride=stride, padding=padding, groups=groups)

    def conv_weight(self, key, out_channels, in_channels, kernel, groups):
        if groups == 1:
            return self.normal(key, out_channels, in_channels, kernel, kernel)
        a, b = out_channels // groups, in_channels // groups
        return self.normal(key, groups, a, b, kernel, kernel)

    # Elementwise.

    exp = staticmethod(F.exp)
    log = staticmethod(F.log)
    tanh = staticmethod(F.tanh)
    sigmoid = staticmethod(F.sigmoid)
    gelu = staticmethod(F.nn.gelu)
    silu = staticmethod(F.nn.silu)
    relu = staticmethod(F.relu)
    prelu = staticmethod(F.prelu)
    where = staticmethod(F.where)

    def channel_weight(self, key, channels):
        """A weight for each channel of an image, as `prelu` takes it."""
        return self.normal(key, 1, channels, 1, 1)

    def transposed(self, x):
        return x.T

    # Reductions and normalisation.

    def sum(self, x, axis=None):
        return F.sum(x, axis)

    def max(self, x, axis=None):
        return F.max(x, axis)

    softmax = staticmethod(F.softmax)
    logsoftmax = staticmethod(F.logsoftmax)
    cross_entropy = staticmethod(F.loss.cross_entropy)

    def layer_norm(self, x, weight, bias):
        return F.nn.layer_norm(x, tuple(weight.shape), True, weight, bias)

    def group_norm(self, x, groups, weight, bias):
        return F.nn.group_norm(x, groups, True, weight, bias)

    def batch_norm(self, channels):
        """A layer in training mode."""
        return M.BatchNorm2d(channels)

    # Pooling.

    max_pool2d = staticmethod(F.max_pool2d)
    avg_pool2d = staticmethod(F.avg_pool2d)
    adaptive_avg_pool2d = staticmethod(F.adaptive_avg_pool2d)
    adaptive_max_pool2d = staticmethod(F.adaptive_max_pool2d)

    # Copies.

    transpose = staticmethod(F.transpose)

    def concat(self, xs, axis):
        return F.concat(xs, axis=axis)

    def split(self, x, parts, axis):
        return F.split(x, parts, axis=axis)

    def pad(self, x, before_and_after):
        return F.nn.pad(x, before_and_after)

    def gather(self, x, axis, index):
        return F.gather(x, axis, index)

    embedding = staticmethod(F.embedding)
    flatten = staticmethod(F.flatten)

    # Layers and optimizers.

    nn = M

    def relu_layer(self):
        return M.ReLU()

    def transformer_layer(self, width, heads, hidden):
        return EncoderLayer(width, heads, hidden)

    def lstm(self, size):
        return M.LSTM(size, size)

    def optimizer(self, name, parameters, lr):
        settings = {"momentum": 0.9} if name == "SGD" else {}
        kind = getattr(optim, name)
        return kind(list(parameters), lr=lr, weight_decay=1e-4, **settings)

    module = "megengine"

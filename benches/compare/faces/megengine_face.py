"""MegEngine's API, as Tengen and MegEngine 1.13 have it."""

import megengine as mge
import megengine.functional as F
import megengine.module as M
import megengine.optimizer as optim
import numpy as np
from megengine.autodiff import GradManager

from ..workload import Timed
from .base import Face


class MegEngineFace(Face):
    """Tengen reads its thread count from the environment; MegEngine 1.13 from the device."""

    name = "megengine"
    index_dtype = "int32"

    def __init__(self, threads):
        self.version = mge.__version__
        self.F, self.M, self.optim = F, M, optim
        self.sync = getattr(mge, "_full_sync", None)
        if self.sync:
            mge.set_default_device("cpu0" if threads == 1 else f"multithread{threads}:0")
        else:
            self.sync = lambda: None

    # Tensors.

    def tensor(self, array, dtype="float32"):
        if dtype == "bfloat16":
            return mge.tensor(array).astype("bfloat16")
        return mge.tensor(np.ascontiguousarray(array, dtype=dtype))

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

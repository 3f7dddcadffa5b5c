"""PyTorch's API."""

import numpy as np
import torch
import torch.nn.functional as F

from ..workload import Timed
from .base import Face


class TorchFace(Face):
    """PyTorch on the CPU."""

    name = "torch"
    index_dtype = "int64"

    def __init__(self, threads):
        torch.set_num_threads(threads)
        self.version = torch.__version__
        self.F, self.nn, self.torch, self.optim = F, torch.nn, torch, torch.optim

    def sync(self):
        """Execution is synchronous."""

    # Tensors.

    def tensor(self, array, dtype="float32"):
        if dtype == "bfloat16":
            return torch.from_numpy(np.ascontiguousarray(array)).to(torch.bfloat16)
        return torch.from_numpy(np.array(array, dtype=dtype, order="C"))

    def parameter(self, array):
        return torch.nn.Parameter(self.tensor(array))

    def numpy(self, x):
        if not isinstance(x, torch.Tensor):
            return x
        x = x.detach()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()

    def named_parameters(self, model):
        return model.named_parameters()

    def assign(self, parameter, values):
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values))

    def set_grad(self, parameter, values):
        parameter.grad = torch.from_numpy(values)

    # Gradients.

    def backward(self, forward, wrt, dy=None):
        """Times ``Tensor.backward`` alone: the gradients of (y * dy).sum(), added to grad."""
        for x in wrt:
            x.requires_grad_()
        y = None

        def before():
            nonlocal y
            for x in wrt:
                x.grad = None
            y = forward()

        def run():
            nonlocal y
            y.backward(dy)
            y = None
            return [x.grad for x in wrt]

        return Timed(run, before)

    def forward_backward(self, forward, wrt, dy=None):
        """Times recording the forward pass and the backward pass together."""
        for x in wrt:
            x.requires_grad_()

        def run():
            for x in wrt:
                x.grad = None
            forward().backward(dy)
            return [x.grad for x in wrt]

        return run

    def inference(self, model, x):
        """Times a network in evaluation mode."""
        model.eval()

        def run():
            with torch.inference_mode():
                return model(x)

        return run

    def training_step(self, model, loss, optimizer):
        """Times forward pass, backward pass, and the optimizer's step."""
        model.train()

        def run():
            value = loss()
            value.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return value

        return run

    # Products and convolutions.

    def matmul(self, a, b, transpose_a=False, transpose_b=False):
        return (a.mT if transpose_a else a) @ (b.mT if transpose_b else b)

    def conv2d(self, x, w, stride, padding, groups):
        return F.conv2d(x, w, stride=stride, padding=padding, groups=groups)

    def conv_transpose2d(self, x, w, stride, padding, groups):
        return F.conv_transpose2d(x, w, stride=stride, padding=padding, groups=groups)

    def conv_weight(self, key, out_channels, in_channels, kernel, groups):
        return self.normal(key, out_channels, in_channels // groups, kernel, kernel)

    # Elementwise.

    exp = staticmethod(torch.exp)
    log = staticmethod(torch.log)
    tanh = staticmethod(torch.tanh)
    sigmoid = staticmethod(torch.sigmoid)
    gelu = staticmethod(F.gelu)
    silu = staticmethod(F.silu)
    relu = staticmethod(torch.relu)
    prelu = staticmethod(F.prelu)
    where = staticmethod(torch.where)

    def channel_weight(self, key, channels):
        """A weight for each channel of an image, as `prelu` takes it."""
        return self.normal(key, channels)

    def transposed(self, x):
        return x.T

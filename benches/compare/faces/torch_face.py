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

    def training_forward(self, layer, x):
        """Times a layer in training mode, without recording."""
        layer.train()

        def run():
            with torch.no_grad():
                return layer(x)

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

    # Reductions and normalisation.

    def sum(self, x, axis=None):
        return torch.sum(x) if axis is None else torch.sum(x, axis)

    def max(self, x, axis=None):
        return torch.amax(x) if axis is None else torch.amax(x, axis)

    softmax = staticmethod(F.softmax)
    logsoftmax = staticmethod(F.log_softmax)
    cross_entropy = staticmethod(F.cross_entropy)

    def layer_norm(self, x, weight, bias):
        return F.layer_norm(x, weight.shape, weight, bias)

    def group_norm(self, x, groups, weight, bias):
        return F.group_norm(x, groups, weight, bias)

    def batch_norm(self, channels):
        """A layer in training mode."""
        return torch.nn.BatchNorm2d(channels)

    # Pooling.

    max_pool2d = staticmethod(F.max_pool2d)
    avg_pool2d = staticmethod(F.avg_pool2d)
    adaptive_avg_pool2d = staticmethod(F.adaptive_avg_pool2d)
    adaptive_max_pool2d = staticmethod(F.adaptive_max_pool2d)

    # Copies.

    transpose = staticmethod(torch.permute)

    def concat(self, xs, axis):
        return torch.cat(xs, axis)

    def split(self, x, parts, axis):
        return torch.chunk(x, parts, axis)

    def pad(self, x, before_and_after):
        return F.pad(x, [n for pair in reversed(before_and_after) for n in pair])

    def gather(self, x, axis, index):
        return torch.gather(x, axis, index)

    embedding = staticmethod(F.embedding)
    flatten = staticmethod(torch.flatten)

    # Layers and optimizers.

    nn = torch.nn

    def relu_layer(self):
        return torch.nn.ReLU(inplace=True)

    def transformer_layer(self, width, heads, hidden):
        return torch.nn.TransformerEncoderLayer(
            width, heads, hidden, dropout=0.0, batch_first=True
        )

    def lstm(self, size):
        return torch.nn.LSTM(size, size)

    def optimizer(self, name, parameters, lr):
        """The fused form, PyTorch's fastest."""
        settings = {"momentum": 0.9} if name == "SGD" else {}
        kind = getattr(torch.optim, name)
        return kind(list(parameters), lr=lr, weight_decay=1e-4, fused=True, **settings)

    module = "torch"

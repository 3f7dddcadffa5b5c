"""Marks of where quantisation begins and ends; without quantisation they change nothing."""

from .module import Module


class QuantStub(Module):
    """Marks where inputs are to be quantised; gives its input.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.QuantStub()(mge.Tensor([1.0])).numpy().tolist()
        [1.0]
    """

    def forward(self, inp):
        return inp


class DequantStub(Module):
    """Marks where outputs are to be dequantised; gives its input.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.DequantStub()(mge.Tensor([1.0])).numpy().tolist()
        [1.0]
    """

    def forward(self, inp):
        return inp

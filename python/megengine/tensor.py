"""Tensors and parameters."""

from ._tengen import Tensor

tensor = Tensor


class Parameter(Tensor):
    """A tensor that is a module's parameter: what optimizers update.

    >>> import megengine as mge
    >>> mge.Parameter([1.0, 2.0])
    Parameter([1. 2.], device=xpux:0)
    """


__all__ = ["Parameter", "Tensor", "tensor"]

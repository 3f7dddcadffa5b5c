"""Tensors and parameters."""

import numpy as np

from ._tengen import Tensor

tensor = Tensor


class Parameter(Tensor):
    """A tensor that is a module's parameter: what optimizers update.

    >>> import megengine as mge
    >>> mge.Parameter([1.0, 2.0])
    Parameter([1. 2.], device=xpux:0)
    """


def _rebuild(cls, array, dtype, name, state):
    """A tensor from its pickle."""
    new = cls(array, dtype=dtype, name=name) if dtype else _exact(cls, array, name)
    new.__dict__.update(state)
    return new


def _exact(cls, array, name=""):
    """A tensor of exactly the array's dtype, float64 and int64 included."""
    array = np.asarray(array)
    return cls(array, dtype=array.dtype, name=name)


__all__ = ["Parameter", "Tensor", "tensor"]

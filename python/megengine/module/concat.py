"""Concatenation as a layer."""

from .. import functional as F
from .module import Module


class Concat(Module):
    """Joins tensors along an existing axis.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.Concat()([mge.functional.ones((2, 3)), mge.functional.ones((2, 3))], axis=1).shape
        (2, 6)
    """

    def forward(self, inps, axis: int = 0):
        return F.concat(inps, axis)

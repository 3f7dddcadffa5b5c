"""Padding as a layer."""

from .. import functional as F
from .module import Module


class Pad(Module):
    """Puts elements before and after each axis.

    Args:
        pad_width: for each axis the numbers of elements before and after.
        mode: ``"constant"``, ``"reflect"`` or ``"replicate"``.
        constant_val: the value of the elements in mode ``"constant"``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.Pad(((1, 0), (0, 2)))(mge.functional.ones((2, 3))).shape
        (3, 5)
    """

    def __init__(
        self,
        pad_width: tuple[tuple[int, int], ...],
        mode: str = "constant",
        constant_val: float = 0.0,
    ):
        super().__init__()
        self.pad_width = pad_width
        self.mode = mode
        self.pad_val = constant_val

    def forward(self, src):
        return F.pad(src, self.pad_width, self.mode, self.pad_val)

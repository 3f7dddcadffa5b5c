r"""Pooling to a given output size.

Along an axis of size :math:`I`, :math:`O` equal windows of :math:`I - (O - 1) s` elements are
:math:`s = \lfloor I / O \rfloor` apart.

Example:
    >>> import numpy as np
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> x = mge.Tensor(np.arange(16, dtype="float32").reshape(1, 1, 4, 4))
    >>> M.AdaptiveAvgPool2d(1)(x).numpy().ravel().tolist()
    [7.5]
    >>> M.AdaptiveMaxPool2d((1, 2))(x).numpy().ravel().tolist()
    [13.0, 15.0]
"""

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class _AdaptivePoolNd(Module):
    def __init__(self, oshp: tuple[int, int] | int | Tensor, **kwargs):
        super().__init__(**kwargs)
        self.oshp = oshp


class AdaptiveAvgPool2d(_AdaptivePoolNd):
    """The mean of each window.

    Args:
        oshp: the height and width of the output; one number stands for both.

    Shape:
        ``(N, C, H, W)`` to ``(N, C, *oshp)``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.AdaptiveAvgPool2d((2, 3))(mge.functional.ones((1, 4, 8, 8))).shape
        (1, 4, 2, 3)
    """

    def forward(self, inp):
        return F.adaptive_avg_pool2d(inp, self.oshp)


class AdaptiveMaxPool2d(_AdaptivePoolNd):
    """The maximum of each window.

    Args:
        oshp: the height and width of the output; one number stands for both.

    Shape:
        ``(N, C, H, W)`` to ``(N, C, *oshp)``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.AdaptiveMaxPool2d((2, 3))(mge.functional.ones((1, 4, 8, 8))).shape
        (1, 4, 2, 3)
    """

    def forward(self, inp):
        return F.adaptive_max_pool2d(inp, self.oshp)

"""Rearrangement of channels into space."""

from .. import functional as F
from .module import Module


class PixelShuffle(Module):
    r"""Turns blocks of :math:`r^2` channels into squares of :math:`r \times r` pixels.

    .. math:: y_{n,\; c,\; h r + i,\; w r + j} = x_{n,\; c r^2 + i r + j,\; h,\; w}

    Args:
        upscale_factor: :math:`r`.

    Shape:
        ``(N, C * r * r, H, W)`` to ``(N, C, H * r, W * r)``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.PixelShuffle(2)(mge.functional.ones((1, 8, 3, 3))).shape
        (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int, **kwargs):
        super().__init__(**kwargs)
        self.upscale_factor = upscale_factor

    def forward(self, x):
        return F.pixel_shuffle(x, self.upscale_factor)

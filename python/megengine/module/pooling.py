r"""Pooling over windows.

Example:
    >>> import numpy as np
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> x = mge.Tensor(np.arange(16, dtype="float32").reshape(1, 1, 4, 4))
    >>> M.MaxPool2d(2)(x).numpy().ravel().tolist()
    [5.0, 7.0, 13.0, 15.0]
    >>> M.AvgPool2d(2)(x).numpy().ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
"""

from .. import functional as F
from .module import Module


class _PoolNd(Module):
    def __init__(self, kernel_size, stride=None, padding=0, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.stride = stride or kernel_size
        self.padding = padding

    def _module_info_string(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_PoolNd):
    r"""The maximum of each window.

    .. math:: y_{n,c,h,w} = \max_{i,j} x_{n,c,\; h s_h + i - p_h,\; w s_w + j - p_w}

    with stride :math:`s` and padding :math:`p`; padding never wins.

    Args:
        kernel_size: the height and width of the window; one number stands for both.
        stride: the distance between neighbouring windows; by default the kernel size.
        padding: the number of rows and columns put on each side.

    Shape:
        ``(N, C, H, W)`` to ``(N, C, H', W')`` with
        ``H' = (H + 2 * padding - kernel_size) // stride + 1``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.MaxPool2d(3, stride=2, padding=1)(mge.functional.ones((1, 2, 8, 8))).shape
        (1, 2, 4, 4)
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        **kwargs,
    ):
        super().__init__(kernel_size, stride, padding, **kwargs)

    def forward(self, inp):
        return F.max_pool2d(inp, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_PoolNd):
    r"""The mean of each window.

    .. math:: y_{n,c,h,w} = \frac{1}{m} \sum_{i,j} x_{n,c,\; h s_h + i - p_h,\; w s_w + j - p_w}

    with stride :math:`s` and padding :math:`p`.

    Args:
        kernel_size: the height and width of the window; one number stands for both.
        stride: the distance between neighbouring windows; by default the kernel size.
        padding: the number of rows and columns of zeros put on each side.
        mode: ``"average_count_exclude_padding"``, where :math:`m` counts the elements of the
            window that lie in the input, or ``"average"``, where it counts all.

    Shape:
        ``(N, C, H, W)`` to ``(N, C, H', W')`` with
        ``H' = (H + 2 * padding - kernel_size) // stride + 1``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.AvgPool2d(3, stride=2, padding=1)(mge.functional.ones((1, 2, 8, 8))).shape
        (1, 2, 4, 4)
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        mode: str = "average_count_exclude_padding",
        **kwargs,
    ):
        super().__init__(kernel_size, stride, padding, **kwargs)
        self.mode = mode

    def forward(self, inp):
        return F.avg_pool2d(inp, self.kernel_size, self.stride, self.padding, self.mode)

    def _module_info_string(self) -> str:
        return f"{super()._module_info_string()}, mode={self.mode}"

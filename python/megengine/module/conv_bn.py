"""A convolution followed by batch normalisation, as one layer."""

from .. import functional as F
from .batchnorm import BatchNorm2d
from .conv import Conv2d
from .module import Module


class ConvBn2d(Module):
    """A :class:`Conv2d`, in ``conv``, followed by a :class:`BatchNorm2d`, in ``bn``.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            conv_mode, compute_mode, padding_mode: those of :class:`Conv2d`.
        eps, momentum, affine, track_running_stats: those of :class:`BatchNorm2d`.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.ConvBn2d(3, 4, 3)(mge.functional.ones((2, 3, 5, 5))).shape
        (2, 4, 3, 3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        conv_mode: str = "cross_correlation",
        compute_mode: str = "default",
        eps=1e-5,
        momentum=0.9,
        affine=True,
        track_running_stats=True,
        padding_mode: str = "zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.conv = Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            conv_mode,
            compute_mode,
            padding_mode,
        )
        self.bn = BatchNorm2d(out_channels, eps, momentum, affine, track_running_stats)

    def forward(self, inp):
        return self.bn(self.conv(inp))


class ConvBnRelu2d(ConvBn2d):
    r"""A :class:`ConvBn2d` followed by :math:`\max(y, 0)`; its arguments are those of ``ConvBn2d``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> bool((M.ConvBnRelu2d(3, 4, 3)(mge.random.normal(size=(2, 3, 5, 5))).numpy() < 0).any())
        False
    """

    def forward(self, inp):
        return F.relu(super().forward(inp))

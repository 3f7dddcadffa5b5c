r"""Convolutions.

Every convolution here is a cross-correlation: the kernel is not flipped. Weights start from
:math:`N(0, 1 / \mathrm{fan\_in})`, biases from zeros.

Example:
    >>> import numpy as np
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> x = mge.Tensor(np.zeros((2, 3, 16, 16), dtype="float32"))
    >>> x = M.Conv2d(3, 8, 3, stride=2, padding=1)(x)
    >>> x.shape
    (2, 8, 8, 8)
    >>> M.ConvTranspose2d(8, 3, 4, stride=2, padding=1)(x).shape
    (2, 3, 16, 16)
"""

import math

import numpy as np

from .. import _tengen
from .. import functional as F
from ..tensor import Parameter
from ..utils.tuple_function import _pair, _pair_nonzero
from . import init
from .module import Module

_PADDING_MODES = ("zeros", "reflect", "replicate")


class _ConvNd(Module):
    """The fields, parameters and initialisation that all convolutions share."""

    # Number of spatial axes.
    _ndim = 2

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        bias,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{type(self).__name__}: in_channels ({in_channels}) and out_channels "
                f"({out_channels}) must be divisible by groups ({groups})"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.dilation = dilation
        self.groups = groups
        self.weight = Parameter(np.zeros(self._infer_weight_shape(), dtype=np.float32))
        bias_shape = (1, out_channels) + (1,) * self._ndim
        self.bias = Parameter(np.zeros(bias_shape, dtype=np.float32)) if bias else None
        self.reset_parameters()

    def _kernel(self):
        return self.kernel_size if self._ndim > 1 else (self.kernel_size,)

    def _infer_weight_shape(self):
        channels = (self.out_channels // self.groups, self.in_channels // self.groups)
        shape = channels + self._kernel()
        return shape if self.groups == 1 else (self.groups, *shape)

    def _get_fanin(self):
        return math.prod(self._kernel()) * self.in_channels

    def reset_parameters(self) -> None:
        """Draws the weight anew and sets the bias to zeros."""
        init.normal_(self.weight, 0.0, (1.0 / max(self._get_fanin(), 1)) ** 0.5)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _module_info_string(self) -> str:
        parts = [str(self.in_channels), str(self.out_channels), f"kernel_size={self.kernel_size}"]
        defaults = (("stride", 1), ("padding", 0), ("dilation", 1))
        for name, default in defaults:
            value = getattr(self, name)
            if value not in (default, (default,) * self._ndim):
                parts.append(f"{name}={value}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class _PaddedConv(_ConvNd):
    """A convolution whose input may be padded by reflection or replication first."""

    def __init__(self, *args, conv_mode, compute_mode, padding_mode, **kwargs):
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {_PADDING_MODES}, got {padding_mode!r}")
        self.conv_mode = conv_mode
        self.compute_mode = compute_mode
        self.padding_mode = padding_mode
        super().__init__(*args, **kwargs)

    def get_pad_witdth(self):
        """The numbers of elements put before and after each axis of the input."""
        padding = self.padding if self._ndim > 1 else (self.padding,)
        return ((0, 0), (0, 0), *((p, p) for p in padding))

    def calc_conv(self, inp, weight, bias):
        """The convolution with another weight and bias."""
        return self._convolve(F.conv2d if self._ndim == 2 else F.conv1d, inp, weight, bias)

    def _convolve(self, conv, inp, weight, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            inp, padding = F.pad(inp, self.get_pad_witdth(), self.padding_mode), 0
        modes = self.conv_mode, self.compute_mode
        return conv(inp, weight, bias, self.stride, padding, self.dilation, self.groups, *modes)

    def forward(self, inp):
        return self.calc_conv(inp, self.weight, self.bias)


class Conv1d(_PaddedConv):
    r"""Convolution along one axis.

    .. math::

        y_{n,o,l} = b_o + \sum_{c,i} W_{o,c,i} \,
            x_{n,c,\; l \cdot \mathrm{stride} + i \cdot \mathrm{dilation} - \mathrm{padding}}

    With ``groups`` :math:`g > 1`, input and output channels are split into :math:`g` parts and
    each output part sees only its input part.

    Args:
        in_channels: the number of input channels.
        out_channels: the number of output channels.
        kernel_size: the length of the kernel.
        stride: the distance between neighbouring windows.
        padding: the number of elements put on both ends of the input.
        dilation: the distance between neighbouring elements of a window.
        groups: the number of groups; it divides both numbers of channels.
        bias: whether there is a bias.
        conv_mode: ``"cross_correlation"``.
        compute_mode: ``"default"`` or ``"float32"``, the precision in which half-precision
            inputs are accumulated.
        padding_mode: what is put on the ends: ``"zeros"``, ``"reflect"`` (the input mirrored at
            its last element) or ``"replicate"`` (the last element).

    Parameters:
        ``weight``: :math:`W`, of shape ``(out, in, k)``, or ``(g, out/g, in/g, k)`` with groups;
        ``bias``: :math:`b`, of shape ``(1, out, 1)``, or ``None``.

    Shape:
        ``(N, in, L)`` to ``(N, out, (L + 2 * padding - dilation * (k - 1) - 1) // stride + 1)``.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> layer = M.Conv1d(4, 8, 3, padding=1, padding_mode="replicate")
        >>> layer(mge.Tensor(np.ones((2, 4, 10), dtype="float32"))).shape
        (2, 8, 10)
    """

    _ndim = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        conv_mode: str = "cross_correlation",
        compute_mode: str = "default",
        padding_mode: str = "zeros",
        **kwargs,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            conv_mode=conv_mode,
            compute_mode=compute_mode,
            padding_mode=padding_mode,
            **kwargs,
        )


class Conv2d(_PaddedConv):
    r"""Convolution over two axes.

    .. math::

        y_{n,o,h,w} = b_o + \sum_{c,i,j} W_{o,c,i,j} \,
            x_{n,c,\; h s_h + i d_h - p_h,\; w s_w + j d_w - p_w}

    with stride :math:`s`, dilation :math:`d` and padding :math:`p`. With ``groups``
    :math:`g > 1`, input and output channels are split into :math:`g` parts and each output part
    sees only its input part.

    Args:
        in_channels: the number of input channels.
        out_channels: the number of output channels.
        kernel_size: the height and width of the kernel; one number stands for both.
        stride: the distance between neighbouring windows.
        padding: the number of rows and columns put on each side of the input.
        dilation: the distance between neighbouring elements of a window.
        groups: the number of groups; it divides both numbers of channels.
        bias: whether there is a bias.
        conv_mode: ``"cross_correlation"``.
        compute_mode: ``"default"`` or ``"float32"``, the precision in which half-precision
            inputs are accumulated.
        padding_mode: what is put on the sides: ``"zeros"``, ``"reflect"`` (the input mirrored at
            its edge) or ``"replicate"`` (the edge).

    Parameters:
        ``weight``: :math:`W`, of shape ``(out, in, kh, kw)``, or ``(g, out/g, in/g, kh, kw)``
        with groups;
        ``bias``: :math:`b`, of shape ``(1, out, 1, 1)``, or ``None``.

    Shape:
        ``(N, in, H, W)`` to ``(N, out, H', W')`` with
        ``H' = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1``.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> layer = M.Conv2d(4, 8, 3, padding=1, groups=2)
        >>> layer(mge.Tensor(np.ones((2, 4, 10, 10), dtype="float32"))).shape
        (2, 8, 10, 10)
        >>> layer.weight.shape
        (2, 4, 2, 3, 3)
        >>> layer
        Conv2d(4, 8, kernel_size=(3, 3), padding=(1, 1), groups=2)
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
        padding_mode: str = "zeros",
        **kwargs,
    ):
        super().__init__(
            in_channels,
            out_channels,
            _pair_nonzero(kernel_size),
            _pair_nonzero(stride),
            _pair(padding),
            0,
            _pair_nonzero(dilation),
            groups,
            bias,
            conv_mode=conv_mode,
            compute_mode=compute_mode,
            padding_mode=padding_mode,
            **kwargs,
        )


class ConvRelu2d(Conv2d):
    r"""A :class:`Conv2d` followed by :math:`\max(y, 0)`; its arguments are those of ``Conv2d``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.ConvRelu2d(3, 4, 3)(mge.functional.ones((1, 3, 5, 5))).shape
        (1, 4, 3, 3)
    """

    def forward(self, inp):
        return self._convolve(_tengen._conv2d_relu, inp, self.weight, self.bias)


class ConvTranspose2d(_ConvNd):
    r"""The transpose of a convolution over two axes, the gradient of :class:`Conv2d`.

    .. math::

        y_{n,o,\; h s_h + i d_h - p_h,\; w s_w + j d_w - p_w}
            \mathrel{+}= W_{c,o,i,j} \, x_{n,c,h,w}, \quad y \text{ starting from } b_o

    Args:
        in_channels: the number of input channels.
        out_channels: the number of output channels.
        kernel_size: the height and width of the kernel; one number stands for both.
        stride: the distance between the windows that neighbouring input elements write to.
        padding: the number of rows and columns cut off each side of the output.
        output_padding: the number of rows added at the bottom and of columns at the right of the
            output; it settles which of the input sizes that a strided convolution maps to one
            output size is meant.
        dilation: the distance between neighbouring elements of a window.
        groups: the number of groups; it divides both numbers of channels.
        bias: whether there is a bias.
        conv_mode: ``"cross_correlation"``.
        compute_mode: ``"default"`` or ``"float32"``, the precision in which half-precision
            inputs are accumulated.

    Parameters:
        ``weight``: :math:`W`, of shape ``(in, out, kh, kw)``, or ``(g, in/g, out/g, kh, kw)``
        with groups; it starts from :math:`N(0, 1 / (\mathrm{out} \cdot k_h k_w))`;
        ``bias``: :math:`b`, of shape ``(1, out, 1, 1)``, or ``None``.

    Shape:
        ``(N, in, H, W)`` to ``(N, out, H', W')`` with
        ``H' = (H - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1``.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> layer = M.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1)
        >>> layer(mge.Tensor(np.ones((2, 4, 5, 5), dtype="float32"))).shape
        (2, 8, 10, 10)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        conv_mode: str = "cross_correlation",
        compute_mode: str = "default",
        **kwargs,
    ):
        self.conv_mode = conv_mode
        self.compute_mode = compute_mode
        super().__init__(
            in_channels,
            out_channels,
            _pair_nonzero(kernel_size),
            _pair_nonzero(stride),
            _pair(padding),
            _pair(output_padding),
            _pair_nonzero(dilation),
            groups,
            bias,
            **kwargs,
        )

    def _infer_weight_shape(self):
        channels = (self.in_channels // self.groups, self.out_channels // self.groups)
        shape = channels + self.kernel_size
        return shape if self.groups == 1 else (self.groups, *shape)

    def _get_fanin(self):
        return math.prod(self.kernel_size) * self.out_channels

    def calc_conv_transpose2d(self, inp, weight, bias):
        """The transposed convolution with another weight and bias."""
        return F.conv_transpose2d(
            inp,
            weight,
            bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
            self.conv_mode,
            self.compute_mode,
        )

    def forward(self, inp):
        return self.calc_conv_transpose2d(inp, self.weight, self.bias)

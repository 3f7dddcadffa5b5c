r"""Initialisation of tensors, in place.

:math:`\mathrm{fan\_in}` and :math:`\mathrm{fan\_out}` are the numbers of inputs that one output
of a layer sees and of outputs that one input reaches; see :func:`calculate_fan_in_and_fan_out`.
The scales keep the variance of activations or of gradients from layer to layer. Sources: Glorot
and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010),
for ``xavier_*``; He et al., "Delving deep into rectifiers" (2015), for ``msra_*``.

Example:
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> weight = mge.functional.zeros((8, 4))
    >>> M.init.xavier_uniform_(weight)
    >>> bool((abs(weight.numpy()) <= (6 / (8 + 4)) ** 0.5).all())
    True
"""

import math

from .. import functional as F
from ..random import normal, uniform
from ..tensor import Tensor

_LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def _assign(tensor, value):
    tensor._reset(value.astype(tensor.dtype).to(tensor.device))


def fill_(tensor: Tensor, val: float | int) -> None:
    """Sets every element of ``tensor`` to ``val``."""
    tensor._reset(F.full(tensor.shape, val, dtype=tensor.dtype, device=tensor.device))


def zeros_(tensor: Tensor) -> None:
    """Sets every element of ``tensor`` to 0."""
    fill_(tensor, 0.0)


def ones_(tensor: Tensor) -> None:
    """Sets every element of ``tensor`` to 1."""
    fill_(tensor, 1.0)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> None:
    r"""Fills ``tensor`` with draws from the uniform distribution on :math:`[a, b)`."""
    _assign(tensor, uniform(low=a, high=b, size=tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> None:
    r"""Fills ``tensor`` with draws from :math:`N(\mathrm{mean}, \mathrm{std}^2)`."""
    _assign(tensor, normal(mean=mean, std=std, size=tensor.shape))


def calculate_gain(nonlinearity: str, param: int | float | None = None) -> float:
    r"""The factor by which weights should grow to make up for a nonlinearity.

    =================================================  ======================================
    nonlinearity                                       gain
    =================================================  ======================================
    linear, conv{1,2,3}d, conv_transpose{1,2,3}d       1
    sigmoid                                            1
    tanh                                               5/3
    relu                                               :math:`\sqrt 2`
    leaky_relu with slope ``param`` (default 0.01)     :math:`\sqrt{2 / (1 + \mathrm{param}^2)}`
    =================================================  ======================================

    Raises:
        ValueError: the nonlinearity is not in the table, or the slope is not a number.
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {slope} is not a number")
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(f"unsupported nonlinearity {nonlinearity}")


def calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[float, float]:
    r"""``(fan_in, fan_out)`` of a weight.

    ==============================================  ==================  ==================
    shape                                           fan_in              fan_out
    ==============================================  ==================  ==================
    ``(out, in)``                                   ``in``              ``out``
    ``(out, in, *kernel)``, up to four dimensions   ``in * kernel``     ``out * kernel``
    ``(groups, out, in, *kernel)``, from five on    ``in * kernel``     ``out * kernel``
    ==============================================  ==================  ==================

    Raises:
        ValueError: the tensor has fewer than two dimensions.

    Example:
        >>> import megengine.module as M
        >>> M.init.calculate_fan_in_and_fan_out(M.Conv2d(4, 6, 3, groups=2).weight)
        (18, 27)
    """
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            f"fan_in and fan_out need a tensor of two or more dimensions, got shape {shape}"
        )
    if len(shape) >= 5:
        shape = shape[1:]
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def calculate_correct_fan(tensor: Tensor, mode: str) -> float:
    """``fan_in`` or ``fan_out`` of ``tensor``, as ``mode`` says.

    Raises:
        ValueError: ``mode`` is neither.
    """
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"mode {mode} is not supported; use one of {modes}")
    return calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def _xavier_std(tensor, gain):
    return gain * math.sqrt(2.0 / sum(calculate_fan_in_and_fan_out(tensor)))


def _msra_std(tensor, a, mode, nonlinearity):
    fan = calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> None:
    r"""Draws from the uniform distribution on :math:`[-a, a)`, where

    .. math:: a = \mathrm{gain} \sqrt{6 / (\mathrm{fan\_in} + \mathrm{fan\_out})}.
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> None:
    r"""Draws from :math:`N(0, \mathrm{std}^2)`, where

    .. math:: \mathrm{std} = \mathrm{gain} \sqrt{2 / (\mathrm{fan\_in} + \mathrm{fan\_out})}.
    """
    normal_(tensor, 0.0, _xavier_std(tensor, gain))


def msra_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> None:
    r"""Draws from the uniform distribution on :math:`[-b, b)`, where

    .. math:: b = \mathrm{gain} \sqrt{3 / \mathrm{fan}}

    with the gain of ``nonlinearity`` (``a`` is the slope of a leaky ReLU) and the fan that
    ``mode`` names.
    """
    bound = math.sqrt(3.0) * _msra_std(tensor, a, mode, nonlinearity)
    uniform_(tensor, -bound, bound)


def msra_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> None:
    r"""Draws from :math:`N(0, \mathrm{std}^2)`, where

    .. math:: \mathrm{std} = \mathrm{gain} / \sqrt{\mathrm{fan}}

    with the gain of ``nonlinearity`` (``a`` is the slope of a leaky ReLU) and the fan that
    ``mode`` names.
    """
    normal_(tensor, 0.0, _msra_std(tensor, a, mode, nonlinearity))

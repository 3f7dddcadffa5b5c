r"""Normalisation within one sample.

All layers here compute

.. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \, \gamma + \beta

and differ in the elements that share a mean :math:`\mu` and a biased variance :math:`\sigma^2`.
:math:`\gamma` starts from ones and :math:`\beta` from zeros; a state dict holds them with one
dimension.

Example:
    >>> import numpy as np
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> x = mge.Tensor(np.arange(24, dtype="float32").reshape(2, 3, 2, 2))
    >>> for layer in M.LayerNorm((3, 2, 2)), M.GroupNorm(1, 3), M.InstanceNorm(3):
    ...     print(layer(x).numpy().std().round(3))
    1.0
    1.0
    1.0
"""

from collections.abc import Iterable

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from . import init
from .module import Module


class _Norm(Module):
    """The fields and affine parameters that the layers of this file share."""

    _flat_state = True

    def __init__(self, shape, eps, affine, **kwargs):
        super().__init__(**kwargs)
        self.eps = eps
        self.affine = affine
        self.weight = Parameter(np.ones(shape, dtype=np.float32)) if affine else None
        self.bias = Parameter(np.zeros(shape, dtype=np.float32)) if affine else None

    def reset_parameters(self):
        """Sets the weight to ones and the bias to zeros."""
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)


class LayerNorm(_Norm):
    r"""Normalisation over the last axes of the input.

    Source: Ba et al., "Layer normalization" (2016).

    Args:
        normalized_shape: the size of the last axis, or the sizes of the last axes, to normalise.
        eps: :math:`\epsilon`.
        affine: whether there are :math:`\gamma` and :math:`\beta`.

    Parameters:
        ``weight`` and ``bias``, of shape ``normalized_shape``.

    Shape:
        ``(*, *normalized_shape)``; the output has the input's shape.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.LayerNorm(2)(mge.Tensor([[0.0, 2.0]])).numpy().round(3).tolist()
        [[-1.0, 1.0]]
    """

    def __init__(self, normalized_shape, eps=1e-5, affine=True, **kwargs):
        if not isinstance(normalized_shape, Iterable):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(int(size) for size in normalized_shape)
        super().__init__(self.normalized_shape, eps, affine, **kwargs)

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.affine, self.weight, self.bias, self.eps)

    def _module_info_string(self) -> str:
        return f"normalized_shape={self.normalized_shape}, eps={self.eps}, affine={self.affine}"


class GroupNorm(_Norm):
    r"""Normalisation over groups of channels of each sample.

    Source: Wu and He, "Group normalization" (2018).

    Args:
        num_groups: the number of groups.
        num_channels: the number of channels, a multiple of ``num_groups``.
        eps: :math:`\epsilon`.
        affine: whether there are :math:`\gamma` and :math:`\beta`.

    Parameters:
        ``weight`` and ``bias``, of shape ``(num_channels,)``.

    Shape:
        ``(N, num_channels, H, W)``; the output has the input's shape.

    Raises:
        ValueError: ``num_channels`` is not a multiple of ``num_groups``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.GroupNorm(2, 4)(mge.functional.ones((1, 4, 3, 3))).shape
        (1, 4, 3, 3)
    """

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, **kwargs):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels ({num_channels}) must be divisible by num_groups "
                f"({num_groups})"
            )
        super().__init__((num_channels,), eps, affine, **kwargs)
        self.num_groups = num_groups
        self.num_channels = num_channels

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.affine, self.weight, self.bias, self.eps)

    def _module_info_string(self) -> str:
        return (
            f"groups={self.num_groups}, channels={self.num_channels}, eps={self.eps}, "
            f"affine={self.affine}"
        )


class InstanceNorm(_Norm):
    r"""Normalisation of each channel of each sample.

    Source: Ulyanov et al., "Instance normalization" (2016).

    Args:
        num_channels: the number of channels.
        eps: :math:`\epsilon`.
        affine: whether there are :math:`\gamma` and :math:`\beta`.

    Parameters:
        ``weight`` and ``bias``, of shape ``(num_channels,)``.

    Shape:
        ``(N, num_channels, H, W)``; the output has the input's shape.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.InstanceNorm(4)(mge.functional.ones((1, 4, 3, 3))).shape
        (1, 4, 3, 3)
    """

    def __init__(self, num_channels, eps=1e-5, affine=True, **kwargs):
        super().__init__((num_channels,), eps, affine, **kwargs)
        self.num_channels = num_channels

    def forward(self, x):
        return F.instance_norm(x, self.affine, self.weight, self.bias, self.eps)

    def _module_info_string(self) -> str:
        return f"channels={self.num_channels}, eps={self.eps}, affine={self.affine}"

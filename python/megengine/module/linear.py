"""Fully connected layers."""

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from . import init
from .module import Module


class Linear(Module):
    r"""An affine map of the last axis.

    .. math:: y = x W^T + b

    The weight starts from :math:`N(0, 1 / \mathrm{in\_features})`, the bias from zeros.

    Args:
        in_features: the size of the last axis of the input.
        out_features: the size of the last axis of the output.
        bias: whether there is a bias.
        compute_mode: ``"default"`` or ``"float32"``, the precision in which half-precision
            inputs are accumulated.

    Parameters:
        ``weight``: :math:`W`, of shape ``(out_features, in_features)``;
        ``bias``: :math:`b`, of shape ``(out_features,)``, or ``None``.

    Shape:
        ``(*, in_features)`` to ``(*, out_features)``.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> layer = M.Linear(3, 2)
        >>> layer(mge.Tensor(np.ones((5, 3), dtype="float32"))).shape
        (5, 2)
        >>> layer
        Linear(in_features=3, out_features=2, bias=True)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        compute_mode: str = "default",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.out_features = out_features
        self.in_features = in_features
        self.weight = Parameter(np.zeros((out_features, in_features), dtype=np.float32))
        self.bias = Parameter(np.zeros(out_features, dtype=np.float32)) if bias else None
        self.compute_mode = compute_mode
        self.reset_parameters()

    def _get_fanin(self):
        return self.in_features

    def reset_parameters(self) -> None:
        """Draws the weight anew and sets the bias to zeros."""
        init.normal_(self.weight, 0.0, (1.0 / max(self._get_fanin(), 1)) ** 0.5)
        if self.bias is not None:
            init.zeros_(self.bias)

    def calc_linear(self, x, weight, bias):
        """The map with another weight and bias."""
        return F.linear(x, weight, bias, compute_mode=self.compute_mode)

    def forward(self, x):
        return self.calc_linear(x, self.weight, self.bias)

    def _module_info_string(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LinearRelu(Linear):
    r"""A :class:`Linear` followed by :math:`\max(y, 0)`; its arguments are those of ``Linear``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> bool((M.LinearRelu(3, 2)(mge.Tensor([1.0, 2.0, 3.0])).numpy() >= 0).all())
        True
    """

    def forward(self, inp):
        return F.relu(self.calc_linear(inp, self.weight, self.bias))

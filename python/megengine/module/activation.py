r"""Activation functions as layers.

Example:
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> M.Sequential(M.LeakyReLU(0.5), M.ReLU())(mge.Tensor([-2.0, 3.0])).numpy().tolist()
    [0.0, 3.0]
"""

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from .module import Module


class Softmax(Module):
    r"""Exponentials that sum to one along an axis.

    .. math:: y_i = \frac{\exp(x_i)}{\sum_j \exp(x_j)}

    Args:
        axis: the axis of the sum; by default 1 for inputs with 2 or 4 dimensions, else 0.

    Shape:
        any; the output has the input's shape.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.Softmax(axis=1)(mge.Tensor([[1.0, 1.0]])).numpy().tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, axis=None, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def forward(self, inputs):
        return F.softmax(inputs, self.axis)

    def _module_info_string(self) -> str:
        return f"axis={self.axis}"


class Sigmoid(Module):
    r"""The logistic function, elementwise.

    .. math:: y = \frac{1}{1 + \exp(-x)}

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.Sigmoid()(mge.Tensor([0.0])).numpy().tolist()
        [0.5]
    """

    def forward(self, inputs):
        return F.sigmoid(inputs)


class SiLU(Module):
    r"""The sigmoid-weighted linear unit (swish), elementwise.

    .. math:: y = \frac{x}{1 + \exp(-x)}

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.SiLU()(mge.Tensor([0.0])).numpy().tolist()
        [0.0]
    """

    def forward(self, inputs):
        return F.silu(inputs)


class GELU(Module):
    r"""The Gaussian error linear unit, elementwise.

    .. math:: y = x \, \Phi(x) = \frac{x}{2} \left(1 + \mathrm{erf} \frac{x}{\sqrt 2}\right)

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.GELU()(mge.Tensor([0.0])).numpy().tolist()
        [0.0]
    """

    def forward(self, inputs):
        return F.gelu(inputs)


class ReLU(Module):
    r"""The rectified linear unit, elementwise.

    .. math:: y = \max(x, 0)

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.ReLU()(mge.Tensor([-2.0, 3.0])).numpy().tolist()
        [0.0, 3.0]
    """

    def forward(self, x):
        return F.relu(x)


class PReLU(Module):
    r"""The rectified linear unit with a learned slope for negative inputs.

    .. math:: y = \max(x, 0) + a \min(x, 0)

    Source: He et al., "Delving deep into rectifiers" (2015).

    Args:
        num_parameters: the number of slopes: 1 for all channels together, or the number of
            channels.
        init: the value that the slopes start from.

    Parameters:
        ``weight``: :math:`a`, of shape ``(1,)``, or ``(1, num_parameters, 1, 1)`` when there is
        more than one.

    Shape:
        with one slope any shape; else ``(N, num_parameters, H, W)``. The output has the input's
        shape.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.PReLU(init=0.5)(mge.Tensor([-2.0, 3.0])).numpy().tolist()
        [-1.0, 3.0]
        >>> M.PReLU(3).weight.shape
        (1, 3, 1, 1)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, **kwargs):
        super().__init__(**kwargs)
        self.num_parameters = num_parameters
        shape = (1,) if num_parameters == 1 else (1, num_parameters, 1, 1)
        self.weight = Parameter(np.full(shape, init, dtype=np.float32))

    def forward(self, inputs):
        return F.prelu(inputs, self.weight)


class LeakyReLU(Module):
    r"""The rectified linear unit with a fixed slope for negative inputs.

    .. math:: y = \max(x, 0) + \mathrm{negative\_slope} \cdot \min(x, 0)

    Args:
        negative_slope: the slope.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.LeakyReLU(0.5)(mge.Tensor([-2.0, 3.0])).numpy().tolist()
        [-1.0, 3.0]
    """

    def __init__(self, negative_slope: float = 0.01, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def forward(self, inputs):
        return F.leaky_relu(inputs, self.negative_slope)

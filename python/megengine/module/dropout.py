"""Dropout."""

from .. import functional as F
from .module import Module


class Dropout(Module):
    r"""Sets each element to zero with probability :math:`p` in training mode.

    .. math:: y = \frac{m \, x}{1 - p}, \quad m \sim \mathrm{Bernoulli}(1 - p)

    In eval mode :math:`y = x`. Source: Srivastava et al., "Dropout: a simple way to prevent
    neural networks from overfitting" (2014).

    Args:
        drop_prob: :math:`p`, at least 0 and below 1.

    Shape:
        any; the output has the input's shape.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> layer = M.Dropout(0.5)
        >>> layer.eval()
        >>> layer(mge.Tensor([1.0, 2.0])).numpy().tolist()
        [1.0, 2.0]
    """

    def __init__(self, drop_prob=0.0, **kwargs):
        super().__init__(**kwargs)
        self.drop_prob = drop_prob

    def forward(self, inputs):
        return F.dropout(inputs, self.drop_prob, self.training)

    def _module_info_string(self) -> str:
        return f"drop_prob={self.drop_prob}"

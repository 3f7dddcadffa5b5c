"""Losses: how far predictions are from targets.

>>> import megengine as mge
>>> import megengine.functional as F
>>> F.loss.square_loss(mge.tensor([1.0, 2.0]), mge.tensor([0.0, 4.0]))
Tensor(2.5, device=xpux:0)
"""

from .._tengen import (
    binary_cross_entropy,
    cross_entropy,
    ctc_loss,
    hinge_loss,
    l1_loss,
    square_loss,
)

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "ctc_loss",
    "hinge_loss",
    "l1_loss",
    "square_loss",
]

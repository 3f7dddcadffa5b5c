"""Losses: how far predictions are from targets.

>>> import megengine as mge
>>> import megengine.functional as F
>>> F.loss.square_loss(mge.tensor([1.0, 2.0]), mge.tensor([0.0, 4.0]))
Tensor(2.5, device=xpux:0)
"""

from .._tengen import (
    binary_cross_entropy,
    cross_entropy,
    hinge_loss,
    l1_loss,
    square_loss,
)
from ..errors import UnsupportedError


def ctc_loss(pred, pred_lengths, label, label_lengths, blank=0, reduction="mean"):
    """Connectionist temporal classification; not available in this version.

    >>> import megengine.functional as F
    >>> F.loss.ctc_loss(None, None, None, None)
    Traceback (most recent call last):
    megengine.errors.UnsupportedError: ctc_loss is not available in this version
    """
    raise UnsupportedError("ctc_loss is not available in this version")


__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "ctc_loss",
    "hinge_loss",
    "l1_loss",
    "square_loss",
]

"""Measures of predictions."""

from .._tengen import equal, mean, topk
from ..tensor import Tensor


def topk_accuracy(logits: Tensor, target: Tensor, topk=1):
    """The share of rows whose label is among the ``topk`` greatest logits.

    ``logits`` is [n, classes], ``target`` [n]; for several ``topk`` a list is given.

    >>> import megengine as mge
    >>> import megengine.functional as F
    >>> F.metric.topk_accuracy(mge.tensor([[0.1, 0.9], [0.8, 0.2]]), mge.tensor([1, 1]))
    Tensor(0.5, device=xpux:0)
    """
    several = isinstance(topk, (list, tuple))
    counts = list(topk) if several else [topk]
    _, best = _topk(logits, max(counts), descending=True)
    hits = equal(best, target.reshape(-1, 1)).astype("float32")
    results = [mean(hits[:, :k].sum(axis=1)) for k in counts]
    return results if several else results[0]


_topk = topk

__all__ = ["topk_accuracy"]

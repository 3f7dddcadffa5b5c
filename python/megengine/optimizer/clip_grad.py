"""Limits on gradients."""

from collections.abc import Iterable

from .. import functional as F
from ..tensor import Tensor


def _gradients(tensors):
    tensors = [tensors] if isinstance(tensors, Tensor) else tensors
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


def clip_grad_norm(tensors: Tensor | Iterable[Tensor], max_norm: float, ord: float = 2.0) -> Tensor:
    r"""Scales gradients down, in place, so that their norm is at most ``max_norm``.

    .. math:: g \leftarrow g \cdot \min\!\left(1, \frac{\mathrm{max\_norm}}{n + 10^{-6}}\right)

    where :math:`n` is the norm of all gradients together as one vector.

    Args:
        tensors: the tensors whose ``grad`` to limit; those without are left out.
        max_norm: the limit.
        ord: the order of the norm; ``inf`` for the largest magnitude.

    Returns:
        :math:`n`, a tensor without dimensions; 0 when there is no gradient.

    Example:
        >>> import megengine as mge
        >>> from megengine.optimizer import clip_grad_norm
        >>> w = mge.Parameter([0.0, 0.0])
        >>> w.grad = mge.Tensor([3.0, 4.0])
        >>> clip_grad_norm([w], 1.0).numpy().tolist()
        5.0
        >>> print(w.grad.numpy().round(3))
        [0.6 0.8]
    """
    gradients = _gradients(tensors)
    if not gradients:
        return Tensor(0.0)
    norms = [F.norm(grad.flatten(), ord).reshape(1) for grad in gradients]
    norm = F.norm(F.concat(norms), ord)
    scale = F.minimum(max_norm / (norm + 1e-6), 1.0)
    for grad in gradients:
        grad._reset((grad * scale).astype(grad.dtype))
    return norm


def clip_grad_value(tensors: Tensor | Iterable[Tensor], lower: float, upper: float) -> None:
    r"""Limits every element of the gradients, in place.

    .. math:: g \leftarrow \min(\max(g, \mathrm{lower}), \mathrm{upper})

    Args:
        tensors: the tensors whose ``grad`` to limit; those without are left out.
        lower: the least value.
        upper: the greatest value.

    Example:
        >>> import megengine as mge
        >>> from megengine.optimizer import clip_grad_value
        >>> w = mge.Parameter([0.0, 0.0])
        >>> w.grad = mge.Tensor([-3.0, 0.5])
        >>> clip_grad_value([w], -1.0, 1.0)
        >>> w.grad.numpy().tolist()
        [-1.0, 0.5]
    """
    for grad in _gradients(tensors):
        grad._reset(F.clip(grad, lower, upper))

"""Adam with decoupled weight decay."""

from collections.abc import Iterable

from ..tensor import Parameter
from .adam import Adam


class AdamW(Adam):
    r"""Adam whose weight decay does not pass through the moments.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) \nabla_\theta \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) \nabla_\theta^2 \\
        \theta &\leftarrow \theta - \mathrm{lr} \left(
            \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
            + \lambda \theta \right)

    in step :math:`t`. Source: Loshchilov and Hutter, "Decoupled weight decay regularization"
    (2017).

    Args:
        params: the parameters, or dicts of groups of them; see :class:`Optimizer`.
        lr: the learning rate.
        betas: :math:`\beta_1` and :math:`\beta_2`, at least 0 and below 1.
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> import megengine as mge
        >>> from megengine.autodiff import GradManager
        >>> from megengine.optimizer import AdamW
        >>> w = mge.Parameter([2.0])
        >>> gm, optimizer = GradManager().attach([w]), AdamW([w], lr=0.5, weight_decay=0.1)
        >>> with gm:
        ...     gm.backward((w * w).sum())
        >>> _ = optimizer.step()
        >>> print(w.numpy().round(4))
        [1.4]
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter] | dict,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)

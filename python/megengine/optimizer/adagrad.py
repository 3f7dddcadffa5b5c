"""Adagrad."""

from collections.abc import Iterable

from ..tensor import Parameter
from .optimizer import Optimizer, _assign, _require, _wide


class Adagrad(Optimizer):
    r"""Steps that shrink as squared gradients add up.

    .. math::

        g &= \nabla_\theta + \lambda \theta \\
        s &\leftarrow s + g^2 \\
        \theta &\leftarrow \theta - \frac{\mathrm{lr}}{1 + (t - 1) \, \mathrm{lr\_decay}} \,
            \frac{g}{\sqrt{s + \epsilon}}

    in step :math:`t`. Source: Duchi et al., "Adaptive subgradient methods" (2011).

    Args:
        params: the parameters, or dicts of groups of them; see :class:`Optimizer`.
        lr: the learning rate.
        lr_decay: by how much of itself the learning rate's divisor grows per step.
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`.

    Raises:
        ValueError: a setting is negative.

    Example:
        >>> import megengine as mge
        >>> from megengine.autodiff import GradManager
        >>> from megengine.optimizer import Adagrad
        >>> w = mge.Parameter([2.0])
        >>> gm, optimizer = GradManager().attach([w]), Adagrad([w], lr=0.5)
        >>> with gm:
        ...     gm.backward((w * w).sum())
        >>> _ = optimizer.step()
        >>> print(w.numpy().round(4))
        [1.5]
    """

    def __init__(
        self,
        params: Iterable[Parameter] | dict,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ):
        _require(lr >= 0.0, "learning rate", lr)
        _require(lr_decay >= 0.0, "lr_decay", lr_decay)
        _require(eps >= 0.0, "eps", eps)
        _require(weight_decay >= 0.0, "weight_decay", weight_decay)
        defaults = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def _create_state(self, param_group):
        for param in param_group["params"]:
            self._add_state(param, "square_avg")
            self._state[param]["step"] = 0.0

    def _updates(self, param_group):
        for param in param_group["params"]:
            if param.grad is None:
                continue
            state, value = self._state[param], _wide(param.detach())
            rate = param_group["lr"] / (1 + state["step"] * param_group["lr_decay"])
            state["step"] += 1.0
            grad = _wide(param.grad.detach()) + param_group["weight_decay"] * value
            total = state["square_avg"] + grad * grad
            _assign(state["square_avg"], total)
            _assign(param, value - rate * grad / (total + param_group["eps"]) ** 0.5)

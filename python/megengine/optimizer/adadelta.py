"""Adadelta."""

from collections.abc import Iterable

from ..tensor import Parameter
from .optimizer import Optimizer, _assign, _require, _wide


class Adadelta(Optimizer):
    r"""Steps scaled by the running size of steps over that of gradients.

    .. math::

        g &= \nabla_\theta + \lambda \theta \\
        s &\leftarrow \rho s + (1 - \rho) g^2 \\
        \Delta &= \sqrt{\frac{d + \epsilon}{s + \epsilon}} \, g \\
        d &\leftarrow \rho d + (1 - \rho) \Delta^2 \\
        \theta &\leftarrow \theta - \mathrm{lr} \cdot \Delta

    Source: Zeiler, "ADADELTA: an adaptive learning rate method" (2012).

    Args:
        params: the parameters, or dicts of groups of them; see :class:`Optimizer`.
        lr: the learning rate.
        rho: :math:`\rho`, from 0 to 1.
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> import megengine as mge
        >>> from megengine.autodiff import GradManager
        >>> from megengine.optimizer import Adadelta
        >>> w = mge.Parameter([2.0])
        >>> gm, optimizer = GradManager().attach([w]), Adadelta([w], rho=0.0, eps=1.0)
        >>> with gm:
        ...     gm.backward((w * w).sum())
        >>> _ = optimizer.step()
        >>> print(w.numpy().round(4))
        [1.0299]
    """

    def __init__(
        self,
        params: Iterable[Parameter] | dict,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        _require(lr >= 0.0, "learning rate", lr)
        _require(0.0 <= rho <= 1.0, "rho", rho)
        _require(eps >= 0.0, "eps", eps)
        _require(weight_decay >= 0.0, "weight_decay", weight_decay)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    def _create_state(self, param_group):
        for param in param_group["params"]:
            self._add_state(param, "square_avg")
            self._add_state(param, "acc_delta")
            self._state[param]["step"] = 0.0

    def _updates(self, param_group):
        rho, eps = param_group["rho"], param_group["eps"]
        for param in param_group["params"]:
            if param.grad is None:
                continue
            state, value = self._state[param], _wide(param.detach())
            state["step"] += 1.0
            grad = _wide(param.grad.detach()) + param_group["weight_decay"] * value
            squares = rho * state["square_avg"] + (1 - rho) * grad * grad
            delta = ((state["acc_delta"] + eps) / (squares + eps)) ** 0.5 * grad
            _assign(state["square_avg"], squares)
            _assign(state["acc_delta"], rho * state["acc_delta"] + (1 - rho) * delta * delta)
            _assign(param, value - param_group["lr"] * delta)

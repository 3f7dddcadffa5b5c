"""LAMB."""

from collections.abc import Iterable

from ..tensor import Parameter
from .optimizer import Optimizer, _assign, _require, _wide


def _norm(tensor):
    return float((tensor * tensor).sum() ** 0.5)


class LAMB(Optimizer):
    r"""Adam whose steps are scaled, tensor by tensor, to the size of the parameter.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) \nabla_\theta \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) \nabla_\theta^2 \\
        r &= \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda \theta \\
        \theta &\leftarrow \theta - \mathrm{lr} \,
            \frac{\lVert \theta \rVert_2}{\lVert r \rVert_2} \, r

    in step :math:`t`. The ratio of norms is 1 where either norm is 0, and where there is no weight
    decay unless ``always_adapt``. Source: You et al., "Large batch optimization for deep
    learning" (2019).

    Args:
        params: the parameters, or dicts of groups of them; see :class:`Optimizer`.
        lr: the learning rate.
        betas: :math:`\beta_1` and :math:`\beta_2`, at least 0 and below 1.
        eps: :math:`\epsilon`.
        bias_correction: whether :math:`m` and :math:`v` are divided by :math:`1 - \beta^t`.
        weight_decay: :math:`\lambda`.
        always_adapt: whether steps are scaled without weight decay too.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> import megengine as mge
        >>> from megengine.autodiff import GradManager
        >>> from megengine.optimizer import LAMB
        >>> w = mge.Parameter([2.0])
        >>> gm, optimizer = GradManager().attach([w]), LAMB([w], lr=0.5, always_adapt=True)
        >>> with gm:
        ...     gm.backward((w * w).sum())
        >>> _ = optimizer.step()
        >>> print(w.numpy().round(4))
        [1.]
    """

    def __init__(
        self,
        params: Iterable[Parameter] | dict,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        bias_correction: bool = True,
        weight_decay: float = 0.0,
        always_adapt: bool = False,
    ):
        _require(lr >= 0.0, "learning rate", lr)
        _require(eps >= 0.0, "eps", eps)
        _require(weight_decay >= 0.0, "weight_decay", weight_decay)
        for i in range(2):
            _require(0.0 <= betas[i] < 1.0, f"beta at index {i}", betas[i])
        self.bias_correction = bias_correction
        self.always_adapt = always_adapt
        defaults = {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps}
        super().__init__(params, defaults)

    def _create_state(self, param_group):
        for param in param_group["params"]:
            self._add_state(param, "exp_avg")
            self._add_state(param, "exp_avg_sq")
            self._state[param]["step"] = 0.0

    def _updates(self, param_group):
        beta1, beta2 = param_group["betas"]
        decay = param_group["weight_decay"]
        for param in param_group["params"]:
            if param.grad is None:
                continue
            state = self._state[param]
            value, grad = _wide(param.detach()), _wide(param.grad.detach())
            state["step"] += 1.0
            mean = beta1 * state["exp_avg"] + (1 - beta1) * grad
            square = beta2 * state["exp_avg_sq"] + (1 - beta2) * grad * grad
            _assign(state["exp_avg"], mean)
            _assign(state["exp_avg_sq"], square)
            if self.bias_correction:
                mean = mean / (1 - beta1 ** state["step"])
                square = square / (1 - beta2 ** state["step"])
            update = mean / (square**0.5 + param_group["eps"]) + decay * value
            rate = param_group["lr"]
            if self.always_adapt or decay > 0:
                norm, update_norm = _norm(value), _norm(update)
                if norm > 0 and update_norm > 0:
                    rate *= norm / update_norm
            _assign(param, value - rate * update)

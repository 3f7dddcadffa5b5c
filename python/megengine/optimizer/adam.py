"""Adam."""

from collections.abc import Iterable

from .. import _tengen
from ..tensor import Parameter
from .optimizer import Optimizer, _require


class Adam(Optimizer):
    r"""Steps by the ratio of running moments of the gradient.

    .. math::

        g &= \nabla_\theta + \lambda \theta \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \theta &\leftarrow \theta - \mathrm{lr} \,
            \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    in step :math:`t`. Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2014).

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
        >>> from megengine.optimizer import Adam
        >>> w = mge.Parameter([2.0])
        >>> gm, optimizer = GradManager().attach([w]), Adam([w], lr=0.5)
        >>> with gm:
        ...     gm.backward((w * w).sum())
        >>> _ = optimizer.step()
        >>> print(w.numpy().round(4))
        [1.5]
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Parameter] | dict,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        _require(lr >= 0.0, "learning rate", lr)
        _require(eps >= 0.0, "eps", eps)
        _require(weight_decay >= 0.0, "weight_decay", weight_decay)
        for i in range(2):
            _require(0.0 <= betas[i] < 1.0, f"beta at index {i}", betas[i])
        defaults = {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps}
        super().__init__(params, defaults)

    def _create_state(self, param_group):
        for param in param_group["params"]:
            self._add_state(param, "exp_avg")
            self._add_state(param, "exp_avg_sq")
            self._state[param]["step"] = 0.0

    def _updates(self, param_group):
        lr, eps = param_group["lr"], param_group["eps"]
        weight_decay = param_group["weight_decay"]
        beta1, beta2 = param_group["betas"]
        for param in param_group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self._state[param]
            state["step"] += 1.0
            _tengen.adam_step(
                param,
                grad,
                state["exp_avg"],
                state["exp_avg_sq"],
                state["step"],
                lr,
                beta1,
                beta2,
                eps,
                weight_decay,
                self._decoupled,
            )

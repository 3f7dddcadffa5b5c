"""Stochastic gradient descent."""

from collections.abc import Iterable

from .. import _tengen
from ..tensor import Parameter
from .optimizer import Optimizer, _require


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum or Nesterov momentum if wanted.

    .. math::

        g &= \nabla_\theta + \lambda \theta \\
        v &\leftarrow \mathrm{momentum} \cdot v + g \\
        \theta &\leftarrow \theta - \mathrm{lr} \cdot
            \begin{cases} g + \mathrm{momentum} \cdot v & \text{nesterov} \\ v & \text{else}
            \end{cases}

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning"
    (2013).

    Args:
        params: the parameters, or dicts of groups of them; see :class:`Optimizer`.
        lr: the learning rate.
        momentum: the momentum; 0 for none.
        nesterov: whether the momentum is Nesterov's.
        weight_decay: :math:`\lambda`.

    Raises:
        ValueError: a setting is negative, or ``nesterov`` is set without momentum.

    Example:
        >>> import megengine as mge
        >>> from megengine.autodiff import GradManager
        >>> from megengine.optimizer import SGD
        >>> w = mge.Parameter([2.0])
        >>> gm, optimizer = GradManager().attach([w]), SGD([w], lr=0.25)
        >>> for _ in range(3):
        ...     with gm:
        ...         gm.backward((w * w).sum())
        ...     _ = optimizer.step().clear_grad()
        >>> w.numpy().tolist()
        [0.25]
    """

    def __init__(
        self,
        params: Iterable[Parameter] | dict,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        _require(lr >= 0.0, "learning rate", lr)
        _require(momentum >= 0.0, "momentum", momentum)
        _require(weight_decay >= 0.0, "weight_decay", weight_decay)
        _require(momentum > 0.0 or not nesterov, "momentum for nesterov=True", momentum)
        self.nesterov = nesterov
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _create_state(self, param_group):
        if param_group["momentum"] != 0.0:
            for param in param_group["params"]:
                self._add_state(param, "momentum_buffer")

    def _updates(self, param_group):
        lr, momentum = param_group["lr"], param_group["momentum"]
        weight_decay = param_group["weight_decay"]
        for param in param_group["params"]:
            grad = param.grad
            if grad is None:
                continue
            velocity = None
            if momentum != 0.0:
                if param not in self._state:
                    self._add_state(param, "momentum_buffer")
                velocity = self._state[param]["momentum_buffer"]
            _tengen.sgd_step(param, grad, velocity, lr, momentum, self.nesterov, weight_decay)

"""Learning rates that fall at milestones."""

from bisect import bisect_right
from collections.abc import Iterable

from .lr_scheduler import LRScheduler
from .optimizer import Optimizer


class MultiStepLR(LRScheduler):
    r"""Multiplies the learning rates by a factor at each milestone.

    .. math:: \mathrm{lr} = \mathrm{initial\_lr} \cdot \gamma^{k}

    where :math:`k` milestones are at or before the current epoch.

    Args:
        optimizer: the optimizer.
        milestones: epochs, in increasing order.
        gamma: :math:`\gamma`.
        current_epoch: the epoch to go on from; -1 to begin.

    Raises:
        ValueError: the milestones do not increase.

    Example:
        >>> import megengine as mge
        >>> from megengine.optimizer import MultiStepLR, SGD
        >>> optimizer = SGD([mge.Parameter([1.0])], lr=1.0)
        >>> schedule = MultiStepLR(optimizer, [1, 3], gamma=0.5)
        >>> for _ in range(3):
        ...     schedule.step()
        ...     print(optimizer.param_groups[0]["lr"])
        0.5
        0.5
        0.25
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        current_epoch: int = -1,
    ):
        milestones = list(milestones)
        if milestones != sorted(milestones):
            raise ValueError(f"milestones must increase, got {milestones}")
        self.milestones = milestones
        self.gamma = gamma
        super().__init__(optimizer, current_epoch)

    def get_lr(self):
        """The learning rate of each group in ``current_epoch``."""
        factor = self.gamma ** bisect_right(self.milestones, self.current_epoch)
        return [lr * factor for lr in self.base_lrs]

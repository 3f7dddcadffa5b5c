"""``LRScheduler``, the base class of learning-rate schedules."""

from .optimizer import Optimizer


class LRScheduler:
    """Sets the learning rates of an optimizer, epoch by epoch.

    A subclass writes :meth:`get_lr`. A learning rate that a group has when its first schedule
    begins is kept in the group under ``initial_lr``.

    Args:
        optimizer: the optimizer.
        current_epoch: the epoch to go on from; -1 to begin.

    Attributes:
        ``optimizer``, ``current_epoch``, and ``base_lrs``, the groups' initial learning rates.

    Raises:
        TypeError: ``optimizer`` is not an :class:`Optimizer`.
        KeyError: a schedule goes on, and a group has no ``initial_lr``.

    Example:
        >>> import megengine as mge
        >>> from megengine.optimizer import LRScheduler, SGD
        >>> class Halving(LRScheduler):
        ...     def get_lr(self):
        ...         return [lr * 0.5**self.current_epoch for lr in self.base_lrs]
        >>> optimizer = SGD([mge.Parameter([1.0])], lr=1.0)
        >>> schedule = Halving(optimizer)
        >>> schedule.step()
        >>> optimizer.param_groups[0]["lr"]
        0.5
    """

    def __init__(self, optimizer: Optimizer, current_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a schedule needs an Optimizer, got {type(optimizer)}")
        for i, group in enumerate(optimizer.param_groups):
            if current_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"group {i} has no 'initial_lr', which a schedule needs to go on")
        self.optimizer = optimizer
        self.current_epoch = current_epoch
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def get_lr(self):
        """The learning rate of each group in ``current_epoch``; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def step(self, epoch=None):
        """Goes on to the next epoch, or to ``epoch``, and sets the learning rates."""
        self.current_epoch = self.current_epoch + 1 if epoch is None else epoch
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def state_dict(self):
        """The attributes of the schedule, but for the optimizer and its initial rates."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("optimizer", "base_lrs")
        }

    def load_state_dict(self, state_dict):
        """Restores what :meth:`state_dict` gave; the learning rates follow with the next step.

        Raises:
            KeyError: an attribute is missing; nothing is changed.
        """
        vars(self).update({name: state_dict[name] for name in self.state_dict()})

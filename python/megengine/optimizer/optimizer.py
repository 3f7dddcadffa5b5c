"""``Optimizer``, the base class of every optimizer."""

from collections.abc import Iterable

import numpy as np

from ..tensor import Parameter, Tensor

# Keys of a parameter group that do not belong to the settings of the optimizer.
_NOT_SETTINGS = frozenset(("params", "initial_lr"))


class Optimizer:
    """Updates parameters by their gradients.

    A subclass passes the defaults of its settings to this constructor, creates the state of a
    group's parameters in ``_create_state(param_group)`` by ``_add_state``, and changes the
    parameters of a group in ``_updates(param_group)``. Parameters without a gradient are to be
    left alone.

    Args:
        params: a parameter, an iterable of parameters, or an iterable of dicts. A dict is a group:
            it has the key ``params`` and any settings that differ from the defaults.
        defaults: the settings of groups that do not give their own.

    Attributes:
        ``param_groups``: the list of groups. Settings may be changed there at any time.

    Raises:
        TypeError: ``params`` holds something other than parameters.
        ValueError: ``params`` is empty.
    """

    def __init__(self, params: Iterable[Parameter] | dict, defaults: dict):
        self._state = {}
        self._defaults = defaults
        self.param_groups = []
        if isinstance(params, (Parameter, dict)):
            params = [params]
        elif isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise TypeError(
                f"params must be a Parameter, a dict or an iterable of them, got {type(params)}"
            )
        params = list(params)
        if not params:
            raise ValueError("the optimizer got an empty parameter list")
        groups = sum(isinstance(item, dict) for item in params)
        if groups not in (0, len(params)):
            raise TypeError("params must hold either parameters or dicts, not both")
        for group in params if groups else [{"params": params}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict):
        """Adds a group of parameters to update.

        Args:
            param_group: a dict with the key ``params`` and any settings of the group's own.

        Raises:
            TypeError: it is not a dict, or ``params`` holds something other than parameters.
            ValueError: a parameter is in another group already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group must be a dict, got {type(param_group)}")
        params = param_group["params"]
        params = [params] if isinstance(params, Parameter) else list(params)
        for param in params:
            if not isinstance(param, Parameter):
                raise TypeError(f"an optimizer can only optimize Parameters, got {type(param)}")
        known = {id(param) for param in self._get_params()}
        if any(id(param) in known for param in params):
            raise ValueError("a parameter appears in more than one parameter group")
        group = {**param_group, "params": params}
        for name, value in self._defaults.items():
            group.setdefault(name, value)
        self.param_groups.append(group)
        self._create_state(group)

    def _get_params(self):
        return [param for group in self.param_groups for param in group["params"]]

    def _add_state(self, param, state_name, initializer=None):
        """Gives ``param`` a state: a tensor of ``initializer``, or zeros of its shape."""
        value = np.zeros(param.shape) if initializer is None else np.asarray(initializer)
        self._state.setdefault(param, {})[state_name] = Tensor(
            value.astype(np.float32), device=param.device
        )

    def _create_state(self, param_group):
        raise NotImplementedError(f"{type(self).__name__} does not define _create_state")

    def _updates(self, param_group):
        raise NotImplementedError(f"{type(self).__name__} does not define _updates")

    def step(self):
        """Updates every parameter that has a gradient, and returns the optimizer."""
        for group in self.param_groups:
            self._updates(group)
        return self

    def clear_grad(self):
        """Sets every gradient to ``None``, and returns the optimizer."""
        for param in self._get_params():
            param.grad = None

    def zero_grad(self):
        """Sets every gradient that exists to zeros."""
        for param in self._get_params():
            if param.grad is not None:
                param.grad.reset_zero()

    def backward(self, loss):
        """Not supported: gradients come from :class:`~.GradManager`."""
        raise NotImplementedError("use autodiff.GradManager instead")

    def bcast_param(self):
        """Not supported: there is one process."""
        raise NotImplementedError("distributed training is not supported")

    def state_dict(self, keep_var=False) -> dict:
        """The settings and state of the optimizer.

        Args:
            keep_var: give tensors instead of NumPy arrays.

        Returns:
            a dict with ``param_groups``, whose groups hold numbers in place of parameters, and
            ``state``, a dict from these numbers to dicts of named arrays.
        """

        def exported(value):
            if isinstance(value, float):
                value = Tensor(np.float32(value))
            return value if keep_var else value.numpy()

        numbers = {id(param): i for i, param in enumerate(self._get_params())}
        groups = []
        for group in self.param_groups:
            saved = {name: value for name, value in group.items() if name != "params"}
            saved["params"] = [numbers[id(param)] for param in group["params"]]
            groups.append(saved)
        state = {
            numbers[id(param)]: {name: exported(value) for name, value in values.items()}
            for param, values in self._state.items()
        }
        return {"param_groups": groups, "state": state}

    def load_state_dict(self, state: dict):
        """Restores what :meth:`state_dict` gave.

        Everything is checked before anything is written: an error leaves the optimizer as it was.

        Raises:
            ValueError: the groups, their settings, or the names or shapes of the state differ.
        """
        saved_groups = state["param_groups"]
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                f"the state dict has {len(saved_groups)} parameter groups, the optimizer "
                f"{len(self.param_groups)}"
            )
        numbers = []
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(saved["params"]) != len(group["params"]):
                raise ValueError(
                    f"group {i} of the state dict has {len(saved['params'])} parameters, that of "
                    f"the optimizer {len(group['params'])}"
                )
            difference = (set(saved) ^ set(group)) - _NOT_SETTINGS
            if difference:
                raise ValueError(
                    f"group {i} of the state dict and of the optimizer differ in the settings "
                    f"{sorted(difference)}"
                )
            numbers += saved["params"]
        loaded = {}
        for number, param in zip(numbers, self._get_params(), strict=True):
            values = self._checked_state(number, param, state["state"].get(number, {}))
            if values:
                loaded[param] = values
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            group.update((name, value) for name, value in saved.items() if name != "params")
        self._state = loaded

    def _checked_state(self, number, param, saved):
        own = self._state.get(param, {})
        missing = sorted(set(own) - set(saved))
        if missing:
            raise ValueError(f"the state dict has no {missing} for parameter {number}")
        values = {}
        for name, value in saved.items():
            value = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
            if isinstance(own.get(name), float):
                values[name] = float(value)
                continue
            shape = tuple(own.get(name, param).shape)
            if value.shape != shape:
                raise ValueError(
                    f"the state {name!r} of parameter {number} has shape {value.shape} in the "
                    f"state dict, {shape} in the optimizer"
                )
            values[name] = Tensor(value, device=param.device)
        return values


def _wide(tensor):
    """``tensor`` in the dtype that steps are computed in: float32 for half precision."""
    return tensor if str(tensor.dtype) in ("float32", "float64") else tensor.astype("float32")


def _assign(tensor, value):
    """Replaces the value of ``tensor``, whose dtype and device stay."""
    tensor._reset(value.astype(tensor.dtype).to(tensor.device))


def _require(condition, name, value):
    if not condition:
        raise ValueError(f"invalid {name}: {value}")

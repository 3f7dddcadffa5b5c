"""``Module``, the base class of every layer and network."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..tensor import Parameter, Tensor
from ..utils.hook import HookHandler
from ._tree import checked, dotted, replaced

_HOOKS = frozenset(("_forward_pre_hooks", "_forward_hooks"))


def _leaves(value, path):
    """Yields ``(path, object)`` for every tensor and module in nested containers."""
    if isinstance(value, (Tensor, Module)):
        yield path, value
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _leaves(value[key], (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))


class Module:
    r"""A function with parameters, buffers and submodules.

    A subclass assigns them as attributes and writes :meth:`forward`. A :class:`~.Parameter` is
    trained; any other :class:`~.Tensor` is a buffer, which is saved but not trained. Lists,
    tuples and dicts of tensors and modules nest to any depth. Whatever is in the attributes at
    the time of a call is what the call sees.

    Every traversal visits attribute names in sorted order, and each module once. Names join
    attribute names, list indices and dict keys by dots: ``head.0.weight``.

    The traversals take these keyword arguments:

    * ``prefix``: a name to put in front of every name, followed by a dot;
    * ``with_parent``: also give the module that holds the object;
    * ``seen``: a set of ``id``\ s of objects to leave out, to which visited ones are added.

    Args:
        name: a name for the module, kept in ``name``.

    Example:
        >>> import megengine as mge
        >>> import megengine.functional as F
        >>> import megengine.module as M
        >>> class Net(M.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layers = [M.Linear(4, 3), M.Linear(3, 2)]
        ...         self.scale = mge.Parameter([2.0])
        ...
        ...     def forward(self, x):
        ...         for layer in self.layers:
        ...             x = F.relu(layer(x))
        ...         return x * self.scale
        >>> net = Net()
        >>> net(mge.Tensor([[1.0, 2.0, 3.0, 4.0]])).shape
        (1, 2)
        >>> [name for name, _ in net.named_parameters()]
        ['layers.0.bias', 'layers.0.weight', 'layers.1.bias', 'layers.1.weight', 'scale']
    """

    # Whether a state dict holds this module's own tensors with one dimension.
    _flat_state = False

    def __init__(self, name=None):
        self.name = name
        self.training = True
        self.quantize_disabled = False
        self._forward_pre_hooks = OrderedDict()
        self._forward_hooks = OrderedDict()

    def forward(self, *inputs, **kwargs):
        """The computation of the module; subclasses write it, and calling the module runs it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *inputs, **kwargs):
        if self._forward_pre_hooks or self._forward_hooks:
            return self._call_with_hooks(inputs, kwargs)
        return self.forward(*inputs, **kwargs)

    def _call_with_hooks(self, inputs, kwargs):
        for hook in tuple(self._forward_pre_hooks.values()):
            changed = hook(self, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        outputs = self.forward(*inputs, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, inputs, outputs)
            if changed is not None:
                outputs = changed
        return outputs

    def register_forward_pre_hook(self, hook: Callable) -> HookHandler:
        """Calls ``hook(module, inputs)`` before every :meth:`forward`.

        ``inputs`` is the tuple of positional arguments. If the hook returns something other than
        ``None``, that replaces it; a value that is not a tuple becomes the only argument.

        Returns:
            a handle whose ``remove()`` unregisters the hook.
        """
        return HookHandler(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable) -> HookHandler:
        """Calls ``hook(module, inputs, outputs)`` after every :meth:`forward`.

        If the hook returns something other than ``None``, that replaces the outputs.

        Returns:
            a handle whose ``remove()`` unregisters the hook.

        Example:
            >>> import megengine as mge
            >>> import megengine.module as M
            >>> layer = M.ReLU()
            >>> handle = layer.register_forward_hook(lambda module, inputs, out: print(out.shape))
            >>> _ = layer(mge.Tensor([-1.0, 2.0]))
            (2,)
            >>> handle.remove()
        """
        return HookHandler(self._forward_hooks, hook)

    # ---- the walk, and the traversals that filter it

    def _walk(self, seen, recursive=True, path=(), held=None) -> Iterator:
        """Yields ``(path, object, owner)``, depth first, each object once.

        ``path`` is a tuple of attribute names, indices and keys from the root to the object.
        ``held`` keeps what was visited while the walk is under way: an object could get the id of
        one that the caller has replaced and that is gone.
        """
        held = [] if held is None else held
        seen.add(id(self))
        attributes = vars(self)
        for name in sorted(attributes):
            if name in _HOOKS:
                continue
            # The caller may delete attributes while the walk is under way.
            for inner, item in _leaves(attributes.get(name), (name,)):
                if id(item) in seen:
                    continue
                seen.add(id(item))
                held.append(item)
                inner = path + inner
                yield inner, item, self
                if recursive and isinstance(item, Module):
                    yield from item._walk(seen, True, inner, held)

    def _named(self, kind, prefix=None, recursive=True, with_parent=False, seen=None):
        start = (prefix,) if prefix else ()
        for path, item, owner in self._walk(set() if seen is None else seen, recursive):
            if kind(item):
                name = dotted(start + path)
                yield (name, item, owner) if with_parent else (name, item)

    def _unnamed(self, kind, with_parent=False, **kwargs):
        for _, item, owner in self._named(kind, with_parent=True, **kwargs):
            yield (item, owner) if with_parent else item

    def tensors(self, recursive: bool = True, **kwargs) -> Iterable[Tensor]:
        """Iterates over the parameters and buffers, of submodules too if ``recursive``."""
        return self._unnamed(_is_tensor, recursive=recursive, **kwargs)

    def named_tensors(
        self, prefix: str | None = None, recursive: bool = True, **kwargs
    ) -> Iterable[tuple[str, Tensor]]:
        """Iterates over ``(name, tensor)`` for the parameters and buffers."""
        return self._named(_is_tensor, prefix, recursive, **kwargs)

    def parameters(self, recursive: bool = True, **kwargs) -> Iterable[Parameter]:
        """Iterates over the parameters, of submodules too if ``recursive``."""
        return self._unnamed(_is_parameter, recursive=recursive, **kwargs)

    def named_parameters(
        self, prefix: str | None = None, recursive: bool = True, **kwargs
    ) -> Iterable[tuple[str, Parameter]]:
        """Iterates over ``(name, parameter)``."""
        return self._named(_is_parameter, prefix, recursive, **kwargs)

    def buffers(self, recursive: bool = True, **kwargs) -> Iterable[Tensor]:
        """Iterates over the tensors that are not parameters."""
        return self._unnamed(_is_buffer, recursive=recursive, **kwargs)

    def named_buffers(
        self, prefix: str | None = None, recursive: bool = True, **kwargs
    ) -> Iterable[tuple[str, Tensor]]:
        """Iterates over ``(name, buffer)``."""
        return self._named(_is_buffer, prefix, recursive, **kwargs)

    def children(self, **kwargs) -> Iterable["Module"]:
        """Iterates over the modules held directly by this one."""
        return self._unnamed(_is_module, recursive=False, **kwargs)

    def named_children(self, **kwargs) -> Iterable[tuple[str, "Module"]]:
        """Iterates over ``(name, module)`` for the modules held directly by this one."""
        return self._named(_is_module, recursive=False, **kwargs)

    def modules(self, **kwargs) -> Iterable["Module"]:
        """Iterates over this module and all that it contains."""
        yield (self, None) if kwargs.get("with_parent") else self
        yield from self._unnamed(_is_module, **kwargs)

    def named_modules(self, prefix: str | None = None, **kwargs) -> Iterable[tuple[str, "Module"]]:
        """Iterates over ``(name, module)`` for this module, named ``prefix``, and its content."""
        root = (prefix or "", self)
        yield (*root, None) if kwargs.get("with_parent") else root
        yield from self._named(_is_module, prefix, **kwargs)

    def apply(self, fn: Callable[["Module"], object]) -> None:
        """Calls ``fn`` with this module and then with every module that it contains."""
        for module in self.modules():
            fn(module)

    def __repr__(self):
        info = self._module_info_string()
        lines = info.splitlines()
        for name, value in vars(self).items():
            if name not in _HOOKS:
                for path, item in _leaves(value, (name,)):
                    if isinstance(item, Module):
                        lines += f"({dotted(path)}): {item!r}".splitlines()
        if lines in ([], [info]):
            return f"{type(self).__name__}({info})"
        return "\n  ".join([f"{type(self).__name__}(", *lines]) + "\n)"

    def _module_info_string(self) -> str:
        """What :meth:`__repr__` prints between the parentheses; subclasses may override it."""
        return ""

    # ---- modes and gradients

    def train(self, mode: bool = True, recursive: bool = True) -> None:
        """Sets ``training`` to ``mode``, in all contained modules too if ``recursive``."""
        self.training = mode
        if recursive:
            for module in self.modules():
                if module is not self:
                    module.train(mode, recursive=False)

    def eval(self) -> None:
        """Sets ``training`` to ``False`` here and in all contained modules."""
        self.train(False)

    def disable_quantize(self, value=True):
        """Sets ``quantize_disabled`` to ``value`` here and in all contained modules."""
        for module in self.modules():
            module.quantize_disabled = value

    def zero_grad(self) -> None:
        """Sets every gradient that exists to zeros."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.reset_zero()

    def replace_param(self, params: dict, start_pos: int, seen: set | None = None) -> int:
        """Puts ``params[start_pos + i]`` in place of the ``i``-th of :meth:`parameters`.

        Positions that ``params`` lacks keep their parameter.

        Returns:
            the number of parameters.

        Raises:
            ValueError: a parameter and its replacement differ in shape; nothing is replaced.
        """
        found = [
            (path, item)
            for path, item, _ in self._walk(set() if seen is None else seen)
            if _is_parameter(item)
        ]
        chosen = [
            (path, item, params[start_pos + i])
            for i, (path, item) in enumerate(found)
            if start_pos + i in params
        ]
        for path, old, new in chosen:
            if tuple(old.shape) != tuple(new.shape):
                raise ValueError(
                    f"replace_param: `{dotted(path)}` has shape {tuple(old.shape)}, "
                    f"its replacement {tuple(new.shape)}"
                )
        for path, _, new in chosen:
            self._put(path, new)
        return len(found)

    def _put(self, path, value):
        """Puts ``value`` where :meth:`_walk` found ``path``."""
        owner = self
        for end in range(1, len(path)):
            item = vars(owner)[path[0]]
            for key in path[1:end]:
                item = item[key]
            if isinstance(item, Module):
                return item._put(path[end:], value)
        setattr(self, path[0], replaced(vars(self).get(path[0]), path[1:], value))

    # ---- state

    def _named_state(self):
        """Yields ``(key, tensor, owner)`` for what a state dict holds, in its order."""
        for prefix, module in self.named_modules():
            yield from module.named_tensors(prefix, recursive=False, with_parent=True)

    def state_dict(self, rst=None, prefix="", keep_var=False) -> OrderedDict:
        """Copies the parameters and buffers into an ordered dict.

        The affine parameters and the statistics of normalisation layers come with one dimension,
        whatever shape the layer keeps them in.

        Args:
            rst: a dict that also receives every value, under the key ``(type of the module that
                holds it, name)``.
            prefix: what to put in front of every name; no dot is added.
            keep_var: give tensors instead of NumPy arrays.

        Example:
            >>> import megengine.module as M
            >>> {name: value.shape for name, value in M.BatchNorm2d(3).state_dict().items()}
            {'bias': (3,), 'running_mean': (3,), 'running_var': (3,), 'weight': (3,)}
        """
        state = OrderedDict()
        for name, tensor, owner in self._named_state():
            value = tensor if keep_var else tensor.numpy()
            if owner._flat_state:
                value = value.reshape(-1)
            state[prefix + name] = value
            if rst is not None:
                rst[(type(owner), prefix + name)] = value
        return state

    def load_state_dict(
        self,
        state_dict: dict | Callable[[str, Tensor], np.ndarray | None],
        strict: bool = True,
    ) -> None:
        """Replaces the values of the parameters and buffers.

        Everything is checked before anything is written: an error leaves the module as it was.

        Args:
            state_dict: names and values as :meth:`state_dict` gives them, or a function
                ``(name, tensor) -> array`` that may return ``None`` to keep the value.
            strict: whether every tensor must get a value and every value be used.

        Raises:
            KeyError: with ``strict``, names are missing or not used; it lists them.
            ValueError: the shapes of a value and of its tensor differ.
            TypeError: a value is neither a NumPy array nor a tensor.

        Example:
            >>> import megengine.module as M
            >>> a, b = M.Linear(3, 2), M.Linear(3, 2)
            >>> a.load_state_dict(b.state_dict())
            >>> bool((a.weight.numpy() == b.weight.numpy()).all())
            True
            >>> a.load_state_dict({"weight": a.weight.numpy(), "wieght": 0})
            Traceback (most recent call last):
            ...
            KeyError: "load_state_dict (strict=True): missing ['bias'], unused ['wieght']"
        """
        unused = set()
        if isinstance(state_dict, dict):
            unused.update(state_dict)
            get = state_dict.get
        elif callable(state_dict):
            get = None
        else:
            raise ValueError(f"state_dict must be a dict or a callable, got {type(state_dict)}")
        values, missing = [], []
        for name, tensor, owner in self._named_state():
            value = get(name) if get else state_dict(name, tensor)
            unused.discard(name)
            if value is None:
                missing.append(name)
            else:
                values.append((tensor, checked(name, value, tensor, owner._flat_state)))
        if strict and (missing or unused):
            problems = [
                f"{what} {names}"
                for what, names in (("missing", missing), ("unused", sorted(unused, key=str)))
                if names
            ]
            raise KeyError(f"load_state_dict (strict=True): {', '.join(problems)}")
        for tensor, value in values:
            tensor._reset(value)


def _is_tensor(item):
    return isinstance(item, Tensor)


def _is_parameter(item):
    return isinstance(item, Parameter)


def _is_buffer(item):
    return isinstance(item, Tensor) and not isinstance(item, Parameter)


def _is_module(item):
    return isinstance(item, Module)

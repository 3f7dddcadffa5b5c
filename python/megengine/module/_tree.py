"""Paths into trees of modules, and values for the tensors at their ends."""

import math

import numpy as np

from ..tensor import Tensor


def replaced(container, path, value):
    """Puts ``value`` at ``path`` in nested containers and returns the outermost one."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(container, tuple):
        items = list(container)
        items[key] = replaced(items[key], rest, value)
        return container._make(items) if hasattr(container, "_make") else tuple(items)
    container[key] = replaced(container[key], rest, value)
    return container


def dotted(path):
    return ".".join(map(str, path))


def checked(name, value, tensor, flat):
    """``value`` as a new tensor of ``tensor``'s shape."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"the value of `{name}` must be a NumPy array or a Tensor, got {type(value).__name__}"
        )
    shape = tuple(tensor.shape)
    if value.shape != shape:
        if not flat or value.size != math.prod(shape):
            raise ValueError(f"param `{name}` shape mismatch: should be {shape}, got {value.shape}")
        value = value.reshape(shape)
    # Other dtypes are converted as at the construction of any tensor.
    own = str(tensor.dtype)
    dtype = own if own in ("bfloat16", str(value.dtype)) else None
    return Tensor(value, dtype=dtype, device=tensor.device)

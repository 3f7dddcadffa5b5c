"""Elementwise functions as layers."""

from .. import functional as F
from .module import Module

_FUSED = {
    "fuse_add_relu": lambda x, y: F.relu(x + y),
    "fuse_add_sigmoid": lambda x, y: F.sigmoid(x + y),
    "fuse_add_tanh": lambda x, y: F.tanh(x + y),
    "fuse_add_h_swish": lambda x, y: F.hswish(x + y),
    "fuse_mul_add3": lambda x, y, z: x * y + z,
    "fuse_mul_add4": lambda x, y, z, w: x * y + z * w,
}
_RENAMED = {
    "true_div": "div",
    "max": "maximum",
    "min": "minimum",
    "negate": "neg",
    "h_swish": "hswish",
}


class Elemwise(Module):
    """An elementwise function, chosen by name.

    Args:
        method: the name of an elementwise function of :mod:`megengine.functional`, or one of
            ``TRUE_DIV``, ``MAX``, ``MIN``, ``NEGATE``, ``H_SWISH``, ``FUSE_ADD_RELU``,
            ``FUSE_ADD_SIGMOID``, ``FUSE_ADD_TANH``, ``FUSE_ADD_H_SWISH``, ``FUSE_MUL_ADD3``
            (``x * y + z``) and ``FUSE_MUL_ADD4`` (``x * y + z * w``). Case does not matter.

    Raises:
        ValueError: there is no such function.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.Elemwise("FUSE_ADD_RELU")(mge.Tensor([1.0]), mge.Tensor([-3.0])).numpy().tolist()
        [0.0]
    """

    def __init__(self, method, **kwargs):
        super().__init__(**kwargs)
        self.method = method
        self._function()

    def _function(self):
        name = self.method.lower()
        function = _FUSED.get(name) or getattr(F, _RENAMED.get(name, name), None)
        if function is None:
            raise ValueError(f"Elemwise: there is no function {self.method!r}")
        return function

    def forward(self, *inps):
        return self._function()(*inps)

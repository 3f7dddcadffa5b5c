"""Operators defined in Python."""

from .. import _tengen
from ..tensor import Tensor


class Function:
    """An operator with a gradient of the user's own.

    A subclass defines ``forward(*inputs)``, which gives a tensor or a tuple of tensors and is not
    recorded, and ``backward(*output_grads)``, which gives one gradient per input (None where there
    is none). An output that no gradient arrives for has None as its gradient.

    >>> import megengine as mge
    >>> from megengine.autodiff import Function, GradManager
    >>> class Double(Function):
    ...     def forward(self, x):
    ...         return x * 2
    ...     def backward(self, dy):
    ...         return dy * 2
    >>> Double()(mge.tensor([1.0]))
    Tensor([2.], device=xpux:0)
    """

    def forward(self, *inputs):
        """The computation; overridden by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, *output_grads):
        """The gradients of the inputs; overridden by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def __call__(self, *inputs):
        for x in inputs:
            if not isinstance(x, Tensor):
                raise TypeError(f"op Function expect type Tensor as inputs, got {type(x)}")
        outputs = _tengen._without_recording(lambda: self.forward(*inputs))
        if isinstance(outputs, Tensor):
            return _tengen._apply_function(inputs, [outputs], self.backward)[0]
        if isinstance(outputs, (list, tuple)) and all(isinstance(y, Tensor) for y in outputs):
            return tuple(_tengen._apply_function(inputs, outputs, self.backward))
        return outputs

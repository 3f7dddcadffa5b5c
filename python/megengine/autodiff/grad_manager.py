"""The gradient manager."""

import weakref

from .. import _tengen
from ..tensor import Tensor


class GradManager(_tengen.GradManager):
    """Records operators on attached tensors, and computes their gradients.

    Gradients are added to the tensors' ``grad``. Managers nest: while another one records,
    ``backward`` is itself recorded, which gives gradients of gradients.

    >>> import megengine as mge
    >>> from megengine.autodiff import GradManager
    >>> x = mge.Parameter([3.0])
    >>> gm = GradManager().attach([x])
    >>> with gm:
    ...     gm.backward(x * x)
    >>> x.grad
    Tensor([6.], device=xpux:0)
    """

    def __init__(self):
        super().__init__()
        self._attached = {}  # id -> (weak reference, callbacks), in order of attachment
        self._room = 16  # how many may be attached before those that are gone are dropped
        self._has_callbacks = False

    def attach(self, tensors, callbacks=None):
        """Lets ``backward`` compute gradients for a tensor or several.

        ``callbacks``: one function or several, called in order as ``callback(tensor, grad)``; what
        one returns takes the gradient's place (None: no gradient is kept). Returns the manager.
        """
        if callbacks is None:
            callbacks = []
        elif callable(callbacks):
            callbacks = [callbacks]
        else:
            callbacks = list(callbacks)
        if isinstance(tensors, Tensor):
            tensors = [tensors]
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise AssertionError(f"Object to be attached should be Tensor, not {tensor!r}")
            self._attach(tensor)
            key = _tengen._tensor_id(tensor)
            known = self._attached.get(key)
            if known is None or known[0]() is None:
                if len(self._attached) >= self._room:
                    self._forget_the_gone()
                self._attached[key] = (weakref.ref(tensor), list(callbacks))
            else:
                known[1].extend(callbacks)
        self._has_callbacks = self._has_callbacks or bool(callbacks)
        return self

    def _forget_the_gone(self):
        for key, (ref, _) in list(self._attached.items()):
            if ref() is None:
                self._attached.pop(key, None)
        self._room = 2 * len(self._attached) + 16

    def attached_tensors(self):
        """The attached tensors that still exist, in order of attachment."""
        # A list first: code that runs meanwhile may attach tensors.
        tensors = [ref() for ref, _ in list(self._attached.values())]
        return [tensor for tensor in tensors if tensor is not None]

    def backward(self, y=None, dy=None):
        """Adds to each attached tensor the gradient of the sum over y of ``(y * dy).sum()``.

        ``y`` is a tensor or a list of them, ``dy`` likewise (ones, if None; each must broadcast to
        its y). Recording stops. Tensors that y does not depend on are left alone. Callbacks and
        ``Function.backward`` may use managers: this one attaches what it is told to, but does not
        record before its pass is through.
        """
        if y is None:
            ys = []
        elif isinstance(y, (list, tuple)):
            ys = list(y)
        else:
            ys = [y]
        if dy is not None and not isinstance(dy, (list, tuple)):
            dy = [dy]
        self._backward(ys, dy, self._run_callbacks if self._has_callbacks else None)

    def _run_callbacks(self, key, grad):
        ref, callbacks = self._attached.get(key, (None, ()))
        tensor = ref and ref()
        for callback in tuple(callbacks):
            grad = callback(tensor, grad)
            if grad is None:
                return None
        return grad

    def __enter__(self):
        self.record()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.release()

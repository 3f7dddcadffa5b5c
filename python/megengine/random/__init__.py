"""Random numbers.

They come from counter-based streams: the same seed gives the same numbers on any machine and for
any number of threads.
"""

import os

from .. import _tengen
from ..tensor import Tensor


def _count(n):
    return n.item() if isinstance(n, Tensor) else n


def seed(seed: int):
    """Seeds the global generator, which the functions of this module and dropout draw from.

    >>> import megengine.random as random
    >>> random.seed(3)
    >>> a = random.uniform(size=(2,)).tolist()
    >>> random.seed(3)
    >>> random.uniform(size=(2,)).tolist() == a
    True
    """
    if seed < 0:
        raise ValueError(f"a seed must not be negative, and is {seed}")
    _tengen._seed(seed & 0xFFFFFFFFFFFFFFFF)


def uniform(low: float = 0, high: float = 1, size=None) -> Tensor:
    """Numbers uniform in low..high (low included), float32, of shape ``size``.

    >>> import megengine.random as random
    >>> random.uniform(size=(2, 3)).shape
    (2, 3)
    """
    return _tengen._uniform(low, high, size)


def normal(mean: float = 0, std: float = 1, size=None) -> Tensor:
    """Normal numbers of this mean and standard deviation, float32, of shape ``size``.

    >>> import megengine.random as random
    >>> random.normal(size=(2, 3)).shape
    (2, 3)
    """
    return _tengen._normal(mean, std, size)


def gamma(shape, scale=1, size=None) -> Tensor:
    r"""Numbers with the density :math:`x^{a-1} e^{-x/\theta} / (\Gamma(a) \theta^a)`.

    The shape :math:`a` and the scale :math:`\theta` are positive numbers or tensors of them, which
    are broadcast together; the result, float32, has ``size`` in front of their shape.

    >>> import megengine as mge
    >>> import megengine.random as random
    >>> random.gamma(mge.tensor([1.0, 2.0]), 3.0, size=(4,)).shape
    (4, 2)
    """
    return _tengen._gamma(shape, scale, size)


def beta(alpha, beta, size=None) -> Tensor:
    r"""Numbers with the density :math:`x^{\alpha-1} (1-x)^{\beta-1} / B(\alpha, \beta)`.

    Parameters and shapes are as in :func:`gamma`.

    >>> import megengine.random as random
    >>> random.beta(2.0, 3.0, size=(2, 3)).shape
    (2, 3)
    """
    return _tengen._beta(alpha, beta, size)


def poisson(lam, size=None) -> Tensor:
    r"""Whole numbers :math:`k` with probability :math:`\lambda^k e^{-\lambda} / k!`.

    Parameters and shapes are as in :func:`gamma`.

    >>> import megengine.random as random
    >>> random.poisson(3.0, size=(2, 3)).shape
    (2, 3)
    """
    return _tengen._poisson(lam, size)


def permutation(n, *, dtype: str = "int32") -> Tensor:
    """The numbers 0..n-1 in random order; or the rows of a tensor in random order.

    >>> import megengine.random as random
    >>> sorted(random.permutation(4).tolist())
    [0, 1, 2, 3]
    """
    if isinstance(n, Tensor) and n.ndim > 0:
        return n[_tengen._permutation(n.shape[0])]
    order = _tengen._permutation(_count(n))
    return order if dtype == "int32" else order.astype(dtype)


def shuffle(inp: Tensor):
    """Puts the rows of a tensor into random order, in place."""
    inp._reset(permutation(inp))


class RNG:
    """A generator of its own, whose numbers follow from its seed.

    >>> import megengine.random as random
    >>> random.RNG(5).normal(size=(3,)).tolist() == random.RNG(5).normal(size=(3,)).tolist()
    True
    """

    def __init__(self, seed: int = None, device: str = None):
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little")
        self._generator = _tengen.Generator(seed)

    def uniform(self, low: float = 0, high: float = 1, size=None) -> Tensor:
        """As ``uniform`` of the module."""
        return self._generator.uniform(low, high, size)

    def normal(self, mean: float = 0, std: float = 1, size=None) -> Tensor:
        """As ``normal`` of the module."""
        return self._generator.normal(mean, std, size)

    def gamma(self, shape, scale=1, size=None) -> Tensor:
        """As ``gamma`` of the module."""
        return self._generator.gamma(shape, scale, size)

    def beta(self, alpha, beta, size=None) -> Tensor:
        """As ``beta`` of the module."""
        return self._generator.beta(alpha, beta, size)

    def poisson(self, lam, size=None) -> Tensor:
        """As ``poisson`` of the module."""
        return self._generator.poisson(lam, size)

    def permutation(self, n, *, dtype: str = "int32") -> Tensor:
        """As ``permutation`` of the module."""
        if isinstance(n, Tensor) and n.ndim > 0:
            return n[self._generator.permutation(n.shape[0])]
        order = self._generator.permutation(_count(n))
        return order if dtype == "int32" else order.astype(dtype)

    def shuffle(self, inp: Tensor):
        """As ``shuffle`` of the module."""
        inp._reset(self.permutation(inp))


__all__ = [
    "RNG",
    "beta",
    "gamma",
    "normal",
    "permutation",
    "poisson",
    "seed",
    "shuffle",
    "uniform",
]

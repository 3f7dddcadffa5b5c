"""Expansion of a scalar argument such as ``stride=2`` to one value per spatial axis."""

import functools
from collections.abc import Iterable


def _ntuple(value, n, allow_zero=True):
    if isinstance(value, Iterable):
        values = tuple(int(item) for item in value)
        if len(values) != n:
            raise ValueError(f"expected {n} values, one per spatial axis, got {tuple(value)}")
    else:
        values = (int(value),) * n
    if not allow_zero and 0 in values:
        raise ValueError(f"expected values that are not zero, got {values}")
    return values


_single = functools.partial(_ntuple, n=1)
_pair = functools.partial(_ntuple, n=2)
_pair_nonzero = functools.partial(_ntuple, n=2, allow_zero=False)
_triple = functools.partial(_ntuple, n=3)
_triple_nonzero = functools.partial(_ntuple, n=3, allow_zero=False)

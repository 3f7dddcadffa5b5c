"""Products, reductions, norms, sorting and tests of floating-point numbers.

>>> import megengine as mge
>>> import megengine.functional as F
>>> F.mean(mge.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
Tensor([2. 3.], device=xpux:0)
"""

from .._tengen import (
    argmax,
    argmin,
    argsort,
    cummax,
    cummin,
    cumprod,
    cumsum,
    dot,
    isinf,
    isnan,
    matmul,
    max,
    mean,
    min,
    norm,
    normalize,
    prod,
    sign,
    sort,
    std,
    sum,
    topk,
    var,
)

__all__ = [
    "argmax",
    "argmin",
    "argsort",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "dot",
    "isinf",
    "isnan",
    "matmul",
    "max",
    "mean",
    "min",
    "norm",
    "normalize",
    "prod",
    "sign",
    "sort",
    "std",
    "sum",
    "topk",
    "var",
]

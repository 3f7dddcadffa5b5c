"""Functions on tensors."""

from .._tengen import erf, erfc
from . import elemwise, loss, math, metric, nn, tensor
from .elemwise import *
from .math import *
from .metric import topk_accuracy
from .nn import *
from .tensor import *

__all__ = [
    *elemwise.__all__,
    *math.__all__,
    *nn.__all__,
    *tensor.__all__,
    "erf",
    "erfc",
    "loss",
    "metric",
    "nn",
    "topk_accuracy",
]

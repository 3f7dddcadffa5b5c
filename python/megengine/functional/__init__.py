"""Functions on tensors."""

from .._tengen import (
    indexing_one_hot,
    leaky_relu,
    logsigmoid,
    logsoftmax,
    logsumexp,
    one_hot,
    pad,
    softmax,
    softplus,
)
from . import elemwise, math, tensor
from .elemwise import *
from .math import *
from .tensor import *

__all__ = [
    *elemwise.__all__,
    *math.__all__,
    *tensor.__all__,
    "indexing_one_hot",
    "leaky_relu",
    "logsigmoid",
    "logsoftmax",
    "logsumexp",
    "one_hot",
    "pad",
    "softmax",
    "softplus",
]

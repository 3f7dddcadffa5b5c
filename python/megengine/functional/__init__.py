"""Functions on tensors."""

from .._tengen import (  # noqa: F401
    abs,
    add,
    clip,
    div,
    exp,
    leaky_relu,
    log,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    neg,
    prelu,
    relu,
    sigmoid,
    sub,
    sum,
    where,
)

"""The elementwise formulas in float64 NumPy, to tell sound special values from defects."""

import math

import numpy as np


def _erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def _sigmoid(x):
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _gated(gate):
    """x times a gate that vanishes faster than x grows: zero, not NaN, at minus infinity."""
    return lambda x: np.where(np.isneginf(x), -0.0, x * gate(x))


def _logsigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _round(x):
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


UNARY = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "gelu": _gated(lambda x: 0.5 * (1 + _erf(x / math.sqrt(2)))),
    "hsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hswish": _gated(lambda x: np.clip(x + 3, 0, 6) / 6),
    "isinf": np.isinf,
    "isnan": np.isnan,
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "log": np.log,
    "log1p": np.log1p,
    "logsigmoid": _logsigmoid,
    "neg": np.negative,
    "relu": lambda x: np.where(np.isnan(x), x, np.maximum(x, 0)),
    "relu6": lambda x: np.where(np.isnan(x), x, np.clip(x, 0, 6)),
    "round": _round,
    "sigmoid": _sigmoid,
    "sign": lambda x: np.sign(x) + 0.0,
    "silu": _gated(_sigmoid),
    "sin": np.sin,
    "sinh": np.sinh,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}

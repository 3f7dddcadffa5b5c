"""Convolutions and transposed convolutions."""

import numpy as np

from .store import rng


def real(name, shape, dtype="float32"):
    return np.asarray(rng(name).uniform(-1, 1, shape)).astype(dtype)


def tensors(name, x, weight, bias=None):
    inputs = {"inp": real(name + "x", x), "weight": real(name + "w", weight)}
    if bias is not None:
        inputs["bias"] = real(name + "b", bias)
    return inputs


# name: input, weight, bias, attributes. Grouped weights are (groups, out/groups, in/groups, ...).
CONV2D = {
    "plain": ((2, 3, 5, 6), (4, 3, 3, 3), None, {}),
    "bias": ((2, 3, 5, 6), (4, 3, 3, 3), (1, 4, 1, 1), {}),
    "one_by_one": ((2, 3, 4, 5), (4, 3, 1, 1), (1, 4, 1, 1), {}),
    "padding": ((1, 2, 4, 5), (3, 2, 3, 3), (1, 3, 1, 1), {"padding": 1}),
    "padding_pair": ((1, 2, 4, 5), (3, 2, 3, 5), None, {"padding": [1, 2]}),
    "padding_wide": ((1, 1, 3, 3), (2, 1, 3, 3), None, {"padding": 3}),
    "stride": ((1, 2, 7, 8), (3, 2, 3, 3), None, {"stride": 2}),
    "stride_pair": ((1, 2, 7, 8), (3, 2, 2, 3), None, {"stride": [1, 3]}),
    "stride_padding": ((2, 2, 6, 6), (3, 2, 3, 3), (1, 3, 1, 1), {"stride": 2, "padding": 1}),
    "stride_over_kernel": ((1, 2, 7, 7), (3, 2, 1, 1), None, {"stride": 2}),
    "dilation": ((1, 2, 7, 7), (2, 2, 3, 3), None, {"dilation": 2}),
    "dilation_pair": ((1, 2, 7, 7), (2, 2, 3, 2), None, {"dilation": [2, 3], "padding": [1, 0]}),
    "rectangle": ((2, 2, 5, 7), (3, 2, 2, 4), (1, 3, 1, 1), {"padding": [0, 1]}),
    "row_kernel": ((1, 2, 4, 6), (2, 2, 1, 3), None, {"padding": [0, 1]}),
    "whole": ((2, 3, 4, 4), (5, 3, 4, 4), (1, 5, 1, 1), {}),
    "groups": ((2, 4, 5, 5), (2, 3, 2, 3, 3), (1, 6, 1, 1), {"groups": 2, "padding": 1}),
    "groups_stride": ((1, 6, 5, 5), (3, 1, 2, 3, 3), None, {"groups": 3, "stride": 2}),
    "depthwise": ((2, 3, 5, 5), (3, 1, 1, 3, 3), (1, 3, 1, 1), {"groups": 3, "padding": 1}),
    "depthwise_double": ((1, 3, 5, 6), (3, 2, 1, 3, 3), None, {"groups": 3}),
    "depthwise_stride": ((1, 4, 7, 7), (4, 1, 1, 3, 3), None, {"groups": 4, "stride": 2}),
    "depthwise_dilation": ((1, 2, 7, 7), (2, 1, 1, 3, 3), None, {"groups": 2, "dilation": 2}),
    "many_channels": ((1, 17, 3, 3), (9, 17, 3, 3), None, {"padding": 1}),
    "bigger": ((1, 8, 9, 11), (8, 8, 3, 3), (1, 8, 1, 1), {"padding": 1}),
}
CONV1D = {
    "plain": ((2, 3, 8), (4, 3, 3), None, {}),
    "bias": ((2, 3, 8), (4, 3, 3), (1, 4, 1), {"padding": 1}),
    "stride": ((1, 2, 9), (3, 2, 3), (1, 3, 1), {"stride": 2, "padding": 2}),
    "dilation": ((1, 2, 9), (3, 2, 3), None, {"dilation": 2}),
}
# The weight is (in, out, ...), or (groups, in/groups, out/groups, ...).
TRANSPOSE = {
    "plain": ((2, 3, 4, 5), (3, 4, 3, 3), None, {}),
    "bias": ((1, 3, 3, 3), (3, 2, 3, 3), (1, 2, 1, 1), {}),
    "stride": ((1, 2, 3, 4), (2, 3, 3, 3), None, {"stride": [2, 2]}),
    "stride_padding": (
        (1, 2, 3, 4),
        (2, 3, 3, 3),
        (1, 3, 1, 1),
        {"stride": [2, 2], "padding": [1, 1]},
    ),
    "stride_pair": ((1, 2, 3, 3), (2, 2, 2, 3), None, {"stride": [1, 3], "padding": [0, 1]}),
    "even_kernel": ((1, 2, 3, 3), (2, 3, 4, 4), None, {"stride": [2, 2], "padding": [1, 1]}),
    "dilation": ((1, 2, 3, 4), (2, 2, 3, 3), None, {"dilation": [2, 2]}),
    "groups": ((2, 4, 3, 3), (2, 2, 3, 3, 3), (1, 6, 1, 1), {"groups": 2, "stride": [2, 2]}),
    "depthwise": ((1, 3, 3, 3), (3, 1, 1, 3, 3), None, {"groups": 3}),
    "output_padding": (
        (1, 2, 3, 4),
        (2, 3, 3, 3),
        (1, 3, 1, 1),
        {"stride": [2, 2], "padding": [1, 1], "output_padding": [1, 1], "dilation": [1, 1]},
    ),
}


def record(family):
    groups = (("conv2d", CONV2D), ("conv1d", CONV1D), ("conv_transpose2d", TRANSPOSE))
    for op, cases in groups:
        for kind, (x, weight, bias, attrs) in cases.items():
            name = f"{op}_{kind}"
            family.op(name, op, tensors(name, x, weight, bias), attrs)

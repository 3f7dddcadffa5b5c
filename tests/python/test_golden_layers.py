"""Layers are what MegEngine 1.13.0's were: names, shapes, text, values, gradients, buffers."""

from collections import OrderedDict

import megengine.module as M
import numpy as np
import pytest
from golden_cases import Arrays, assert_close, name_of, selected
from megengine import Tensor
from megengine.autodiff import GradManager


def argument(value):
    """An argument of a constructor, which may be a layer or an ordered dict of layers."""
    if isinstance(value, dict) and "module" in value:
        return build(value["module"], value)
    if isinstance(value, dict) and "ordered" in value:
        return OrderedDict((name, argument(layer)) for name, layer in value["ordered"])
    return tuple(map(argument, value)) if isinstance(value, list) else value


def build(name, case):
    args = [argument(value) for value in case["args"]]
    return getattr(M, name)(*args, **{k: argument(v) for k, v in case["kwargs"].items()})


def shapes(named):
    return [[name, list(value.shape)] for name, value in named]


def arguments(case, inputs):
    """The inputs of a call; those that the case names as hx are one argument."""
    names = case.get("hx", [])
    plain = [value for name, value in inputs.items() if name not in names]
    hx = tuple(inputs[name] for name in names)
    return [*plain, hx if len(hx) > 1 else hx[0]] if hx else plain


def flat(result):
    """The tensors of nested tuples."""
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result for tensor in flat(item)]


@pytest.mark.parametrize("family, case", selected("module"), ids=name_of)
def test_layer_agrees(family, case):
    arrays = Arrays(family, case)
    layer = build(case["op"].partition(":")[2], case)
    assert shapes(layer.named_parameters()) == case["parameters"]
    assert shapes(layer.named_buffers()) == case["buffers"]
    assert shapes(layer.state_dict().items()) == case["state_dict"]
    if "repr" in case:
        assert repr(layer) == case["repr"]
    if case["state"]:
        layer.load_state_dict({key: arrays[f"state/{key}"] for key in case["state"]}, strict=False)
    layer.train(case["training"])
    inputs = {name: Tensor(arrays[f"in/{name}"]) for name in case["inputs"]}
    parameters = dict(layer.named_parameters())
    wanted = [inputs[name] for name in case["grads"]]
    gm = GradManager().attach(wanted + list(parameters.values()))
    with gm:
        outputs = flat(layer(*arguments(case, inputs)))
        got = dict(zip(case["outputs"], outputs, strict=True))
        weighted = [name for name in got if f"dy/{name}" in arrays]
        if weighted:
            dys = [Tensor(arrays[f"dy/{name}"]) for name in weighted]
            gm.backward([got[name] for name in weighted], dys)
    for name, output in got.items():
        assert_close(f"output {name}", output.numpy(), arrays[f"out/{name}"], case)
    for name in case["grads"]:
        grad = inputs[name].grad.numpy()
        assert_close(f"gradient to {name}", grad, arrays[f"grad/{name}"], case)
    for path, value in parameters.items():
        if path not in case["param_grads"]:
            assert value.grad is None, f"{path} has a gradient"
            continue
        assert_close(f"gradient to {path}", value.grad.numpy(), arrays[f"pgrad/{path}"], case)
    after = layer.state_dict()
    for key, value in after.items():
        before = f"after/{key}" if key in case["state_after"] else f"state/{key}"
        if before in arrays:
            want = arrays[before]
            assert_close(f"state {key}", value, want.reshape(np.shape(value)), case)

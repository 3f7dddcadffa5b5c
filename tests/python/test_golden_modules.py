"""Layers and optimizers against what MegEngine 1.13.0 answered."""

from collections import OrderedDict

import megengine as mge
import megengine.module as M
import megengine.optimizer as optim
import numpy as np
import pytest
from golden_cases import Arrays, assert_close, name_of, selected
from megengine.autodiff import GradManager


def exact(array):
    return mge.tensor(array, dtype=array.dtype)


def build(value):
    """An argument of a constructor, which may itself be a layer or an ordered dict of layers."""
    if isinstance(value, dict) and "module" in value:
        return layer(value["module"], value.get("args", []), value.get("kwargs", {}))
    if isinstance(value, dict) and "ordered" in value:
        return OrderedDict((name, build(item)) for name, item in value["ordered"])
    return tuple(value) if isinstance(value, list) else value


def layer(name, args, kwargs):
    args = [build(a) for a in args]
    return getattr(M, name)(*args, **{k: build(v) for k, v in kwargs.items()})


def listed(named):
    return [[name, list(tensor.shape)] for name, tensor in named]


@pytest.mark.parametrize(("family", "case"), list(selected("module")), ids=name_of)
def test_layer_agrees(family, case):
    arrays = Arrays(family, case)
    module = layer(case["op"].partition(":")[2], case["args"], case["kwargs"])
    if "repr" in case:
        assert repr(module) == case["repr"]
    assert listed(module.named_parameters()) == case["parameters"]
    assert listed(module.named_buffers()) == case["buffers"]
    assert listed(module.state_dict().items()) == case["state_dict"]
    if case["state"]:
        state = {key: arrays[f"state/{key}"] for key in case["state"]}
        module.load_state_dict(state, strict=False)
    module.train(case["training"])
    inputs = [exact(arrays[f"in/{name}"]) for name in case["inputs"]]
    parameters = dict(module.named_parameters())
    wanted = [inputs[case["inputs"].index(name)] for name in case["grads"]]
    wanted_parameters = [parameters[path] for path in case["param_grads"]]
    gm = GradManager().attach(wanted + wanted_parameters)
    with gm:
        y = module(*inputs)
        ys = list(y) if isinstance(y, (list, tuple)) else [y]
        for name, got in zip(case["outputs"], ys, strict=True):
            assert_close(name, got.numpy(), arrays[f"out/{name}"], case)
        with_dy = [i for i, name in enumerate(case["outputs"]) if f"dy/{name}" in arrays]
        dys = [exact(arrays[f"dy/{case['outputs'][i]}"]) for i in with_dy]
        gm.backward([ys[i] for i in with_dy], dys)
    for name, tensor in zip(case["grads"], wanted, strict=True):
        assert_close(f"grad {name}", tensor.grad.numpy(), arrays[f"grad/{name}"], case)
    for path, tensor in zip(case["param_grads"], wanted_parameters, strict=True):
        assert_close(f"grad {path}", tensor.grad.numpy(), arrays[f"pgrad/{path}"], case)
    after = module.state_dict()
    for key in case.get("state_after", []):
        assert_close(f"after {key}", after[key], arrays[f"after/{key}"], case)


@pytest.mark.parametrize(("family", "case"), list(selected("optim")), ids=name_of)
def test_optimizer_agrees(family, case):
    arrays = Arrays(family, case)
    names = [name for group in case["groups"] for name in group["params"]]
    parameters = {name: mge.Parameter(arrays[f"param/{name}"]) for name in names}
    groups = [
        {**group, "params": [parameters[name] for name in group["params"]]}
        for group in case["groups"]
    ]
    optimizer = getattr(optim, case["op"].partition(":")[2])(groups, **case["kwargs"])
    schedule = None
    if "schedule" in case:
        schedule = optim.MultiStepLR(optimizer, **case["schedule"])
    missing = {tuple(pair) for pair in case.get("missing", [])}
    for step in range(case["steps"]):
        if "lr" in case:
            rates = [group["lr"] for group in optimizer.param_groups]
            np.testing.assert_allclose(rates, case["lr"][step], rtol=1e-6)
        for name, parameter in parameters.items():
            absent = (step, name) in missing
            parameter.grad = None if absent else exact(arrays[f"{step}/grad/{name}"])
        if "clip_norm" in case:
            norm = optim.clip_grad_norm(parameters.values(), **case["clip_norm"])
            norm = np.float32(norm.item() if hasattr(norm, "item") else norm)
            np.testing.assert_allclose(norm, arrays[f"{step}/norm"], rtol=1e-5)
        if "clip_value" in case:
            optim.clip_grad_value(parameters.values(), **case["clip_value"])
        for name, parameter in parameters.items():
            if f"{step}/clipped/{name}" in arrays:
                want = arrays[f"{step}/clipped/{name}"]
                assert_close(f"clipped {name}", parameter.grad.numpy(), want, case)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        for name, parameter in parameters.items():
            want = arrays[f"{step}/param/{name}"]
            assert_close(f"{name} after step {step}", parameter.numpy(), want, case)
    state = optimizer.state_dict()["state"]
    for index, key in case.get("state", []):
        got = np.asarray(state[index][key])
        assert_close(f"state {index} {key}", got, arrays[f"state/{index}/{key}"], case)

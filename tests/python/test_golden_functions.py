"""Functions give what MegEngine 1.13.0 gave: values, dtypes, shapes and gradients."""

import megengine.functional as F
import pytest
from golden_cases import Arrays, assert_close, name_of, selected
from megengine import Tensor
from megengine.autodiff import GradManager

# Cases whose function the package does not have yet.
PENDING = set()


def function(op):
    """The function of a case; those of a submodule are found there."""
    for place in [F, *(getattr(F, name, None) for name in ("nn", "loss", "vision"))]:
        if hasattr(place, op):
            return getattr(place, op)
    raise AttributeError(f"megengine.functional has no {op}")


def attribute(value):
    """A list stands for a tuple."""
    return tuple(map(attribute, value)) if isinstance(value, list) else value


def key(index, tensors):
    """What stands between the brackets."""
    items = []
    for item in index:
        [(kind, value)] = item.items()
        if kind in ("array", "mask"):
            items.append(tensors[value])
        elif kind == "slice":
            items.append(slice(*value))
        else:
            items.append({"int": value, "none": None, "ellipsis": ...}[kind])
    return items[0] if len(items) == 1 else tuple(items)


def call(case, tensors):
    attrs = {k: attribute(v) for k, v in case["attrs"].items()}
    if case["op"] == "getitem":
        return tensors["x"][key(attrs["index"], tensors)]
    if case["op"] == "setitem":
        # A value that changes, so that `x` itself stays what gradients flow to.
        x = F.copy(tensors["x"])
        x[key(attrs["index"], tensors)] = tensors["v"]
        return x
    f = function(case["op"])
    if case.get("list_input"):
        return f(list(tensors.values()), **attrs)
    if case.get("by_name"):
        return f(**tensors, **attrs)
    return f(*tensors.values(), **attrs)


@pytest.mark.parametrize("family, case", selected(""), ids=name_of)
def test_function_agrees(family, case):
    if case["op"] in PENDING:
        pytest.xfail("no such function yet")
    arrays = Arrays(family, case)
    tensors = {}
    for name in case["inputs"]:
        array = arrays[f"in/{name}"]
        tensors[name] = Tensor(array, dtype=array.dtype)
    gm = GradManager().attach([tensors[name] for name in case["grads"]])
    with gm:
        outputs = call(case, tensors)
        if isinstance(outputs, Tensor):
            outputs = [outputs]
        got = dict(zip(case["outputs"], outputs, strict=True))
        if case["grads"]:
            weighted = [n for n in case["outputs"] if f"dy/{n}" in arrays]
            dys = [Tensor(arrays[f"dy/{n}"], dtype=arrays[f"dy/{n}"].dtype) for n in weighted]
            gm.backward([got[n] for n in weighted], dys)
    for name, output in got.items():
        assert_close(f"output {name}", output.numpy(), arrays[f"out/{name}"], case)
    for name in case["grads"]:
        grad = tensors[name].grad
        assert grad is not None, f"no gradient to {name}"
        # A gradient has its tensor's dtype; some of MegEngine's are wider.
        want = arrays[f"grad/{name}"].astype(tensors[name].dtype)
        assert_close(f"gradient to {name}", grad.numpy(), want, case)


def test_every_function_is_tried():
    names = {case["op"] for _, case in selected("")}
    assert names >= PENDING
    for name in PENDING:
        with pytest.raises(AttributeError):
            function(name)


def test_names_of_cases_are_unique():
    recorded = [(family, case["name"]) for family, case in selected("")]
    assert len(recorded) == len(set(recorded)) > 1000

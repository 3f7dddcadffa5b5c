"""Optimizers make the steps that MegEngine 1.13.0's made."""

import numpy as np
import pytest
from golden_cases import Arrays, assert_close, name_of, selected
from megengine import Parameter, Tensor, optimizer


@pytest.mark.parametrize("family, case", selected("optim"), ids=name_of)
def test_optimizer_agrees(family, case):
    arrays = Arrays(family, case)
    names = [name for group in case["groups"] for name in group["params"]]
    params = {name: Parameter(arrays[f"param/{name}"]) for name in names}
    groups = [{**g, "params": [params[n] for n in g["params"]]} for g in case["groups"]]
    opt = getattr(optimizer, case["op"].partition(":")[2])(groups, **case["kwargs"])
    schedule = optimizer.MultiStepLR(opt, **case["schedule"]) if "schedule" in case else None
    missing = case.get("missing", [])
    for step in range(case["steps"]):
        rates = [group["lr"] for group in opt.param_groups]
        np.testing.assert_allclose(rates, case["lr"][step], rtol=1e-12)
        for name, param in params.items():
            absent = [step, name] in missing
            param.grad = None if absent else Tensor(arrays[f"{step}/grad/{name}"])
        present = [p for name, p in params.items() if [step, name] not in missing]
        if "clip_norm" in case:
            norm = optimizer.clip_grad_norm(present, **case["clip_norm"])
            assert_close("norm", norm.numpy(), arrays[f"{step}/norm"], case)
        if "clip_value" in case:
            optimizer.clip_grad_value(present, **case["clip_value"])
        for name, param in params.items():
            key = f"{step}/clipped/{name}"
            if key in arrays:
                assert_close(f"step {step}, clipped {name}", param.grad.numpy(), arrays[key], case)
        opt.step()
        if schedule is not None:
            schedule.step()
        for name, param in params.items():
            want = arrays[f"{step}/param/{name}"]
            assert_close(f"step {step}, {name}", param.numpy(), want, case)
    state = opt.state_dict()["state"]
    assert sorted([i, key] for i, s in state.items() for key in s) == sorted(case["state"])
    for i, key in case["state"]:
        got = np.asarray(state[i][key])
        assert_close(f"state {i} {key}", got, arrays[f"state/{i}/{key}"], case)

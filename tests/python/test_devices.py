"""Devices: results are where their inputs are."""

import copy
import pickle

import megengine as mge
import megengine.functional as F
import megengine.module as M
import megengine.optimizer as optim
import numpy as np
import pytest
from megengine.autodiff import GradManager


def on(device="cpu0", *shape):
    return F.ones(shape or (2, 2), device=device)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: F.ones((2, 2)) * x,
        lambda x: x > 0,
        lambda x: x[0:1],
        lambda x: x[0],
        lambda x: x[mge.tensor([0, 1])],
        lambda x: next(iter(x)),
        lambda x: x.detach(),
        lambda x: x.reshape(4),
        lambda x: x.T,
        lambda x: x.astype("float16"),
        lambda x: x.sum(),
        lambda x: F.matmul(x, x),
        lambda x: F.concat([x, F.ones((2, 2))]),
        lambda x: F.split(x, 2)[1],
        lambda x: F.zeros_like(x),
        lambda x: F.full_like(x, 3),
        lambda x: F.argmax(x, 1),
        lambda x: F.sort(x)[1],
        lambda x: F.cond_take(x > 0, x)[1],
        lambda x: F.nn.dropout(x, 0.5),
        lambda x: F.nn.layer_norm(x, (2,), True),
        lambda x: F.nn.pad(x, ((1, 1),)),
        lambda x: F.copy(x),
        lambda x: M.Linear(2, 2)(x),
        copy.copy,
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: mge.Parameter(x),
    ],
)
@pytest.mark.parametrize("device", ["cpu0", "cpu1:1", "multithread2:0"])
def test_a_result_is_on_the_device_of_its_inputs(make, device):
    x = on(device)
    assert make(x).device == x.device == device


def test_a_tensor_that_is_changed_stays_where_it_is():
    x = on()
    x += 1
    x[0] = F.zeros(2)
    x[:] = 3.0
    x.set_value(np.ones(3, "float32"))
    assert x.device == "cpu0"
    x.reset_zero()
    M.init.uniform_(x)
    M.init.ones_(x)
    assert x.device == "cpu0"
    y = F.ones((2, 2))
    y[0] = on("cpu1", 2)
    assert y.device == "xpux"


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "LAMB"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_training_keeps_a_parameter_and_its_gradient_where_they_are(name, dtype):
    w = mge.Parameter(np.ones(3, "float32"), dtype=dtype, device="cpu1")
    gm, optimizer = GradManager().attach([w]), getattr(optim, name)([w], lr=0.1)
    with gm:
        gm.backward((w * w).sum())
    assert w.grad.device == "cpu1"
    optimizer.step()
    assert w.device == "cpu1"


def test_to_moves_and_lets_gradients_through():
    x = on("cpu0", 2)
    gm = GradManager().attach([x])
    with gm:
        y = x.to("cpu1")
        assert (y.device, x.device) == ("cpu1", "cpu0")
        gm.backward((y * y).sum())
    assert x.grad.tolist() == [2.0, 2.0]
    assert x.grad.device == "cpu0"

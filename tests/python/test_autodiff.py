"""Gradient managers and functions: what they record, and what code of a user's own may do."""

import time

import numpy as np
import pytest

import megengine as mge
import megengine.functional as F
import megengine.module as M
from megengine.autodiff import Function, GradManager

# ---- attaching


def test_a_tensor_gets_no_gradient_of_one_that_is_gone():
    gm = GradManager()
    with gm:
        total = mge.tensor([0.0])
        for i in range(50):
            x = mge.tensor([i + 1.0])
            gm.attach(x)
            total = total + x * x
            del x
        z = mge.tensor([100.0])
        gm.attach(z)
        gm.backward(total + z)
    assert z.grad.numpy().tolist() == [1]


def test_attached_tensors_keep_their_order_and_the_gone_are_forgotten():
    gm, kept = GradManager(), []
    for i in range(1000):
        x = mge.tensor([float(i)])
        gm.attach(x).attach(x)
        if i % 100 == 0:
            kept.append(x)
    del x
    assert [id(t) for t in gm.attached_tensors()] == [id(t) for t in kept]
    assert len(gm._attached) < 100


def test_attaching_takes_time_in_proportion():
    def attach(n):
        tensors = [mge.tensor([1.0]) for _ in range(n)]
        start = time.perf_counter()
        gm = GradManager().attach(tensors)
        gm.attach(tensors)
        with gm:
            gm.backward(F.concat(tensors).sum())
        assert tensors[-1].grad.numpy() == 1
        return time.perf_counter() - start

    few = min(attach(1000) for _ in range(3))
    many = min(attach(16000) for _ in range(3))
    assert many < 80 * few, "16 times as many took more than 80 times as long"


def test_modules_replaced_during_a_walk_are_all_visited():
    class Net(M.Module):
        def __init__(self):
            super().__init__()
            for i in range(50):
                setattr(self, f"layer{i:02}", M.Linear(1, 1))

    net, count = Net(), 0
    for name, layer in net.named_children():
        setattr(net, name, M.ReLU())
        following = f"layer{int(name[5:]) + 1:02}"
        if hasattr(net, following):
            setattr(net, following, M.Linear(1, 1))
        del layer
        count += 1
    assert count == 50


# ---- exceptions


class Mine(Exception):
    pass


KINDS = [KeyError, KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit, Mine]


@pytest.mark.parametrize("kind", KINDS)
def test_what_user_code_raises_arrives_as_it_is(kind):
    raised = kind("mine")

    class Fails(Function):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            raise raised

    def fail(tensor, grad):
        raise raised

    w = mge.Parameter([1.0])
    within_function, within_callback = GradManager().attach(w), GradManager().attach(w, fail)
    for gm, f, name in [(within_function, Fails(), "backward"), (within_callback, abs, "fail")]:
        with pytest.raises(kind) as info, gm:
            gm.backward(f(w))
        assert info.value is raised
        assert name in [entry.name for entry in info.traceback]
        with gm:  # which records again
            gm.backward(mge.tensor([1.0]))


def test_what_a_hook_raises_arrives_as_it_is():
    raised = KeyboardInterrupt("mine")

    def hook(*args):
        raise raised

    layer = M.ReLU()
    layer.register_forward_hook(hook)
    with pytest.raises(KeyboardInterrupt) as info, GradManager():
        layer(mge.tensor([1.0]))
    assert info.value is raised


def test_gradients_of_a_wrong_shape_are_an_error_of_the_engine():
    class Wrong(Function):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            return mge.tensor(np.ones((2, 2), np.float32))

    w = mge.Parameter([1.0])
    gm = GradManager().attach(w)
    with pytest.raises(TypeError, match="Function.backward gave a gradient"), gm:
        gm.backward(Wrong()(w))

"""Gradient managers and functions: what they record, and what code of a user's own may do."""

import numpy as np
import pytest

import megengine as mge
import megengine.module as M
from megengine.autodiff import Function, GradManager

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

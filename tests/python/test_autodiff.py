"""Gradient managers and functions: what they record, and what code of a user's own may do."""

import copy
import gc
import threading
import time
import weakref

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
import pytest
from megengine.autodiff import Function, GradManager


def slope(x):
    """The derivative of x³ by a manager of its own."""
    x = mge.tensor(x.numpy())
    gm = GradManager().attach(x)
    with gm:
        gm.backward((x**3).sum())
    return x.grad


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


# ---- what gradients flow through


MAKERS = {
    "tensor": mge.tensor,
    "Tensor": mge.Tensor,
    "Parameter": mge.Parameter,
    "tensor of the same dtype": lambda t: mge.tensor(t, dtype="float32"),
    "tensor of another dtype": lambda t: mge.tensor(t, dtype="float16"),
    "Tensor on a device": lambda t: mge.Tensor(t, device="cpux"),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_tensor_made_of_a_recorded_one_passes_the_gradient_on(make):
    w = mge.Parameter([1.0, 2.0])
    gm = GradManager().attach(w)
    with gm:
        y = make(w * 3)
        gm.backward((y * 2).sum())
    assert w.grad.numpy().tolist() == [6, 6]
    assert (make(w) * 2).grad is None


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, mge.Tensor.detach])
def test_a_copy_is_a_constant(make):
    w = mge.Parameter([1.0, 2.0])
    gm = GradManager().attach(w)
    with gm:
        gm.backward((make(w) * w).sum())
    assert w.grad.numpy().tolist() == [1, 2]


def test_a_tensor_made_of_another_does_not_follow_its_changes():
    a = mge.tensor([1.0, 2.0])
    b = mge.tensor(a)
    b[0] = 5.0
    a += 1
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([2, 3], [5, 2])


def test_what_an_operator_gave_can_be_attached():
    x, gm = mge.Parameter([3.0]), GradManager()
    gm.attach(x)
    with gm:
        y = x * x
        gm.attach(y)
        gm.backward(y * y)
    assert y.grad.numpy().tolist() == [18]
    assert x.grad.numpy().tolist() == [108]


def test_the_remainder_has_a_gradient_to_the_divisor():
    x, y = mge.Parameter([5.5, 7.0, -7.5]), mge.Parameter([2.0, 3.0, 2.0])
    gm = GradManager().attach([x, y])
    with gm:
        gm.backward((F.mod(x, y) + x % y).sum())
    assert x.grad.numpy().tolist() == [2, 2, 2]
    assert y.grad.numpy().tolist() == [-4, -4, 6]


@pytest.mark.parametrize(
    ("x", "right"),
    [
        ([2.0, 3.0, 4.0], [12, 8, 6]),
        ([2.0, 0.0, 4.0], [0, 8, 0]),
        ([0.0, 3.0, 0.0], [0, 0, 0]),
    ],
)
def test_the_gradient_of_a_product_is_right_at_zeros(x, right):
    x = mge.Parameter(x)
    gm = GradManager().attach(x)
    with gm:
        gm.backward(F.prod(x))
    assert x.grad.numpy().tolist() == right


# ---- managers within managers


class Again(Function):
    """x³, whose passes use managers of their own."""

    def forward(self, x):
        self.x, self.inner = x, slope(x)
        return x**3

    def backward(self, dy):
        return dy * slope(self.x)


def test_a_manager_records_inside_functions_and_callbacks():
    w, seen, f = mge.Parameter([1.0, 2.0]), [], Again()

    def callback(tensor, grad):
        seen.append(slope(tensor))
        return grad

    gm = GradManager().attach(w, callbacks=callback)
    with gm:
        y = f(w * 1).sum() + (w * w).sum()
        gm.backward(y)
    assert f.inner.numpy().tolist() == [3, 12]
    assert seen[0].numpy().tolist() == [3, 12]
    assert w.grad.numpy().tolist() == [5, 16]


def test_a_manager_inside_a_function_can_use_the_outer_ones_tensors():
    class Own(Function):
        def forward(self, x):
            gm = GradManager().attach(x)
            with gm:
                gm.backward((x * x).sum())
            self.slope, x.grad = x.grad, None
            return x * 1

        def backward(self, dy):
            return dy * self.slope

    w = mge.Parameter([1.0, 2.0])
    gm = GradManager().attach(w)
    with gm:
        gm.backward((Own()(w) * w).sum())
    # dy·2w through the function, and its value
    assert w.grad.numpy().tolist() == [1 * 2 * 1 + 1, 2 * 2 * 2 + 2]


def test_functions_with_managers_have_gradients_of_gradients():
    w = mge.Parameter([1.0, 2.0])
    outer, inner = GradManager().attach(w), GradManager().attach(w)
    with outer:
        with inner:
            inner.backward((Again()(w) * w).sum())
        g, w.grad = w.grad, None
        outer.backward(g.sum())
    # g = dy·(3w²) + w³ with dy = w; the function's slope is a constant, its value is not.
    assert w.grad.numpy().tolist() == [3 + 3, 12 + 12]


# ---- a manager during its own pass


def test_a_manager_can_be_reached_during_its_own_pass():
    w, other, touched = mge.Parameter([3.0]), mge.Parameter([5.0]), []
    gm = GradManager()

    def touch():
        gm.attach(other)
        assert [id(t) for t in gm.attached_tensors()] == [id(w), id(other)]
        for again in (gm.record, lambda: gm.backward(w)):
            with pytest.raises(ValueError, match="runs its backward pass"):
                again()
        gm.release()
        touched.append(threading.get_ident())

    class Touches(Function):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            touch()
            thread = threading.Thread(target=touch)
            thread.start()
            thread.join(60)
            assert not thread.is_alive()
            return dy

    def callback(tensor, grad):
        touch()
        gm.attach(tensor, callbacks=callback)
        return grad

    gm.attach(w, callbacks=callback)
    with gm:
        gm.backward(Touches()(w) * w)
    assert len(touched) == 3 and len(set(touched)) == 2
    assert w.grad.numpy().tolist() == [6]
    with gm:
        gm.backward(other * 2)
    assert other.grad.numpy().tolist() == [2]


def test_code_that_runs_when_a_tape_is_dropped_can_reach_the_manager():
    gm, seen = GradManager(), []

    class Dies:
        def __del__(self):
            seen.append(len(gm.attached_tensors()))
            gm.attach(w)

    class Holds(Function):
        def __init__(self):
            self.held = Dies()

        def forward(self, x):
            return x * 1

        def backward(self, dy):
            return dy

    w = mge.Parameter([3.0])
    gm.attach(w)
    gm.record()
    Holds()(w)
    gm.release()
    gc.collect()
    assert seen == [1]


# ---- threads


def test_recording_ends_with_a_backward_pass_on_another_thread_and_frees_what_it_kept():
    class Holds(Function):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            return dy

    w, errors = mge.Parameter([3.0]), []
    first, function = GradManager().attach(w), Holds()
    first.record()
    y = function(w)
    gone = weakref.ref(function)
    del function

    def wrong():
        try:
            first.backward(y)
        except RuntimeError as e:
            errors.append(str(e))

    thread = threading.Thread(target=wrong)
    thread.start()
    thread.join()
    assert "another thread" in errors[0]
    assert gone() is not None
    w * w
    assert gone() is None
    with first:
        first.backward(w * w)
    assert w.grad.numpy().tolist() == [6]


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

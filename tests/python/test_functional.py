"""Functions: documentation, signatures, errors, what the recorded cases do not cover."""

import doctest
import inspect
import pickle

import megengine as mge
import megengine.functional as F
import numpy as np
import pytest
from megengine import Parameter, Tensor
from megengine.autodiff import GradManager

PUBLIC = [name for name in F.__all__ if callable(getattr(F, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_function_has_an_example_that_runs(name):
    function = getattr(F, name)
    assert function.__doc__, "no documentation"
    if "not available in this version" in function.__doc__:
        return
    tests = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert any(test.examples for test in tests), "no example"
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_function_can_be_pickled(name):
    function = getattr(F, name)
    assert pickle.loads(pickle.dumps(function)) is function


SIGNATURES = {
    "arange": "(start=0, stop=None, step=1, *, dtype='float32', device=None)",
    "argsort": "(inp, descending=False)",
    "broadcast_to": "(inp, shape)",
    "clip": "(x, lower=None, upper=None)",
    "concat": "(inps, axis=0, device=None)",
    "cumsum": "(inp, axis)",
    "diag": "(inp, k=0)",
    "eye": "(N, M=None, *, dtype='float32', device=None)",
    "flatten": "(inp, start_axis=0, end_axis=-1)",
    "full": "(shape, value, *, dtype=None, device=None)",
    "gather": "(inp, axis, index)",
    "indexing_one_hot": "(src, index, axis=1, keepdims=False)",
    "linspace": "(start, stop, num, *, dtype='float32', device=None)",
    "logsumexp": "(inp, axis, keepdims=False)",
    "meshgrid": "(*inputs, indexing='xy')",
    "norm": "(inp, ord=None, axis=None, keepdims=False)",
    "normalize": "(inp, ord=None, axis=None, eps=1e-12)",
    "pad": "(src, pad_width, mode='constant', constant_value=0.0)",
    "repeat": "(inp, repeats, axis=None)",
    "reshape": "(inp, target_shape)",
    "roll": "(inp, shift, axis=None)",
    "scatter": "(inp, axis, index, source)",
    "split": "(inp, nsplits_or_sections, axis=0)",
    "sum": "(inp, axis=None, keepdims=False)",
    "topk": "(inp, k, descending=True, kth_only=False, no_sort=False)",
    "transpose": "(inp, pattern)",
    "where": "(mask, x, y)",
    "zeros": "(shape, *, dtype='float32', device=None)",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_megengine(name):
    assert str(inspect.signature(getattr(F, name))) == SIGNATURES[name]


def test_split_cuts_as_numpy_does():
    x = np.arange(14, dtype="float32").reshape(2, 7)
    for parts in (1, 3, 7, 9):
        got = F.split(Tensor(x), parts, axis=1)
        assert isinstance(got, tuple)
        for part, want in zip(got, np.array_split(x, parts, axis=1), strict=True):
            np.testing.assert_array_equal(part.numpy(), want)
    with pytest.raises(ValueError):
        F.split(Tensor(x), 0)
    with pytest.raises(ValueError):
        F.split(Tensor(x), [2, 1], axis=1)


def test_shapes_may_be_given_as_tensors():
    assert F.zeros(Tensor([2, 1])).shape == (2, 1)
    assert F.reshape(F.zeros(6), Tensor([2, -1])).shape == (2, 3)
    assert F.broadcast_to(F.zeros(2), Tensor([3, 2])).shape == (3, 2)
    assert F.broadcast_to(F.zeros((2, 1)), (5, None, 3)).shape == (5, 2, 3)


def test_python_values_choose_the_dtype_of_full():
    assert [F.full(2, v).dtype.name for v in (True, 1, 1.5)] == ["bool", "int32", "float32"]
    assert F.full((2,), 1, dtype="float32").dtype == np.float32
    assert F.arange(3).dtype == np.float32
    assert F.full((2, 2), Tensor([1.0])).shape == (2, 2)


def test_devices_are_kept():
    assert F.zeros(2, device="cpu0").device == "cpu0"
    assert F.stack([F.zeros(2)], device="cpu0").device == "cpu0"


def test_absurd_sizes_are_errors():
    for call in [
        lambda: F.zeros((1 << 40, 1 << 40)),
        lambda: F.zeros((-1, 2)),
        lambda: F.arange(0, 1, 1e-300),
        lambda: F.arange(0, 5, 0),
        lambda: F.linspace(0, 1, -1),
        lambda: F.eye(1 << 62),
        lambda: F.tile(F.zeros(2), (1 << 62,)),
        lambda: F.repeat(F.zeros(2), -1),
        lambda: F.one_hot(Tensor([0]), 1 << 62),
        lambda: F.split(F.zeros(3), 1 << 62),
        lambda: F.pad(F.zeros(2), ((1 << 62, 1 << 62),)),
    ]:
        with pytest.raises((ValueError, OverflowError)):
            call()
    with pytest.raises(MemoryError):
        F.zeros((1 << 50,))


def test_argmax_over_several_axes_counts_in_their_order():
    x = np.random.RandomState(0).randn(2, 3, 4).astype("float32")
    got = F.argmax(Tensor(x), axis=(1, 2))
    np.testing.assert_array_equal(got.numpy(), x.reshape(2, 12).argmax(1))
    assert F.argmin(Tensor(x), axis=(0, 2), keepdims=True).shape == (1, 3, 1)


def test_scatter_leaves_its_input_alone():
    x = F.zeros(3)
    F.scatter(x, 0, Tensor([1]), Tensor([5.0]))
    assert x.numpy().tolist() == [0, 0, 0]


def test_norm_of_a_matrix_needs_an_axis():
    with pytest.raises(TypeError, match="axis is required"):
        F.norm(F.zeros((2, 2)))
    assert F.norm(Tensor([3, 4])).dtype == np.float32
    assert F.norm(Tensor([3.0, 0.0]), 0).numpy() == 1


def test_topk_with_a_negative_k_takes_the_other_end():
    values, indices = F.topk(Tensor([3.0, 1.0, 2.0]), -2)
    assert (values.numpy().tolist(), indices.numpy().tolist()) == ([1, 2], [1, 2])


def test_second_order_gradients_flow_through_selection():
    p = Parameter([1.0, 2.0, 3.0])
    outer, inner = GradManager().attach([p]), GradManager().attach([p])
    with outer:
        with inner:
            values, _ = F.topk(F.concat([p, p[::-1]]), 2)
            inner.backward((values**3).sum())
        first, p.grad = p.grad, None
        outer.backward(first.sum())
    assert first.numpy().tolist() == [0, 0, 54]
    assert p.grad.numpy().tolist() == [0, 0, 36]


def test_printed_arrays_have_four_digits():
    assert repr(mge.tensor([1 / 3])) == "Tensor([0.3333], device=xpux:0)"
    assert repr(mge.tensor(1 / 3)) == "Tensor(0.33333334, device=xpux:0)"


def test_labels_are_checked_before_they_are_narrowed():
    far = np.array([2**32 + 1])
    logits, label = F.ones((1, 3)), mge.tensor(far, dtype="int64")
    for call in (
        lambda: F.nn.cross_entropy(logits, label),
        lambda: F.nn.cross_entropy(logits, label, with_logits=False),
        lambda: F.one_hot(label, 3),
        lambda: F.nn.embedding(label, F.ones((3, 2))),
        lambda: F.indexing_one_hot(logits, label),
        lambda: F.gather(logits, 1, label.reshape(1, 1)),
        lambda: logits[:, label],
        lambda: logits[label[0]],
    ):
        with pytest.raises(IndexError, match="4294967297"):
            call()
    with pytest.raises(OverflowError, match="4294967297"):
        F.nn.cross_entropy(logits, far)
    for value in (float("nan"), 0.5, float("inf"), 2.0**32):
        for with_logits in (True, False):
            with pytest.raises((ValueError, IndexError)):
                F.nn.cross_entropy(logits, mge.tensor([value]), with_logits=with_logits)
    assert F.nn.cross_entropy(logits, mge.tensor([2.0])).shape == ()


def test_products_of_int8_are_int32_and_exact():
    rng = np.random.default_rng(0)
    for p, q in (((3, 300), (300, 5)), ((300,), (300,)), ((2, 4, 70), (70, 3)), ((2, 0), (0, 3))):
        a, b = (rng.integers(-128, 128, s).astype("int8") for s in (p, q))
        y = F.matmul(mge.tensor(a), mge.tensor(b))
        assert y.dtype == np.int32
        np.testing.assert_array_equal(y.numpy(), a.astype("int32") @ b.astype("int32"))
    a = mge.tensor(rng.integers(-128, 128, (5, 7)), dtype="int8")
    want = a.numpy().astype("int32")
    y = F.matmul(a, a, transpose_a=True)
    np.testing.assert_array_equal(y.numpy(), want.T @ want)


def test_hardshrink_keeps_what_exceeds_the_threshold():
    x = np.array([-2.0, -1.0, -0.5, 0.0, 0.75, 1.0, np.inf, np.nan], "float32")
    for args in ((), (1.0,), (0.0,)):
        inp = Parameter(x)
        with GradManager().attach(inp) as gm:
            y = F.hardshrink(inp, *args)
            gm.backward(y)
        dropped = np.abs(x) <= (args or (0.5,))[0]
        np.testing.assert_array_equal(y.numpy(), np.where(dropped, 0, x))
        np.testing.assert_array_equal(inp.grad.numpy(), np.where(dropped, 0, 1))
    assert str(inspect.signature(F.hardshrink)) == "(inp, lambd=0.5)"


def test_running_products_and_extrema_are_those_of_numpy():
    x = np.random.RandomState(0).randint(-3, 4, (3, 5, 4)).astype("float32")
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(F.cumprod(Tensor(x), axis).numpy(), np.cumprod(x, axis))
        for f, ufunc in ((F.cummax, np.maximum), (F.cummin, np.minimum)):
            values, indices = f(Tensor(x), axis)
            np.testing.assert_array_equal(values.numpy(), ufunc.accumulate(x, axis))
            assert indices.dtype == np.int32
            picked = np.take_along_axis(x, indices.numpy().astype("int64"), axis)
            np.testing.assert_array_equal(picked, values.numpy())
    assert F.cumprod(Tensor([100, 3], dtype="int8"), 0).numpy().tolist() == [100, 44]
    assert F.cummax(Tensor([False, True, False]), 0)[0].numpy().tolist() == [False, True, True]
    with pytest.raises(IndexError):
        F.cummin(Tensor([1.0]), 1)


def test_the_gradient_of_running_products_passes_zeros():
    x = Parameter(np.array([2.0, 0.0, 3.0, 0.0], "float32"))
    with GradManager().attach(x) as gm:
        gm.backward(F.cumprod(x, 0))
    assert x.grad.numpy().tolist() == [1.0, 8.0, 0.0, 0.0]

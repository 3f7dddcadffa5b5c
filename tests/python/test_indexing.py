"""Indexing follows NumPy, except that results never share memory."""

import itertools

import megengine as mge
import megengine.functional as F
import numpy as np
import pytest
from megengine import Parameter, Tensor
from megengine.autodiff import GradManager

SHAPE = (3, 4, 2)
X = np.arange(24, dtype="float32").reshape(SHAPE)
NEAR = [
    0,
    -1,
    slice(None),
    slice(None, None, -1),
    slice(1, None),
    slice(5, 0, -2),
    None,
    ...,
    [1, 0],
    np.array([[0], [1]]),
    np.array([True, False]),
    True,
]


def fitted(items):
    """The items with masks of the extents of their axes; None if one has no axis."""
    fitted, axis, rest = [], 0, sum(1 for i in items if not (i is None or i is ... or i is True))
    for item in items:
        if item is ...:
            axis = max(len(SHAPE) - rest, axis)
        elif isinstance(item, np.ndarray) and item.dtype == bool:
            if axis >= len(SHAPE):
                return None
            item = np.arange(SHAPE[axis]) % 2 == 0
        if not (item is None or item is ... or item is True):
            axis += 1
            rest -= 1
        fitted.append(item)
    return tuple(fitted)


def keys():
    for n in range(4):
        for items in itertools.product(NEAR, repeat=n):
            key = fitted(items)
            if key is not None:
                yield key


def test_every_combination_is_read_as_numpy_reads_it():
    x, tried = Tensor(X), 0
    for key in keys():
        try:
            want = X[key]
        except IndexError:
            with pytest.raises((IndexError, ValueError)):
                x[key]
            continue
        got = x[key].numpy()
        assert got.shape == want.shape, key
        np.testing.assert_array_equal(got, want, err_msg=repr(key))
        tried += 1
    assert tried > 800


def test_every_combination_is_assigned_to_as_numpy_does():
    for number, key in enumerate(keys()):
        want = X.copy()
        try:
            value = -np.arange(1, 1 + want[key].size, dtype="float32").reshape(want[key].shape)
        except IndexError:
            continue
        if number % 3 == 0:
            value = np.float32(-5)
        want[key] = value
        got = Tensor(X)
        got[key] = Tensor(value)
        np.testing.assert_array_equal(got.numpy(), want, err_msg=repr(key))
        p = Parameter(X)
        with GradManager().attach([p]) as gm:
            y = p * 1
            y[key] = Tensor(value)
            np.testing.assert_array_equal(y.numpy(), want, err_msg=repr(key))
            gm.backward(y.sum())
        untouched = (want == X).astype("float32")
        np.testing.assert_array_equal(p.grad.numpy(), untouched, err_msg=repr(key))


@pytest.mark.parametrize(
    "key",
    [
        [2, 0],
        np.array([2, 0], "int64"),
        np.array([2, 0], "uint8"),
        np.array([2, 0], "int8"),
        np.int64(2),
        np.array(2),
        [],
        np.array([], "int32"),
        (2, 1, 0),
        slice(-(10**30), 10**30),
        np.zeros(SHAPE, bool),
        np.bool_(False),
        (slice(None), np.array([[0, 1], [1, 2]])),
    ],
)
def test_numpy_and_python_values_are_indices(key):
    np.testing.assert_array_equal(Tensor(X)[key].numpy(), X[key])


def test_tensors_are_indices():
    x, i = Tensor(X), Tensor([2, 0])
    np.testing.assert_array_equal(x[i].numpy(), X[[2, 0]])
    np.testing.assert_array_equal(x[Tensor(1)].numpy(), X[1])
    np.testing.assert_array_equal(x[Tensor(0) : Tensor(2)].numpy(), X[0:2])
    np.testing.assert_array_equal(x[x > 5].numpy(), X[X > 5])


@pytest.mark.parametrize("key", [3, -4, (0, 4), [0, 7], (0, 0, 0, 0), (..., ...), 1.0, "a", [1.0]])
def test_impossible_indices_raise_index_errors(key):
    x = Tensor(X)
    with pytest.raises(IndexError):
        x[key]
    with pytest.raises(IndexError):
        x[key] = 0.0
    np.testing.assert_array_equal(x.numpy(), X)


def test_errors_name_the_axis_the_index_and_the_extent():
    with pytest.raises(IndexError, match=r"index 7 is out of range for axis 1 of extent 4"):
        Tensor(X)[0, 7]


def test_results_share_no_memory_with_their_source():
    w = Tensor([[1.0, 2.0], [3.0, 4.0]])
    row = w[0]
    row[0] = 9.0
    assert w.numpy().tolist() == [[1, 2], [3, 4]]
    w[0][0] = 7.0
    assert w.numpy().tolist() == [[1, 2], [3, 4]]
    w[0] = w[1]
    w[1, 0] = 5.0
    assert w.numpy().tolist() == [[3, 4], [5, 4]]
    same = w
    same[...] = 0.0
    assert w.numpy().tolist() == [[0, 0], [0, 0]]


def test_assignment_overlaps_like_a_copy():
    x = Tensor([1.0, 2.0, 3.0, 4.0])
    x[1:] = x[:-1]
    assert x.numpy().tolist() == [1, 1, 2, 3]
    x[...] = x[::-1]
    assert x.numpy().tolist() == [3, 2, 1, 1]


def test_assignment_converts_to_the_dtype_of_the_tensor():
    x = Tensor([1, 2, 3])
    x[0] = 2.7
    x[1] = Tensor(5.9)
    assert x.dtype == "int32" and x.numpy().tolist() == [2, 5, 3]
    x = Tensor(np.array([1, 2, 3], "uint8"))
    x[0] = 300
    assert x.numpy().tolist() == [44, 2, 3]


def test_assignment_broadcasts_as_numpy_does():
    x = F.zeros((2, 3))
    x[:, 1:] = Tensor([[[1.0], [2.0]]])
    assert x.numpy().tolist() == [[0, 1, 1], [0, 2, 2]]
    with pytest.raises(ValueError, match="broadcast"):
        x[0] = Tensor([1.0, 2.0])


def test_gradients_add_up_and_skip_what_was_replaced():
    p, v = Parameter([1.0, 2.0, 3.0]), Tensor([10.0])
    with GradManager().attach([p, v]) as gm:
        y = p * 2
        y[0] = v[0] * 3
        gm.backward((y * Tensor([1.0, 2.0, 3.0])).sum())
    assert p.grad.numpy().tolist() == [0, 4, 6]
    assert v.grad.numpy().tolist() == [3]
    p = Parameter([1.0, 2.0, 3.0])
    with GradManager().attach([p]) as gm:
        gm.backward((p[[0, 0, 2]] * Tensor([1.0, 2.0, 3.0])).sum())
    assert p.grad.numpy().tolist() == [3, 0, 3]


def test_iteration_and_membership():
    x = Tensor(X)
    assert [row.numpy().tolist() for row in x] == X.tolist()
    a, b = Tensor([1, 2])
    assert (a.item(), b.item(), a.shape) == (1, 2, ())
    assert list(F.zeros((0, 2))) == []
    with pytest.raises(TypeError, match="ndim is 0"):
        iter(Tensor(1.0))
    assert 5.0 in x and -1.0 not in x
    p = Parameter([1.0, 2.0, 3.0])
    with GradManager().attach([p]) as gm:
        total = mge.tensor(0.0)
        for weight, item in enumerate(p):
            total = total + weight * item
        gm.backward(total)
    assert p.grad.numpy().tolist() == [0, 1, 2]

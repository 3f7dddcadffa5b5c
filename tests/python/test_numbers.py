"""Numbers on their way into tensors and out of them: none is rounded on the way."""

import warnings

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
import pytest

ODD = 2**60 + 1  # Neither float64 nor int32 has it.
INTS = ("uint8", "int8", "int16", "int32", "int64")
LENGTHS = (1, 3, 16, 19, 64, 257)


def exact(tensor, value=ODD, dtype="int64"):
    assert str(tensor.dtype) == dtype
    assert tensor.numpy().ravel()[0] == value
    return True


@pytest.mark.parametrize(
    "make",
    [
        lambda: mge.tensor(ODD, dtype="int64"),
        lambda: mge.tensor([ODD], dtype="int64"),
        lambda: mge.tensor(np.int64(ODD), dtype="int64"),
        lambda: mge.tensor(np.uint64(ODD), dtype="int64"),
        lambda: mge.tensor(np.array([ODD], np.uint64), dtype="int64"),
        lambda: mge.Parameter(ODD, dtype="int64"),
        lambda: F.full((2,), ODD, dtype="int64"),
        lambda: F.full_like(F.zeros(2, dtype="int64"), ODD),
        lambda: F.full_like(F.zeros(2, dtype="int64"), np.int64(ODD)),
        lambda: F.full_like(F.zeros(2, dtype="int64"), mge.tensor(ODD, dtype="int64")),
        lambda: F.arange(ODD, ODD + 3, dtype="int64"),
        lambda: F.clip(F.zeros(2, dtype="int64"), ODD, ODD + 2),
        lambda: F.clip(F.full((2,), ODD + 2, dtype="int64"), upper=ODD),
        lambda: F.pad(F.zeros(2, dtype="int64"), ((1, 0),), constant_value=ODD),
        lambda: F.zeros(2, dtype="int64") + ODD,
        lambda: F.zeros(2, dtype="int64") + np.int64(ODD),
        lambda: F.zeros(2, dtype="int64") + np.array([ODD, 1]),
        lambda: F.zeros(2, dtype="int64") + [ODD, 1],
        lambda: F.maximum(F.zeros(2, dtype="int64"), ODD),
        lambda: mge.tensor([ODD, 1], dtype="int64").max(),
        lambda: mge.tensor([ODD, 0], dtype="int64").sum(),
        lambda: F.cumsum(mge.tensor([ODD, 0], dtype="int64"), 0),
        lambda: F.sort(mge.tensor([ODD, ODD + 1], dtype="int64"))[0],
    ],
)
def test_integers_of_64_bits_come_in_exactly(make):
    assert exact(make())


def test_integers_of_64_bits_are_assigned_exactly():
    x = F.zeros(3, dtype="int64")
    x[0] = ODD
    x[1] = np.int64(ODD)
    x[2:] = [ODD]
    assert x.tolist() == [ODD] * 3
    M.init.fill_(x, ODD + 1)
    assert x.tolist() == [ODD + 1] * 3
    assert ODD + 1 in x and ODD not in x


def test_integers_of_64_bits_come_out_exactly():
    x = mge.tensor(ODD, dtype="int64")
    assert x.item() == ODD and int(x) == ODD and x.tolist() == ODD
    assert float(x) == float(ODD) and bool(x)
    assert range(ODD + 1)[x] == ODD
    assert F.arange(x, x + 2, dtype="int64").tolist() == [ODD, ODD + 1]


def test_doubles_keep_their_digits():
    for make in (
        lambda: mge.tensor(0.1, dtype="float64"),
        lambda: mge.tensor(np.float64(0.1), dtype="float64"),
        lambda: F.full((), 0.1, dtype="float64"),
        lambda: F.zeros((), dtype="float64") + 0.1,
        lambda: F.zeros((), dtype="float64") + np.float64(0.1),
        lambda: F.zeros((1,), dtype="float64") + np.array([0.1]),
        lambda: F.zeros((1,), dtype="float64") + [0.1],
    ):
        assert exact(make(), 0.1, "float64")
    x = F.zeros(2, dtype="float64")
    x[0], x[1] = 0.1, 2**53 + 2
    assert x.tolist() == [0.1, 2**53 + 2]
    assert float(mge.tensor(2**70, dtype="float64")) == 2.0**70
    assert float(mge.tensor(np.uint64(2**63), dtype="float32")) == 2.0**63
    assert (F.zeros(1) + 2**70).item() == 2.0**70


def test_integers_that_the_default_dtype_or_int64_has_not_are_errors():
    for make in (
        lambda: mge.tensor(2**40),
        lambda: mge.tensor([2**40]),
        lambda: mge.tensor(np.array([2**40])),
        lambda: mge.tensor(np.uint64(2**63)),
        lambda: mge.tensor(2**63, dtype="int64"),
        lambda: mge.tensor(np.uint64(2**63), dtype="int64"),
        lambda: mge.tensor(10**400, dtype="float32"),
        lambda: F.full((2,), 2**40),
        lambda: F.zeros(1, dtype="int64") + 2**63,
        lambda: F.full_like(F.zeros(1, dtype="int64"), 2**63),
        lambda: F.zeros(1, dtype="int64").__setitem__(0, 2**63),
    ):
        with pytest.raises(OverflowError):
            make()


def test_integers_keep_their_low_bits_in_a_dtype_that_was_asked_for():
    for value in (300, np.int64(300), np.array(300), [300]):
        assert mge.tensor(value, dtype="uint8").numpy().ravel()[0] == 44
        x = F.zeros(1, dtype="uint8")
        x[:] = value
        assert x.item() == 44
    assert mge.tensor(2**40 + 5, dtype="int32").item() == 5


def test_an_operand_that_a_dtype_has_not_keeps_its_value():
    x = mge.tensor([250, 3], dtype="uint8")
    assert (x + 300).tolist() == [550, 303]
    assert (x < 256).tolist() == [True, True]
    assert (x == -1).tolist() == [False, False]
    assert (x + [300, 1]).tolist() == [550, 4]
    for far in (2**40, [2**40], np.array([2**40]), np.int64(2**40)):
        assert (mge.tensor([1]) + far).tolist() == [2**40 + 1]


def test_int_of_nan_and_infinity_is_an_error_as_pythons():
    with pytest.raises(ValueError):
        int(mge.tensor(float("nan")))
    for value in ("inf", "-inf"):
        with pytest.raises(OverflowError):
            int(mge.tensor(float(value)))
    assert int(mge.tensor(-2.9)) == -2
    assert int(mge.tensor(1e30)) == int(np.float32(1e30))
    assert bool(mge.tensor(float("nan"))) and not bool(mge.tensor(0.0))


def test_shapes_and_axes_are_whole_numbers():
    x = F.zeros((4,))
    assert x.reshape(mge.tensor([2, 2])).shape == (2, 2)
    for bad in ([2.5, 2.0], [float("nan"), 4.0]):
        with pytest.raises(ValueError):
            F.reshape(x, mge.tensor(bad))
    with pytest.raises(ValueError):
        F.repeat(x, mge.tensor(1.5))


FLOATS = [np.nan, np.inf, -np.inf, 300.7, -1.5, -129.5, 7e4, -7e4, 255.9, 256.0, 32768.0]
FLOATS += [s * 2.0**p for s in (1, -1) for p in (15, 16, 24, 31, 32, 33, 62, 63, 64, 100)]
FLOATS += [2.0**31 - 1, 2.0**31 - 0.5, -(2.0**31) - 0.5, -(2.0**31) - 1, 2.0**32 + 300]


@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
@pytest.mark.parametrize("target", [*INTS, "bool", "float16", "float32", "float64"])
def test_floats_convert_as_numpys(source, target):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for length in LENGTHS:
            for start in range(0, len(FLOATS), max(1, length)):
                x = np.resize(np.roll(np.array(FLOATS), -start).astype(source), length)
                got = mge.tensor(x, dtype=source).astype(target).numpy()
                np.testing.assert_array_equal(got, x.astype(target), f"{x}")
        random = np.random.default_rng(0).normal(size=1000) * 1e3
        x = random.astype(source)
        got = mge.tensor(x, dtype=source).astype(target).numpy()
        np.testing.assert_array_equal(got, x.astype(target))


@pytest.mark.parametrize("source", [*INTS, "bool"])
@pytest.mark.parametrize("target", [*INTS, "bool", "float16", "float32", "float64"])
def test_integers_convert_as_numpys(source, target):
    numbers = [0, 1, -1, 127, 128, 255, 256, -128, 2**24 + 1, 2**31, 2**53 + 1, ODD, -ODD]
    numbers += [2**60 + 2**36 + 1, 2**63 - 1, -(2**63)]
    with np.errstate(all="ignore"):
        for length in LENGTHS:
            x = np.resize(np.array(numbers).astype(source), length)
            got = mge.tensor(x, dtype=source).astype(target).numpy()
            np.testing.assert_array_equal(got, x.astype(target))

"""The number of threads: set and read, and without influence on results."""

import os
import subprocess
import sys

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
import pytest
from megengine import Tensor
from megengine.autodiff import GradManager


@pytest.fixture(autouse=True)
def restored():
    before = mge.get_num_threads()
    yield
    mge.set_num_threads(before)


def test_the_number_is_kept():
    for n in (1, 2, 1000):
        assert mge.set_num_threads(n) is None
        assert mge.get_num_threads() == n


@pytest.mark.parametrize("wrong", [0, -1, 2**70])
def test_numbers_below_one_are_errors(wrong):
    before = mge.get_num_threads()
    with pytest.raises(ValueError):
        mge.set_num_threads(wrong)
    assert mge.get_num_threads() == before


@pytest.mark.parametrize("wrong", [1.5, "2", None])
def test_other_types_are_errors(wrong):
    with pytest.raises(TypeError):
        mge.set_num_threads(wrong)


def test_the_environment_decides_first():
    program = "import megengine as mge; print(mge.get_num_threads())"

    def threads(**variables):
        environment = {k: v for k, v in os.environ.items() if k != "TENGEN_NUM_THREADS"}
        environment.update(variables)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    usual = threads()
    assert usual >= 1
    assert threads(TENGEN_NUM_THREADS="3") == 3
    for ignored in ("0", "-1", "two", ""):
        assert threads(TENGEN_NUM_THREADS=ignored) == usual


def test_training_gives_the_same_bits_on_any_number_of_threads():
    images = np.random.RandomState(0).randn(16, 3, 20, 20).astype("float32")
    labels = np.arange(16, dtype="int32") % 10

    def train(threads):
        mge.set_num_threads(threads)
        mge.random.seed(3)
        net = M.Sequential(M.Conv2d(3, 16, 3, padding=1), M.BatchNorm2d(16), M.PReLU(16))
        rnn, head = M.LSTM(16 * 20, 64), M.Linear(64, 10)
        parameters = [p for part in (net, rnn, head) for p in part.parameters()]
        gm, optimizer = GradManager().attach(parameters), mge.optimizer.Adam(parameters, lr=0.01)
        for _ in range(2):
            with gm:
                rows = F.transpose(net(Tensor(images)), (2, 0, 1, 3)).reshape(20, 16, -1)
                loss = F.nn.cross_entropy(head(rnn(rows)[0][-1]), Tensor(labels))
                gm.backward(loss)
            optimizer.step().clear_grad()
        return [p.numpy() for p in parameters]

    one = train(1)
    for threads in (2, 5):
        for p, q in zip(one, train(threads), strict=True):
            np.testing.assert_array_equal(p, q)

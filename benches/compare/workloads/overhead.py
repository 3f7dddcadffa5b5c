"""Work so small that the time is what a call costs from Python."""

import subprocess
import sys

from ..workload import Group, Workload

GROUP = Group("overhead", "Overhead of a call from Python", goal=3.0)


def add(face):
    x, y = face.tensor([-1.2, -3.7, 2.7]), face.tensor([1.0, 2.0, 3.0])
    return lambda: x + y


def exp(face):
    x, function = face.tensor([-1.2, -3.7, 2.7]), face.exp
    return lambda: function(x)


def prelu(face):
    x, w, function = face.tensor([-1.2, -3.7, 2.7]), face.tensor([0.25]), face.prelu
    return lambda: function(x, w)


def prelu_step(face):
    x, w, function = face.tensor([-1.2, -3.7, 2.7]), face.parameter([0.25]), face.prelu
    return face.forward_backward(lambda: function(x, w), [x, w], face.tensor([1.0, 1.0, 1.0]))


def mlp_step(face):
    """Two layers of four and a loss: forward, backward, and an SGD step."""
    nn = face.nn
    model = face.fill(nn.Sequential(nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 4)))
    x, labels = face.normal("x", 2, 4), face.integers("labels", 4, 2)
    optimizer = face.optimizer("SGD", model.parameters(), 1e-3)
    return face.training_step(model, lambda: face.cross_entropy(model(x), labels), optimizer)


def matmul(face):
    a, b = face.normal("a", 4, 4), face.normal("b", 4, 4)
    return lambda: face.matmul(a, b)


def linear(face):
    layer, x = face.fill(face.nn.Linear(4, 4)), face.normal("x", 1, 4)
    return face.inference(layer, x)


def conv(face):
    layer = face.fill(face.nn.Conv2d(2, 2, 3, padding=1))
    return face.inference(layer, face.normal("x", 1, 2, 4, 4))


def total(face):
    x = face.normal("x", 2, 3)
    return lambda: x.sum()


def softmax(face):
    x, function = face.normal("x", 2, 3), face.softmax
    return lambda: function(x, -1)


def reshape(face):
    x = face.normal("x", 2, 3)
    return lambda: x.reshape(3, 2)


def transpose(face):
    x = face.normal("x", 2, 3)
    return lambda: face.transpose(x, (1, 0))


def getitem(face):
    x = face.normal("x", 4, 3)
    return lambda: x[1:3]


def concat(face):
    x, y = face.normal("x", 2, 3), face.normal("y", 2, 3)
    return lambda: face.concat([x, y], 0)


def to_python(face):
    x = face.tensor([2.5])
    return lambda: x.item()


def to_numpy(face):
    x = face.normal("x", 2, 3)
    return lambda: x.numpy()


def import_library(face):
    """Python started with the library imported."""
    command = [sys.executable, "-c", f"import {face.module}"]

    def run():
        return subprocess.run(command, check=True).returncode

    return run


WORKLOADS = [
    Workload(label, "overhead", build, goal=goal)
    for label, build, goal in [
        ("a + b, 3 elements", add, 3.0),
        ("exp, 3 elements", exp, 3.0),
        ("prelu, 3 elements", prelu, 3.0),
        ("prelu forward and backward, 3 elements", prelu_step, 3.0),
        ("two-layer training step, 2×4", mlp_step, 3.0),
        ("matmul 4×4", matmul, 3.0),
        ("Linear 4→4", linear, 3.0),
        ("Conv2d 2→2, 4×4", conv, 3.0),
        ("sum, 6 elements", total, 3.0),
        ("softmax, 6 elements", softmax, 3.0),
        ("reshape", reshape, 3.0),
        ("transpose", transpose, 3.0),
        ("x[1:3]", getitem, 3.0),
        ("concat, 6 elements", concat, 3.0),
        ("item()", to_python, 3.0),
        ("numpy()", to_numpy, None),
        ("Python started, library imported", import_library, None),
    ]
]

"""Normalisation by batch, layer, group and instance."""

import numpy as np

from .store import rng


def real(name, shape, low=-2, high=2):
    return np.asarray(rng(name).uniform(low, high, shape)).astype("float32")


def batch(family):
    for kind, shape in (
        ("plain", (3, 2, 4, 5)),
        ("one_image", (1, 3, 4, 4)),
        ("long", (4, 5, 3, 7)),
    ):
        channel = (1, shape[1], 1, 1)
        name = f"batch_norm_{kind}"
        x = real(name, shape) + np.float32(0.5)
        running = {
            "running_mean": real(name + "m", channel),
            "running_var": real(name + "v", channel, 0.5, 2),
        }
        affine = {"weight": real(name + "w", channel), "bias": real(name + "b", channel)}
        wanted = ["inp", "weight", "bias"]
        training = {"by_name": True, "through": ["y0"]}  # the running statistics pass none back
        attrs = {"training": True, "inplace": False}
        family.op(
            f"{name}_training",
            "batch_norm",
            {"inp": x, **running, **affine},
            attrs,
            wanted,
            **training,
        )
        attrs = {"training": True, "inplace": False, "momentum": 0.7, "eps": 0.01}
        family.op(
            f"{name}_options",
            "batch_norm",
            {"inp": x, **running, **affine},
            attrs,
            wanted,
            **training,
        )
        family.op(
            f"{name}_plain_training",
            "batch_norm",
            {"inp": x, **running},
            {"training": True, "inplace": False},
            ["inp"],
            **training,
        )
        family.op(
            f"{name}_eval",
            "batch_norm",
            {"inp": x, **running, **affine},
            {"training": False},
            wanted,
            by_name=True,
        )
        family.op(
            f"{name}_plain_eval",
            "batch_norm",
            {"inp": x, **running},
            {"eps": 0.1},
            ["inp"],
            by_name=True,
        )
        family.op(
            f"{name}_no_running",
            "batch_norm",
            {"inp": x, **affine},
            {"training": True},
            wanted,
            by_name=True,
        )


def layer(family):
    for kind, shape, over in (
        ("last", (2, 3, 4), [4]),
        ("two", (2, 3, 4), [3, 4]),
        ("image", (2, 3, 4, 5), [3, 4, 5]),
        ("row", (5, 7), [7]),
        ("wide", (2, 130), [130]),
    ):
        name = f"layer_norm_{kind}"
        x = {"inp": real(name, shape)}
        attrs = {"normalized_shape": over, "affine": False}
        family.op(f"{name}_plain", "layer_norm", x, attrs, by_name=True)
        x.update(weight=real(name + "w", over), bias=real(name + "b", over))
        attrs = {"normalized_shape": over, "affine": True}
        family.op(name, "layer_norm", x, attrs, by_name=True)
    family.op("layer_norm_eps", "layer_norm", x, {**attrs, "eps": 0.1}, by_name=True)


def group(family):
    for kind, shape, groups in (
        ("two", (2, 4, 3, 3), 2),
        ("all", (2, 4, 3, 3), 1),
        ("each", (2, 3, 4, 2), 3),
        ("six", (1, 6, 2, 5), 3),
    ):
        name = f"group_norm_{kind}"
        x = {"inp": real(name, shape)}
        attrs = {"num_groups": groups, "affine": False}
        family.op(f"{name}_plain", "group_norm", x, attrs, by_name=True)
        x.update(weight=real(name + "w", (shape[1],)), bias=real(name + "b", (shape[1],)))
        attrs = {"num_groups": groups, "affine": True, "eps": 1e-3}
        family.op(name, "group_norm", x, attrs, by_name=True)
        name = f"instance_norm_{kind}"
        family.op(name, "instance_norm", x, {"affine": True}, by_name=True)
        family.op(
            f"{name}_plain", "instance_norm", {"inp": x["inp"]}, {"affine": False}, by_name=True
        )


def record(family):
    batch(family)
    layer(family)
    group(family)

"""Losses."""

import numpy as np

from .store import rng

REDUCTIONS = ("mean", "sum", "none")


def real(name, shape, low=-2, high=2):
    return np.asarray(rng(name).uniform(low, high, shape)).astype("float32")


def classes(name, shape, count):
    return np.asarray(rng(name).integers(0, count, shape)).astype("int32")


def cross_entropy(family):
    for reduction in REDUCTIONS:
        for smooth in (0, 0.1):
            name = f"cross_entropy_{reduction}" + ("_smooth" if smooth else "")
            inputs = {"pred": real(name, (4, 5), -3, 3), "label": classes(name, (4,), 5)}
            attrs = {"reduction": reduction, "label_smooth": smooth}
            family.op(name, "cross_entropy", inputs, attrs)
    inputs = {"pred": real("cei", (2, 3, 2, 4)), "label": classes("cei", (2, 2, 4), 3)}
    family.op("cross_entropy_image", "cross_entropy", inputs)
    family.op("cross_entropy_image_none", "cross_entropy", inputs, {"reduction": "none"})
    inputs = {"pred": real("cea", (5, 3)), "label": classes("cea", (3,), 5)}
    family.op("cross_entropy_axis_0", "cross_entropy", inputs, {"axis": 0})
    inputs = {"pred": real("cel", (2, 3, 4)), "label": classes("cel", (2, 3), 4)}
    family.op("cross_entropy_axis_last", "cross_entropy", inputs, {"axis": -1})
    probabilities = real("cep", (4, 3), 0.1, 1)
    probabilities /= probabilities.sum(1, keepdims=True)
    inputs = {"pred": probabilities, "label": classes("cep", (4,), 3)}
    for smooth in (0, 0.2):
        name = "cross_entropy_probabilities" + ("_smooth" if smooth else "")
        attrs = {"with_logits": False, "label_smooth": smooth}
        family.op(name, "cross_entropy", inputs, attrs)
    big = np.array([[100, 0, -100], [-90, 90, 0]], "float32")
    label = np.array([2, 1], "int32")
    family.op("cross_entropy_large", "cross_entropy", {"pred": big, "label": label})


def binary_cross_entropy(family):
    for reduction in REDUCTIONS:
        for logits in (True, False):
            name = f"binary_cross_entropy_{reduction}_{'logits' if logits else 'probabilities'}"
            low, high = (-4, 4) if logits else (0.05, 0.95)
            inputs = {
                "pred": real(name, (3, 4), low, high),
                "label": real(name + "l", (3, 4), 0, 1),
            }
            attrs = {"with_logits": logits, "reduction": reduction}
            family.op(name, "binary_cross_entropy", inputs, attrs, ["pred"])
    big = {
        "pred": np.array([100, -100, 50, -50], "float32"),
        "label": np.array([0, 1, 1, 0], "float32"),
    }
    family.op("binary_cross_entropy_large", "binary_cross_entropy", big, {}, ["pred"])


def regression(family):
    for op in ("l1_loss", "square_loss"):
        for reduction in REDUCTIONS:
            name = f"{op}_{reduction}"
            inputs = {"pred": real(name, (3, 4)), "label": real(name + "l", (3, 4))}
            family.op(name, op, inputs, {"reduction": reduction})
        name = f"{op}_row"
        inputs = {"pred": real(name, (3, 4)), "label": real(name + "l", (4,))}
        family.op(name, op, inputs)
    for norm in ("L1", "L2"):
        for reduction in REDUCTIONS:
            name = f"hinge_loss_{norm}_{reduction}"
            label = np.where(real(name + "l", (3, 4)) > 0, 1, -1).astype("float32")
            inputs = {"pred": real(name, (3, 4)), "label": label}
            family.op(name, "hinge_loss", inputs, {"norm": norm, "reduction": reduction}, ["pred"])


def temporal_classification(family):
    for reduction in REDUCTIONS:
        for blank in (0, 3):
            name = f"ctc_loss_{reduction}_blank_{blank}"
            pred = real(name, (6, 3, 4), 0.1, 1)
            inputs = {
                "pred": pred / pred.sum(2, keepdims=True),
                "pred_lengths": np.array([6, 5, 4], "int32"),
                "label": (classes(name, (3, 3), 3) + (blank == 0)).astype("int32"),
                "label_lengths": np.array([3, 2, 1], "int32"),
            }
            attrs = {"blank": blank, "reduction": reduction}
            family.op(name, "ctc_loss", inputs, attrs, ["pred"])


def record(family):
    cross_entropy(family)
    binary_cross_entropy(family)
    regression(family)
    temporal_classification(family)

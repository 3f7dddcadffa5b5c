"""Elementwise functions: plain, broadcast, special values, integers, half precision, kinks."""

import megengine as mge
import numpy as np

from .reference import UNARY
from .store import function, rng

# The interval that a unary function's inputs are drawn from.
DOMAINS = {
    "abs": (-3, 3),
    "acos": (-0.95, 0.95),
    "acosh": (1.1, 4),
    "asin": (-0.95, 0.95),
    "asinh": (-3, 3),
    "atan": (-3, 3),
    "atanh": (-0.95, 0.95),
    "ceil": (-3, 3),
    "cos": (-6, 6),
    "cosh": (-3, 3),
    "exp": (-5, 5),
    "expm1": (-3, 3),
    "floor": (-3, 3),
    "gelu": (-4, 4),
    "hsigmoid": (-5, 5),
    "hswish": (-5, 5),
    "isinf": (-3, 3),
    "isnan": (-3, 3),
    "leaky_relu": (-3, 3),
    "log": (0.1, 5),
    "log1p": (-0.8, 4),
    "logsigmoid": (-6, 6),
    "neg": (-3, 3),
    "relu": (-3, 3),
    "relu6": (-3, 9),
    "round": (-4, 4),
    "sigmoid": (-6, 6),
    "sign": (-3, 3),
    "silu": (-6, 6),
    "sin": (-6, 6),
    "sinh": (-3, 3),
    "softplus": (-6, 6),
    "sqrt": (0.1, 5),
    "square": (-3, 3),
    "tan": (-1.4, 1.4),
    "tanh": (-3, 3),
}
SPECIAL = np.array(
    [0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e30, -1e30]
    + [88, -87, 100, -100, 3.4e38, -3.4e38, 0.5, -0.5, 1.5, 2.5, -2.5, 20, -20, 1e-7, -1e-7],
    "float32",
)
BEND = "the gradient on the bend is a convention"
# Where a function bends: the value on the bend decides its gradient.
KINKS = {
    "abs": [0, 1, -1, 2],
    "relu": [0, -1, 1, 2],
    "relu6": [0, 6, 3, 7, -1],
    "leaky_relu": [0, -1, 1, 2],
    "hsigmoid": [-3, 3, 0, 4, -4],
    "hswish": [-3, 3, 0, 4, -4],
}
INTEGER = "abs ceil floor neg relu relu6 round sign square exp log1p sqrt sin tanh".split()
ARITHMETIC = "add sub mul div maximum minimum atan2 logaddexp pow mod floor_div".split()
COMPARISONS = "equal not_equal less less_equal greater greater_equal".split()
SHAPES = {
    "same": ((2, 3, 4), (2, 3, 4)),
    "row": ((2, 3, 4), (4,)),
    "outer": ((2, 1, 4), (3, 1)),
    "channel": ((2, 3, 4, 5), (1, 3, 1, 1)),
    "left": ((1, 3, 1), (2, 3, 4)),
    "scalar": ((2, 3), ()),
    "scalars": ((), ()),
    "long": ((3, 67), (67,)),
    "empty": ((0, 3), (1, 3)),
}


def real(name, shape, low=-3, high=3, dtype="float32"):
    return np.asarray(rng(name).uniform(low, high, shape)).astype(dtype)


def integers(name, shape, low, high, dtype="int32"):
    return np.asarray(rng(name).integers(low, high, shape)).astype(dtype)


def agreeing(op, values):
    """The special values for which MegEngine gives what the formula gives in float64."""
    if op in ("sin", "cos", "tan"):
        values = values[~np.isinf(values)]  # MegEngine aborts the process on cos(inf)
    got = function(op)(mge.tensor(values)).numpy()
    with np.errstate(all="ignore"):
        want = UNARY[op](values.astype("float64"))
        with np.errstate(over="ignore"):
            want = np.asarray(want).astype(got.dtype)
        close = np.isclose(got, want, rtol=1e-5, atol=1e-9, equal_nan=True)
    sign_bits = np.signbit(got) == np.signbit(want) if got.dtype != bool else True
    return values[close & (sign_bits | (want != 0) | np.isnan(want))]


def unary(family):
    for op, (low, high) in DOMAINS.items():
        family.op(op, op, {"x": real(op, (2, 3, 4), low, high)})
        name = f"{op}_long"
        family.op(name, op, {"x": real(name, (67,), low, high)})
        name = f"{op}_scalar"
        if op not in ("isinf", "isnan"):
            family.op(name, op, {"x": real(name, (), low, high)})
        special = agreeing(op, SPECIAL)
        family.op(f"{op}_special", op, {"x": special}, grads=[], atol=1e-9)
        name = f"{op}_f16"
        # atan computes in float32 whatever it is given.
        if op != "atan":
            family.op(name, op, {"x": real(name, (3, 5), low, high, "float16")})
    for op, values in KINKS.items():
        family.op(f"{op}_kink", op, {"x": np.array(values, "float32")}, why=BEND)
    for op in INTEGER:
        positive = op in ("log1p", "sqrt")
        x = integers(op, (2, 5), 0 if positive else -9, 9)
        family.op(f"{op}_i32", op, {"x": x})
        x = integers(op, (2, 5), 0, 9, "uint8")
        if op != "neg":
            family.op(f"{op}_u8", op, {"x": x})
    family.op(
        "leaky_relu_slope", "leaky_relu", {"x": real("slope", (3, 4))}, {"negative_slope": 0.3}
    )
    family.op("logical_not", "logical_not", {"x": integers("not", (2, 5), 0, 2, "bool")})


def clip(family):
    x = real("clip", (3, 4))
    family.op("clip", "clip", {"x": x}, {"lower": -1, "upper": 1.5})
    family.op("clip_lower", "clip", {"x": x}, {"lower": 0.25})
    family.op("clip_upper", "clip", {"x": x}, {"upper": -0.5})
    bends = {"x": np.array([0, 2, 1, 3, -1], "float32")}
    family.op("clip_kink", "clip", bends, {"lower": 0, "upper": 2}, why=BEND)
    family.op("clip_i32", "clip", {"x": integers("clip", (7,), -9, 9)}, {"lower": -3, "upper": 4})
    half = real("clip_f16", (7,), dtype="float16")
    family.op("clip_f16", "clip", {"x": half}, {"lower": -1, "upper": 1})


def operands(op, name, first, second):
    x, y = real(name + "x", first), real(name + "y", second)
    if op == "pow":
        x = np.abs(x) + np.float32(0.2)
    if op in ("mod", "floor_div", "div"):
        y = np.where(y < 0, y - 0.5, y + 0.5).astype("float32")
    return {"x": x, "y": y}


def binary(family):
    for op in ARITHMETIC:
        for kind, (first, second) in SHAPES.items():
            name = f"{op}_{kind}"
            family.op(name, op, operands(op, name, first, second))
        name = f"{op}_f16"
        pair = operands(op, name, (3, 5), (5,))
        if op not in ("mod", "floor_div"):
            half = {k: v.astype("float16") for k, v in pair.items()}
            # atan2 of halves is float32.
            if op != "atan2":
                family.op(name, op, half)
        if op in ("maximum", "minimum"):
            tied = {"x": np.array([1, 2, 3], "float32"), "y": np.array([1, 3, 2], "float32")}
            family.op(f"{op}_ties", op, tied, why=BEND)
    for op, scalar in (("add", 2), ("sub", 0.5), ("mul", -1.5), ("div", 4), ("pow", 2), ("pow", 3)):
        name = f"{op}_python_{scalar}".replace(".", "_").replace("-", "minus_")
        family.op(name, op, {"x": real(name, (2, 3, 4))}, {"y": scalar})
    family.op("pow_python_half", "pow", {"x": real("pow_half", (5,), 0.1, 3)}, {"y": 0.5})
    family.op("pow_negative_base", "pow", {"x": real("neg", (5,), -3, -1)}, {"y": 3})


def binary_special(family):
    a = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, 1e30, 1e-30, 5.5, -5.5], "float32")
    x, y = (g.ravel() for g in np.meshgrid(a, a))
    plain = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    for op, formula in plain.items():
        with np.errstate(all="ignore"):
            want = formula(x, y)
        got = function(op)(mge.tensor(x), mge.tensor(y)).numpy()
        same = np.isclose(got, want, rtol=1e-6, equal_nan=True)
        family.op(f"{op}_special", op, {"x": x[same], "y": y[same]}, grads=[], atol=1e-30)
    for op in COMPARISONS:
        b = np.append(a, np.float32(np.nan))
        x, y = (g.ravel() for g in np.meshgrid(b, b))
        family.op(f"{op}_special", op, {"x": x, "y": y}, grads=[])
    quadrants = np.array([1, -1, 1, -1, 0, 0, 2, -2], "float32")
    other = np.array([1, 1, -1, -1, 1, -1, 0, 0], "float32")
    family.op("atan2_quadrants", "atan2", {"y": quadrants, "x": other})


def integer_binary(family):
    for dtype, low in (("int32", -20), ("uint8", 0), ("int8", -11), ("int16", -20)):
        x = integers("x" + dtype, (3, 6), low, 20, dtype)
        y = integers("y" + dtype, (6,), 1, 9, dtype)
        if low < 0:
            y = np.where(np.arange(6) % 2, -y, y).astype(dtype)
        for op in "add sub mul div maximum minimum floor_div mod".split() + COMPARISONS:
            family.op(f"{op}_{dtype}", op, {"x": x, "y": y})
        positive = np.abs(y)
        for op in ("left_shift", "right_shift"):
            shift = (positive % 5).astype(dtype)
            family.op(f"{op}_{dtype}", op, {"x": x, "y": shift})
            family.op(f"{op}_{dtype}_python", op, {"x": x}, {"y": 2})
    family.op("pow_int32", "pow", {"x": integers("p", (5,), -4, 5), "y": integers("q", (5,), 0, 4)})
    wrap = {"x": np.array([250, 5, 0], "uint8"), "y": np.array([10, 7, 1], "uint8")}
    for op in ("add", "sub", "mul"):
        family.op(f"{op}_wraps_u8", op, wrap)


def mixed_types(family):
    kinds = {
        "bool": integers("b", (4,), 0, 2, "bool"),
        "uint8": integers("u", (4,), 0, 9, "uint8"),
        "int8": integers("i", (4,), -9, 9, "int8"),
        "int32": integers("j", (4,), -9, 9),
        "float16": real("h", (4,), dtype="float16"),
        "float32": real("f", (4,)),
    }
    names = list(kinds)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if first == "uint8" and second in ("int8", "int32"):
                continue  # no promotion rule
            pair = {"x": kinds[first], "y": kinds[second]}
            for op in ("add", "mul", "less", "maximum"):
                fields = {"grads": []} if "float16" in (first, second) else {}
                family.op(f"{op}_{first}_{second}", op, pair, **fields)


def logic(family):
    x, y = integers("lx", (3, 4), 0, 2, "bool"), integers("ly", (4,), 0, 2, "bool")
    for op in ("logical_and", "logical_or", "logical_xor"):
        family.op(op, op, {"x": x, "y": y})
    for op in COMPARISONS:
        pair = {
            "x": integers(op, (3, 4), 0, 3, "float32"),
            "y": integers(op + "y", (4,), 0, 3, "float32"),
        }
        family.op(f"{op}_row", op, pair, grads=[])
        family.op(f"{op}_bool", op, {"x": x, "y": y})
        family.op(f"{op}_python", op, {"x": pair["x"]}, {"y": 1}, grads=[])


def selection(family):
    for kind, shapes in {
        "same": ((3, 4), (3, 4), (3, 4)),
        "mask_row": ((4,), (3, 4), (3, 4)),
        "mask_column": ((3, 1), (3, 4), (4,)),
        "x_row": ((2, 3, 4), (4,), (2, 3, 4)),
    }.items():
        name = f"where_{kind}"
        mask = integers(name, shapes[0], 0, 2, "bool")
        family.op(
            name,
            "where",
            {"mask": mask, "x": real(name, shapes[1]), "y": real(name + "y", shapes[2])},
        )
    mask = np.array([True, False, True])
    nan = np.array([1, np.nan, 3], "float32")
    family.op(
        "where_drops_nan", "where", {"mask": mask, "x": nan, "y": nan[::-1] * 0 + 2}, grads=[]
    )
    family.op(
        "where_i32",
        "where",
        {"mask": mask, "x": integers("wi", (3,), 0, 9), "y": integers("wj", (3,), 0, 9)},
    )
    for kind, shape, weight in (
        ("one", (2, 3, 4, 5), (1,)),
        ("channel", (2, 3, 4, 5), (1, 3, 1, 1)),
        ("flat", (2, 3), (1,)),
        ("long", (2, 3, 8, 9), (1, 3, 1, 1)),
    ):
        name = f"prelu_{kind}"
        family.op(name, "prelu", {"x": real(name, shape), "y": real(name + "w", weight, 0, 1)})
    kink = {"x": np.array([[0, -1, 1, 2]], "float32"), "y": np.array([0.5], "float32")}
    family.op("prelu_kink", "prelu", kink, why=BEND)


def record(family):
    unary(family)
    clip(family)
    binary(family)
    binary_special(family)
    integer_binary(family)
    mixed_types(family)
    logic(family)
    selection(family)

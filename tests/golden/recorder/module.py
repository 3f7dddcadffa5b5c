"""Layers: names, shapes, texts, answers and gradients."""

from collections import OrderedDict

import megengine as mge
import megengine.module as M
import numpy as np

from .store import differentiate, is_float, named, rng, steady, tolerance


def real(name, shape, low=-2, high=2):
    return np.asarray(rng(name).uniform(low, high, shape)).astype("float32")


def layer(kind, *args, **kwargs):
    return {"module": kind, "args": list(args), "kwargs": kwargs}


def construct(value):
    """What a description stands for: a layer, an ordered dict of layers, or a plain value."""
    if isinstance(value, dict) and "module" in value:
        args = [construct(v) for v in value["args"]]
        kwargs = {k: construct(v) for k, v in value["kwargs"].items()}
        return getattr(M, value["module"])(*args, **kwargs)
    if isinstance(value, dict):
        return OrderedDict((k, construct(v)) for k, v in value["ordered"])
    return tuple(value) if isinstance(value, list) else value


def state_of(name, module):
    """Random values for everything that the module saves."""
    state = OrderedDict()
    for key, value in module.state_dict().items():
        positive = key.endswith("running_var")
        low, high = (0.5, 2) if positive else (-0.8, 0.8)
        state[key] = real(f"{name}/{key}", value.shape, low, high)
    return state


def shapes(pairs):
    return [[name, list(value.shape)] for name, value in pairs]


def text_of(module):
    try:
        return {"repr": repr(module)}
    except TypeError:  # MegEngine cannot print a Conv1d
        return {}


def case(family, name, description, x, training=True, grads=None):
    family_case = family.new_case(name, f"module:{description['module']}")
    module = construct(description)
    state = state_of(name, module)
    inputs = {"x": x}
    wanted = (["x"] if is_float(x) else []) if grads is None else grads
    after = {}

    def measure():
        module.load_state_dict(state)
        module.train(training)
        parameters = list(module.named_parameters())
        found = differentiate(name, inputs, lambda t: module(t["x"]), wanted, None, parameters)
        after.update((k, v) for k, v in module.state_dict().items())
        return found

    found = steady(measure)
    changed = {k: v for k, v in after.items() if not np.array_equal(v, state[k])}
    for key, value in module.named_parameters():
        grad = found.get(f"pgrad/{key}")
        if grad is not None and grad.shape != value.numpy().shape:
            raise RuntimeError(f"{name}: the gradient of {key} has the shape {grad.shape}")
    family.keep_all(name, {"in/x": x, **found})
    family.keep_all(name, {f"state/{k}": v for k, v in state.items()})
    family.keep_all(name, {f"after/{k}": v for k, v in changed.items()})
    family_case.update(
        args=description["args"],
        kwargs=description["kwargs"],
        training=training,
        state=list(state),
        **text_of(module),
        parameters=shapes(module.named_parameters()),
        buffers=shapes(module.named_buffers()),
        state_dict=shapes(module.state_dict().items()),
        inputs=["x"],
        outputs=named(found, "out"),
        grads=named(found, "grad"),
        param_grads=named(found, "pgrad"),
        state_after=list(changed),
        **tolerance(*found.values()),
    )


IMAGE = (2, 4, 6, 5)
# name: layer, shape of the input.
PLAIN = {
    "identity": (layer("Identity"), (2, 3)),
    "linear": (layer("Linear", 4, 3), (5, 4)),
    "linear_no_bias": (layer("Linear", 4, 3, bias=False), (5, 4)),
    "linear_batch": (layer("Linear", 4, 3), (2, 3, 4)),
    "conv1d": (layer("Conv1d", 3, 4, 3), (2, 3, 8)),
    "conv1d_options": (
        layer("Conv1d", 3, 4, 3, stride=2, padding=1, dilation=2, bias=False),
        (2, 3, 11),
    ),
    "conv2d": (layer("Conv2d", 4, 3, 3), IMAGE),
    "conv2d_options": (
        layer("Conv2d", 4, 3, [3, 2], stride=[2, 1], padding=[1, 0], bias=False),
        IMAGE,
    ),
    "conv2d_dilation": (layer("Conv2d", 4, 2, 3, padding=2, dilation=2), IMAGE),
    "conv2d_groups": (layer("Conv2d", 4, 6, 3, padding=1, groups=2), IMAGE),
    "conv2d_depthwise": (layer("Conv2d", 4, 4, 3, groups=4, bias=False), IMAGE),
    "conv2d_reflect": (layer("Conv2d", 4, 2, 3, padding=1, padding_mode="reflect"), IMAGE),
    "conv2d_replicate": (layer("Conv2d", 4, 2, 3, padding=1, padding_mode="replicate"), IMAGE),
    "conv_transpose2d": (layer("ConvTranspose2d", 4, 3, 3), (2, 4, 3, 4)),
    "conv_transpose2d_options": (
        layer("ConvTranspose2d", 4, 3, 3, stride=2, padding=1, output_padding=1, bias=False),
        (2, 4, 3, 4),
    ),
    "conv_transpose2d_groups": (
        layer("ConvTranspose2d", 4, 6, 3, stride=2, groups=2),
        (1, 4, 3, 3),
    ),
    "layer_norm": (layer("LayerNorm", 5), (2, 3, 5)),
    "layer_norm_two": (layer("LayerNorm", [3, 5], eps=0.01), (2, 3, 5)),
    "layer_norm_plain": (layer("LayerNorm", [5], affine=False), (2, 3, 5)),
    "group_norm": (layer("GroupNorm", 2, 4), IMAGE),
    "group_norm_plain": (layer("GroupNorm", 4, 4, eps=0.01, affine=False), IMAGE),
    "instance_norm": (layer("InstanceNorm", 4), IMAGE),
    "max_pool2d": (layer("MaxPool2d", 2), IMAGE),
    "max_pool2d_options": (layer("MaxPool2d", 3, stride=2, padding=1), IMAGE),
    "avg_pool2d": (layer("AvgPool2d", 2), IMAGE),
    "avg_pool2d_options": (layer("AvgPool2d", [2, 3], stride=1, padding=1, mode="average"), IMAGE),
    "adaptive_avg_pool2d": (layer("AdaptiveAvgPool2d", 1), IMAGE),
    "adaptive_avg_pool2d_pair": (layer("AdaptiveAvgPool2d", [3, 2]), IMAGE),
    "adaptive_max_pool2d": (layer("AdaptiveMaxPool2d", [2, 5]), IMAGE),
    "softmax": (layer("Softmax", axis=1), (3, 5)),
    "softmax_default": (layer("Softmax"), (2, 3, 4)),
    "sigmoid": (layer("Sigmoid"), (3, 4)),
    "silu": (layer("SiLU"), (3, 4)),
    "gelu": (layer("GELU"), (3, 4)),
    "relu": (layer("ReLU"), (3, 4)),
    "prelu": (layer("PReLU"), (2, 3, 4, 4)),
    "prelu_channels": (layer("PReLU", 3), (2, 3, 4, 4)),
    "prelu_init": (layer("PReLU", num_parameters=2, init=0.1), (1, 2, 3, 3)),
    "leaky_relu": (layer("LeakyReLU"), (3, 4)),
    "leaky_relu_slope": (layer("LeakyReLU", 0.2), (3, 4)),
}
BATCH_NORM = {
    "batch_norm2d": (layer("BatchNorm2d", 4), IMAGE),
    "batch_norm2d_options": (layer("BatchNorm2d", 4, eps=0.01, momentum=0.6), IMAGE),
    "batch_norm2d_plain": (layer("BatchNorm2d", 4, affine=False), IMAGE),
    "batch_norm2d_untracked": (layer("BatchNorm2d", 4, track_running_stats=False), IMAGE),
    "batch_norm2d_frozen": (layer("BatchNorm2d", 4, freeze=True), IMAGE),
    "batch_norm1d": (layer("BatchNorm1d", 4), (6, 4)),
    "batch_norm1d_length": (layer("BatchNorm1d", 4), (3, 4, 5)),
}
NET = layer(
    "Sequential",
    {
        "ordered": [
            ["conv1", layer("Conv2d", 3, 4, 3, padding=1)],
            ["bn1", layer("BatchNorm2d", 4)],
            ["act1", layer("PReLU", 4)],
            ["pool", layer("MaxPool2d", 2)],
            [
                "down",
                layer("Sequential", layer("Conv2d", 4, 6, 3, groups=2, bias=False), layer("SiLU")),
            ],
            ["gap", layer("AdaptiveAvgPool2d", 1)],
        ]
    },
)
NESTED = {
    "sequential": (
        layer("Sequential", layer("Linear", 4, 6), layer("ReLU"), layer("Linear", 6, 2)),
        (3, 4),
    ),
    "sequential_nested": (
        layer(
            "Sequential",
            layer("Sequential", layer("Linear", 4, 3), layer("GELU")),
            layer("Sequential", layer("LayerNorm", 3), layer("Sequential", layer("Linear", 3, 2))),
        ),
        (3, 4),
    ),
    # Ten layers and more: names sort as text, layers run in order.
    "sequential_long": (
        layer(
            "Sequential",
            *[layer("Linear", 2, 2) if i % 2 == 0 else layer("Sigmoid") for i in range(12)],
        ),
        (2, 2),
    ),
}


def record(family):
    mge.random.seed(1)
    for name, (description, shape) in {**PLAIN, **NESTED}.items():
        case(family, name, description, real(name, shape))
    for name, (description, shape) in BATCH_NORM.items():
        for training in (True, False):
            mode = "training" if training else "eval"
            label = f"{name}_{mode}"
            case(family, label, description, real(label, shape) + np.float32(0.3), training)
    for training in (True, False):
        name = f"sequential_net_{'training' if training else 'eval'}"
        case(family, name, NET, real(name, (2, 3, 8, 8)), training)
    case(family, "dropout_eval", layer("Dropout", 0.3), real("dropout", (3, 4)), training=False)
    case(family, "dropout_zero", layer("Dropout"), real("dropout0", (3, 4)))
    places = rng("embedding").integers(0, 6, (2, 3)).astype("int32")
    case(family, "embedding", layer("Embedding", 6, 4), places)

"""Recurrent cells and layers.

MegEngine's own gradient is sound for RNNs of one layer and direction. Elsewhere it is wrong or ends
the process, so those cases have the layer's outputs, and the gradients of the same formula written
with MegEngine's functions.
"""

from collections import OrderedDict

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np

from .module import real, shapes, state_of
from .store import differentiate, named, steady, tolerance

INPUT, HIDDEN, STEPS, BATCH = 4, 5, 6, 3


def activation_of(module):
    return F.tanh if getattr(module, "nonlinearity", "tanh") == "tanh" else F.relu


def step(module, x, state, weights):
    """The next state, a tuple, by the cell's formula."""
    weight_ih, weight_hh, *biases = weights
    z = F.linear(x, weight_ih) + F.linear(state[0], weight_hh)
    for bias in biases:
        z = z + bias
    if len(state) == 1:
        return (activation_of(module)(z),)
    i, f, g, o = (z[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
    c = F.sigmoid(f) * state[1] + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


def unpacked(module, gates):
    """The weights of each layer and direction, in the order in which they lie in one parameter."""
    flat, at = module._flatten_weights.reshape(-1), 0
    rows = gates * HIDDEN
    for layer in range(module.num_layers):
        features = INPUT if layer == 0 else HIDDEN * module.num_directions
        for _ in range(module.num_directions):
            weights = []
            for columns in (features, HIDDEN, None, None)[: 4 if module.bias else 2]:
                length = rows * (columns or 1)
                part = flat[at : at + length]
                weights.append(part.reshape(rows, columns) if columns else part)
                at += length
            yield weights


def composed(module, x, state):
    """What an RNN or LSTM computes, in MegEngine's functions."""
    gates = 4 if len(state) == 2 else 1
    steps = [x[:, t] if module.batch_first else x[t] for t in range(STEPS)]
    weights, last = unpacked(module, gates), []
    for layer in range(module.num_layers):
        sides = []
        for direction in range(module.num_directions):
            now = tuple(s[layer * module.num_directions + direction] for s in state)
            own, states = next(weights), [None] * STEPS
            for t in reversed(range(STEPS)) if direction else range(STEPS):
                now = step(module, steps[t], now, own)
                states[t] = now[0]
            sides.append(states)
            last.append(now)
        steps = [F.concat([side[t] for side in sides], axis=-1) for t in range(STEPS)]
    y = F.stack(steps, axis=1 if module.batch_first else 0)
    return (y, *(F.stack([now[k] for now in last]) for k in range(len(state))))


def flat(result):
    """The tensors of nested tuples."""
    return sum(map(flat, result), ()) if isinstance(result, tuple) else (result,)


def case(family, name, kind, state_names, given=True, **kwargs):
    family_case = family.new_case(name, f"module:{kind}")
    cell = kind.endswith("Cell")
    module = getattr(M, kind)(INPUT, HIDDEN, **kwargs)
    state = state_of(name, module)
    directions = 1 if cell else module.num_layers * module.num_directions
    shape = (BATCH, HIDDEN) if cell else (directions, BATCH, HIDDEN)
    sequence = (BATCH, STEPS) if kwargs.get("batch_first") else (STEPS, BATCH)
    inputs = OrderedDict(x=real(f"{name}/x", (BATCH, INPUT) if cell else (*sequence, INPUT)))
    if given:
        inputs.update((k, real(f"{name}/{k}", shape, -1, 1)) for k in state_names)
    sound = kind == "RNN" and directions == 1

    def own(tensors):
        hx = tuple(tensors[k] for k in state_names) if given else None
        if given and len(hx) == 1:
            (hx,) = hx
        return flat(module(tensors["x"], hx))

    def formula(tensors):
        zeros = F.zeros(shape)
        start = tuple(tensors[k] if given else zeros for k in state_names)
        if not cell:
            return composed(module, tensors["x"], start)
        biases = (module.bias_ih, module.bias_hh)
        return step(module, tensors["x"], start, (module.weight_ih, module.weight_hh, *biases))

    def measure():
        module.load_state_dict(state)
        parameters = list(module.named_parameters())
        if sound:
            return differentiate(name, inputs, own, list(inputs), None, parameters)
        found = differentiate(name, inputs, formula, list(inputs), None, parameters)
        answered = differentiate(name, inputs, own, [])
        for key, value in answered.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=key)
        return {**found, **answered}

    found = steady(measure)
    family.keep_all(name, {**{f"in/{k}": v for k, v in inputs.items()}, **found})
    family.keep_all(name, {f"state/{k}": v for k, v in state.items()})
    family_case.update(
        args=[INPUT, HIDDEN],
        kwargs=kwargs,
        training=True,
        state=list(state),
        repr=repr(module),
        parameters=shapes(module.named_parameters()),
        buffers=shapes(module.named_buffers()),
        state_dict=shapes(module.state_dict().items()),
        inputs=list(inputs),
        hx=list(state_names) if given else [],
        outputs=named(found, "out"),
        grads=named(found, "grad"),
        param_grads=named(found, "pgrad"),
        state_after=[],
        **tolerance(*found.values()),
    )
    reasons = []
    if not sound:
        reasons.append("gradients of the formula in MegEngine's functions, not of the layer")
    if not cell and module.num_layers > 2:
        family_case["atol"] = 5e-6
        reasons.append("gradients to weights are sums of terms that cancel")
    if reasons:
        family_case["why"] = "; ".join(reasons)


LAYERS = {
    "plain": {},
    "no_bias": {"bias": False},
    "batch_first": {"batch_first": True},
    "two_layers": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "three_layers_bidirectional": {"num_layers": 3, "bidirectional": True, "batch_first": True},
    "two_layers_no_bias": {"num_layers": 2, "bidirectional": True, "bias": False},
}


def record(family):
    mge.random.seed(1)
    for given in (True, False):
        suffix = "" if given else "_from_zeros"
        case(family, f"rnn_cell{suffix}", "RNNCell", "h", given)
        case(family, f"rnn_cell_relu{suffix}", "RNNCell", "h", given, nonlinearity="relu")
        case(family, f"lstm_cell{suffix}", "LSTMCell", "hc", given)
        for label, kwargs in LAYERS.items():
            case(family, f"rnn_{label}{suffix}", "RNN", "h", given, **kwargs)
            case(family, f"lstm_{label}{suffix}", "LSTM", "hc", given, **kwargs)
    for bias_off in ("RNNCell", "LSTMCell"):
        names = "h" if bias_off == "RNNCell" else "hc"
        case(family, f"{bias_off.lower()}_no_bias", bias_off, names, bias=False)
    for label in ("plain", "two_layers"):
        case(family, f"rnn_relu_{label}", "RNN", "h", nonlinearity="relu", **LAYERS[label])
    # Accepted, and without effect.
    case(family, "lstm_proj_size", "LSTM", "hc", proj_size=2)

"""Recurrent and attention layers."""

from ..workload import Group, Workload

GROUP = Group("sequence", "Recurrent and attention layers", goal=1.5)


def lstm(face, backward, length, batch, size):
    """Input ``[length, batch, size]``; backward: forward and backward of all parameters."""
    layer, x = face.lstm(size), face.normal("x", length, batch, size)
    if not backward:
        return face.inference(layer, x)
    dy = face.normal("dy", length, batch, size)
    return face.forward_backward(lambda: layer(x)[0], [x, *layer.parameters()], dy)


def transformer(face, batch, length, width, heads, hidden):
    """An encoder layer with the norm after each part, ReLU and no dropout, as PyTorch's
    ``nn.TransformerEncoderLayer`` has it by default: forward and backward of all parameters."""
    layer = face.fill(face.transformer_layer(width, heads, hidden))
    x, dy = face.normal("x", batch, length, width), face.normal("dy", batch, length, width)
    return face.forward_backward(lambda: layer(x), [x, *layer.parameters()], dy)


LSTM = {"length": 64, "batch": 16, "size": 256}
LSTM_FLOPS = 64 * 16 * 2.0 * 4 * 256 * 512
BLOCK = {"batch": 8, "length": 128, "width": 512, "heads": 8, "hidden": 2048}
#: Four projections, two hidden products, and the two products of attention.
BLOCK_FLOPS = 8 * 128 * 2.0 * (4 * 512**2 + 2 * 512 * 2048 + 2 * 128 * 512)

WORKLOADS = [
    Workload(
        f"LSTM 256, 64×16: {'forward and backward' if backward else 'forward'}",
        "sequence",
        lstm,
        {"backward": backward, **LSTM},
        {"length": 2, "batch": 2, "size": 4},
        goal=1.5,
        flops=LSTM_FLOPS * (3 if backward else 1),
        same=False,
    )
    for backward in (False, True)
]
WORKLOADS.append(
    Workload(
        "transformer block 8×128×512: forward and backward",
        "sequence",
        transformer,
        BLOCK,
        {"batch": 2, "length": 3, "width": 8, "heads": 2, "hidden": 16},
        goal=1.5,
        flops=3 * BLOCK_FLOPS,
        memory=True,
    )
)

"""Convolutions: forward, gradient to the input, gradient to the weight, each timed alone.

The forward pass that a gradient needs is recorded outside of the timed span.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..workload import Group, Workload

GROUP = Group("convolution", "Convolutions", goal=1.8)
KINDS = ("forward", "gradient to input", "gradient to weight")


@dataclass(frozen=True)
class Conv:
    """A convolution of square images with square kernels."""

    batch: int
    channels: int
    size: int
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False

    def out_size(self):
        if self.transposed:
            return (self.size - 1) * self.stride - 2 * self.padding + self.kernel
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    def flops(self):
        """The direct count; both gradients cost the same."""
        pixels = (self.size if self.transposed else self.out_size()) ** 2
        taps = self.kernel**2 * self.channels // self.groups
        return 2.0 * self.batch * self.out_channels * pixels * taps


def convolution(face, kind, batch, channels, size, out_channels, kernel, stride, padding, groups,
                transposed):
    """One convolution or one of its gradients."""
    x = face.normal("x", batch, channels, size, size)
    if transposed:
        w, conv = face.normal("w", channels, out_channels, kernel, kernel), face.conv_transpose2d
    else:
        w, conv = face.conv_weight("w", out_channels, channels, kernel, groups), face.conv2d

    def forward():
        return conv(x, w, stride, padding, groups)

    if kind == "forward":
        return forward
    dy = face.normal("dy", *forward().shape)
    return face.backward(forward, [x] if kind == "gradient to input" else [w], dy)


def entries(label, goal, shape):
    depthwise = shape.groups == shape.channels and shape.groups > 1
    groups = 4 if depthwise else min(shape.groups, 2)
    tiny = {"batch": 1, "channels": 4, "size": 8, "out_channels": 4, "groups": groups}
    for kind in KINDS:
        yield Workload(
            f"conv {label}: {kind}",
            "convolution",
            convolution,
            {"kind": kind, **vars(shape)},
            tiny,
            goal=goal,
            flops=shape.flops(),
        )


WORKLOADS = [
    workload
    for batch in (16, 1)
    for label, goal, shape in [
        ("3×3 64×56²", 2.0, Conv(batch, 64, 56, 64, 3, 1, 1)),
        ("3×3 128×28²", 2.0, Conv(batch, 128, 28, 128, 3, 1, 1)),
        ("3×3 256×14²", 2.0, Conv(batch, 256, 14, 256, 3, 1, 1)),
        ("3×3 512×7²", 2.0, Conv(batch, 512, 7, 512, 3, 1, 1)),
        ("1×1 256→64×56²", 1.1, Conv(batch, 256, 56, 64, 1)),
        ("1×1 1024→256×14²", 1.1, Conv(batch, 1024, 14, 256, 1)),
        ("7×7 stride 2 3→64×224²", 1.1, Conv(batch, 3, 224, 64, 7, 2, 3)),
        ("3×3 stride 2 128×56²", 1.1, Conv(batch, 128, 56, 128, 3, 2, 1)),
        ("3×3 depthwise 144×28²", 1.1, Conv(batch, 144, 28, 144, 3, 1, 1, 144)),
        ("3×3 32 groups 256×28²", 1.1, Conv(batch, 256, 28, 256, 3, 1, 1, 32)),
        ("4×4 stride 2 transposed 128→64×28²", 1.1, Conv(batch, 128, 28, 64, 4, 2, 1, 1, True)),
    ]
    for workload in entries(f"{label} batch {batch}", goal, shape)
]

"""Whole networks: inference, and training steps (forward, backward, optimizer)."""

from ..networks import digits, resnet, resnet_flops
from ..workload import Group, Workload

GROUP = Group("network", "Networks")
TINY = {"batch": 1, "size": 32, "blocks": (1, 1), "width": 4}


def inference(face, depth, batch, size=224, **shape):
    x = face.normal("x", batch, 3, size, size)
    return face.inference(resnet(face, depth, **shape), x)


def training(face, depth, batch, size=224, **shape):
    """SGD with momentum on random images and labels."""
    model = resnet(face, depth, **shape)
    x, labels = face.normal("x", batch, 3, size, size), face.integers("labels", 1000, batch)
    optimizer = face.optimizer("SGD", model.parameters(), 1e-3)
    return face.training_step(model, lambda: face.cross_entropy(model(x), labels), optimizer)


def digits_training(face, batch):
    """Adam, as in the example."""
    model = digits(face)
    x, labels = face.normal("x", batch, 1, 8, 8), face.integers("labels", 10, batch)
    optimizer = face.optimizer("Adam", model.parameters(), 1e-3)
    return face.training_step(model, lambda: face.cross_entropy(model(x), labels), optimizer)


WORKLOADS = [
    Workload(
        "digits CNN training step batch 64",
        "network",
        digits_training,
        {"batch": 64},
        {"batch": 2},
        goal=2.0,
        # 8² pixels of 9·1·16, 4² of 9·16·32 and the last layer; forward and both gradients.
        flops=3 * 2.0 * 64 * (64 * 144 + 16 * 4608 + 1280),
    ),
]
for depth, goal in [(18, 2.0), (50, 1.5)]:
    WORKLOADS += [
        Workload(
            f"ResNet-{depth} inference batch {batch}",
            "network",
            inference,
            {"depth": depth, "batch": batch},
            TINY,
            goal=goal,
            flops=batch * resnet_flops(depth),
            memory=True,
        )
        for batch in (1, 8)
    ]
    WORKLOADS.append(
        Workload(
            f"ResNet-{depth} training step batch 8",
            "network",
            training,
            {"depth": depth, "batch": 8},
            TINY,
            goal=goal,
            flops=3 * 8 * resnet_flops(depth),
            memory=True,
            memory_goal=depth == 50,
        )
    )

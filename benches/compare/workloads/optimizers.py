"""Optimizer steps on the parameters of ResNet-50, 25.6 million in 161 tensors."""

from ..networks import resnet
from ..workload import Group, Workload

GROUP = Group("optimizer", "Optimizer steps", goal=1.0)
PARAMETERS = 25_557_032


def step(face, name, **shape):
    """One step from gradients that stay as they are; the forward and backward pass are not run."""
    model = resnet(face, 50, **shape)
    parameters = [parameter for _, parameter in face.named_parameters(model)]
    for name_, parameter in face.named_parameters(model):
        values = face.rng("grad " + name_).standard_normal(tuple(parameter.shape), dtype="float32")
        face.set_grad(parameter, values)
    optimizer = face.optimizer(name, parameters, 1e-4)

    def run():
        optimizer.step()
        return model.fc.weight

    return run


WORKLOADS = [
    Workload(
        f"{name} step, ResNet-50",
        "optimizer",
        step,
        {"name": name},
        {"blocks": (1, 1), "width": 4},
        goal=1.0,
        # SGD reads parameter, gradient and momentum and writes two; Adam has two states.
        bytes=4.0 * PARAMETERS * (5 if name == "SGD" else 7),
    )
    for name in ("SGD", "Adam", "AdamW")
]

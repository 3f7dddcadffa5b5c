"""Optimizers, learning-rate schedules and gradient clipping."""

import megengine as mge
import megengine.optimizer as optim
import numpy as np

from .store import rng, steady

STEPS = 5
SHAPES = {"p0": (3, 2), "p1": (4,), "p2": (1, 2, 1, 2)}
# name: optimizer, keywords, options of the groups (default: one group of all parameters).
CASES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_decay": ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "sgd_all": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adam": ("Adam", {"lr": 0.1}),
    "adam_betas": ("Adam", {"lr": 0.02, "betas": [0.5, 0.7]}),
    "adam_eps": ("Adam", {"lr": 0.1, "eps": 0.1}),
    "adam_decay": ("Adam", {"lr": 0.1, "weight_decay": 0.2}),
    "adamw": ("AdamW", {"lr": 0.1}),
    "adamw_decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "betas": [0.8, 0.9], "eps": 1e-4}),
}
GROUPS = [
    {"params": ["p0"], "lr": 0.5, "weight_decay": 0.1},
    {"params": ["p1", "p2"]},
]


def values(name, scale=1.0):
    return {
        p: (rng(f"{name}/{p}").normal(size=s) * scale).astype("float32") for p, s in SHAPES.items()
    }


def clip(parameters, extra, found, step):
    if "clip_norm" in extra:
        found[f"{step}/norm"] = optim.clip_grad_norm(
            parameters.values(), **extra["clip_norm"]
        ).numpy()
    elif "clip_value" in extra:
        optim.clip_grad_value(parameters.values(), **extra["clip_value"])
    else:
        return
    for p, parameter in parameters.items():
        if parameter.grad is not None:
            found[f"{step}/clipped/{p}"] = parameter.grad.numpy()


def case(family, name, kind, kwargs, groups=None, **extra):
    groups = groups or [{"params": list(SHAPES)}]
    lr = []

    def measure():
        lr.clear()
        found = {}
        parameters = {p: mge.Parameter(v) for p, v in values(name).items()}
        found.update((f"param/{p}", t.numpy()) for p, t in parameters.items())
        keywords = {k: tuple(v) if isinstance(v, list) else v for k, v in kwargs.items()}
        described = [{**g, "params": [parameters[p] for p in g["params"]]} for g in groups]
        optimizer = getattr(optim, kind)(described, **keywords)
        schedule = extra.get("schedule")
        scheduler = optim.MultiStepLR(optimizer, **schedule) if schedule else None
        for step in range(STEPS):
            grads = values(f"{name}/{step}")
            for p, parameter in parameters.items():
                missing = [step, p] in extra.get("missing", [])
                parameter.grad = None if missing else mge.tensor(grads[p])
                if not missing:
                    found[f"{step}/grad/{p}"] = grads[p]
            clip(parameters, extra, found, step)
            lr.append([float(g["lr"]) for g in optimizer.param_groups])
            optimizer.step()
            if scheduler:
                scheduler.step()
            found.update((f"{step}/param/{p}", t.numpy().copy()) for p, t in parameters.items())
        for index, kept in optimizer.state_dict()["state"].items():
            found.update((f"state/{index}/{k}", np.asarray(v)) for k, v in kept.items())
        return found

    found = steady(measure)
    state = [k.split("/")[1:] for k in found if k.startswith("state/")]
    family.keep_all(name, found)
    family.new_case(name, f"optim:{kind}").update(
        kwargs=kwargs,
        groups=groups,
        steps=STEPS,
        **extra,
        lr=lr,
        state=[[int(index), key] for index, key in state],
        rtol=1e-5,
    )


def record(family):
    for name, (kind, kwargs) in CASES.items():
        case(family, name, kind, kwargs)
    for kind, kwargs in (
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("Adam", {"lr": 0.1}),
        ("AdamW", {"lr": 0.1}),
    ):
        label = kind.lower()
        case(family, f"{label}_groups", kind, kwargs, GROUPS)
        schedule = {"milestones": [1, 3], "gamma": 0.1}
        case(family, f"{label}_schedule", kind, kwargs, GROUPS, schedule=schedule)
        missing = [[0, "p1"], [2, "p0"], [3, "p2"]]
        case(family, f"{label}_missing", kind, kwargs, missing=missing)
    schedule = {"milestones": [2, 4], "gamma": 0.5}
    case(family, "sgd_schedule_plain", "SGD", {"lr": 1.0}, schedule=schedule)
    for order in (1.0, 2.0, 3.0):
        name = f"clip_norm_{int(order)}"
        case(family, name, "SGD", {"lr": 0.1}, clip_norm={"max_norm": 1.5, "ord": order})
    case(family, "clip_norm_loose", "SGD", {"lr": 0.1}, clip_norm={"max_norm": 100.0, "ord": 2.0})
    case(family, "clip_value", "SGD", {"lr": 0.1}, clip_value={"lower": -0.5, "upper": 0.75})

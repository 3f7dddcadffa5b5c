"""Optimizers, schedules and gradient limits."""

import copy
import pickle

import megengine as mge
import megengine.functional as F
import megengine.module as M
import megengine.optimizer as optim
import numpy as np
import pytest
from megengine import Parameter, Tensor
from megengine.autodiff import GradManager


def parameter(*values):
    return Parameter(np.array(values, "float32"))


def run(optimizer, param, gradients):
    """The values of ``param`` after each of the gradients."""
    values = []
    for gradient in gradients:
        param.grad = Tensor(np.full(param.shape, gradient, "float32"))
        optimizer.step()
        values.append(float(param.numpy().ravel()[0]))
    return values


GRADIENTS = [0.5, -1.0, 2.0]


def sgd(p, lr, momentum, nesterov, decay):
    v = 0
    for g in GRADIENTS:
        g = g + decay * p
        v = momentum * v + g
        p -= lr * (g + momentum * v if nesterov else v)
        yield p


def adam(p, lr, b1, b2, eps, decay, decoupled):
    m = v = 0
    for t, g in enumerate(GRADIENTS, 1):
        g = g if decoupled else g + decay * p
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        step = m / (1 - b1**t) / ((v / (1 - b2**t)) ** 0.5 + eps)
        p -= lr * (step + decay * p if decoupled else step)
        yield p


def adagrad(p, lr, lr_decay, eps, decay):
    s = 0
    for t, g in enumerate(GRADIENTS):
        g = g + decay * p
        s += g * g
        p -= lr / (1 + t * lr_decay) * g / (s + eps) ** 0.5
        yield p


def adadelta(p, lr, rho, eps, decay):
    s = d = 0
    for g in GRADIENTS:
        g = g + decay * p
        s = rho * s + (1 - rho) * g * g
        delta = g * ((d + eps) / (s + eps)) ** 0.5
        d = rho * d + (1 - rho) * delta * delta
        p -= lr * delta
        yield p


def lamb(p, lr, b1, b2, eps, decay):
    m = v = 0
    for t, g in enumerate(GRADIENTS, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        r = m / (1 - b1**t) / ((v / (1 - b2**t)) ** 0.5 + eps) + decay * p
        p -= lr * abs(p) / abs(r) * r
        yield p


CASES = {
    "sgd": (lambda p: optim.SGD(p, 0.1), sgd, (0.1, 0, False, 0)),
    "momentum": (
        lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        sgd,
        (0.1, 0.9, False, 0.1),
    ),
    "nesterov": (
        lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        sgd,
        (0.1, 0.9, True, 0.1),
    ),
    "adam": (lambda p: optim.Adam(p, 0.1), adam, (0.1, 0.9, 0.999, 1e-8, 0, False)),
    "adam with decay": (
        lambda p: optim.Adam(p, 0.1, (0.8, 0.9), 0.5, weight_decay=0.1),
        adam,
        (0.1, 0.8, 0.9, 0.5, 0.1, False),
    ),
    "adamw": (lambda p: optim.AdamW(p, 0.1), adam, (0.1, 0.9, 0.999, 1e-8, 0.01, True)),
    "adagrad": (
        lambda p: optim.Adagrad(p, 0.1, lr_decay=0.3, eps=0.5, weight_decay=0.1),
        adagrad,
        (0.1, 0.3, 0.5, 0.1),
    ),
    "adadelta": (
        lambda p: optim.Adadelta(p, 0.7, rho=0.8, eps=0.5, weight_decay=0.1),
        adadelta,
        (0.7, 0.8, 0.5, 0.1),
    ),
    "lamb": (
        lambda p: optim.LAMB(p, 0.1, weight_decay=0.1),
        lamb,
        (0.1, 0.9, 0.999, 1e-8, 0.1),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 37])
def test_updates_follow_their_formulas(name, size):
    # All elements are equal, so that the ratio of LAMB's norms is that of one element.
    make, formula, settings = CASES[name]
    param = parameter(*[1.0] * size)
    values = run(make([param]), param, GRADIENTS)
    np.testing.assert_allclose(values, list(formula(1.0, *settings)), rtol=2e-5)
    assert (param.numpy() == param.numpy()[0]).all()


@pytest.mark.parametrize("name", CASES)
def test_parameters_without_gradient_stay(name):
    used, unused = parameter(1.0), parameter(2.0)
    optimizer = CASES[name][0]([unused, used])
    run(optimizer, used, GRADIENTS)
    assert unused.numpy().tolist() == [2.0] and used.numpy().tolist() != [1.0]


@pytest.mark.parametrize("name", CASES)
def test_state_continues_where_it_was_saved(name):
    param = parameter(1.0)
    optimizer = CASES[name][0]([param])
    run(optimizer, param, GRADIENTS)
    twin = Parameter(param.numpy())
    other = CASES[name][0]([twin])
    other.load_state_dict(optimizer.state_dict())
    assert run(other, twin, GRADIENTS) == run(optimizer, param, GRADIENTS)


@pytest.mark.parametrize("name", CASES)
def test_updates_keep_the_parameter_and_spare_copies_of_its_value(name):
    param = parameter(1.0)
    before = param.detach()
    run(CASES[name][0]([param]), param, [1.0])
    assert type(param) is Parameter and before.numpy().tolist() == [1.0]


def test_step_returns_the_optimizer_and_needs_no_gradients():
    optimizer = optim.SGD([parameter(1.0)], lr=0.1)
    assert optimizer.step() is optimizer


def test_step_inside_a_grad_manager_records_nothing():
    param = parameter(1.0)
    gm, optimizer = GradManager().attach([param]), optim.Adagrad([param])
    for _ in range(2):
        with gm:
            gm.backward((param * param).sum())
            optimizer.step()
        assert param.grad is not None
        optimizer.clear_grad()


def test_clear_grad_drops_and_zero_grad_zeroes():
    a, b = parameter(1.0), parameter(2.0)
    optimizer = optim.SGD([a, b], lr=0.1)
    a.grad = Tensor([3.0])
    optimizer.zero_grad()
    assert a.grad.numpy().tolist() == [0.0] and b.grad is None
    optimizer.clear_grad()
    assert a.grad is None


def test_what_belongs_to_others_says_so():
    optimizer = optim.SGD([parameter(1.0)], lr=0.1)
    with pytest.raises(NotImplementedError, match="GradManager"):
        optimizer.backward(Tensor(1.0))
    with pytest.raises(NotImplementedError):
        optimizer.bcast_param()


# ---- groups


def test_groups_override_defaults():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    a.grad, b.grad = Tensor([1.0]), Tensor([1.0])
    optimizer.step()
    np.testing.assert_allclose([a.numpy()[0], b.numpy()[0]], [0.5, 0.9])
    optimizer.param_groups[1]["lr"] = 0.9
    optimizer.step()
    np.testing.assert_allclose(b.numpy(), [0.0], atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p,
        lambda p: [p],
        lambda p: (q for q in [p]),
        lambda p: {"params": [p]},
        lambda p: [{"params": p}],
    ],
)
def test_parameters_come_in_any_of_these_forms(make):
    p = parameter(1.0)
    optimizer = optim.SGD(make(p), lr=0.1)
    assert len(optimizer.param_groups) == 1 and optimizer.param_groups[0]["params"][0] is p


@pytest.mark.parametrize(
    "params, error",
    [
        ([], ValueError),
        (3, TypeError),
        ([3], TypeError),
        ([Tensor([1.0])], TypeError),
        (Tensor([1.0]), TypeError),
        ([parameter(1.0), {"params": [parameter(1.0)]}], TypeError),
    ],
)
def test_anything_else_is_an_error(params, error):
    with pytest.raises(error):
        optim.SGD(params, lr=0.1)


def test_groups_can_be_added_later_and_train():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.Adam([a], lr=0.1)
    optimizer.add_param_group({"params": [b], "lr": 0.5})
    b.grad = Tensor([1.0])
    optimizer.step()
    np.testing.assert_allclose(b.numpy(), [0.5], rtol=1e-5)
    with pytest.raises(ValueError, match="more than one"):
        optimizer.add_param_group({"params": [a]})
    with pytest.raises(TypeError):
        optimizer.add_param_group([a])


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=-1),
        lambda p: optim.SGD(p, lr=1, momentum=-1),
        lambda p: optim.SGD(p, lr=1, weight_decay=-1),
        lambda p: optim.SGD(p, lr=1, nesterov=True),
        lambda p: optim.Adam(p, lr=1, betas=(1.0, 0.9)),
        lambda p: optim.AdamW(p, lr=1, betas=(0.9, 1.9)),
        lambda p: optim.AdamW(p, lr=1, weight_decay=-1),
        lambda p: optim.Adadelta(p, rho=2),
        lambda p: optim.Adagrad(p, lr_decay=-1),
    ],
)
def test_settings_out_of_range_are_errors(make):
    with pytest.raises(ValueError):
        make([parameter(1.0)])


# ---- state


def test_state_dict_has_the_layout_of_checkpoints():
    optimizer = optim.Adam([parameter(1.0, 2.0), parameter(3.0)], lr=0.1)
    state = optimizer.state_dict()
    assert state["param_groups"] == [
        {"lr": 0.1, "weight_decay": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "params": [0, 1]}
    ]
    assert {i: {k: v.shape for k, v in s.items()} for i, s in state["state"].items()} == {
        0: {"exp_avg": (2,), "exp_avg_sq": (2,), "step": ()},
        1: {"exp_avg": (1,), "exp_avg_sq": (1,), "step": ()},
    }
    assert all(v.dtype == np.float32 for v in state["state"][0].values())
    kept = optimizer.state_dict(keep_var=True)["state"][0]
    assert all(isinstance(value, Tensor) for value in kept.values())


def test_sgd_has_state_only_with_momentum():
    assert optim.SGD([parameter(1.0)], lr=0.1).state_dict()["state"] == {}
    state = optim.SGD([parameter(1.0)], lr=0.1, momentum=0.9).state_dict()["state"]
    assert list(state[0]) == ["momentum_buffer"]


def test_momentum_may_be_switched_on_later():
    p = parameter(1.0)
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.param_groups[0]["momentum"] = 0.5
    np.testing.assert_allclose(run(optimizer, p, [1.0, 1.0]), [0.9, 0.75], rtol=1e-6)


def broken(state, change):
    state = copy.deepcopy(state)
    change(state)
    return state


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["param_groups"].append(s["param_groups"][0]),
        lambda s: s["param_groups"][0]["params"].pop(),
        lambda s: s["param_groups"][0].pop("lr"),
        lambda s: s["param_groups"][0].update(momentum=0.9),
        lambda s: s["state"][1].pop("exp_avg"),
        lambda s: s["state"][1].update(exp_avg=np.zeros(5, "float32")),
    ],
)
def test_a_state_dict_that_does_not_fit_changes_nothing(change):
    params = [parameter(1.0, 2.0), parameter(3.0)]
    optimizer = optim.Adam(params, lr=0.1)
    run(optimizer, params[0], [1.0])
    before = optimizer.state_dict()
    state = optim.Adam([parameter(0.0, 0.0), parameter(0.0)], lr=0.7).state_dict()
    with pytest.raises(ValueError):
        optimizer.load_state_dict(broken(state, change))
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, values in before["state"].items():
        for name, value in values.items():
            np.testing.assert_array_equal(after["state"][number][name], value)


def test_loading_restores_settings():
    saved = optim.SGD([parameter(1.0)], lr=0.7, momentum=0.3).state_dict()
    optimizer = optim.SGD([parameter(1.0)], lr=0.1, momentum=0.9)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.7
    assert optimizer.param_groups[0]["momentum"] == 0.3


def test_initial_learning_rates_do_not_stand_in_the_way_of_loading():
    plain, scheduled = optim.SGD([parameter(1.0)], lr=1.0), optim.SGD([parameter(1.0)], lr=1.0)
    optim.MultiStepLR(scheduled, [1])
    state = scheduled.state_dict()
    assert state["param_groups"][0]["initial_lr"] == 1.0
    scheduled.load_state_dict(plain.state_dict())
    plain.load_state_dict(state)
    assert plain.param_groups[0]["initial_lr"] == 1.0


def test_optimizers_can_be_pickled_and_deep_copied():
    p = parameter(1.0)
    optimizer = optim.Adam([p], lr=0.1)
    run(optimizer, p, GRADIENTS)
    expected = None
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        values = run(twin, twin.param_groups[0]["params"][0], GRADIENTS)
        assert expected in (None, values)
        expected = values


def test_own_optimizers_write_state_and_updates():
    class Halving(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        def _create_state(self, param_group):
            for param in param_group["params"]:
                self._add_state(param, "count", initializer=0.0)

        def _updates(self, param_group):
            for param in param_group["params"]:
                count = self._state[param]["count"]
                count._reset(count + 1)
                param._reset(param * 0.5)

    p = parameter(1.0)
    optimizer = Halving([p])
    optimizer.step().step()
    assert p.numpy().tolist() == [0.25]
    assert optimizer.state_dict()["state"][0]["count"] == 2
    optimizer.load_state_dict(optimizer.state_dict())


# ---- training like MegEngine did


class Net(M.Module):
    def __init__(self):
        super().__init__()
        self.body = M.Sequential(
            dict(
                conv1=M.Conv2d(3, 8, 3, padding=1),
                bn1=M.BatchNorm2d(8),
                act1=M.PReLU(8),
                pool=M.MaxPool2d(2),
                conv2=M.Conv2d(8, 16, 3, padding=1, groups=2),
                bn2=M.BatchNorm2d(16),
                act2=M.PReLU(),
                gap=M.AdaptiveAvgPool2d(1),
            )
        )
        self.head = [M.Linear(16, 12), M.Linear(12, 5)]
        self.scale = Parameter([1.0])
        self.steps = Tensor([0], dtype="int32")

    def forward(self, x):
        x = F.flatten(self.body(x), 1)
        for layer in self.head:
            x = F.relu(layer(x))
        return x * self.scale


def train(net, optimizer, batches):
    gm, losses = GradManager().attach(net.parameters()), []
    for x, y in batches:
        with gm:
            loss = F.nn.cross_entropy(net(Tensor(x)), Tensor(y))
            gm.backward(loss)
        optimizer.step().clear_grad()
        losses.append(float(loss))
    return losses


# Batch normalisation takes these biases away, so that their gradients are rounding errors, which
# Adam brings to full size: a step of up to the learning rate either way. The running means follow
# the biases by a tenth per step.
FREE = {"body.conv1.bias", "body.conv2.bias"}
FOLLOWING = {"body.bn1.running_mean", "body.bn2.running_mean"}


def assert_same_state(net, expected):
    for name, value in net.state_dict().items():
        if name not in FREE and name != "steps":
            atol = 6e-3 if name in FOLLOWING else 1e-4
            np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=atol, err_msg=name)


def test_adam_steps_give_the_recorded_losses_and_state(data, recorded):
    expected, net = recorded("expected.npz"), Net()
    net.load_state_dict(mge.load(data / "state_dict_init.pkl"))
    optimizer = optim.Adam(net.parameters(), lr=1e-2, weight_decay=1e-4)
    losses = train(net, optimizer, zip(expected["X"][:3], expected["Y"][:3], strict=True))
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-4)
    assert_same_state(net, mge.load(data / "state_dict.pkl"))


def test_a_recorded_checkpoint_resumes(data, recorded):
    inputs, expected = recorded("expected.npz"), recorded("expected_resumed.npz")
    checkpoint, net = mge.load(data / "checkpoint.pkl"), Net()
    net.load_state_dict(checkpoint["state_dict"])
    optimizer = optim.Adam(net.parameters(), lr=1.0)
    optimizer.load_state_dict(checkpoint["optimizer"])
    net.eval()
    np.testing.assert_allclose(
        net(Tensor(inputs["X"][5])).numpy(), inputs["net_eval"], rtol=1e-4, atol=1e-5
    )
    net.train()
    losses = train(net, optimizer, zip(inputs["X"][3:5], inputs["Y"][3:5], strict=True))
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-4)
    assert_same_state(net, expected)


# ---- schedules


def optimizer_of_two():
    groups = [{"params": [parameter(1.0)], "lr": 1.0}, {"params": [parameter(1.0)]}]
    return optim.SGD(groups, lr=0.1)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_multi_step_lr_falls_at_milestones():
    optimizer = optimizer_of_two()
    schedule, seen = optim.MultiStepLR(optimizer, [2, 4], gamma=0.5), []
    for _ in range(5):
        seen.append(rates(optimizer)[0])
        schedule.step()
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25]
    schedule.step(1)
    assert rates(optimizer) == [1.0, 0.1] and schedule.current_epoch == 1


def test_repeated_milestones_count_twice():
    optimizer = optimizer_of_two()
    schedule = optim.MultiStepLR(optimizer, [1, 1], gamma=0.5)
    schedule.step()
    assert rates(optimizer)[0] == 0.25


def test_schedules_resume():
    optimizer = optimizer_of_two()
    with pytest.raises(KeyError, match="initial_lr"):
        optim.MultiStepLR(optimizer, [2], current_epoch=3)
    optim.MultiStepLR(optimizer, [2])
    schedule = optim.MultiStepLR(optimizer, [2, 4], gamma=0.5, current_epoch=3)
    assert schedule.current_epoch == 4 and rates(optimizer)[0] == 0.25
    assert schedule.state_dict() == {"milestones": [2, 4], "gamma": 0.5, "current_epoch": 4}
    schedule.load_state_dict({"milestones": [1, 2, 3], "gamma": 0.1, "current_epoch": 0})
    schedule.step()
    np.testing.assert_allclose(rates(optimizer)[0], 0.1)
    with pytest.raises(KeyError):
        schedule.load_state_dict({"gamma": 0.3})
    assert schedule.gamma == 0.1


def test_own_schedules_write_get_lr():
    class Growing(optim.LRScheduler):
        def get_lr(self):
            return [lr * (self.current_epoch + 1) for lr in self.base_lrs]

    optimizer = optimizer_of_two()
    schedule = Growing(optimizer)
    schedule.step()
    assert rates(optimizer) == [2.0, 0.2]


def test_wrong_schedules_are_errors():
    with pytest.raises(ValueError, match="increase"):
        optim.MultiStepLR(optimizer_of_two(), [4, 2])
    with pytest.raises(TypeError):
        optim.MultiStepLR(3, [2])
    with pytest.raises(NotImplementedError):
        optim.LRScheduler(optimizer_of_two())


# ---- limits


def with_gradients():
    params = [parameter(0.0, 0.0), parameter(0.0), parameter(0.0)]
    params[0].grad, params[1].grad = Tensor([3.0, 3.0]), Tensor([-4.0])
    return params


@pytest.mark.parametrize("order", [1, 2, 3.0, float("inf")])
def test_clip_grad_norm_scales_all_gradients_together(order):
    params = with_gradients()
    gradient = params[0].grad
    norm = np.linalg.norm([3, 3, -4], order)
    assert float(optim.clip_grad_norm(params, 1.0, ord=order)) == pytest.approx(norm)
    np.testing.assert_allclose(gradient.numpy(), np.array([3, 3]) / norm, rtol=1e-5)
    np.testing.assert_allclose(params[1].grad.numpy(), [-4 / norm], rtol=1e-5)
    assert params[2].grad is None


def test_clip_grad_norm_leaves_small_gradients():
    params = with_gradients()
    optim.clip_grad_norm(iter(params), 100.0)
    assert params[0].grad.numpy().tolist() == [3.0, 3.0]
    assert float(optim.clip_grad_norm([], 1.0)) == 0
    assert float(optim.clip_grad_norm(params[1], 1.0)) == 4


def test_clip_grad_value_limits_every_element():
    params = with_gradients()
    optim.clip_grad_value(params, -1, 2)
    assert params[0].grad.numpy().tolist() == [2.0, 2.0]
    assert params[1].grad.numpy().tolist() == [-1.0]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "LAMB"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_steps_keep_the_dtypes_of_parameters_and_states(name, dtype):
    param = Parameter(np.ones(3, "float32"), dtype=dtype)
    optimizer = getattr(optim, name)([param], lr=0.1)
    reference = parameter(1, 1, 1)
    same = getattr(optim, name)([reference], lr=0.1)
    for _ in range(3):
        for p, o in ((param, optimizer), (reference, same)):
            p.grad = Tensor(np.full(3, 0.5, "float32"), dtype=p.dtype)
            o.step()
    assert str(param.dtype) == dtype
    np.testing.assert_allclose(param.astype("float32").numpy(), reference.numpy(), rtol=2e-2)
    states = [s for s in optimizer._state.get(param, {}).values() if isinstance(s, Tensor)]
    assert all(str(s.dtype) == "float32" for s in states)


def test_limiting_the_norm_keeps_the_dtypes_of_gradients():
    params = [Parameter(np.ones(2, "float32"), dtype=d) for d in ("float16", "float32")]
    for param in params:
        param.grad = Tensor(np.full(2, 3.0, "float32"), dtype=param.dtype)
    optim.clip_grad_norm(params, 1.0)
    assert [str(p.grad.dtype) for p in params] == ["float16", "float32"]

"""Layers: parameters, shapes, values, printed forms, initialisation."""

import inspect
import math
from collections import OrderedDict

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
import pytest
from megengine import Parameter, Tensor
from megengine.autodiff import GradManager
from megengine.module import init


def randn(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def tensor(*shape, seed=0):
    return Tensor(randn(*shape, seed=seed))


def shapes(layer):
    return {name: tuple(value.shape) for name, value in layer.named_tensors()}


@pytest.mark.parametrize(
    "layer, printed",
    [
        (M.Identity(), "Identity()"),
        (M.Linear(3, 4), "Linear(in_features=3, out_features=4, bias=True)"),
        (M.Conv1d(4, 8, 3, padding=1), "Conv1d(4, 8, kernel_size=3, padding=1)"),
        (
            M.Conv2d(4, 8, 3, padding=(1, 2), groups=2),
            "Conv2d(4, 8, kernel_size=(3, 3), padding=(1, 2), groups=2)",
        ),
        (
            M.Conv2d(4, 8, (3, 5), stride=2, dilation=2, bias=False),
            "Conv2d(4, 8, kernel_size=(3, 5), stride=(2, 2), dilation=(2, 2), bias=False)",
        ),
        (
            M.ConvTranspose2d(4, 8, 3, stride=2, output_padding=1),
            "ConvTranspose2d(4, 8, kernel_size=(3, 3), stride=(2, 2))",
        ),
        (
            M.BatchNorm2d(4),
            "BatchNorm2d(4, eps=1e-05, momentum=0.9, affine=True, track_running_stats=True)",
        ),
        (M.LayerNorm((3, 4)), "LayerNorm(normalized_shape=(3, 4), eps=1e-05, affine=True)"),
        (M.LayerNorm(5), "LayerNorm(normalized_shape=(5,), eps=1e-05, affine=True)"),
        (M.GroupNorm(2, 4), "GroupNorm(groups=2, channels=4, eps=1e-05, affine=True)"),
        (M.InstanceNorm(4), "InstanceNorm(channels=4, eps=1e-05, affine=True)"),
        (M.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0)"),
        (
            M.AvgPool2d(3, 2, 1, mode="average"),
            "AvgPool2d(kernel_size=3, stride=2, padding=1, mode=average)",
        ),
        (M.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d()"),
        (M.Dropout(0.3), "Dropout(drop_prob=0.3)"),
        (M.Embedding(5, 3), "Embedding()"),
        (M.Softmax(axis=1), "Softmax(axis=1)"),
        (M.PReLU(4), "PReLU()"),
        (M.LeakyReLU(0.2), "LeakyReLU()"),
    ],
)
def test_printed_forms(layer, printed):
    assert repr(layer) == printed


@pytest.mark.parametrize(
    "layer, expected",
    [
        (M.Linear(3, 4), {"bias": (4,), "weight": (4, 3)}),
        (M.Linear(3, 4, bias=False), {"weight": (4, 3)}),
        (M.Conv1d(4, 8, 3), {"bias": (1, 8, 1), "weight": (8, 4, 3)}),
        (M.Conv1d(4, 8, 3, groups=2), {"bias": (1, 8, 1), "weight": (2, 4, 2, 3)}),
        (M.Conv2d(4, 8, 3), {"bias": (1, 8, 1, 1), "weight": (8, 4, 3, 3)}),
        (M.Conv2d(4, 8, 3, groups=4), {"bias": (1, 8, 1, 1), "weight": (4, 2, 1, 3, 3)}),
        (M.ConvTranspose2d(4, 8, 3), {"bias": (1, 8, 1, 1), "weight": (4, 8, 3, 3)}),
        (
            M.ConvTranspose2d(4, 8, 3, groups=2),
            {"bias": (1, 8, 1, 1), "weight": (2, 2, 4, 3, 3)},
        ),
        (M.LayerNorm((3, 4)), {"bias": (3, 4), "weight": (3, 4)}),
        (M.LayerNorm(4, affine=False), {}),
        (M.GroupNorm(2, 4), {"bias": (4,), "weight": (4,)}),
        (M.PReLU(), {"weight": (1,)}),
        (M.PReLU(4), {"weight": (1, 4, 1, 1)}),
        (M.Embedding(5, 3), {"weight": (5, 3)}),
        (M.BatchNorm1d(4, affine=False, track_running_stats=False), {}),
    ],
)
def test_tensors_have_the_shapes_that_checkpoints_have(layer, expected):
    assert shapes(layer) == expected


def test_batch_norm_keeps_four_dimensions_and_saves_one():
    layer = M.BatchNorm1d(4)
    assert set(shapes(layer).values()) == {(1, 4, 1, 1)}
    assert names_of_parameters(layer) == ["bias", "weight"]
    assert {value.shape for value in layer.state_dict().values()} == {(4,)}


def names_of_parameters(layer):
    return [name for name, _ in layer.named_parameters()]


def test_signatures_are_those_of_the_interface():
    assert str(inspect.signature(M.PReLU)) == (
        "(num_parameters: int = 1, init: float = 0.25, **kwargs)"
    )
    assert (
        list(inspect.signature(M.Conv2d).parameters)
        == (
            "in_channels out_channels kernel_size stride padding dilation groups bias conv_mode "
            "compute_mode padding_mode kwargs"
        ).split()
    )
    with pytest.raises(TypeError):
        M.Linear(2, 2, colour="red")


# ---- values


@pytest.mark.parametrize(
    "layer, formula",
    [
        (M.ReLU(), lambda x: np.maximum(x, 0)),
        (M.LeakyReLU(0.2), lambda x: np.maximum(x, 0) + 0.2 * np.minimum(x, 0)),
        (M.PReLU(init=0.3), lambda x: np.maximum(x, 0) + 0.3 * np.minimum(x, 0)),
        (M.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (M.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (M.GELU(), lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
        (M.Softmax(axis=-1), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        (M.Identity(), lambda x: x),
    ],
)
def test_activations_follow_their_formulas(layer, formula):
    x = randn(3, 5)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), formula(x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("shape, axis", [((4,), 0), ((3, 4), 1), ((2, 3, 4), 0), ((2, 3, 4, 2), 1)])
def test_softmax_chooses_its_axis_by_the_number_of_dimensions(shape, axis):
    np.testing.assert_allclose(M.Softmax()(tensor(*shape)).numpy().sum(axis), 1, rtol=1e-6)


def test_identity_gives_a_copy():
    x = Tensor([1.0, 2.0])
    y = M.Identity()(x)
    y[0] = 5.0
    assert x.numpy().tolist() == [1.0, 2.0]


def test_prelu_has_one_slope_per_channel():
    layer, x = M.PReLU(3), randn(2, 3, 4, 4)
    slopes = np.array([0.1, 0.2, 0.3], "float32").reshape(1, 3, 1, 1)
    layer.weight = Parameter(slopes)
    expected = np.maximum(x, 0) + slopes * np.minimum(x, 0)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-6)


def test_prelu_gives_the_recorded_values_and_gradients(recorded):
    case = recorded("prelu.npz")
    layer, x = M.PReLU(4, init=0.1), Tensor(case["x"])
    layer.load_state_dict({"weight": case["weight"]})
    gm = GradManager().attach([x, layer.weight])
    with gm:
        y = layer(x)
        gm.backward(y, Tensor(case["dy"]))
    np.testing.assert_allclose(y.numpy(), case["y"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(x.grad.numpy(), case["dx"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(layer.weight.grad.numpy(), case["dweight"], rtol=1e-5, atol=1e-6)


def test_linear_maps_the_last_axis():
    layer, x = M.Linear(3, 4), randn(2, 5, 3)
    expected = x @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert layer(tensor(3)).shape == (4,)


@pytest.mark.parametrize("mode, numpy_mode", [("reflect", "reflect"), ("replicate", "edge")])
def test_convolution_pads_by_reflection_or_replication(mode, numpy_mode):
    x = randn(1, 2, 6, 7)
    layer = M.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)), numpy_mode)
    expected = F.conv2d(Tensor(padded), layer.weight, layer.bias)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected.numpy(), rtol=1e-6)
    assert M.Conv1d(2, 3, 3, padding=1, padding_mode=mode)(tensor(1, 2, 6)).shape == (1, 3, 6)


def test_grouped_convolution_keeps_groups_apart():
    layer = M.Conv2d(4, 6, 1, groups=2, bias=False)
    x = randn(1, 4, 3, 3)
    y = layer(Tensor(x)).numpy()
    x[:, 2:] += 1
    np.testing.assert_array_equal(layer(Tensor(x)).numpy()[:, :3], y[:, :3])


@pytest.mark.parametrize(
    "layer, before, after",
    [
        (M.Conv2d(4, 8, 3, stride=2, padding=1), (2, 4, 9, 9), (2, 8, 5, 5)),
        (M.Conv2d(4, 8, 3, dilation=2), (2, 4, 9, 9), (2, 8, 5, 5)),
        (M.Conv1d(4, 8, 3, groups=2), (2, 4, 9), (2, 8, 7)),
        (M.ConvTranspose2d(4, 8, 3, 2, 1, 1), (2, 4, 5, 5), (2, 8, 10, 10)),
        (M.ConvTranspose2d(4, 8, 3, 2, 1, groups=2), (2, 4, 5, 5), (2, 8, 9, 9)),
        (M.MaxPool2d(2), (2, 3, 7, 7), (2, 3, 3, 3)),
        (M.MaxPool2d(3, 1, 1), (2, 3, 7, 7), (2, 3, 7, 7)),
        (M.AvgPool2d((2, 3)), (2, 3, 6, 6), (2, 3, 3, 2)),
        (M.AdaptiveAvgPool2d((2, 3)), (2, 3, 7, 7), (2, 3, 2, 3)),
        (M.AdaptiveMaxPool2d(2), (2, 3, 7, 7), (2, 3, 2, 2)),
        (M.BatchNorm1d(3), (4, 3), (4, 3)),
        (M.BatchNorm1d(3), (4, 3, 5), (4, 3, 5)),
        (M.ConvBn2d(3, 4, 3), (2, 3, 5, 5), (2, 4, 3, 3)),
        (M.PixelShuffle(2), (1, 8, 3, 3), (1, 2, 6, 6)),
    ],
)
def test_output_shapes(layer, before, after):
    assert tuple(layer(tensor(*before)).shape) == after


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_convolution_with_relu_is_the_two_one_after_the_other(mode):
    layer = M.ConvRelu2d(4, 8, 3, padding=1, padding_mode=mode)
    x = tensor(2, 4, 9, 9)
    with GradManager().attach(layer.parameters()) as gm:
        y = layer(x)
        gm.backward((y * y).sum())
    apart = F.relu(layer.calc_conv(x, layer.weight, layer.bias))
    np.testing.assert_array_equal(y.numpy(), apart.numpy())
    np.testing.assert_array_equal(layer(x).numpy(), apart.numpy())
    assert all(np.any(p.grad.numpy()) for p in layer.parameters())


def test_convolution_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="divisible by groups"):
        M.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="padding_mode"):
        M.Conv2d(3, 4, 3, padding_mode="circular")
    with pytest.raises(ValueError):
        M.Conv2d(3, 4, (3, 3, 3))
    with pytest.raises(ValueError):
        M.Conv2d(3, 4, 0)


# ---- normalisation


def test_batch_norm_normalises_the_batch_and_follows_it():
    x, layer = randn(4, 3, 2, 2), M.BatchNorm2d(3)
    y = layer(Tensor(x)).numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-4)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy().ravel(), 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.running_var.numpy().ravel(), 0.9 + 0.1 * var, rtol=1e-5)


def test_batch_norm_uses_running_statistics_in_eval_mode():
    x, layer = randn(4, 3, 2, 2), M.BatchNorm2d(3)
    layer.eval()
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), x / np.sqrt(1 + 1e-5), rtol=1e-5)
    assert (layer.running_mean.numpy() == 0).all()


def test_frozen_batch_norm_uses_running_statistics_in_training_mode():
    x, layer = randn(4, 3, 2, 2), M.BatchNorm2d(3, freeze=True)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), x / np.sqrt(1 + 1e-5), rtol=1e-5)
    assert (layer.running_mean.numpy() == 0).all()
    with pytest.raises(ValueError, match="freeze"):
        M.BatchNorm2d(3, freeze=True, track_running_stats=False)


@pytest.mark.parametrize(
    "kind, shape",
    [(M.BatchNorm1d, (4, 3)), (M.BatchNorm2d, (4, 3, 2, 2)), (M.SyncBatchNorm, (4, 3, 2))],
)
@pytest.mark.parametrize("training", [True, False])
def test_frozen_batch_norm_trains_neither_weight_nor_bias(kind, shape, training):
    x, layer = tensor(*shape), kind(3, freeze=True)
    layer.train(training)
    with GradManager().attach([x, *layer.parameters()]) as gm:
        gm.backward((layer(x) * layer(x)).sum())
    assert layer.weight.grad is None and layer.bias.grad is None
    assert np.any(x.grad.numpy())


def test_batch_norm_without_running_statistics_always_uses_the_batch():
    layer = M.BatchNorm2d(3, track_running_stats=False)
    layer.eval()
    y = layer(tensor(4, 3, 2, 2)).numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)


def test_batch_norm_stops_tracking_on_request():
    layer = M.BatchNorm2d(3)
    layer.track_running_stats = False
    layer(tensor(4, 3, 2, 2))
    assert (layer.running_mean.numpy() == 0).all()


@pytest.mark.parametrize(
    "layer, shape",
    [
        (M.BatchNorm1d(2), (0, 2)),
        (M.BatchNorm1d(2), (3, 2, 0)),
        (M.BatchNorm2d(2), (0, 2, 3, 3)),
        (M.BatchNorm2d(2), (2, 2, 0, 3)),
        (M.SyncBatchNorm(2), (0, 2, 3)),
        (M.ConvBn2d(1, 2, 3), (0, 1, 5, 5)),
    ],
)
def test_batch_norm_does_not_follow_a_batch_without_elements(layer, shape):
    norm = getattr(layer, "bn", layer)
    norm.running_mean[...] = 0.5
    with GradManager().attach(layer.parameters()) as gm:
        y = layer(F.zeros(shape))
        gm.backward(y.sum())
    assert y.shape[0] == shape[0] and y.size == 0
    np.testing.assert_array_equal(norm.running_mean.numpy().ravel(), [0.5, 0.5])
    np.testing.assert_array_equal(norm.running_var.numpy().ravel(), [1, 1])
    assert not norm.weight.grad.numpy().any() and not norm.bias.grad.numpy().any()


def test_batch_norm_returns_unchanged_statistics_for_a_batch_without_elements():
    mean, var = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    y, *after = F.batch_norm(F.zeros((0, 2)), mean, var, training=True, inplace=False)
    assert y.shape == (0, 2)
    for new, old in zip(after, (mean, var), strict=True):
        np.testing.assert_array_equal(new.numpy(), old.numpy())


def test_batch_norm_of_one_element_per_channel_has_no_variance():
    layer = M.BatchNorm1d(2)
    assert not layer(Tensor([[3.0, -5.0]])).numpy().any()
    np.testing.assert_allclose(layer.running_mean.numpy().ravel(), [0.3, -0.5], rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy().ravel(), [0.9, 0.9], rtol=1e-5)


def test_batch_norm_updates_its_buffers_in_place_and_resets_them():
    layer = M.BatchNorm2d(3)
    mean = layer.running_mean
    layer(tensor(4, 3, 2, 2))
    assert layer.running_mean is mean and (mean.numpy() != 0).all()
    layer.reset_parameters()
    assert (mean.numpy() == 0).all()


@pytest.mark.parametrize(
    "layer, ndim", [(M.BatchNorm1d(3), 4), (M.BatchNorm1d(3), 1), (M.BatchNorm2d(3), 3)]
)
def test_batch_norm_checks_dimensions(layer, ndim):
    with pytest.raises(ValueError, match=f"got {ndim}D input"):
        layer(Tensor(np.zeros((3,) * ndim, "float32")))


@pytest.mark.parametrize(
    "layer, axes",
    [
        (M.LayerNorm((4, 3, 3)), (1, 2, 3)),
        (M.LayerNorm(3), (3,)),
        (M.InstanceNorm(4), (2, 3)),
        (M.GroupNorm(1, 4), (1, 2, 3)),
        (M.GroupNorm(4, 4, affine=False), (2, 3)),
    ],
)
def test_sample_norms_normalise_over_their_axes(layer, axes):
    x = randn(2, 4, 3, 3) * 3 + 1
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    expected = (x - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_group_norm_needs_a_multiple_of_its_groups():
    with pytest.raises(ValueError, match="divisible"):
        M.GroupNorm(3, 4)


# ---- dropout, embedding, sequential


def test_dropout_scales_what_it_keeps_and_rests_in_eval_mode():
    layer, x = M.Dropout(0.5), F.ones((100, 100))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1) < 0.1
    layer.eval()
    assert (layer(x).numpy() == 1).all()


def test_embedding_looks_rows_up():
    layer = M.Embedding(5, 3)
    index = np.array([[0, 4], [1, 1]], "int32")
    np.testing.assert_array_equal(layer(Tensor(index)).numpy(), layer.weight.numpy()[index])


def test_embedding_from_pretrained_copies_and_freezes():
    table = Parameter(randn(4, 2))
    layer = M.Embedding.from_pretrained(table)
    assert layer.weight is not table and layer.freeze
    gm = GradManager().attach([layer.weight])
    with gm:
        gm.backward(layer(Tensor([1], dtype="int32")).sum() + 0 * layer.weight.sum())
    assert (layer.weight.grad.numpy() == 0).all()
    free = M.Embedding.from_pretrained(table, freeze=False)
    gm = GradManager().attach([free.weight])
    with gm:
        gm.backward(free(Tensor([1], dtype="int32")).sum())
    assert free.weight.grad.numpy()[1].tolist() == [1, 1]


def test_embedding_refuses_what_it_does_not_support():
    for option in ({"padding_idx": 1}, {"max_norm": 1.0}, {"norm_type": 2.0}):
        with pytest.raises(ValueError):
            M.Embedding(5, 3, **option)
    with pytest.raises(ValueError):
        M.Embedding(5, 3, initial_weight=Parameter(randn(4, 3)))
    with pytest.raises(ValueError):
        M.Embedding.from_pretrained(Parameter(randn(4)))


def test_sequential_behaves_like_a_list():
    a, b, c = M.ReLU(), M.Linear(2, 3), M.Identity()
    net = M.Sequential(a, b, c)
    assert len(net) == 3 and list(net) == [a, b, c] and net[-1] is c
    assert list(net[1:]) == [b, c] and net[1:].layer_keys == ["1", "2"]
    net[1] = M.GELU()
    assert isinstance(getattr(net, "1"), M.GELU)
    net[:2] = [c, a]
    assert list(net) == [c, a, c]
    del net[0]
    assert list(net) == [a, c] and net.layer_keys == ["1", "2"] and not hasattr(net, "0")
    del net[:]
    assert len(net) == 0
    with pytest.raises(IndexError):
        net[0]


def test_sequential_takes_names_from_a_dict():
    net = M.Sequential(OrderedDict(b=M.Linear(2, 2), a=M.ReLU()))
    assert net.layer_keys == ["b", "a"] and isinstance(net[1], M.ReLU)
    assert list(net.state_dict()) == ["b.bias", "b.weight"]
    assert repr(net).splitlines()[1].startswith("  (b): Linear")


def test_sequential_runs_layers_and_functions_in_order():
    net = M.Sequential(lambda x: x - 3, F.relu)
    assert net(Tensor([1.0, 5.0])).numpy().tolist() == [0.0, 2.0]
    assert M.Sequential()(Tensor([1.0])).numpy().tolist() == [1.0]


def test_elemwise_finds_functions_by_name():
    x, y = Tensor([1.0, -4.0]), Tensor([2.0, 2.0])
    assert M.Elemwise("FUSE_ADD_RELU")(x, y).numpy().tolist() == [3.0, 0.0]
    assert M.Elemwise("add")(x, y).numpy().tolist() == [3.0, -2.0]
    assert M.Elemwise("TRUE_DIV")(x, y).numpy().tolist() == [0.5, -2.0]
    with pytest.raises(ValueError, match="FOO"):
        M.Elemwise("FOO")


# ---- initialisation


@pytest.mark.parametrize(
    "layer, fan_in",
    [
        (M.Linear(400, 300), 400),
        (M.Conv1d(64, 128, 3), 64 * 3),
        (M.Conv2d(64, 128, 3), 64 * 9),
        (M.Conv2d(64, 128, 3, groups=4), 64 * 9),
        (M.ConvTranspose2d(64, 128, 3), 128 * 9),
        (M.ConvTranspose2d(64, 128, 3, groups=4), 128 * 9),
    ],
)
def test_weights_start_from_a_normal_distribution_by_fan_in(layer, fan_in):
    weight = layer.weight.numpy()
    assert weight.std() == pytest.approx(fan_in**-0.5, rel=0.05)
    assert abs(weight.mean()) < 4 * fan_in**-0.5 / weight.size**0.5
    assert (layer.bias.numpy() == 0).all()


def test_embedding_starts_from_the_standard_normal_distribution():
    assert M.Embedding(100, 50).weight.numpy().std() == pytest.approx(1, rel=0.1)


def test_reset_parameters_draws_anew_in_place():
    layer = M.Linear(4, 3)
    weight, before = layer.weight, layer.weight.numpy().copy()
    layer.bias = Parameter([1.0, 1.0, 1.0])
    layer.reset_parameters()
    assert layer.weight is weight and (weight.numpy() != before).any()
    assert (layer.bias.numpy() == 0).all()


def test_fill_functions_keep_object_and_dtype():
    for function, value in ((init.zeros_, 0), (init.ones_, 1), (lambda t: init.fill_(t, 2.5), 2.5)):
        x = Parameter(randn(3, 2))
        assert function(x) is None
        assert (x.numpy() == value).all() and type(x) is Parameter
    half = Tensor(np.zeros(3, "float16"))
    init.normal_(half)
    assert half.dtype == np.float16


@pytest.mark.parametrize(
    "shape, fans",
    [
        ((6, 4), (4, 6)),
        ((6, 4, 3), (12, 18)),
        ((6, 4, 3, 5), (60, 90)),
        ((2, 3, 4, 3, 3), (36, 27)),
        ((2, 3, 4, 5, 6, 7), (840, 630)),
    ],
)
def test_fans_of_plain_and_grouped_weights(shape, fans):
    x = Tensor(np.zeros(shape, "float32"))
    assert init.calculate_fan_in_and_fan_out(x) == fans
    assert init.calculate_correct_fan(x, "fan_in") == fans[0]
    assert init.calculate_correct_fan(x, "FAN_OUT") == fans[1]


def test_fans_refuse_vectors_and_unknown_modes():
    with pytest.raises(ValueError):
        init.calculate_fan_in_and_fan_out(Tensor([1.0]))
    with pytest.raises(ValueError):
        init.calculate_correct_fan(tensor(2, 2), "fan_avg")


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("conv2d") == 1
    assert init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / (1 + 1e-4)))
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))
    for wrong in (("selu",), ("leaky_relu", True), ("leaky_relu", "a")):
        with pytest.raises(ValueError):
            init.calculate_gain(*wrong)


@pytest.mark.parametrize(
    "function, std, bound",
    [
        (lambda t: init.normal_(t, 1, 2), 2, None),
        (lambda t: init.uniform_(t), 12**-0.5, 1),
        (lambda t: init.xavier_normal_(t), (2 / 2700) ** 0.5, None),
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * (2 / 2700) ** 0.5, 2 * (6 / 2700) ** 0.5),
        (lambda t: init.msra_normal_(t), (2 / 900) ** 0.5, None),
        (
            lambda t: init.msra_normal_(t, mode="fan_out", nonlinearity="relu"),
            (2 / 1800) ** 0.5,
            None,
        ),
        (lambda t: init.msra_uniform_(t), (2 / 900) ** 0.5, (6 / 900) ** 0.5),
        (lambda t: init.msra_uniform_(t, a=5**0.5), (1 / 2700) ** 0.5, (1 / 900) ** 0.5),
    ],
)
def test_distributions(function, std, bound):
    x = Parameter(np.zeros((200, 100, 3, 3), "float32"))
    function(x)
    assert x.numpy().std() == pytest.approx(std, rel=0.02)
    if bound is not None:
        assert np.abs(x.numpy()).max() <= bound * (1 + 1e-6)
        assert np.abs(x.numpy()).max() > bound * 0.99


def test_layers_train_through_any_nesting():
    net = M.Sequential(M.Conv2d(1, 4, 3), M.BatchNorm2d(4), M.PReLU(4), M.AdaptiveAvgPool2d(1))
    gm = GradManager().attach(net.parameters())
    with gm:
        gm.backward((net(tensor(2, 1, 6, 6)) ** 2).sum())
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert mge.module.Sequential is M.Sequential


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_running_statistics_keep_their_dtype(dtype):
    norm = M.BatchNorm2d(2)
    norm(F.ones((2, 2, 3, 3)).astype(dtype))
    assert norm.running_mean.dtype == norm.running_var.dtype == np.float32
    mean, var = F.zeros(2, dtype="float16"), F.ones(2, dtype="float16")
    F.batch_norm(F.ones((2, 2)), mean, var, training=True)
    assert mean.dtype == var.dtype == np.float16

"""The tree of modules: traversal, state, hooks, modes, printing, copying."""

import copy
import pickle
from collections import OrderedDict, namedtuple

import megengine as mge
import megengine.module as M
import numpy as np
import pytest
from megengine import Parameter, Tensor

Pair = namedtuple("Pair", "left right")


class Leaf(M.Module):
    def forward(self, x):
        return x


class Net(Leaf):
    def __init__(self):
        super().__init__()
        self.z = M.Linear(2, 2)
        self.a = [M.ReLU(), M.Linear(2, 3, bias=False), Tensor([1.0])]
        self.d = {"y": M.Identity(), "x": (M.GELU(), Parameter([2.0])), "n": {"q": M.Sigmoid()}}
        self.shared = self.z
        self.buf = Tensor([1.0, 2.0])
        self.par = Parameter([3.0])
        self.par2 = self.par
        self._hid = Parameter([4.0])
        self.number, self.none, self.words = 3, None, ["a", "b"]


def names(pairs):
    return [name for name, _ in pairs]


def test_parameters_come_sorted_by_attribute_name_and_each_once():
    assert names(Net().named_parameters()) == [
        "_hid",
        "a.1.weight",
        "d.x.1",
        "par",
        "shared.bias",
        "shared.weight",
    ]


def test_buffers_are_tensors_that_are_not_parameters():
    assert names(Net().named_buffers()) == ["a.2", "buf"]


def test_tensors_are_parameters_and_buffers():
    net = Net()
    both = set(map(id, net.parameters())) | set(map(id, net.buffers()))
    assert set(map(id, net.tensors())) == both


def test_children_are_the_modules_held_directly_and_in_containers():
    assert names(Net().named_children()) == [
        "a.0",
        "a.1",
        "d.n.q",
        "d.x.0",
        "d.y",
        "shared",
    ]


def test_modules_start_with_the_root_and_go_depth_first():
    net = Leaf()
    net.c, net.b = Leaf(), Leaf()
    net.c.e, net.c.a = Leaf(), Leaf()
    assert names(net.named_modules()) == ["", "b", "c", "c.a", "c.e"]
    seen = []
    net.apply(seen.append)
    assert seen == list(net.modules())


def test_prefix_goes_in_front_of_every_name():
    net = Net()
    assert names(net.named_modules(prefix="p"))[:2] == ["p", "p.a.0"]
    assert names(net.named_parameters("p"))[0] == "p._hid"


def test_recursive_false_leaves_out_the_tensors_of_submodules():
    assert names(Net().named_tensors(recursive=False)) == ["_hid", "a.2", "buf", "d.x.1", "par"]


def test_with_parent_gives_the_module_that_holds_the_object():
    net = Net()
    parents = {name: owner for name, _, owner in net.named_parameters(with_parent=True)}
    assert parents["d.x.1"] is net
    assert parents["shared.weight"] is net.shared
    assert next(iter(net.modules(with_parent=True))) == (net, None)
    assert [owner for _, owner in net.children(with_parent=True)] == [net] * 6


def test_seen_leaves_out_what_was_visited_before():
    net, seen = Net(), set()
    assert len(list(net.parameters(seen=seen))) == 6
    assert list(net.parameters(seen=seen)) == []


def test_unknown_options_are_errors():
    with pytest.raises(TypeError):
        list(Net().parameters(with_colour=True))


def test_a_module_that_holds_its_parent_is_walked_once():
    net = Leaf()
    net.child = Leaf()
    net.child.parent, net.child.w = net, Parameter([1.0])
    assert names(net.named_modules()) == ["", "child"]
    assert list(net.state_dict()) == ["child.w"]


def test_named_tuples_and_ordered_dicts_nest():
    net = Leaf()
    net.pair = Pair(Leaf(), Parameter([1.0]))
    net.od = OrderedDict(b=Leaf(), a=Leaf())
    assert names(net.named_modules()) == ["", "od.a", "od.b", "pair.0"]
    assert names(net.named_parameters()) == ["pair.1"]


def test_traversal_sees_what_is_there_at_the_time():
    net = Leaf()
    net.items = []
    net.items.append(Parameter([1.0]))
    assert names(net.named_parameters()) == ["items.0"]
    net.items = None
    net.w = Parameter([1.0])
    assert names(net.named_parameters()) == ["w"]
    net.w = Tensor([1.0])
    assert names(net.named_buffers()) == ["w"] and not list(net.parameters())
    del net.w
    assert not list(net.tensors())


def test_attributes_may_be_deleted_during_traversal():
    net = Leaf()
    net.a, net.b = Leaf(), Leaf()
    for name, _ in net.named_children():
        if name == "a":
            del net.b
    assert names(net.named_children()) == ["a"]


# ---- state


def test_state_dict_lists_own_tensors_before_those_of_submodules():
    state = Net().state_dict()
    assert isinstance(state, OrderedDict)
    assert list(state) == [
        "_hid",
        "a.2",
        "buf",
        "d.x.1",
        "par",
        "a.1.weight",
        "shared.bias",
        "shared.weight",
    ]
    assert all(type(value) is np.ndarray for value in state.values())


def test_a_tensor_shared_by_modules_is_in_the_state_of_each():
    net = Leaf()
    net.a, net.b = M.Linear(2, 2), M.Linear(2, 2)
    net.b.weight = net.a.weight
    assert list(net.state_dict()) == ["a.bias", "a.weight", "b.bias", "b.weight"]
    assert names(net.named_parameters()) == ["a.bias", "a.weight", "b.bias"]


def test_state_dict_takes_a_prefix_without_a_dot_and_keeps_tensors_on_request():
    net = M.Linear(2, 2)
    assert list(net.state_dict(prefix="p_")) == ["p_bias", "p_weight"]
    assert net.state_dict(keep_var=True)["weight"] is net.weight


def test_state_dict_fills_rst_by_type_and_name():
    rst = {}
    assert list(M.Linear(2, 2).state_dict(rst=rst)) == ["bias", "weight"]
    assert list(rst) == [(M.Linear, "bias"), (M.Linear, "weight")]


@pytest.mark.parametrize(
    "layer", [M.BatchNorm2d(4), M.LayerNorm((2, 2)), M.GroupNorm(2, 4), M.InstanceNorm(4)]
)
def test_normalisation_layers_have_flat_state(layer):
    shape = layer.weight.shape
    assert all(value.shape == (4,) for value in layer.state_dict().values())
    layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
    assert layer.weight.shape == shape
    np.testing.assert_array_equal(layer.weight.numpy(), np.full(shape, 2))


def test_normalisation_layers_take_state_of_any_shape_and_the_right_size():
    layer = M.BatchNorm2d(4)
    layer.load_state_dict({n: np.ones((1, 4, 1, 1), "float32") for n in layer.state_dict()})
    assert layer.bias.shape == (1, 4, 1, 1)
    with pytest.raises(ValueError, match="bias"):
        layer.load_state_dict({n: np.ones(3, "float32") for n in layer.state_dict()})


def test_loading_restores_values_and_keeps_objects():
    source, target = Net(), Net()
    weight = target.z.weight
    source.z.weight = Parameter(np.full((2, 2), 7, "float32"))
    target.load_state_dict(source.state_dict())
    assert target.z.weight is weight
    np.testing.assert_array_equal(weight.numpy(), np.full((2, 2), 7))


def test_loading_copies():
    layer, value = M.Linear(2, 2, bias=False), np.zeros((2, 2), "float32")
    layer.load_state_dict({"weight": value})
    value[:] = 9
    assert (layer.weight.numpy() == 0).all()


def test_strict_loading_names_missing_and_unused_keys():
    with pytest.raises(KeyError, match=r"missing \['bias'\], unused \['wieght'\]"):
        M.Linear(2, 2).load_state_dict({"weight": np.zeros((2, 2)), "wieght": np.zeros(1)})


def test_loose_loading_takes_what_fits_by_name():
    layer = M.Linear(2, 2)
    layer.load_state_dict({"bias": np.ones(2, "float32"), "other": np.zeros(1)}, strict=False)
    assert (layer.bias.numpy() == 1).all()


@pytest.mark.parametrize("strict", [True, False])
def test_a_wrong_shape_names_key_and_shapes(strict):
    layer = M.Linear(3, 2)
    state = {**layer.state_dict(), "weight": np.zeros((3, 2), "float32")}
    with pytest.raises(ValueError, match=r"`weight`.*\(2, 3\).*\(3, 2\)"):
        layer.load_state_dict(state, strict=strict)


@pytest.mark.parametrize(
    "broken",
    [{"weight": np.zeros((9, 9))}, {"weight": None}, {"weight": "x"}, {"extra": np.zeros(1)}],
)
def test_failed_loading_changes_nothing(broken):
    layer = M.Linear(3, 2)
    before = layer.weight.numpy().copy()
    state = {"bias": np.ones(2, "float32"), "weight": np.ones((2, 3), "float32"), **broken}
    with pytest.raises((KeyError, ValueError, TypeError)):
        layer.load_state_dict(state)
    np.testing.assert_array_equal(layer.weight.numpy(), before)
    assert (layer.bias.numpy() == 0).all()


def test_loading_takes_a_closure():
    layer, seen = M.BatchNorm2d(3), []

    def closure(name, tensor):
        seen.append((name, tuple(tensor.shape)))
        return np.full(3, len(seen), "float32")

    layer.load_state_dict(closure)
    assert seen == [(n, (1, 3, 1, 1)) for n in ("bias", "running_mean", "running_var", "weight")]
    assert (layer.weight.numpy() == 4).all()


def test_a_closure_that_gives_nothing_leaves_values_only_if_not_strict():
    layer = M.Linear(2, 2)
    layer.load_state_dict(lambda name, tensor: None, strict=False)
    with pytest.raises(KeyError, match="missing"):
        layer.load_state_dict(lambda name, tensor: None)


def test_loading_refuses_what_is_neither_dict_nor_closure():
    with pytest.raises(ValueError):
        M.Linear(2, 2).load_state_dict(3)


# ---- calls and hooks


def test_forward_must_be_written():
    with pytest.raises(NotImplementedError, match="Empty"):
        type("Empty", (M.Module,), {})()(1)


def test_calls_pass_positional_and_keyword_arguments():
    class Echo(M.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    assert Echo()(1, 2, z=3) == ((1, 2), {"z": 3})


def test_hooks_see_and_replace_inputs_and_outputs():
    layer, log = Leaf(), []
    layer.register_forward_pre_hook(lambda module, inputs: log.append(("pre", inputs)))
    layer.register_forward_pre_hook(lambda module, inputs: 5)
    layer.register_forward_hook(lambda module, inputs, out: log.append(("post", inputs, out)))
    layer.register_forward_hook(lambda module, inputs, out: out + 4)
    assert layer(1) == 9
    assert log == [("pre", (1,)), ("post", (5,), 5)]


def test_a_pre_hook_replaces_all_arguments_by_a_tuple():
    class Add(M.Module):
        def forward(self, x, y):
            return x + y

    layer = Add()
    layer.register_forward_pre_hook(lambda module, inputs: (inputs[0], 10))
    assert layer(1, 2) == 11


def test_removing_a_hook_twice_is_fine_and_spares_others():
    layer, log = Leaf(), []
    first = layer.register_forward_hook(lambda *_: log.append(1))
    layer.register_forward_hook(lambda *_: log.append(2))
    first.remove()
    first.remove()
    layer(0)
    assert log == [2]


def test_a_hook_may_remove_itself():
    layer, log = Leaf(), []

    def once(*_):
        log.append(1)
        handle.remove()

    handle = layer.register_forward_hook(once)
    layer(0)
    layer(0)
    assert log == [1]


def test_hooks_fire_at_any_depth_and_are_no_children():
    net, log = M.Sequential(M.Sequential(Leaf())), []
    net[0][0].register_forward_hook(lambda *_: log.append(1))
    watcher = type("Watcher", (M.Module,), {"forward": lambda self, *args: None})()
    net[0].register_forward_hook(watcher)
    net(Tensor([1.0]))
    assert log == [1]
    assert len(list(net.modules())) == 3


# ---- modes


def test_train_and_eval_reach_every_module():
    net = Net()
    net.eval()
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    net.train(False, recursive=False)
    assert not net.training and net.z.training


def test_train_calls_what_submodules_override():
    class Frozen(Leaf):
        def train(self, mode=True, recursive=True):
            super().train(False, recursive)

    net = M.Sequential(Frozen())
    net.train()
    assert net.training and not net[0].training


def test_disable_quantize_reaches_every_module():
    net = Net()
    net.disable_quantize()
    assert all(module.quantize_disabled for module in net.modules())
    net.disable_quantize(False)
    assert not any(module.quantize_disabled for module in net.modules())


def test_zero_grad_zeroes_gradients_that_exist():
    layer = M.Linear(2, 2)
    layer.weight.grad = Tensor(np.ones((2, 2), "float32"))
    layer.zero_grad()
    assert (layer.weight.grad.numpy() == 0).all()
    assert layer.bias.grad is None


def test_replace_param_puts_parameters_at_their_positions():
    net = Leaf()
    net.pair, net.items = (Parameter([0.0]), Leaf()), [M.Linear(1, 1), {"k": Parameter([0.0])}]
    new = {i + 10: Parameter(p.numpy() + i) for i, p in enumerate(net.parameters())}
    order = [new[i + 10] for i in range(4)]
    assert net.replace_param({k: v for k, v in new.items() if k != 11}, 10) == 4
    found = list(net.parameters())
    assert [a is b for a, b in zip(found, order, strict=True)] == [True, False, True, True]


def test_replace_param_checks_shapes_first():
    layer = M.Linear(2, 2)
    bias = layer.bias
    with pytest.raises(ValueError, match="weight"):
        layer.replace_param({0: Parameter([1.0, 1.0]), 1: Parameter([1.0])}, 0)
    assert layer.bias is bias


# ---- printing and copying


def test_repr_shows_the_tree_in_order_of_assignment():
    net = Leaf()
    net.seq = M.Sequential(M.ReLU(), M.Linear(2, 2))
    net.a = [M.ReLU(), 3]
    net.empty = M.Sequential()
    assert repr(net) == (
        "Leaf(\n"
        "  (seq): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=2, out_features=2, bias=True)\n"
        "  )\n"
        "  (a.0): ReLU()\n"
        "  (empty): Sequential()\n"
        ")"
    )


def test_repr_shows_module_info():
    class Info(Leaf):
        def _module_info_string(self):
            return "k=3"

    net = Info()
    assert repr(net) == "Info(k=3)"
    net.l = M.ReLU()
    assert repr(net) == "Info(\n  k=3\n  (l): ReLU()\n)"


def test_modules_can_be_deep_copied_and_pickled():
    net = Net()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(vars(twin)) == list(vars(net))
        assert twin.z.weight is not net.z.weight and twin.z is twin.shared
        assert type(twin.z.weight) is Parameter
        assert repr(twin) == repr(net)
        np.testing.assert_array_equal(twin.z.weight.numpy(), net.z.weight.numpy())


def test_a_hook_registered_after_loading_spares_the_loaded_ones():
    layer = M.ReLU()
    layer.register_forward_hook(print)
    twin = pickle.loads(pickle.dumps(layer))
    handle = twin.register_forward_hook(lambda *_: None)
    assert len(twin._forward_hooks) == 2
    handle.remove()
    assert list(twin._forward_hooks.values()) == [print]


def test_name_is_kept():
    assert M.ReLU("act").name == "act"
    assert M.Linear(2, 2, name="fc").name == "fc"
    assert M.ReLU().name is None


def test_public_names_are_importable_from_their_files():
    assert mge.module.conv.Conv2d is M.Conv2d
    assert mge.module.module.Module is M.Module
    assert mge.module.batchnorm.BatchNorm2d is M.BatchNorm2d

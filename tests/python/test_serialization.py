"""Files: what comes back, what is refused, and what a killed process leaves."""

import collections
import io
import os
import pickle
import pickletools
import random
import signal
import stat
import time

import megengine as mge
import megengine.module as M
import numpy as np
import pytest
from megengine import Parameter, Tensor
from megengine.serialization import DamagedFileError, UnsafePickleError


def round_trip(obj, **kwargs):
    file = io.BytesIO()
    mge.save(obj, file, **kwargs)
    file.seek(0)
    return mge.load(file)


def loads(data, **kwargs):
    return mge.load(io.BytesIO(data), **kwargs)


# ---- what comes back


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "obj",
    [
        1,
        10**30,
        2.5,
        1 + 2j,
        "text",
        b"bytes",
        bytearray(b"bytes"),
        None,
        True,
        (1, (2, 3, 4, 5), ()),
        [1, [2]],
        {"a": {1, 2}, 3: frozenset([4])},
        slice(1, 2),
        range(3),
        collections.OrderedDict(b=1, a=2),
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2], 5),
        collections.Counter("aab"),
        np.float32(3),
        np.bool_(True),
        np.float32,
        np.dtype("int8"),
        int,
    ],
    ids=repr,
)
def test_plain_objects_come_back(obj, protocol):
    result = round_trip(obj, pickle_protocol=protocol)
    assert type(result) is type(obj) and result == obj


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3), "float16"),
        np.array(3.0),
        np.array([True, False]),
        np.array(["ab", "c"]),
        np.array([b"ab", b"c"]),
        np.arange(3, dtype="uint8")[::2],
    ],
)
def test_arrays_come_back(array, protocol):
    result = round_trip(array, pickle_protocol=protocol)
    assert result.dtype == array.dtype and result.shape == array.shape
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "int8", "uint8", "bool"])
def test_tensors_come_back_with_their_class_and_dtype(dtype):
    for kind in (Tensor, Parameter):
        result = round_trip(kind(np.array([[0, 1], [1, 1]], dtype)))
        assert type(result) is kind and result.dtype == np.dtype(dtype)
        assert result.numpy().tolist() == [[0, 1], [1, 1]]


def test_shared_and_circular_objects_stay_so():
    shared, loop = Tensor([1.0]), []
    loop.append(loop)
    result = round_trip([shared, shared, loop])
    assert result[0] is result[1] and result[2][0] is result[2]


def test_modules_come_back_working():
    net = M.Sequential(M.Linear(3, 4), M.PReLU(), M.LayerNorm(4))
    x = Tensor(np.arange(6, dtype="float32").reshape(2, 3))
    np.testing.assert_array_equal(round_trip(net)(x).numpy(), net(x).numpy())


def test_several_objects_may_share_a_file():
    file = io.BytesIO()
    mge.save({"a": 1}, file)
    mge.save([2], file)
    file.seek(0)
    assert [mge.load(file), mge.load(file)] == [{"a": 1}, [2]]


def test_files_of_megengine_load(data):
    state = mge.load(data / "state_dict.pkl")
    assert state["body.conv2.weight"].shape == (2, 8, 4, 3, 3)
    checkpoint = mge.load(str(data / "checkpoint.pkl"))
    assert isinstance(checkpoint["mean"], Tensor) and checkpoint["best"] == 0.5
    assert checkpoint["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)


def test_a_module_of_megengine_loads_and_computes_what_it_did(data, recorded):
    expected = recorded("expected.npz")
    body = mge.load(data / "module_sequential.pkl")
    assert body.layer_keys[:3] == ["conv1", "bn1", "act1"] and not body.training
    assert type(body.act1.weight) is Parameter
    result = body(Tensor(expected["X"][5])).numpy()
    np.testing.assert_allclose(result, expected["body_eval"], rtol=1e-4, atol=1e-5)
    body.act1.register_forward_hook(lambda *_: None).remove()
    round_trip(body)


# ---- devices


@pytest.mark.parametrize(
    "map_location", ["cpu0", {"xpux": "cpu0"}, {"xpux:0": "cpu0:0"}, lambda device: "cpu0"]
)
@pytest.mark.parametrize("trusted", [False, True])
def test_map_location_moves_tensors(map_location, trusted):
    data = pickle.dumps([Tensor([1.0]), Parameter([2.0])])
    for tensor in loads(data, map_location=map_location, trusted=trusted):
        assert str(tensor.device) == "cpu0:0"
    assert isinstance(tensor, Parameter)


def test_map_location_sees_where_tensors_were():
    data = pickle.dumps(Tensor([1.0])).replace(b"xpux:0", b"gpu3:0")
    seen = []
    result = loads(data, map_location=lambda device: seen.append(device) or "cpu0")
    assert seen == ["gpu3:0"] and result.numpy().tolist() == [1.0]
    assert loads(data, map_location={"gpu3": "cpu0"}).numpy().tolist() == [1.0]


def test_tensors_of_a_missing_device_are_an_error():
    data = pickle.dumps(Tensor([1.0])).replace(b"xpux:0", b"gpu3:0")
    with pytest.raises(Exception, match="gpu3"):
        loads(data)


def test_wrong_map_locations_are_errors():
    with pytest.raises(TypeError):
        loads(pickle.dumps(1), map_location=3)
    with pytest.raises(ValueError):
        loads(pickle.dumps(1), map_location={"gpu": "cpu0"})


def test_devices_come_back():
    assert str(round_trip(Tensor([1.0]).device)) == str(Tensor([1.0]).device)


# ---- what is refused

RAN = []


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


class Mine(M.Module):
    def forward(self, x):
        RAN.append(x)


def text(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(path, name):
    """The instructions that put a global on the stack."""
    return text(path) + text(name) + b"\x93"


def new(path, name):
    """The instructions that make an object of a class without arguments."""
    return named(path, name) + b")\x81"


def plain_pickle(obj):
    """A pickle without frames, which parts may be put into."""
    data = pickle.dumps(obj, 4)
    for opcode, _, position in reversed(list(pickletools.genops(data))):
        if opcode.name == "FRAME":
            data = data[:position] + data[position + 9 :]
    return data


ATTACKS = {
    "os.system": pickle.dumps(Calls(os.system, "touch owned")),
    "eval": pickle.dumps(Calls(eval, "RAN.append(1)")),
    "exec": pickle.dumps(Calls(exec, "RAN.append(1)")),
    "__import__": pickle.dumps(Calls(__import__, "os")),
    "getattr": pickle.dumps(Calls(getattr, "a", "join")),
    "open": pickle.dumps(Calls(open, "owned", "w")),
    "nested": pickle.dumps({"a": [(1, {2: Calls(os.system, "touch owned")})]}),
    "protocol 0": pickle.dumps(Calls(os.system, "touch owned"), 0),
    "dotted name": named("megengine.module", "module.np.os.system") + b".",
    "function of the package": named("megengine.serialization", "save") + b".",
    "module in the package": named("megengine.serialization", "os") + b".",
    "module in a file of layers": named("megengine.module.module", "np") + b".",
    "call of a plain class": named("builtins", "int") + text("1") + b"\x85R.",
    "call of a layer": named("megengine.module.linear", "Linear") + b"K\x02K\x02\x86R.",
    "layer with arguments": named("megengine.module.linear", "Linear") + b"K\x02K\x02\x86\x81.",
    "codec": named("_codecs", "encode") + text("a") + text("rot13") + b"\x86R.",
    "old-style instance": b"(ios\nsystem\n.",
    "persistent id": b"Pid\n.",
    "extension": b"\x80\x02\x82\x01.",
    "objects in an array": pickle.dumps(np.array([Calls(os.system, "touch owned"), 1], object)),
    "object dtype": named("numpy", "dtype") + text("O") + b"\x85R.",
    "array class": named("numpy.core.multiarray", "_reconstruct")
    + named("builtins", "dict")
    + b"K\x00\x85C\x01b\x87R.",
    "defaultdict of a function": named("collections", "defaultdict")
    + named("_codecs", "encode")
    + b"\x85R.",
    "append to a layer": new("megengine.module.activation", "ReLU") + b"K\x01a.",
    "item of a layer": new("megengine.module.activation", "ReLU") + b"K\x01K\x02s.",
    "state for a dict": b"\x80\x04}}b.",
    "structured dtype": pickle.dumps(np.zeros(2, [("a", "f4")])),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_do_not_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickleError) as caught:
        loads(ATTACKS[name])
    assert "trusted=True" in str(caught.value)
    assert RAN == [] and os.listdir(tmp_path) == []


def test_errors_name_the_class():
    with pytest.raises(UnsafePickleError, match="system"):
        loads(ATTACKS["os.system"])
    with pytest.raises(pickle.UnpicklingError, match="Mine"):
        loads(pickle.dumps(Mine()))


def test_own_classes_need_trust():
    data = pickle.dumps({"net": Mine()})
    assert isinstance(loads(data, trusted=True)["net"], Mine)


def test_another_pickle_module_needs_trust():
    class Other:
        load = staticmethod(lambda file: "loaded")

    with pytest.raises(UnsafePickleError, match="trusted"):
        loads(pickle.dumps(1), pickle_module=Other)
    assert loads(pickle.dumps(1), pickle_module=Other, trusted=True) == "loaded"


def test_layers_that_do_not_exist_are_named():
    for path in ("megengine.module.no_such_file", "megengine.module.conv"):
        with pytest.raises(UnsafePickleError, match=f"{path}.NoSuchLayer"):
            loads(named(path, "NoSuchLayer") + b".")


def test_module_state_cannot_replace_the_class():
    relu = new("megengine.module.activation", "ReLU")
    data = relu + plain_pickle({"__class__": 1, "training": True})[2:-1] + b"b."
    assert type(loads(data)) is M.ReLU
    slots = relu + plain_pickle((None, {"forward": 1}))[2:-1] + b"b."
    with pytest.raises(DamagedFileError):
        loads(slots)


@pytest.mark.parametrize("size", [24, 26, 10**18])
def test_arrays_must_have_the_bytes_that_their_shape_needs(size):
    data = plain_pickle(np.zeros(25, "uint8"))
    assert b"K\x19\x85" in data
    data = data.replace(b"K\x19\x85", pickle.dumps(size, 2)[2:-1] + b"\x85")
    with pytest.raises(DamagedFileError, match="25 bytes"):
        loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello world",
        b"PK\x03\x04 a zip file",
        b"\x80\x04.",
        b"\x80\x63.",
        b"\x80\x04]",
        b"\x80\x04h\x05.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x0f",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
        b"\x80\x04}(K\x01u.",
        b"\x80\x04e.",
    ],
)
def test_foreign_and_broken_files_say_so(data):
    with pytest.raises(DamagedFileError):
        loads(data)


def test_a_file_cut_anywhere_is_an_error(data):
    whole = (data / "module_sequential.pkl").read_bytes()
    for end in range(0, len(whole), 97):
        with pytest.raises(DamagedFileError):
            loads(whole[:end])


def test_a_damaged_file_gives_an_error_or_an_object(data):
    whole = (data / "checkpoint.pkl").read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(3):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            loads(bytes(broken))
        except (pickle.UnpicklingError, MemoryError):
            pass


def test_wrong_arguments_are_errors(tmp_path):
    with pytest.raises(TypeError):
        mge.save(1, 3)
    with pytest.raises(TypeError):
        mge.load(3)
    with pytest.raises(FileNotFoundError):
        mge.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        mge.save(1, tmp_path / "no" / "such")


# ---- saving in one piece


def test_paths_of_all_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("a.pkl", tmp_path / "b.pkl", str(tmp_path / "c.pkl"), "x" * 250):
        mge.save([1], path)
        assert mge.load(path) == [1]
    assert len(os.listdir(tmp_path)) == 4


def test_a_failed_save_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.pkl"
    mge.save([1], path)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        mge.save([np.zeros(10**6), lambda: None], path)
    assert mge.load(path) == [1] and os.listdir(tmp_path) == ["a.pkl"]


def test_a_save_cut_short_by_the_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pkl"
    mge.save([1], path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        mge.save([2], path)
    assert mge.load(path) == [1] and os.listdir(tmp_path) == ["a.pkl"]


def test_permissions_stay_and_new_files_honour_the_mask(tmp_path):
    path = tmp_path / "a.pkl"
    mask = os.umask(0o027)
    try:
        mge.save(1, path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    mge.save(2, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    mge.save(1, link)
    mge.save(2, link)
    assert link.is_symlink() and mge.load(target) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_not_a_regular_file_is_written_to(tmp_path):
    mge.save([1], os.devnull)
    assert not os.path.isfile(os.devnull)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_save_loses_nothing(tmp_path):
    path, rng = tmp_path / "checkpoint.pkl", random.Random(1)

    def content(number):
        return {"number": number, "data": np.full(20_000, number)}

    mge.save(content(0), path)
    last = 0
    for _ in range(200):
        child = os.fork()
        if child == 0:
            try:
                for number in range(last + 1, last + 1000):
                    mge.save(content(number), path)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0, 0.004))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = mge.load(path)
        assert found["number"] >= last
        assert (found["data"] == found["number"]).all()
        last = found["number"]
    assert last > 0

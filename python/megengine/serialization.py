"""Files that hold objects: :func:`save` and :func:`load`."""

import os
import pickle
import re
import secrets

from ._checkpoint_objects import DamagedFileError, UnsafePickleError
from ._unpickler import Unpickler as _Unpickler
from .tensor import Parameter, Tensor

__all__ = ["DamagedFileError", "UnsafePickleError", "load", "save"]


def save(obj, f, pickle_module=pickle, pickle_protocol=4):
    """Writes an object to a file.

    A path is written in one piece: the object goes to a new file in the same folder, which
    replaces the old one once it is safe on the disk. Whatever happens on the way, a reader finds
    the old file or the new one. The old file's permissions stay. (A process that is killed may
    leave its new file behind; its name begins with a dot and ends with ``.tmp``.)

    Args:
        obj: the object: numbers, strings, containers, NumPy arrays, tensors, modules, state
            dicts, or whatever ``pickle_module`` can write.
        f: a path, or a binary file open for writing.
        pickle_module: the module whose ``dump`` writes.
        pickle_protocol: the version of the format.

    Raises:
        TypeError: ``f`` is neither a path nor a file open for writing.
        OSError: the file could not be written; the old one is as it was.

    Example:
        >>> import os, tempfile
        >>> import megengine as mge
        >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.pkl")
        >>> mge.save({"epoch": 3, "weight": mge.Tensor([1.0, 2.0])}, path)
        >>> mge.load(path)["weight"].numpy().tolist()
        [1.0, 2.0]
    """
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise TypeError(f"f must be a path or a file open for writing, got {type(f).__name__}")
        pickle_module.dump(obj, f, pickle_protocol)
        return
    # A link stays a link: what it points to is replaced.
    path = os.path.realpath(f)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            pickle_module.dump(obj, file, pickle_protocol)
        return
    _replace(path, lambda file: pickle_module.dump(obj, file, pickle_protocol))


def _replace(path, write):
    """Puts what ``write`` writes in place of the file at ``path``, in one piece."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            if os.path.exists(path):
                os.chmod(temporary, os.stat(path).st_mode & 0o7777)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load(f, map_location=None, pickle_module=pickle, *, trusted=False):
    """Reads an object that :func:`save` wrote.

    Nothing that the file names is run, unless ``trusted``: it may hold numbers, strings,
    containers, NumPy arrays of numbers, tensors, parameters and the layers of this package.
    Anything else is an error that names it.

    Args:
        f: a path, or a binary file open for reading.
        map_location: where to put tensors, by the device that they were on: the name of a
            device, a dict from names to names, or a function from a name to a name. By default
            they go to the device that they were on.
        pickle_module: the module whose ``load`` reads trusted files.
        trusted: whether to run what the file asks for. Only for files from people that you would
            run programs from: loading can do anything that a program can. Classes of your own
            need it.

    Raises:
        UnsafePickleError: the file holds something that needs ``trusted=True``.
        DamagedFileError: the file is truncated, or :func:`save` did not write it.
        OSError: the file could not be read.

    Both errors are ``pickle.UnpicklingError``.
    """
    locate = _locator(map_location)
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _load(file, map_location, locate, pickle_module, trusted)
    if not hasattr(f, "read") or not hasattr(f, "readline"):
        raise TypeError(f"f must be a path or a file open for reading, got {type(f).__name__}")
    return _load(f, map_location, locate, pickle_module, trusted)


def _load(file, map_location, locate, pickle_module, trusted):
    if not trusted:
        if pickle_module is not pickle:
            raise UnsafePickleError(
                "a pickle_module runs what the file asks for; pass trusted=True as well if you "
                "trust whoever wrote the file"
            )
        return _Unpickler(file, locate).load()
    if map_location is None:
        return pickle_module.load(file)
    tensors = {
        (kind.__module__, kind.__name__): _located(kind, locate) for kind in (Tensor, Parameter)
    }

    class TrustingUnpickler(pickle_module.Unpickler):
        def find_class(self, module, name):
            return tensors.get((module, name)) or super().find_class(module, name)

    return TrustingUnpickler(file).load()


def _located(kind, locate):
    """A class in whose place ``kind`` makes its objects, on the device that ``locate`` gives."""

    class Located:
        def __new__(cls, data, dtype, device):
            return kind(data, dtype=dtype, device=locate(str(device)))

    return Located


def _locator(map_location):
    """``map_location`` as a function from names of devices to names of devices."""
    if map_location is None:
        return lambda device: device
    if isinstance(map_location, str):
        return lambda device: map_location
    if isinstance(map_location, dict):
        table = {_normalised(name): target for name, target in map_location.items()}
        return lambda device: table.get(_normalised(device), device)
    if callable(map_location):
        return map_location
    raise TypeError(
        f"map_location must be a str, a dict or a function, got {type(map_location).__name__}"
    )


def _normalised(device):
    """The name of a device with its stream: ``"cpu0:0"`` for ``"cpu0"``."""
    match = re.fullmatch(r"([a-z]+(?:x|default|\d+))(:\d+)?", device)
    if match is None:
        raise ValueError(f"{device!r} is not the name of a device, such as 'cpu0' or 'xpux:0'")
    return match[1] + (match[2] or ":0")

"""Devices. This build computes on the CPU."""

_default = "xpux"


class CompNode(str):
    """The name of a device, such as ``xpux:0``; equal to the name with and without its stream.

    >>> import megengine as mge
    >>> mge.tensor([1.0]).device == "xpux"
    True
    """

    @property
    def logical_name(self):
        """The name as it was given, with its stream."""
        return str(self)

    @property
    def physical_name(self):
        """The name of the device that computes."""
        return "cpu0:0"

    def __eq__(self, other):
        if not isinstance(other, str):
            return NotImplemented
        return _full(self) == _full(other)

    def __ne__(self, other):
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self):
        return hash(_full(self))

    def __repr__(self):
        return f'CompNode("{self.physical_name}" from "{str(self)}")'


def _full(name):
    name = str.__str__(name)
    return name if ":" in name else name + ":0"


def get_default_device():
    """The device that new tensors are placed on.

    >>> import megengine as mge
    >>> mge.get_default_device()
    'xpux'
    """
    return _default


def set_default_device(device="xpux"):
    """Chooses the device that new tensors are placed on; every CPU name is accepted."""
    from ._tengen import _check_device

    global _default
    _check_device(str(device))
    _default = str(device)


def get_device_count(device_type):
    """How many devices of a type ("cpu", "gpu", "cuda", "xpu", ...) there are."""
    return 1 if device_type in ("cpu", "xpu", "multithread") else 0


def is_cuda_available():
    """Whether a CUDA device can be used."""
    return False


__all__ = [
    "CompNode",
    "get_default_device",
    "get_device_count",
    "is_cuda_available",
    "set_default_device",
]

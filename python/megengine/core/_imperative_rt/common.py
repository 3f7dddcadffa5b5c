"""The class of devices in files that hold one."""


def _normalised(name):
    return name if ":" in name else f"{name}:0"


class CompNode:
    """The name of a device, such as ``"xpux:0"`` (the default device) or ``"cpu0:0"``.

    It equals names of the same device, with or without the stream after the colon.

    Example:
        >>> from megengine.core._imperative_rt.common import CompNode
        >>> CompNode("cpu0") == "cpu0:0"
        True
    """

    __slots__ = ("_name",)

    def __init__(self, name="xpux"):
        self._name = _normalised(name)

    @property
    def logical_name(self) -> str:
        """The name, with the stream."""
        return self._name

    def __str__(self):
        return self._name

    def __repr__(self):
        return f'CompNode("{self._name}")'

    def __eq__(self, other):
        if isinstance(other, (CompNode, str)):
            return self._name == _normalised(str(other))
        return NotImplemented

    def __hash__(self):
        return hash(self._name)

    def __getstate__(self):
        return self._name

    def __setstate__(self, state):
        self._name = _normalised(state)

"""Layers one after the other."""

from collections import OrderedDict

from .module import Module


class Sequential(Module):
    """Calls layers one after the other, each with the output of the one before.

    Layers are attributes, named by position (``"0"``, ``"1"``, …) or by the keys of a dict.
    Indexing, slicing, assignment and deletion go by position; a name stays with its layer.

    Args:
        args: the layers, or one dict of them. Functions of one tensor will do.

    Attributes:
        ``layer_keys``: the names of the layers, in order.

    Example:
        >>> from collections import OrderedDict
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> net = M.Sequential(M.Linear(4, 3), M.ReLU(), M.Linear(3, 2))
        >>> net(mge.Tensor([[1.0, 2.0, 3.0, 4.0]])).shape
        (1, 2)
        >>> net[-1]
        Linear(in_features=3, out_features=2, bias=True)
        >>> M.Sequential(OrderedDict(act=M.ReLU())).act
        ReLU()
    """

    def __init__(self, *args, **kwargs):
        super().__init__(**kwargs)
        self.layer_keys = []
        named = len(args) == 1 and isinstance(args[0], dict)
        for key, layer in args[0].items() if named else enumerate(args):
            setattr(self, str(key), layer)
            self.layer_keys.append(str(key))

    def __getitem__(self, idx):
        keys = self.layer_keys[idx]
        if isinstance(idx, slice):
            return Sequential(OrderedDict((key, getattr(self, key)) for key in keys))
        return getattr(self, keys)

    def __setitem__(self, idx, layer):
        keys = self.layer_keys[idx]
        if not isinstance(idx, slice):
            return setattr(self, keys, layer)
        layers = list(layer)
        if len(layers) != len(keys):
            raise ValueError(f"the slice has {len(keys)} layers, got {len(layers)} to assign")
        for key, item in zip(keys, layers, strict=True):
            setattr(self, key, item)

    def __delitem__(self, idx):
        keys = self.layer_keys[idx]
        for key in keys if isinstance(idx, slice) else [keys]:
            delattr(self, key)
        del self.layer_keys[idx]

    def __len__(self):
        return len(self.layer_keys)

    def __iter__(self):
        return iter(self.layer_values)

    @property
    def layer_values(self):
        """The layers, in order."""
        return [getattr(self, key) for key in self.layer_keys]

    def forward(self, inp):
        for layer in self.layer_values:
            inp = layer(inp)
        return inp

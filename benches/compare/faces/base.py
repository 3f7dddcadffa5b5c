"""What the faces share."""

import zlib

import numpy as np


class Face:
    """Makes inputs and results comparable: the same random numbers for every peer.

    Subclasses add ``tensor``, ``numpy``, ``sync``, ``backward`` and the functions themselves.
    """

    name = ""
    version = ""
    #: Work that takes fewer seconds than this would measure the face, not the peer.
    least = 0.0

    def rng(self, key):
        """A generator that depends on the key alone."""
        return np.random.default_rng(zlib.crc32(key.encode()))

    def normal(self, key, *shape, dtype="float32"):
        """A tensor of standard normal numbers."""
        return self.tensor(self.rng(key).standard_normal(shape, dtype=np.float32), dtype)

    def positive(self, key, *shape):
        """A tensor of numbers in [0.1, 1.1)."""
        return self.tensor(self.rng(key).random(shape, dtype=np.float32) + np.float32(0.1))

    def integers(self, key, high, *shape):
        """A tensor of the integers that the peer indexes with, in [0, high)."""
        return self.tensor(self.rng(key).integers(0, high, shape), self.index_dtype)

    def mask(self, key, *shape):
        """A tensor of truth values."""
        return self.tensor(self.rng(key).random(shape) < 0.5, "bool")

    def fill(self, model):
        """Gives each parameter of a network numbers that depend on its name alone."""
        for name, parameter in self.named_parameters(model):
            shape = tuple(parameter.shape)
            values = self.rng(name).standard_normal(shape, dtype=np.float32)
            if len(shape) >= 2 and name.endswith("weight") and max(shape) < values.size:
                values *= (2 / (values.size / shape[0])) ** 0.5
            else:
                values = values * np.float32(0.1) + np.float32(name.endswith("weight"))
            self.assign(parameter, values)
        return model

    def some(self, result):
        """The shape of a result and a few of its values, read from memory."""
        while isinstance(result, (list, tuple)):
            result = result[0]
        values = np.asarray(self.numpy(result), dtype=np.float64)
        flat = values.reshape(-1)
        if not flat.size:
            return {"shape": list(values.shape), "values": [], "scale": 0.0}
        picks = flat[:: max(1, flat.size // 7)]
        return {
            "shape": list(values.shape),
            "values": [float(v) for v in picks[:7]],
            "scale": float(np.sqrt(np.mean(flat[:1_000_000] ** 2))),
        }

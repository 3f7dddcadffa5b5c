"""Writes the pickles of this folder: one value, by every protocol.

    python record.py NAME

writes NAME_0.pkl to NAME_5.pkl. The recorded ones are `numpy1` (CPython 3.9, NumPy 1.23) and
`numpy2` (CPython 3.11, NumPy 2.4).
"""

import collections
import pathlib
import pickle
import sys

import numpy as np


def value():
    shared = [1, "two"]
    return {
        "none": None,
        "bools": [True, False],
        "ints": [0, 255, 256, 65536, -1, -(2**31), 2**31, 2**63 - 1, -(2**63)],
        "big": [2**63, -(2**70), 10**30],
        "floats": [0.0, -1.5, 1e300, float("inf")],
        "bytes": b"\x00\xff\\n\n",
        "empty bytes": b"",
        "bytearray": bytearray(b"xyz"),
        "text": "na\u00efve \u5929\u5143 \U0001f600 \\u0041 'quoted' line\nend",
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "shared": [shared, shared],
        "set": {7},
        "frozenset": frozenset([8]),
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "list": list(range(2000)),
        "arrays": {
            "bool": np.array([True, False]),
            **{t: np.array([[1, 2, 3], [4, 5, 6]], t) for t in ("u1", "i1", "i2", "i4", "i8")},
            **{t: np.array([[1, 2, 3], [4, 5, 6]], t) for t in ("f2", "f4", "f8")},
            "big-endian": np.array([1, 2, 300], ">i4"),
            "fortran": np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4)),
            "sliced": np.arange(10, dtype="i4")[::3],
            "empty": np.zeros((0, 3), "f4"),
            "zero-dimensional": np.array(2.5, "f8"),
            "scalar": np.float32(0.25),
        },
    }


if __name__ == "__main__":
    for protocol in range(6):
        path = pathlib.Path(__file__).with_name(f"{sys.argv[1]}_{protocol}.pkl")
        path.write_bytes(pickle.dumps(value(), protocol))

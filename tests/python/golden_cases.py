"""The cases that MegEngine 1.13.0 answered; `tests/golden/README.md` describes their files."""

import json
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "golden"
FAMILIES = sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def cases(family):
    """All cases of a family."""
    return json.loads((FOLDER / f"{family}.json").read_text())


@cache
def _archive(family):
    return np.load(FOLDER / f"{family}.npz")


class Arrays:
    """The arrays of one case, by what follows the case's name."""

    def __init__(self, family, case):
        self.family, self.name = family, case["name"]

    def __getitem__(self, key):
        return _archive(self.family)[f"{self.name}/{key}"]

    def __contains__(self, key):
        return f"{self.name}/{key}" in _archive(self.family)


def selected(prefix):
    """(family, case) pairs of the operators whose name starts so, as parameters for a test."""
    pairs = [(family, case) for family in FAMILIES for case in cases(family)]
    return [(f, c) for f, c in pairs if c["op"].rpartition(":")[0] == prefix]


def name_of(value):
    """The name of a parameter in a test's name."""
    return value if isinstance(value, str) else value["name"]


def assert_close(what, got, want, case):
    """Compares as the case allows, dtype and shape included; NaN equals NaN."""
    got = np.asarray(got)
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype}, not {want.dtype}"
    assert got.shape == want.shape, f"{what}: shape {got.shape}, not {want.shape}"
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    rtol, atol = case.get("rtol", 0), case.get("atol", 1e-6)
    got, want = got.astype("float64"), want.astype("float64")
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=what)

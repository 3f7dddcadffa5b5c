"""Shared by all tests."""

from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parent.parent / "data" / "megengine-1.13"


@pytest.fixture
def data():
    """The folder of files that MegEngine 1.13.0 wrote."""
    return DATA


@pytest.fixture
def recorded():
    """Reads a file of arrays that MegEngine 1.13.0 wrote."""
    return lambda name: dict(np.load(DATA / name))

"""The examples in the documentation of the package."""

import doctest
import importlib
import pkgutil

import megengine
import pytest

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(megengine.__path__, "megengine.")
    if not info.name.endswith("._tengen")
)


@pytest.mark.parametrize("name", ["megengine", *MODULES])
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0

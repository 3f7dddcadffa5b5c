"""Records golden cases from MegEngine 1.13 into this folder.

Run with a Python that has MegEngine 1.13 installed::

    python tests/golden/record.py [family ...]

Each family becomes ``<family>.json`` (the cases) and ``<family>.npz`` (their arrays); README.md
describes both. All random numbers come from NumPy generators seeded by the case's name, so a case
does not change when others are added.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAMILIES = (
    "elementwise",
    "reduce",
    "linalg",
    "conv",
    "pool",
    "norm",
    "shape",
    "index",
    "loss",
    "module",
    "recurrent",
    "optim",
)


def main(names):
    unknown = sorted(set(names) - set(FAMILIES))
    if unknown:
        sys.exit(f"unknown families {unknown}; there are {', '.join(FAMILIES)}")
    sys.path.insert(0, str(HERE))
    from recorder.store import Family

    for name in names or FAMILIES:
        family = Family(name)
        importlib.import_module(f"recorder.{name}").record(family)
        print(family.save(HERE))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Checks which crates enter which: kernels <- core <- tengen <- tengen-python.

A crate may depend on those before it, never on one after it; the derive macro stands beside.
"""

import json
import subprocess
import sys

ALLOWED = {
    "tengen-kernels": set(),
    "tengen-core": {"tengen-kernels"},
    "tengen-derive": set(),
    "tengen": {"tengen-core", "tengen-derive"},
    "tengen-python": {"tengen"},
}


def main():
    text = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    packages = {p["name"]: p for p in json.loads(text)["packages"]}
    wrong = [f"{name} is not in the plan" for name in packages.keys() - ALLOWED.keys()]
    for name, package in packages.items():
        for dependency in package["dependencies"]:
            inside = dependency["name"] in ALLOWED
            # Tests may look deeper than the code that they test.
            test = dependency["kind"] == "dev"
            if inside and not test and dependency["name"] not in ALLOWED.get(name, set()):
                wrong.append(f"{name} must not depend on {dependency['name']}")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

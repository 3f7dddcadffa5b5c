"""Checks who enters whom.

Crates: kernels <- core <- tengen <- tengen-python, the derive macros beside them.

Rooms of the core: operators (`ops/`) describe, `cpu/` evaluates, and it alone names kernels and the
memory of tensors; formulas (`lanes`, `map`) are the language of both. Whether something is recorded
is asked by the tape and the door alone.

Files of one folder: no two import each other, directly or by way of others, but for the imports
that `DEFENDED` defends.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CRATES = {
    "tengen-kernels": set(),
    "tengen-core": {"tengen-kernels", "tengen-derive"},
    "tengen-derive": set(),
    "tengen": {"tengen-core", "tengen-derive"},
    "tengen-python": {"tengen"},
}

# What files of the core may not name, and the rooms or files (by the start of their path) that may.
ONLY = [
    (
        r"\btengen_kernels::(?!lanes\b|map\b)",
        ["cpu/", "threads.rs"],
        "only cpu/ knows kernels",
    ),
    (
        r"\btengen_kernels::(lanes|map)\b",
        ["cpu/", "ops/"],
        "formulas are the language of ops/ and cpu/",
    ),
    (r"\bcrate::cpu\b", ["cpu/"], "evaluation is reached through operators"),
    (
        r"\.ptr::<|\bas_mut_slice\b|\.view\(",
        ["cpu/", "tensor/"],
        "only cpu/ knows the memory of tensors",
    ),
    (
        r"\bis_recording\(|\bis_tracked\(",
        ["autograd/", "door.rs"],
        "the door and the tape alone ask whether something is recorded",
    ),
    (
        r"\bunsafe\b",
        ["cpu/", "tensor/", "storage/", "device/", "op/described.rs", "files/", "dtype.rs"],
        "there is no memory to touch here",
    ),
]
# Enumerations and geometries that kernels and operators share; they say what, not how.
SHARED = re.compile(
    r"tengen_kernels::(pooling::(CountMode|Pool2d)|conv::Geometry"
    r"|epilogue::Activation|recurrent::Activation)\b"
)

# Imports that close a circle, and why they may.
DEFENDED = {
    ("nn/base.rs", "nn/module.rs"): "a hook, which a base keeps, is given the module",
}


def check_crates():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    packages = {p["name"]: p for p in json.loads(text)["packages"]}
    wrong = [f"{name} is not in the plan" for name in packages.keys() - CRATES.keys()]
    for name, package in packages.items():
        for dependency in package["dependencies"]:
            inside = dependency["name"] in CRATES
            # Tests may look deeper than the code that they test.
            test = dependency["kind"] == "dev"
            if inside and not test and dependency["name"] not in CRATES.get(name, set()):
                wrong.append(f"{name} must not depend on {dependency['name']}")
    return wrong


def code(path):
    """A file without comments, texts and tests, line by line."""
    lines, tests = [], False
    for line in path.read_text().split("\n"):
        tests = tests or line.startswith("#[cfg(test)]")
        line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        line = re.sub(r"//.*", "", line)
        lines.append("" if tests else line)
    return lines


def check_rooms(src):
    wrong = []
    for path in sorted(src.rglob("*.rs")):
        name = path.relative_to(src).as_posix()
        for number, line in enumerate(code(path), 1):
            line = SHARED.sub("", line)
            for pattern, rooms, why in ONLY:
                if re.search(pattern, line) and not name.startswith(tuple(rooms)):
                    wrong.append(f"{name}:{number}: {why}")
    return wrong


def paths(text):
    """The paths that a text names, `use` lists taken apart."""
    text = re.sub(r"\s+", " ", text)
    found = []
    for start in re.finditer(r"\b(crate|super|self)::", text):
        expand(text, start.start(), [], found)
    return found


def expand(text, at, before, found):
    """Reads one path from `at` on, a braced list of them included; gives where it ends."""
    parts = list(before)
    while True:
        word = re.compile(r"[A-Za-z_]\w*|\*").match(text, at)
        if word:
            parts.append(word.group())
            at = word.end()
        elif text[at : at + 1] == "{":
            at += 1
            while text[at : at + 1] not in ("}", ""):
                at = expand(text, at, parts, found)
                rest = re.compile(r"( as \w+)?[ ,]*").match(text, at)
                if rest.end() == at and text[at : at + 1] not in ("}", ""):
                    return at
                at = rest.end()
            return at + 1
        if text[at : at + 2] != "::":
            found.append(parts)
            return at
        at += 2


def target(src, path, parts):
    """The file that a path leads to; none where it ends at a folder's own file, which hands on what
    the folder's files offer."""
    here = list(path.relative_to(src).with_suffix("").parts)
    module = here[:-1] if here[-1] in ("mod", "lib") else here
    for part in parts:
        if part == "crate":
            module = []
        elif part == "super":
            module = module[:-1]
        elif part != "self":
            inner = src.joinpath(*module, part)
            if inner.with_suffix(".rs").exists() and inner.with_suffix(".rs").stem != "lib":
                return inner.with_suffix(".rs")
            if not inner.is_dir():
                return None
            module = [*module, part]
    return None


def check_files(src):
    """Files of one folder that import each other."""

    def name(path, other):
        return tuple(p.relative_to(src).as_posix() for p in (path, other))

    edges = {}
    for path in sorted(src.rglob("*.rs")):
        targets = {target(src, path, parts) for parts in paths("\n".join(code(path)))}
        edges[path] = {
            t
            for t in targets
            if t and t != path and t.parent == path.parent and name(path, t) not in DEFENDED
        }
    wrong = []
    for path, targets in edges.items():
        for other in targets:
            seen, open_ = set(), [other]
            while open_:
                now = open_.pop()
                if now not in seen:
                    seen.add(now)
                    open_.extend(edges.get(now, ()))
            if path in seen:
                wrong.append("{} and {} import each other".format(*name(path, other)))
    return wrong


def main():
    wrong = check_crates()
    wrong += check_rooms(ROOT / "crates/tengen-core/src")
    for crate in CRATES:
        wrong += check_files(ROOT / "crates" / crate / "src")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Random convolutions and their gradients beside PyTorch: where Tengen is far behind.

    make bench-convolutions
    python -m benches.convolutions --seed 2 --shapes 100 --below 0.7

Shapes are drawn by a seed: batches, channels, groups up to one for each channel, filters from one
tap to the whole image, strides, padding, dilations up to 40. Both libraries run in processes of
their own, in turns, and the best time of each counts. Every line in which Tengen has less than
``--below`` of PyTorch's speed is printed; the exit status says whether there was one. On a machine
that does other work, a ratio is good to a factor of two.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

PASSES = ("forward", "to input", "to filter")
CHANNELS = (1, 2, 3, 4, 8, 12, 16, 32, 48, 64, 128, 256)
# Multiplications: fewer are all overhead, more take long.
LEAST, MOST = 1 << 20, 1 << 28
# Seconds and runs for each pass of each shape in a turn.
SECONDS, RUNS = 0.05, 3


def extent(rng, image, kernel, dilation):
    """Stride, padding and result along one axis, or none if there is no room."""
    reach = (kernel - 1) * dilation + 1
    padding = rng.choice((0, 0, rng.randint(0, kernel // 2), min(reach // 2, 40)))
    stride = rng.choice((1, 1, 1, 2, 2, 3, 4))
    out = (image + 2 * padding - reach) // stride + 1
    return (stride, padding, out) if image + 2 * padding >= reach else None


def draw(rng):
    """A shape, or none."""
    n = rng.choice((1, 4, 16))
    c, k = rng.choice(CHANNELS), rng.choice(CHANNELS)
    kind = rng.choice(("dense", "dense", "dense", "groups", "depthwise"))
    groups = {"dense": 1, "groups": rng.choice((2, 4, 8)), "depthwise": c}[kind]
    if kind == "depthwise":
        k = c * rng.choice((1, 1, 2))
    if c % groups or k % groups or (kind == "groups" and groups == c):
        return None
    side = round(2 ** rng.uniform(0, 7))
    image = (side, side if rng.random() < 0.7 else round(2 ** rng.uniform(0, 7)))
    size = rng.choice((1, 3, 3, 5, 7, "part", "image"))
    kernels = {"part": lambda e: rng.randint(1, e), "image": lambda e: e}
    kernel = tuple(kernels[size](e) if isinstance(size, str) else size for e in image)
    widest = rng.choice((1, 1, 1, 2, 4, 12, 40))
    dilation = tuple(1 if r == 1 else rng.randint(1, widest) for r in kernel)
    axes = [extent(rng, *axis) for axis in zip(image, kernel, dilation, strict=True)]
    if None in axes:
        return None
    stride, padding, out = (list(values) for values in zip(*axes, strict=True))
    work = n * k * (c // groups) * out[0] * out[1] * kernel[0] * kernel[1]
    if not LEAST <= work <= MOST or n * c * image[0] * image[1] > 1 << 23:
        return None
    return {
        "n": n,
        "c": c,
        "k": k,
        "groups": groups,
        "image": list(image),
        "kernel": list(kernel),
        "stride": stride,
        "padding": padding,
        "dilation": list(dilation),
        "out": out,
    }


def draw_all(seed, n):
    rng, shapes = random.Random(seed), []
    while len(shapes) < n:
        shape = draw(rng)
        shapes += [shape] if shape else []
    return shapes


def best(prepare, run):
    """The least seconds of ``run(prepare())``, without those of ``prepare``."""
    least, end, runs = float("inf"), time.perf_counter() + SECONDS, 0
    while runs < RUNS or time.perf_counter() < end:
        given = prepare()
        start = time.perf_counter()
        run(given)
        least, runs = min(least, time.perf_counter() - start), runs + 1
    return least


def numbers(shape):
    import numpy as np

    rng, groups = np.random.RandomState(0), shape["groups"]
    x = rng.rand(shape["n"], shape["c"], *shape["image"])
    w = rng.rand(shape["k"], shape["c"] // groups, *shape["kernel"])
    dy = rng.rand(shape["n"], shape["k"], *shape["out"])
    return [v.astype("float32") - np.float32(0.5) for v in (x, w, dy)]


def time_tengen(shape):
    import megengine as mge
    import megengine.functional as F
    from megengine.autodiff import GradManager

    x, w, dy = numbers(shape)
    groups = shape["groups"]
    if groups > 1:
        w = w.reshape(groups, -1, *w.shape[1:])
    x, w, dy = mge.Tensor(x), mge.Tensor(w), mge.Tensor(dy)
    params = {k: tuple(shape[k]) for k in ("stride", "padding", "dilation")}

    def forward():
        return F.conv2d(x, w, groups=groups, **params)

    def recorded(to):
        gm = GradManager().attach([to])
        gm.record()
        return gm, forward()

    def backward(given):
        gm, y = given
        gm.backward(y, dy)

    times = [best(lambda: None, lambda _: forward())]
    for to in (x, w):
        to.grad = None
        times.append(best(lambda to=to: recorded(to), backward))
        to.grad = None
    return times


def time_torch(shape):
    import torch

    x, w, dy = map(torch.from_numpy, numbers(shape))
    params = {k: tuple(shape[k]) for k in ("stride", "padding", "dilation")}

    def forward():
        return torch.nn.functional.conv2d(x, w, groups=shape["groups"], **params)

    with torch.no_grad():
        times = [best(lambda: None, lambda _: forward())]
    for to in (x, w):
        to.requires_grad_()
        times.append(best(forward, lambda y, to=to: torch.autograd.grad(y, to, dy)))
        to.requires_grad_(False)
    return times


def work(library):
    """A worker: shapes in, seconds out, a line for each."""
    if library == "torch":
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
    run = {"tengen": time_tengen, "torch": time_torch}[library]
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


def measure(python, library, shapes):
    command = [python, "-m", "benches.convolutions", "--worker", library]
    text = "".join(json.dumps(shape) + "\n" for shape in shapes)
    root = Path(__file__).parents[1]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, cwd=root)
    if done.returncode:
        sys.exit(f"{library} ended with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def best_of(turns):
    """The least seconds of each pass of each shape."""
    shapes = zip(*turns, strict=True)
    return [[min(times) for times in zip(*shape, strict=True)] for shape in shapes]


def describe(shape):
    pair = "{0[0]}x{0[1]}".format
    text = f"n {shape['n']} c {shape['c']} k {shape['k']} groups {shape['groups']}"
    for key in ("image", "kernel", "stride", "padding", "dilation", "out"):
        text += f" {key} {pair(shape[key])}"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shapes", type=int, default=300)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--below", type=float, default=0.5)
    parser.add_argument("--times", type=Path, help="where to keep all times, as JSON")
    parser.add_argument("--worker", choices=("tengen", "torch"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return work(given.worker)
    torch_python = os.environ.get("TORCH_PYTHON")
    if not torch_python:
        sys.exit("set TORCH_PYTHON to an interpreter that has PyTorch")
    shapes = draw_all(given.seed, given.shapes)
    turns = {"tengen": [], "torch": []}
    for _ in range(given.turns):
        turns["tengen"].append(measure(sys.executable, "tengen", shapes))
        turns["torch"].append(measure(torch_python, "torch", shapes))
    ours, theirs = best_of(turns["tengen"]), best_of(turns["torch"])
    lines = []
    for shape, a, b in zip(shapes, ours, theirs, strict=True):
        for name, mine, other in zip(PASSES, a, b, strict=True):
            lines.append((other / mine, name, mine * 1e3, other * 1e3, describe(shape)))
    lines.sort()
    slow = [line for line in lines if line[0] < given.below]
    for ratio, name, mine, other, text in slow:
        print(f"{ratio:5.2f}x {name:9} {mine:9.3f} ms, PyTorch {other:9.3f} ms: {text}")
    middle = lines[len(lines) // 2][0]
    print(
        f"{len(slow)} of {len(lines)} lines below {given.below}x of PyTorch's speed (seed "
        f"{given.seed}); the least {lines[0][0]:.2f}x, the median {middle:.2f}x"
    )
    if given.times:
        given.times.write_text(json.dumps({"shapes": shapes, "tengen": ours, "torch": theirs}))
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())

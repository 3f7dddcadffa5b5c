"""Per-operator overhead from Python, and large elementwise work; PyTorch beside it if installed.

Each figure is the median of several runs. Run it on an otherwise idle machine:
python benches/overhead.py
"""

import statistics
import subprocess
import sys
import time
import timeit

import megengine as mge
import megengine.functional as F
import numpy as np
from megengine.autodiff import GradManager


def median_time(statement, number, repeats=15, **names):
    """Median seconds of one run of a statement, or of one call of a function."""
    timer = timeit.Timer(statement, globals=names)
    timer.timeit(1)
    return statistics.median(t / number for t in timer.repeat(repeats, number))


def ours():
    x, y = mge.tensor([-1.2, -3.7, 2.7]), mge.tensor([1.0, 2.0, 3.0])
    w = mge.Parameter([0.25])
    gm = GradManager().attach([x, w])
    prelu = F.prelu

    def step():
        with gm:
            gm.backward(prelu(x, w))

    rng = np.random.default_rng(0)
    big = mge.tensor(rng.standard_normal((32, 64, 56, 56), dtype=np.float32))
    dy = mge.tensor(rng.standard_normal((32, 64, 56, 56), dtype=np.float32))
    slopes = mge.Parameter(np.full((1, 64, 1, 1), 0.25, np.float32))
    big_gm = GradManager().attach([big, slopes])

    def big_step():
        big.grad = slopes.grad = None
        with big_gm:
            big_gm.backward(prelu(big, slopes), dy)

    a = mge.tensor(rng.standard_normal((1024, 1024), dtype=np.float32))
    conv_x = mge.tensor(rng.standard_normal((16, 64, 56, 56), dtype=np.float32))
    conv_w = mge.tensor(rng.standard_normal((64, 64, 3, 3), dtype=np.float32))
    return {
        "prelu, 3 elements": median_time("prelu(x, w)", 20000, prelu=prelu, x=x, w=w),
        "a + b, 3 elements": median_time("x + y", 20000, x=x, y=y),
        "prelu forward + backward, 3 elements": median_time(step, 5000),
        "prelu 32x64x56x56": median_time(lambda: prelu(big, slopes), 20),
        "prelu forward + backward 32x64x56x56": median_time(big_step, 10),
        "matmul 1024": median_time(lambda: F.matmul(a, a), 10),
        "conv2d 3x3 16x64x56x56": median_time(lambda: F.conv2d(conv_x, conv_w, padding=1), 3),
    }


def torch_times():
    import torch

    torch.set_num_threads(2)
    x, y = torch.tensor([-1.2, -3.7, 2.7]), torch.tensor([1.0, 2.0, 3.0])
    w = torch.tensor([0.25])
    gx, gw = x.clone().requires_grad_(), w.clone().requires_grad_()
    prelu = torch.nn.functional.prelu

    def step():
        prelu(gx, gw).backward(torch.ones(3))

    big = torch.randn(32, 64, 56, 56)
    dy = torch.randn(32, 64, 56, 56)
    slopes = torch.full((64,), 0.25)
    gbig, gslopes = big.clone().requires_grad_(), slopes.clone().requires_grad_()

    def big_step():
        gbig.grad = gslopes.grad = None
        prelu(gbig, gslopes).backward(dy)

    a = torch.randn(1024, 1024)
    conv_x, conv_w = torch.randn(16, 64, 56, 56), torch.randn(64, 64, 3, 3)
    conv = torch.nn.functional.conv2d
    return {
        "prelu, 3 elements": median_time("prelu(x, w)", 20000, prelu=prelu, x=x, w=w),
        "a + b, 3 elements": median_time("x + y", 20000, x=x, y=y),
        "prelu forward + backward, 3 elements": median_time(step, 2000),
        "prelu 32x64x56x56": median_time(lambda: prelu(big, slopes), 20),
        "prelu forward + backward 32x64x56x56": median_time(big_step, 10),
        "matmul 1024": median_time(lambda: a @ a, 10),
        "conv2d 3x3 16x64x56x56": median_time(lambda: conv(conv_x, conv_w, padding=1), 3),
    }


def import_time():
    """Median seconds that `import megengine` adds to starting Python with NumPy."""
    def run(code):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    pairs = [(run("import numpy, megengine"), run("pass")) for _ in range(9)]
    return statistics.median(a - b for a, b in pairs)


def main():
    tengen = ours()
    try:
        torch = torch_times()
    except ImportError:
        torch = {}
    for name, seconds in tengen.items():
        line = f"{name:40s} {seconds * 1e6:12.2f} us"
        if name in torch:
            line += f"   PyTorch {torch[name] * 1e6:12.2f} us   ratio {torch[name] / seconds:6.2f}"
        print(line)
    print(f"{'matmul 1024':40s} {2 * 1024**3 / tengen['matmul 1024'] / 1e9:12.0f} GFLOP/s")
    print(f"{'import megengine (NumPy included)':40s} {import_time() * 1e3:12.0f} ms")


if __name__ == "__main__":
    main()

"""Matrix products."""

from ..workload import Group, Workload

GROUP = Group("matmul", "Matrix products", goal=2.0)


def matmul(face, a, b, **transpose):
    """The product of two matrices, or of two batches of them, of the given shapes."""
    x, y = face.normal("a", *a), face.normal("b", *b)
    return lambda: face.matmul(x, y, **transpose)


def product(label, a, b, m, k, n, batch=1, **more):
    settings = {"goal": 2.0, "flops": 2.0 * batch * m * k * n}
    settings.update(more)
    transpose = settings.pop("transpose", {})
    tiny = {"a": a[:-2] and (2,) + (4, 4) or (4, 4), "b": b[:-2] and (2,) + (4, 4) or (4, 4)}
    return Workload(
        f"matmul {label}", "matmul", matmul, {"a": a, "b": b, **transpose}, tiny, **settings
    )


def square(n, label="", **more):
    if n >= 512:
        more["share_goal"] = 0.85
    return product(f"{n}{label}", (n, n), (n, n), n, n, n, **more)


WORKLOADS = [
    *[square(n) for n in (256, 512, 1024, 2048, 4096)],
    square(1024, ", first transposed", transpose={"transpose_a": True}),
    square(1024, ", second transposed", transpose={"transpose_b": True}),
    square(1024, ", both transposed", transpose={"transpose_a": True, "transpose_b": True}),
    product("64×(128×128·128×64)", (64, 128, 128), (64, 128, 64), 128, 128, 64, batch=64),
    # The vector product reads the matrix once: it is held against the speed of memory.
    product(
        "1×4096·4096×4096",
        (1, 4096),
        (4096, 4096),
        1,
        4096,
        4096,
        flops=0,
        bytes=4.0 * 4096 * 4096,
        traffic="read",
        share_goal=0.85,
    ),
]

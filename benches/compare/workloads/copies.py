"""Work that moves elements without computing. Where a peer would give a view of its input, the
result is flattened, which makes the copy."""

from ..workload import Group, Workload
from .reductions import elements

GROUP = Group("copy", "Copies", goal=1.0)


def to_nhwc(face, shape):
    x, transpose = face.normal("x", *shape), face.transpose
    return lambda: transpose(x, (0, 2, 3, 1)).reshape(-1)


def concat(face, shape):
    x, y = face.normal("x", *shape), face.normal("y", *shape)
    return lambda: face.concat([x, y], 1)


def split(face, shape):
    x = face.normal("x", *shape)
    return lambda: [part.reshape(-1) for part in face.split(x, 4, 1)]


def pad(face, shape):
    x = face.normal("x", *shape)
    return lambda: face.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


def gather(face, shape):
    x, index = face.normal("x", *shape), face.integers("index", shape[1], *shape)
    return lambda: face.gather(x, 1, index)


def index_put(face, shape):
    """Sets half of the rows, in a random order, in place."""
    x = face.normal("x", *shape)
    rows = face.rng("rows").permutation(shape[0])[: shape[0] // 2]
    index, values = face.tensor(rows, face.index_dtype), face.normal("y", len(rows), shape[1])

    def run():
        x[index] = values
        return x

    return run


def embedding(face, backward, vocabulary, width, tokens):
    """Rows of a table; backward: the dense gradient of the table."""
    table, index = face.normal("w", vocabulary, width), face.integers("i", vocabulary, *tokens)
    lookup = face.embedding
    if not backward:
        return lambda: lookup(index, table)
    return face.backward(lambda: lookup(index, table), [table], face.normal("dy", *tokens, width))


IMAGES, ROWS = (32, 64, 56, 56), (4096, 768)
TABLE = {"vocabulary": 30_000, "width": 768, "tokens": (8, 512)}
SMALL_TABLE = {"vocabulary": 10, "width": 4, "tokens": (2, 3)}
LOOKED_UP = 8 * 512 * 768
ENTRIES = [
    ("NCHW to NHWC 32×64×56²", to_nhwc, {"shape": IMAGES}, {"shape": (2, 3, 4, 5)},
     8 * elements(IMAGES)),
    ("concat 2 of 32×64×56² by channels", concat, {"shape": IMAGES}, {"shape": (2, 3, 4, 5)},
     16 * elements(IMAGES)),
    ("split 32×64×56² in 4 by channels", split, {"shape": IMAGES}, {"shape": (2, 4, 3, 3)},
     8 * elements(IMAGES)),
    ("pad 32×64×56² by 1 pixel", pad, {"shape": IMAGES}, {"shape": (2, 3, 4, 5)},
     8 * elements(IMAGES)),
    ("gather 4096×768", gather, {"shape": ROWS}, {"shape": (3, 4)}, 12 * elements(ROWS)),
    ("index_put 2048 rows of 4096×768", index_put, {"shape": ROWS}, {"shape": (4, 3)},
     4 * elements(ROWS)),
    ("embedding 30000×768, 4096 tokens: forward", embedding, {"backward": False, **TABLE},
     SMALL_TABLE, 8 * LOOKED_UP),
    ("embedding 30000×768, 4096 tokens: backward", embedding, {"backward": True, **TABLE},
     SMALL_TABLE, 4 * (30_000 * 768 + 2 * LOOKED_UP)),
]
WORKLOADS = [
    Workload(label, "copy", build, args, tiny, goal=1.0, bytes=float(moved))
    for label, build, args, tiny, moved in ENTRIES
]

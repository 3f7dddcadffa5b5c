"""Functions that layers are made of.

>>> import megengine.functional as F
>>> F.nn.max_pool2d(F.ones((1, 1, 4, 4)), 2).shape
(1, 1, 2, 2)
"""

from .. import _tengen
from .._tengen import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    conv1d,
    conv2d,
    conv_transpose2d,
    dropout,
    gelu,
    general_norm,
    group_norm,
    hardshrink,
    hsigmoid,
    hswish,
    indexing_one_hot,
    instance_norm,
    layer_norm,
    leaky_relu,
    linear,
    logsigmoid,
    logsoftmax,
    logsumexp,
    max_pool2d,
    normalize,
    one_hot,
    pad,
    prelu,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from ..tensor import Tensor
from .loss import (
    binary_cross_entropy,
    cross_entropy,
    ctc_loss,
    hinge_loss,
    l1_loss,
    square_loss,
)


def batch_norm(
    inp: Tensor,
    running_mean: Tensor = None,
    running_var: Tensor = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    training: bool = False,
    momentum: float = 0.9,
    eps: float = 1e-05,
    inplace: bool = True,
):
    """Normalises each channel of ``inp`` [n, c, ...]: (x - mean) / sqrt(var + eps) * weight + bias.

    In training, by the mean and variance of the batch; the running statistics become
    ``momentum * running + (1 - momentum) * batch`` (with the unbiased variance), in place, or are
    returned after the result without ``inplace``. Without elements there is nothing to follow, and
    they stay as they are. Otherwise, by the running statistics. ``weight``,
    ``bias`` and the statistics have c elements in any shape.

    >>> import megengine as mge
    >>> import megengine.functional as F
    >>> F.batch_norm(mge.tensor([[1.0], [3.0]]), training=True, eps=0.0)
    Tensor([[-1.]
     [ 1.]], device=xpux:0)
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running statistics are needed outside of training")
        return _tengen._batch_norm_eval(inp, running_mean, running_var, weight, bias, eps)
    y, mean, var = _tengen._batch_norm_train(inp, weight, bias, eps)
    updated = []
    for running, batch in ((running_mean, mean), (running_var, var)):
        if running is None or not inp.size:
            updated.append(running)
            continue
        batch = batch.detach().reshape(running.shape)
        new = running.detach() * momentum + batch * (1 - momentum)
        new = new.astype(running.dtype)
        if inplace:
            running._reset(new)
        updated.append(new)
    return y if inplace else (y, *updated)


def sync_batch_norm(
    inp: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.9,
    eps: float = 1e-05,
    eps_mode="additive",
    group=None,
) -> Tensor:
    """Batch normalisation over all processes; of one process, ``batch_norm``.

    >>> import megengine as mge
    >>> import megengine.functional as F
    >>> mean, var = mge.tensor([0.0]), mge.tensor([1.0])
    >>> F.nn.sync_batch_norm(mge.tensor([[1.0], [3.0]]), mean, var, training=True).shape
    (2, 1)
    """
    if eps_mode != "additive":
        raise ValueError(f'sync_batch_norm: eps_mode is {eps_mode!r}, not "additive"')
    return batch_norm(
        inp,
        running_mean,
        running_var,
        weight,
        bias,
        training=training,
        momentum=momentum,
        eps=eps,
    )


def embedding(
    inp: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float | None = None,
):
    """Rows ``weight[inp]`` of a table [rows, n], for indices of any shape.

    >>> import megengine as mge
    >>> import megengine.functional as F
    >>> F.nn.embedding(mge.tensor([1, 0]), mge.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[3. 4.]
     [1. 2.]], device=xpux:0)
    """
    if padding_idx is not None:
        raise ValueError("embedding: padding_idx is not supported")
    if max_norm is not None or norm_type is not None:
        raise ValueError("embedding: max_norm and norm_type are not supported")
    return _tengen._embedding(inp, weight)


def pixel_shuffle(inp: Tensor, upscale_factor: int) -> Tensor:
    """Rearranges [..., c * r * r, h, w] to [..., c, h * r, w * r], r being ``upscale_factor``.

    >>> import megengine.functional as F
    >>> F.nn.pixel_shuffle(F.ones((1, 4, 2, 3)), 2).shape
    (1, 1, 4, 6)
    """
    r = upscale_factor
    *lead, c, h, w = inp.shape
    if r < 1 or c % (r * r):
        raise ValueError(f"pixel_shuffle: {c} channels do not divide by {r} squared")
    n = len(lead)
    x = inp.reshape(*lead, c // (r * r), r, r, h, w)
    x = x.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, c // (r * r), h * r, w * r)


def local_response_norm(
    inp: Tensor,
    kernel_size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Tensor:
    """inp / (k + alpha * s) ** beta, s the sum of squares over ``kernel_size`` near channels.

    >>> import megengine.functional as F
    >>> F.nn.local_response_norm(F.ones((1, 3, 2, 2))).shape
    (1, 3, 2, 2)
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"local_response_norm: kernel_size must be odd, not {kernel_size}")
    half, channels = kernel_size // 2, inp.shape[1]
    padded = pad(inp * inp, ((0, 0), (half, half), (0, 0), (0, 0)))
    total = padded[:, :channels]
    for i in range(1, kernel_size):
        total = total + padded[:, i : i + channels]
    return inp / (total * alpha + k) ** beta


__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "embedding",
    "gelu",
    "general_norm",
    "group_norm",
    "hardshrink",
    "hinge_loss",
    "hsigmoid",
    "hswish",
    "indexing_one_hot",
    "instance_norm",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "logsigmoid",
    "logsoftmax",
    "logsumexp",
    "max_pool2d",
    "normalize",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "prelu",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "square_loss",
    "sync_batch_norm",
]

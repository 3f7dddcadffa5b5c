r"""Batch normalisation.

Example:
    >>> import numpy as np
    >>> import megengine as mge
    >>> import megengine.module as M
    >>> layer = M.BatchNorm2d(3)
    >>> y = layer(mge.Tensor(np.arange(24, dtype="float32").reshape(2, 3, 2, 2)))
    >>> bool(abs(y.numpy().mean(axis=(0, 2, 3))).max() < 1e-5)
    True
    >>> print(layer.running_mean.numpy().ravel().round(4))
    [0.75 1.15 1.55]
"""

import numpy as np

from .. import functional as F
from ..tensor import Parameter, Tensor
from . import init
from .module import Module


class _BatchNorm(Module):
    _flat_state = True

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.9,
        affine=True,
        track_running_stats=True,
        freeze=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if freeze and not track_running_stats:
            raise ValueError(f"{type(self).__name__}: freeze=True needs track_running_stats=True")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._track_running_stats_saved = track_running_stats
        self.freeze = freeze
        shape = (1, num_features, 1, 1)
        ones, zeros = np.ones(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        self.weight = Parameter(ones) if affine else None
        self.bias = Parameter(zeros) if affine else None
        self.running_mean = Tensor(zeros) if track_running_stats else None
        self.running_var = Tensor(ones) if track_running_stats else None

    def reset_running_stats(self) -> None:
        """Sets the running mean to 0 and the running variance to 1, if there are any."""
        if self.running_mean is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)

    def reset_parameters(self) -> None:
        """Resets the running statistics, and the weight to 1 and the bias to 0."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def _check_input_ndim(self, inp):
        raise NotImplementedError(f"{type(self).__name__} does not define _check_input_ndim")

    def forward(self, inp):
        self._check_input_ndim(inp)
        shape = inp.shape
        if len(shape) != 4:
            inp = inp.reshape(tuple(shape) + (1,) * (4 - len(shape)))
        batch_statistics = self.running_mean is None or (self.training and not self.freeze)
        tracked = self.track_running_stats or not batch_statistics
        weight, bias = self.weight, self.bias
        if self.freeze and self.affine:
            weight, bias = weight.detach(), bias.detach()
        out = F.batch_norm(
            inp,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            weight,
            bias,
            training=batch_statistics,
            momentum=self.momentum,
            eps=self.eps,
        )
        return out if len(shape) == 4 else out.reshape(shape)

    def _module_info_string(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)``; see :class:`BatchNorm2d`.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.BatchNorm1d(3)(mge.Tensor(np.ones((4, 3), dtype="float32"))).shape
        (4, 3)
    """

    def _check_input_ndim(self, inp):
        if inp.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {inp.ndim}D input)")


class BatchNorm2d(_BatchNorm):
    r"""Gives every channel mean :math:`\beta` and deviation :math:`\gamma` over the batch.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \, \gamma + \beta

    In training mode, :math:`\mu` and :math:`\sigma^2` are the mean and the biased variance over
    all axes but the channels, and the running statistics follow them:

    .. math:: r \leftarrow \mathrm{momentum} \cdot r + (1 - \mathrm{momentum}) \cdot s

    where :math:`s` is the batch mean or the unbiased variance, which of one element is 0; a batch
    without elements leaves them as they are. In eval mode :math:`\mu` and
    :math:`\sigma^2` are the running statistics. Source: Ioffe and Szegedy, "Batch normalization"
    (2015).

    Args:
        num_features: the number of channels.
        eps: :math:`\epsilon`.
        momentum: how much of the running statistics a batch leaves as it was.
        affine: whether there are :math:`\gamma` and :math:`\beta`.
        track_running_stats: whether there are running statistics; without them, eval mode uses
            the statistics of the batch too.
        freeze: normalise by the running statistics in training mode too, and leave them as they
            are; :math:`\gamma` and :math:`\beta` then get no gradient.

    Parameters:
        ``weight``: :math:`\gamma`, from ones; ``bias``: :math:`\beta`, from zeros; the buffers
        ``running_mean``, from zeros, and ``running_var``, from ones. All have the shape
        ``(1, C, 1, 1)``, and ``(C,)`` in a state dict.

    Shape:
        ``(N, C, H, W)``; the output has the input's shape.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.BatchNorm2d(3)(mge.Tensor(np.ones((4, 3, 5, 5), dtype="float32"))).shape
        (4, 3, 5, 5)
    """

    def _check_input_ndim(self, inp):
        if inp.ndim != 4:
            raise ValueError(f"expected 4D input (got {inp.ndim}D input)")


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes that train together.

    Here one process trains, so this is :class:`BatchNorm2d` for inputs of two, three or four
    dimensions.

    Args:
        num_features, eps, momentum, affine, track_running_stats, freeze: those of
            :class:`BatchNorm2d`.
        group: the processes; only ``None`` is supported.

    Raises:
        ValueError: ``group`` is not ``None``.

    Example:
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> M.SyncBatchNorm(3)(mge.functional.ones((2, 3, 4))).shape
        (2, 3, 4)
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.9,
        affine=True,
        track_running_stats=True,
        freeze=False,
        group=None,
        **kwargs,
    ):
        if group is not None:
            raise ValueError("SyncBatchNorm: groups of processes are not supported")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, freeze, **kwargs)

    def _check_input_ndim(self, inp):
        if inp.ndim not in (2, 3, 4):
            raise ValueError(f"expected 2D, 3D or 4D input (got {inp.ndim}D input)")

"""Lookup tables."""

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from . import init
from .module import Module


class Embedding(Module):
    r"""A table whose rows are looked up by index.

    .. math:: y_{i} = W_{x_i}

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the length of a row.
        padding_idx: not supported; must be ``None``.
        max_norm: not supported; must be ``None``.
        norm_type: not supported; must be ``None``.
        initial_weight: the table to start from, of shape ``(num_embeddings, embedding_dim)``; by
            default draws from :math:`N(0, 1)`.
        freeze: whether the table gets no gradient.

    Parameters:
        ``weight``: :math:`W`, of shape ``(num_embeddings, embedding_dim)``.

    Shape:
        integers of shape ``(*)`` to ``(*, embedding_dim)``.

    Example:
        >>> import numpy as np
        >>> import megengine as mge
        >>> import megengine.module as M
        >>> layer = M.Embedding(5, 3)
        >>> layer(mge.Tensor(np.array([[0, 4], [1, 1]], dtype="int32"))).shape
        (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float | None = None,
        initial_weight: Parameter | None = None,
        freeze: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if padding_idx is not None:
            raise ValueError("Embedding does not support padding_idx")
        if max_norm is not None or norm_type is not None:
            raise ValueError("Embedding does not support max_norm and norm_type")
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.freeze = freeze
        shape = (num_embeddings, embedding_dim)
        if initial_weight is None:
            self.weight = Parameter(np.zeros(shape, dtype=np.float32))
            self.reset_parameters()
        elif tuple(initial_weight.shape) == shape:
            self.weight = Parameter(initial_weight.numpy())
        else:
            raise ValueError(
                f"Embedding: initial_weight must have the shape {shape}, got "
                f"{tuple(initial_weight.shape)}"
            )

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight)

    def forward(self, inputs):
        weight = self.weight.detach() if self.freeze else self.weight
        return F.embedding(inputs, weight)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Parameter,
        freeze: bool | None = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float | None = None,
    ):
        """A layer that starts from a copy of ``embeddings``.

        Args:
            embeddings: the table, of shape ``(num_embeddings, embedding_dim)``.
            freeze: whether the table gets no gradient.
            padding_idx: not supported; must be ``None``.
            max_norm: not supported; must be ``None``.
            norm_type: not supported; must be ``None``.

        Raises:
            ValueError: ``embeddings`` does not have two dimensions.

        Example:
            >>> import numpy as np
            >>> import megengine as mge
            >>> import megengine.module as M
            >>> table = mge.Parameter(np.eye(2, dtype="float32"))
            >>> layer = M.Embedding.from_pretrained(table)
            >>> layer(mge.Tensor([1], dtype="int32")).numpy().tolist()
            [[0.0, 1.0]]
        """
        shape = tuple(embeddings.shape)
        if len(shape) != 2:
            raise ValueError(f"embeddings must have two dimensions, got shape {shape}")
        return cls(*shape, padding_idx, max_norm, norm_type, embeddings, freeze)

"""The encoder layer of a transformer by MegEngine's functions, which have none ready."""

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np


class Attention(M.Module):
    """Self-attention (Vaswani et al. 2017) of ``[batch, length, width]``."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = mge.Parameter(np.zeros((3 * width, width), np.float32))
        self.in_proj_bias = mge.Parameter(np.zeros(3 * width, np.float32))
        self.out_proj = M.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        size = width // self.heads
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        qkv = qkv.reshape(batch, length, 3, self.heads, size).transpose(2, 0, 3, 1, 4)
        scores = F.matmul(qkv[0] * size**-0.5, qkv[1], transpose_b=True)
        mixed = F.matmul(F.softmax(scores, -1), qkv[2])
        return self.out_proj(mixed.transpose(0, 2, 1, 3).reshape(batch, length, width))


class EncoderLayer(M.Module):
    """Attention and two linear layers, each with a residual and a norm after it."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.linear1, self.linear2 = M.Linear(width, hidden), M.Linear(hidden, width)
        self.norm1, self.norm2 = M.LayerNorm(width), M.LayerNorm(width)

    def forward(self, x):
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))

r"""Recurrent layers and their cells.

>>> import megengine.functional as F
>>> import megengine.module as M
>>> output, (h, c) = M.LSTM(4, 8, num_layers=2)(F.ones((5, 3, 4)))
>>> output.shape, h.shape, c.shape
((5, 3, 8), (2, 3, 8), (2, 3, 8))
"""

import numpy as np

from .. import _tengen
from .. import functional as F
from ..tensor import Parameter, Tensor
from . import init
from .module import Module


def _draw(parameters, hidden_size):
    bound = 1.0 / hidden_size**0.5
    for parameter in parameters:
        init.uniform_(parameter, -bound, bound)


def _checked_nonlinearity(nonlinearity):
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity must be "tanh" or "relu", not {nonlinearity!r}')
    return nonlinearity


class RNNCellBase(Module):
    """What cells share: their weights, for ``num_chunks`` gates."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int):
        super().__init__()
        if hidden_size < 1:
            raise ValueError(f"hidden_size must be at least 1, not {hidden_size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.gate_hidden_size = rows = num_chunks * hidden_size
        kind = Parameter if bias else Tensor
        self.weight_ih = Parameter(np.zeros((rows, input_size), dtype=np.float32))
        self.weight_hh = Parameter(np.zeros((rows, hidden_size), dtype=np.float32))
        self.bias_ih = kind(np.zeros(rows, dtype=np.float32))
        self.bias_hh = kind(np.zeros(rows, dtype=np.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws all parameters uniformly from :math:`\pm 1 / \sqrt{\mathrm{hidden\_size}}`."""
        _draw(self.parameters(), self.hidden_size)

    def _weights(self):
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh


class RNNCell(RNNCellBase):
    r"""One step of a recurrent network.

    .. math:: h' = f(x W_{ih}^T + b_{ih} + h W_{hh}^T + b_{hh})

    Source: Elman, "Finding structure in time" (1990).

    Args:
        input_size: the number of features of the input.
        hidden_size: the number of units of the state.
        bias: whether the biases are trained; without, they are buffers of zeros.
        nonlinearity: :math:`f`, ``"tanh"`` or ``"relu"``.

    Parameters:
        ``weight_ih``: of shape ``(hidden_size, input_size)``;
        ``weight_hh``: of shape ``(hidden_size, hidden_size)``;
        ``bias_ih``, ``bias_hh``: of shape ``(hidden_size,)``.
        All start from the uniform distribution on :math:`\pm 1 / \sqrt{\mathrm{hidden\_size}}`.

    Shape:
        ``input`` is ``(batch, input_size)``; ``hx`` and the result are ``(batch, hidden_size)``.
        Without ``hx``, the state is zeros.

    Example:
        >>> import megengine.functional as F
        >>> import megengine.module as M
        >>> cell, h = M.RNNCell(4, 8), None
        >>> for x in F.ones((5, 3, 4)):
        ...     h = cell(x, h)
        >>> h.shape
        (3, 8)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh"
    ):
        self.nonlinearity = _checked_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, num_chunks=1)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return _tengen._rnn_cell(input, hx, *self._weights(), self.nonlinearity)


class LSTMCell(RNNCellBase):
    r"""One step of long short-term memory.

    .. math::

        (z_i, z_f, z_g, z_o) = x W_{ih}^T + b_{ih} + h W_{hh}^T + b_{hh} \\
        c' = \sigma(z_f) c + \sigma(z_i) \tanh(z_g), \quad h' = \sigma(z_o) \tanh(c')

    Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997); Gers, Schmidhuber and
    Cummins, "Learning to forget" (2000).

    Args:
        input_size: the number of features of the input.
        hidden_size: the number of units of the state.
        bias: whether the biases are trained; without, they are buffers of zeros.

    Parameters:
        ``weight_ih``: of shape ``(4 * hidden_size, input_size)``;
        ``weight_hh``: of shape ``(4 * hidden_size, hidden_size)``;
        ``bias_ih``, ``bias_hh``: of shape ``(4 * hidden_size,)``.
        All start from the uniform distribution on :math:`\pm 1 / \sqrt{\mathrm{hidden\_size}}`.

    Shape:
        ``input`` is ``(batch, input_size)``; ``hx`` is a pair of ``h`` and ``c``, each
        ``(batch, hidden_size)``, zeros if left out, and so is the result.

    Example:
        >>> import megengine.functional as F
        >>> import megengine.module as M
        >>> h, c = M.LSTMCell(4, 8)(F.ones((3, 4)))
        >>> h.shape, c.shape
        ((3, 8), (3, 8))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        super().__init__(input_size, hidden_size, bias, num_chunks=4)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        return _tengen._lstm_cell(input, hx, *self._weights())


class RNNBase(Module):
    """What recurrent layers share; subclasses write ``create_cell`` and the methods on states.

    All weights lie in ``_flatten_weights``: for each layer, and in it for each direction, those of
    its cell, ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh``, row by row. The modules in
    ``cells`` hold weights of the same shapes, which the layer does not read.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ):
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be a probability in [0, 1], not {dropout!r}")
        if not 0 <= proj_size < max(hidden_size, 1):
            raise ValueError(f"proj_size must lie in [0, hidden_size), not {proj_size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.num_directions = 2 if bidirectional else 1
        self.proj_size = proj_size
        self.cells = [
            [self.create_cell(layer) for _ in range(self.num_directions)]
            for layer in range(num_layers)
        ]
        rows = self.cells[0][0].gate_hidden_size
        columns = sum(
            cell.input_size + hidden_size + (2 if bias else 0)
            for layer in self.cells
            for cell in layer
        )
        self._flatten_weights = Parameter(np.zeros((rows, columns), dtype=np.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws all parameters uniformly from :math:`\pm 1 / \sqrt{\mathrm{hidden\_size}}`."""
        _draw(self.parameters(), self.hidden_size)

    def _features(self, layer):
        return self.input_size if layer == 0 else self.hidden_size * self.num_directions

    def _zeros(self, batch_size):
        return F.zeros((self.num_layers * self.num_directions, batch_size, self.hidden_size))

    def create_cell(self, layer):
        """The cell of a layer, by its number."""
        raise NotImplementedError(f"{type(self).__name__} does not define create_cell")

    def init_hidden(self, batch_size):
        """The state to start from if none is given."""
        raise NotImplementedError(f"{type(self).__name__} does not define init_hidden")

    def get_output_from_hidden(self, hx):
        """The part of a state that the layer puts out."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_output_from_hidden")

    def apply_op(self, input, hx):
        """The outputs ``(steps, batch, features)`` and the last state, from a state."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply_op")

    def forward(self, input: Tensor, hx=None):
        if self.batch_first:
            input = input.transpose(1, 0, 2)
        if hx is None and input.ndim == 3:
            hx = self.init_hidden(input.shape[1])
        output, hx = self.apply_op(input, hx)
        return output.transpose(1, 0, 2) if self.batch_first else output, hx


class RNN(RNNBase):
    r"""A recurrent network over sequences.

    In every layer, for every step:

    .. math:: h_t = f(x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh})

    where :math:`x_t` is the input or the state of the layer before. Source: Elman, "Finding
    structure in time" (1990).

    Args:
        input_size: the number of features of the input.
        hidden_size: the number of units of the state.
        num_layers: the number of layers.
        bias: whether there are biases.
        batch_first: whether the first axis of input and output is the batch, not the steps.
        dropout: in training, the probability with which outputs of each layer but the last are
            zeroed; see :class:`Dropout`.
        bidirectional: whether each layer runs backwards in time too; its output has the states of
            both directions side by side.
        proj_size: accepted, without effect.
        nonlinearity: :math:`f`, ``"tanh"`` or ``"relu"``.

    Parameters:
        ``_flatten_weights``: the weights of all layers, in ``hidden_size`` rows; for each layer,
        and in it for each direction, :math:`W_{ih}`, :math:`W_{hh}`, :math:`b_{ih}` and
        :math:`b_{hh}`, row by row. The parameters of ``cells`` have no part in the result and get
        no gradient. All start from the uniform distribution on
        :math:`\pm 1 / \sqrt{\mathrm{hidden\_size}}`.

    Shape:
        ``input`` is ``(steps, batch, input_size)``, ``hx``
        ``(num_layers * num_directions, batch, hidden_size)``, zeros if left out. Gives the output
        ``(steps, batch, num_directions * hidden_size)`` of the last layer and the last state of
        each, in the shape of ``hx``.

    Example:
        >>> import megengine.functional as F
        >>> import megengine.module as M
        >>> output, h = M.RNN(4, 8, bidirectional=True)(F.ones((5, 3, 4)))
        >>> output.shape, h.shape
        ((5, 3, 16), (2, 3, 8))
    """

    def __init__(self, *args, **kwargs):
        self.nonlinearity = _checked_nonlinearity(kwargs.pop("nonlinearity", "tanh"))
        super().__init__(*args, **kwargs)

    def create_cell(self, layer):
        return RNNCell(self._features(layer), self.hidden_size, self.bias, self.nonlinearity)

    def init_hidden(self, batch_size):
        return self._zeros(batch_size)

    def get_output_from_hidden(self, hx):
        return hx

    def apply_op(self, input, hx):
        return _tengen._rnn(input, hx, self, self.nonlinearity)


class LSTM(RNNBase):
    r"""Long short-term memory over sequences: in every layer, for every step an :class:`LSTMCell`.

    Arguments, initial values and shapes are those of :class:`RNN`, without ``nonlinearity``.

    Parameters:
        ``_flatten_weights``: as of :class:`RNN`, in ``4 * hidden_size`` rows.

    Shape:
        As of :class:`RNN`, but that the states are pairs of ``h`` and ``c``.

    Example:
        >>> import megengine.functional as F
        >>> import megengine.module as M
        >>> lstm = M.LSTM(4, 8, batch_first=True)
        >>> output, (h, c) = lstm(F.ones((3, 5, 4)), (F.zeros((1, 3, 8)), F.ones((1, 3, 8))))
        >>> output.shape, h.shape, c.shape
        ((3, 5, 8), (1, 3, 8), (1, 3, 8))
    """

    def create_cell(self, layer):
        return LSTMCell(self._features(layer), self.hidden_size, self.bias)

    def init_hidden(self, batch_size):
        return self._zeros(batch_size), self._zeros(batch_size)

    def get_output_from_hidden(self, hx):
        return hx[0]

    def apply_op(self, input, hx):
        return _tengen._lstm(input, hx, self)
